"""
A route of the API: who may use it is settled before its body is read, and that before it is parsed.

    @router.put("/numbers/{number}", operation_id="saveProfile", **terms("operate", 409))
    async def save_profile(...): ...

What the document says of a route is what is enforced: the scope and the media types stand in it alone.
"""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from phonebot.store.tokens import Scope
from phonebot.web.api.bearer import Bearers
from phonebot.web.api.problems import MEDIA_TYPE, Refused
from phonebot.web.body import read_body

SECURITY_SCHEME = "token"
MAX_BODY_BYTES = 1024 * 1024
"""The longest file of profiles has 1,000,000, a recording of 30 s 480,000."""
JSON_BODY = ("application/json",)
ALWAYS = (401, 403, 422, 429, 500, 503)
WITH_BODY = (400, 408, 413, 415)
HEADERS = {
    401: {"WWW-Authenticate": "How to ask with a token (RFC 6750)."},
    403: {"WWW-Authenticate": "Which scope is missing (RFC 6750)."},
    429: {"Retry-After": "Seconds until the next try may succeed."},
    503: {"Retry-After": "Seconds until the next try may succeed."},
}


def terms(
    scope: Scope | None, *statuses: int, body: tuple[str, ...] = (), document: dict[str, Any] | None = None
) -> dict[str, Any]:
    """
    What a route's decorator is told: the scope it takes (None: any token), and what it may answer besides.

    `body`: the media types of its body; JSON_BODY is parsed by FastAPI, others the route reads as they are.
    `document`: more of the OpenAPI operation.
    """
    extra: dict[str, Any] = {"security": [{SECURITY_SCHEME: [scope] if scope else []}], **(document or {})}
    if body and body != JSON_BODY:
        extra["requestBody"] = {
            "required": True,
            "content": {media_type: {"schema": {"type": "string", "minLength": 1}} for media_type in body},
        }
    with_body = WITH_BODY if body else ()
    return {
        "openapi_extra": extra,
        "responses": {status: _problem(status) for status in sorted({*ALWAYS, *with_body, *statuses})},
    }


def _problem(status: int) -> dict[str, Any]:
    documented: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in HEADERS:
        documented["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in HEADERS[status].items()
        }
    return documented


class ApiRoute(APIRoute):
    """Admits, then reads the body within bounds, then lets FastAPI parse and answer."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()
        scope, accepted = self.required_scope, self._accepted()
        must_have_body = self.body_field is None

        async def handle(request: Request) -> Response:
            bearers: Bearers = request.app.state.bearers
            request.state.caller = await bearers.admit(request, scope)
            if accepted:
                request = await _with_body(request, accepted, must_have_body)
            response = await answer(request)
            # What callers said is nobody else's business, and what is current is current.
            response.headers.setdefault("cache-control", "no-store")
            response.headers["x-content-type-options"] = "nosniff"
            return response

        return handle

    @property
    def required_scope(self) -> Scope | None:
        """The scope that a token must have; None: any token will do. A route without terms is a mistake of ours."""
        (needed,) = (self.openapi_extra or {})["security"]
        scopes: list[Scope] = needed[SECURITY_SCHEME]
        return scopes[0] if scopes else None

    def _accepted(self) -> tuple[str, ...]:
        """The media types of its body; none: it has no body."""
        if self.body_field is not None:
            return JSON_BODY
        return tuple((self.openapi_extra or {}).get("requestBody", {}).get("content", ()))


async def _with_body(request: Request, accepted: tuple[str, ...], must_be: bool) -> Request:
    """The request with its body read, which `must_be` there. Raises HTTPException 400, 408, 413 or 415."""
    body: bytes | None = await read_body(request, MAX_BODY_BYTES)
    if must_be and not body:
        raise Refused(400, "bad_request", f"the body is missing: send {' or '.join(accepted)}")
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and media_type not in accepted:
        raise Refused(
            415, "unsupported_media_type", f"the body must be {' or '.join(accepted)}: say so in Content-Type"
        )
    asked = request.receive

    async def receive() -> Message:
        nonlocal body
        if body is None:
            return await asked()  # waits until the client has gone
        read, body = body, None
        return {"type": "http.request", "body": read, "more_body": False}

    return Request(request.scope, receive)
