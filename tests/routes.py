"""
All routes of a service, and who may use each: what is declared, and what is not is found.

    for route in routes_of(service.app): route.path, route.methods, route.access
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute, compile_path

from phonebot.web.api.route import ApiRoute
from phonebot.web.console.guard import role_of

Kind: TypeAlias = Literal["open", "carrier", "machine", "link", "page", "role", "scope", "any token"]
"""
Open to all; signed by the carrier; for clients on this machine; by a link that is signed; by the session of a page
of ours that has a token; by a session with a role; by a bearer token.
"""

MESSAGE_ID = "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b"
IN_PATH = {
    **dict.fromkeys(("id", "call_id", "token_id"), "99"),
    "message_id": MESSAGE_ID,
    "number": "default",
    "sequence": "1",
    "call_sid": "CA1",
    "name": "nobody",
    "key": "none",
    "token": "none",
    "path": "phonebot.css",
}
"""What stands in the place of a path's parameters."""

# What needs no role, no scope and no signature. A route that is added stands here, or has one of them.
DECLARED: dict[str, Kind] = {
    **dict.fromkeys(("/healthz", "/readyz", "/login", "/setup", "/console/static", "/api/v1/openapi.json"), "open"),
    "/metrics": "machine",
    "/recordings/{token}": "link",
    "/console/try": "page",
    "/console/media": "page",
}


@dataclass(frozen=True, slots=True)
class Found:
    """A route. `needs` is its role or scope, "" where it has neither; `methods` none: a WebSocket's."""

    path: str
    methods: tuple[str, ...]
    kind: Kind
    needs: str = ""

    @property
    def filled(self) -> str:
        """The path with something in the place of its parameters."""
        pattern = compile_path(self.path)
        return str(pattern[1].format(**{name: IN_PATH[name] for name in pattern[2]}))


def routes_of(app: Starlette) -> list[Found]:
    """Raises LookupError for a route of which nobody has said who may use it."""
    return [_found(path, route) for path, route in _all(app.routes)]


def _all(routes: Iterable[BaseRoute], prefix: str = "") -> Iterator[tuple[str, BaseRoute]]:
    for route in routes:
        if isinstance(route, Mount) and isinstance(route.app, Starlette):
            yield from _all(route.app.routes, prefix + route.path)
        elif router := getattr(route, "original_router", None):  # FastAPI's, of one of the API's modules
            yield from _all(router.routes, prefix)
        else:
            yield prefix + str(getattr(route, "path", repr(route))), route


def _found(path: str, route: BaseRoute) -> Found:
    methods = _methods(route)
    if isinstance(route, ApiRoute):
        scope = route.required_scope
        return Found(path, methods, "scope" if scope else "any token", scope or "")
    endpoint: Any = getattr(route, "endpoint", None)
    if role := role_of(endpoint):
        return Found(path, methods, "role", role)
    if path.startswith("/twilio/"):
        return Found(path, methods, "carrier")
    if path not in DECLARED:
        raise LookupError(f"nobody has said who may use {path} {methods}")
    return Found(path, methods, DECLARED[path])


def _methods(route: BaseRoute) -> tuple[str, ...]:
    if isinstance(route, WebSocketRoute):
        return ()
    methods = route.methods if isinstance(route, Route) else None
    return tuple(sorted((methods or {"GET"}) - {"HEAD"}))
