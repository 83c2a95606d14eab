"""What operators work with, by the console's pages and by the API."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from phonebot.callbook import CallBook
from phonebot.caps.today import Today
from phonebot.outbound.orders import Orders
from phonebot.store.store import Store
from phonebot.web.board import Board
from phonebot.web.checkups import Checkup
from phonebot.web.editing import ProfileEditor


@dataclass(frozen=True, slots=True, kw_only=True)
class Operating:
    """
    `board` has the calls in progress, which nobody watches any more once `stopping` is set. `today` tells what
    calls have cost. `secret_key` signs what browsers and users are given to bring back.
    """

    store: Store
    book: CallBook
    editor: ProfileEditor
    checkup: Checkup
    board: Board
    orders: Orders
    stopping: asyncio.Event
    today: Callable[[], Today]
    secret_key: str
