"""
Settings, My account: a user's own password and sessions.

    GET  /console/settings/account              (viewer, as are the others)
    POST /console/settings/account/password     another password; all other sessions end
    POST /console/settings/account/session      one of his sessions ends
"""

import math

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from phonebot.errors import NotStored
from phonebot.store.sessions import SessionStore, id_of
from phonebot.store.users import MIN_PASSWORD_CHARACTERS, UserRefused, UserStore
from phonebot.web.attempts import Attempts
from phonebot.web.console.frame import Frame, sentence
from phonebot.web.console.guard import Guard, Visitor
from phonebot.web.console.login import ATTEMPTS_FOR_A_NAME, WINDOW_S, chosen_password

ACCOUNT = "console/settings/account"


class AccountPages:
    """What everybody who is signed in may do with his own account."""

    def __init__(self, users: UserStore, sessions: SessionStore, guard: Guard, frame: Frame) -> None:
        self._users = users
        self._sessions = sessions
        self._guard = guard
        self._frame = frame
        # Of a session that somebody else got hold of.
        self._attempts = Attempts(ATTEMPTS_FOR_A_NAME, WINDOW_S)

    def routes(self) -> list[BaseRoute]:
        path, may = f"/{ACCOUNT}", self._guard.require
        return [
            Route(path, may("viewer", self._show), methods=["GET"]),
            Route(f"{path}/password", may("viewer", self._change_password), methods=["POST"]),
            Route(f"{path}/session", may("viewer", self._end_session), methods=["POST"]),
        ]

    async def _show(self, request: Request, visitor: Visitor) -> Response:
        return await self._page(request, visitor, changed=request.query_params.get("changed") == "yes")

    async def _change_password(self, request: Request, visitor: Visitor) -> Response:
        """The session that asks goes on, under another secret."""
        user, form = visitor.user, visitor.form
        wait_s = self._attempts.wait_s(user.name)
        if wait_s:
            told = f"Too many attempts. Try again in {math.ceil(wait_s / 60)} min."
            return await self._page(request, visitor, 429, current_problem=told)
        if user.has_password:
            self._attempts.count(user.name)
            if await self._users.verify(user.name, form.get("current", "")) is None:
                return await self._page(request, visitor, 422, current_problem="It is another password.")
            self._attempts.forget(user.name)
        try:
            password = chosen_password(form)
        except UserRefused as error:
            return await self._page(request, visitor, 422, problem=sentence(error))
        await self._users.change_password(user.name, password, visitor.actor)
        secret = await self._sessions.begin(user, visitor.address, request.headers.get("user-agent", ""))
        response = self._frame.moved(request, f"{ACCOUNT}?changed=yes")
        self._guard.sign_in(response, secret)
        return response

    async def _end_session(self, request: Request, visitor: Visitor) -> Response:
        try:
            await self._sessions.end_one(visitor.user, visitor.form.get("session", ""))
        except NotStored as error:
            return await self._page(request, visitor, 404, gone=sentence(error))
        return self._frame.moved(request, ACCOUNT)

    async def _page(self, request: Request, visitor: Visitor, status: int = 200, **values: object) -> Response:
        return self._frame.page(
            request,
            "settings_account.html",
            status,
            visitor=visitor,
            here="settings",
            tab="account",
            sessions=await self._sessions.all_of(visitor.user),
            own=id_of(request.cookies[self._guard.session_cookie]),
            min_characters=MIN_PASSWORD_CHARACTERS,
            **values,
        )
