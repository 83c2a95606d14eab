"""
What every answer tells browsers: that they may do nothing with it that we did not mean.

A page that needs more says so itself (console/phone.py, PAGE_HEADERS): what an answer has stays as it is.
"""

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    # Recordings and pictures are opened in tabs of their own; whatever else is, runs and loads nothing.
    "content-security-policy": "default-src 'none'; media-src 'self'; img-src 'self'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "microphone=(), camera=(), geolocation=()",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",  # frame-ancestors, for browsers that do not know it
}
HSTS = {"strict-transport-security": "max-age=31536000"}
"""A browser that came by https once comes by it for a year (RFC 6797). By http it is ignored."""


class SecurityHeaders:
    """An ASGI application around another one. `secure`: the public URL is https."""

    def __init__(self, app: ASGIApp, secure: bool) -> None:
        self._app = app
        self._headers = headers(secure)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    given.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def headers(secure: bool) -> dict[str, str]:
    """Those of every answer."""
    return HEADERS | (HSTS if secure else {})


async def unforeseen(request: Request, error: Exception) -> Response:
    """The answer to a request over which something of ours failed: what it was stands in the log alone."""
    # It is made outside of SecurityHeaders, by what catches all that is raised.
    return PlainTextResponse("Something went wrong here. The service's log says what.", 500, HEADERS)
