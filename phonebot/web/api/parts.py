"""What the routes work with: made once, found by each request."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

from fastapi import Depends, Request

from phonebot.callbook import CallBook
from phonebot.caps.today import Today
from phonebot.outbound.orders import Orders
from phonebot.store.annotations import Annotations
from phonebot.store.audit import AuditStore
from phonebot.store.links import OneTimeLinks
from phonebot.store.store import Store
from phonebot.web.api.bearer import Caller
from phonebot.web.api.streams import Streams
from phonebot.web.checkups import Checkup
from phonebot.web.editing import ProfileEditor

HEAVY_AT_ONCE = 2
"""Logs that are zipped or rendered side by side: each takes a thread and, for the longest call, 100 MB."""


@dataclass(frozen=True, slots=True)
class Parts:
    """`heavy` is for work on calls' logs, `checking` for looking at others' services."""

    store: Store
    audit: AuditStore
    annotations: Annotations
    editor: ProfileEditor
    book: CallBook
    streams: Streams
    links: OneTimeLinks
    checkup: Checkup
    orders: Orders
    public_url: str
    today: Callable[[], Today]
    heavy: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(HEAVY_AT_ONCE))
    checking: asyncio.Lock = field(default_factory=asyncio.Lock)


def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


UsedParts: TypeAlias = Annotated[Parts, Depends(_parts)]
"""The parts, as a parameter of a route."""
Asker: TypeAlias = Annotated[Caller, Depends(_caller)]
"""Who asks, likewise: the route has let him in."""
