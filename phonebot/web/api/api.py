"""
The API as an app of its own, which `web.app` mounts at `/api/v1`.

    GET /openapi.json      what there is, for programs and generators of clients: open to all
    everything else        with a token of a scope

FastAPI takes 0.2 s to import: whoever has no store does without.
"""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from phonebot.store.annotations import Annotations
from phonebot.store.audit import AuditStore
from phonebot.store.links import OneTimeLinks
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
from phonebot.web.operating import Operating

PATH = "/api/v1"
DOCUMENT_PATH = "/openapi.json"
RESOURCES = (
    *(numbers, versions, exchange),
    *(calls, files, overview, messages, live, outbound, opt_outs),
    *(health, users, tokens, audit),
)
ROUTERS = tuple(module.router for module in RESOURCES)


def create_api(operating: Operating, public_url: str) -> FastAPI:
    """For a service that is reached at `public_url`."""
    store = operating.store
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
        operating.editor,
        operating.book,
        Streams(operating.board, operating.stopping),
        OneTimeLinks(store.database, operating.secret_key),
        operating.checkup,
        operating.orders,
        public_url,
        operating.today,
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
