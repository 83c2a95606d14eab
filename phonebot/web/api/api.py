"""
The API as an app of its own, which `web.app` mounts at `/api/v1`.

    GET /openapi.json      what there is, for programs and generators of clients: open to all
    everything else        with a token of a scope

FastAPI takes 0.2 s to import: whoever has no store does without.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from phonebot.callbook import CallBook
from phonebot.caps.today import Today
from phonebot.outbound.orders import Orders
from phonebot.store.annotations import Annotations
from phonebot.store.audit import AuditStore
from phonebot.store.links import OneTimeLinks
from phonebot.store.store import Store
from phonebot.web.api import (
    audit,
    calls,
    exchange,
    files,
    health,
    live,
    messages,
    numbers,
    opt_outs,
    outbound,
    overview,
    problems,
    tokens,
    users,
    versions,
)
from phonebot.web.api.bearer import Bearers
from phonebot.web.api.document import document_of
from phonebot.web.api.parts import Parts
from phonebot.web.api.route import ApiRoute
from phonebot.web.api.streams import Streams
from phonebot.web.board import Board
from phonebot.web.checkups import Checkup
from phonebot.web.editing import ProfileEditor

PATH = "/api/v1"
DOCUMENT_PATH = "/openapi.json"
RESOURCES = (
    *(numbers, versions, exchange),
    *(calls, files, overview, messages, live, outbound, opt_outs),
    *(health, users, tokens, audit),
)
ROUTERS = tuple(module.router for module in RESOURCES)


def create_api(
    store: Store,
    book: CallBook,
    editor: ProfileEditor,
    checkup: Checkup,
    board: Board,
    orders: Orders,
    stopping: asyncio.Event,
    today: Callable[[], Today],
    *,
    secret_key: str,
    public_url: str,
) -> FastAPI:
    """
    `board` is where calls in progress are seen; once `stopping` is set, nobody watches them any more. `today` tells
    what calls have cost.

    `secret_key` signs links by which users choose their passwords, which the console takes.
    """
    api = _with_routes()
    problems.install(api)
    told = document_of(api, f"{public_url}{PATH}")

    async def openapi(request: Request) -> Response:
        return JSONResponse(told)

    api.add_route(DOCUMENT_PATH, openapi, methods=["GET"], include_in_schema=False)
    api.state.routes = [*api_routes(), Route(DOCUMENT_PATH, openapi, methods=["GET"])]
    api.state.bearers = Bearers(store.tokens)
    api.state.parts = Parts(
        store,
        AuditStore(store.database),
        Annotations(store.database),
        editor,
        book,
        Streams(board, stopping),
        OneTimeLinks(store.database, secret_key),
        checkup,
        orders,
        public_url,
        today,
    )
    return api


def document(url: str) -> dict[str, Any]:
    """The OpenAPI document of an API at this URL."""
    return document_of(_with_routes(), url)


def _with_routes() -> FastAPI:
    api = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    for router in ROUTERS:
        api.include_router(router)
    return api


def api_routes() -> Iterator[ApiRoute]:
    """All routes that take a token."""
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, ApiRoute)
            yield route
