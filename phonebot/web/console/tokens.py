"""
Settings, Tokens: what programs use the API with. For admins.

    GET  /console/settings/tokens
    POST /console/settings/tokens             another one; its secret is on the page that answers, and nowhere else
    POST /console/settings/tokens/{id}        revoke it
"""

from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from phonebot.errors import NotStored
from phonebot.store.tokens import SCOPES, TokenRefused, TokenStore
from phonebot.web.console.frame import Frame, sentence
from phonebot.web.console.guard import Guard, Visitor

TOKENS = "console/settings/tokens"
LIFETIMES_DAYS = {"30": "30 days", "90": "90 days", "365": "a year", "": "until it is revoked"}
MEANINGS = {
    "read": "Read numbers, calls and recordings.",
    "operate": "Change numbers, place and end calls.",
    "admin": "Manage users and tokens, and read the audit.",
}


class TokenPages:
    """Makes and revokes bearer tokens."""

    def __init__(self, tokens: TokenStore, guard: Guard, frame: Frame) -> None:
        self._tokens = tokens
        self._guard = guard
        self._frame = frame

    def routes(self) -> list[BaseRoute]:
        path, may = f"/{TOKENS}", self._guard.require
        return [
            Route(path, may("admin", self._show), methods=["GET"]),
            Route(path, may("admin", self._create), methods=["POST"]),
            Route(f"{path}/{{id:row}}", may("admin", self._revoke), methods=["POST"]),
        ]

    async def _show(self, request: Request, visitor: Visitor) -> Response:
        return await self._page(request, visitor)

    async def _create(self, request: Request, visitor: Visitor) -> Response:
        form = visitor.form
        name, days = form.get("name", ""), form.get("days", "")
        scopes = [scope for scope in SCOPES if form.get(f"scope-{scope}")]
        expires_at = datetime.now(UTC) + timedelta(days=int(days)) if days and days in LIFETIMES_DAYS else None
        try:
            token, secret = await self._tokens.create(name, scopes, visitor.actor, expires_at)
        except TokenRefused as error:
            typed = {"added": name, "scopes": scopes, "days": days}
            return await self._page(request, visitor, 422, problem=sentence(error), **typed)
        return await self._page(request, visitor, made=token, secret=secret)

    async def _revoke(self, request: Request, visitor: Visitor) -> Response:
        try:
            await self._tokens.revoke(request.path_params["id"], visitor.actor)
        except NotStored as error:
            return await self._page(request, visitor, 404, refused=sentence(error))
        return self._frame.moved(request, TOKENS)

    async def _page(self, request: Request, visitor: Visitor, status: int = 200, **values: object) -> Response:
        return self._frame.page(
            request,
            "settings_tokens.html",
            status,
            visitor=visitor,
            here="settings",
            tab="tokens",
            tokens=await self._tokens.all(),
            now=datetime.now(UTC),
            meanings=MEANINGS,
            lifetimes=LIFETIMES_DAYS,
            **values,
        )
