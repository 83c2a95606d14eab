"""
Signing in and out.

    GET  /login    the form                 POST /login    sign in
    GET  /setup    what a one-time link leads to           POST /setup    use the link up
    POST /logout   sign out; with `everywhere` all sessions of the user end
"""

import math

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from phonebot.store.audit import Actor
from phonebot.store.links import OneTimeLinks
from phonebot.store.sessions import SessionStore
from phonebot.store.users import MIN_PASSWORD_CHARACTERS, User, UserRefused, UserStore, checked_password
from phonebot.web.console.attempts import Attempts, network
from phonebot.web.console.frame import HOME, Frame, local_path
from phonebot.web.console.guard import FOREIGN, OUTDATED, Guard, Visitor, read_form

WINDOW_S = 300.0
ATTEMPTS_OF_AN_ADDRESS = 20
ATTEMPTS_FOR_A_NAME = 10

WRONG = "The name or the password is wrong."
VOID = "This link was used already, or is older than an hour. Start phonebot again: it prints a new one."
HAS_ADMIN = "There is an admin already. Sign in with his name and password."


class Login:
    """The pages for those who are not signed in yet, and the way out."""

    def __init__(
        self,
        users: UserStore,
        sessions: SessionStore,
        links: OneTimeLinks,
        guard: Guard,
        frame: Frame,
        of_addresses: Attempts | None = None,
        of_names: Attempts | None = None,
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._links = links
        self._guard = guard
        self._frame = frame
        self._of_addresses = of_addresses or Attempts(ATTEMPTS_OF_AN_ADDRESS, WINDOW_S)
        self._of_names = of_names or Attempts(ATTEMPTS_FOR_A_NAME, WINDOW_S)

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/login", self._show_login, methods=["GET"]),
            Route("/login", self._login, methods=["POST"]),
            Route("/setup", self._show_setup, methods=["GET"]),
            Route("/setup", self._setup, methods=["POST"]),
            Route("/logout", self._guard.require("viewer", self._logout), methods=["POST"]),
        ]

    # ------------------------------------------------------------------------------ /login

    async def _show_login(self, request: Request) -> Response:
        wanted = request.query_params.get("next", "")
        if await self._guard.user(request):
            return self._frame.moved(request, local_path(wanted))
        return await self._login_page(request, wanted=wanted)

    async def _login(self, request: Request) -> Response:
        form = await read_form(request)
        wanted, name = form.get("next", ""), form.get("name", "").strip()
        if not self._guard.is_ours(request):
            return self._frame.refused(request, 403, "Not done", FOREIGN)
        if not self._guard.has_csrf(request, form, request.cookies.get(self._guard.form_cookie, "")):
            return await self._login_page(request, 403, OUTDATED, name, wanted)
        address = network(_address(request))
        wait_s = max(self._of_addresses.wait_s(address), self._of_names.wait_s(_key(name)))
        if wait_s:
            return await self._too_often(request, name, wanted, wait_s)
        # Counted before it is looked at: those that come at once are counted, too.
        self._of_addresses.count(address)
        self._of_names.count(_key(name))
        user = await self._users.verify(name, form.get("password", ""))
        if user is None:
            return await self._login_page(request, 401, WRONG, name, wanted)
        self._of_addresses.forget(address)
        self._of_names.forget(_key(name))
        return await self._signed_in(request, user, local_path(wanted))

    async def _too_often(self, request: Request, name: str, wanted: str, wait_s: int) -> Response:
        minutes = math.ceil(wait_s / 60)
        sentence = f"Too many attempts. Try again in {minutes} minute{'s' if minutes > 1 else ''}."
        response = await self._login_page(request, 429, sentence, name, wanted)
        response.headers["retry-after"] = str(wait_s)
        return response

    async def _login_page(
        self, request: Request, status: int = 200, problem: str = "", name: str = "", wanted: str = ""
    ) -> Response:
        lacks_admin = await self._users.lacks_admin()
        return self._with_form(
            request, "login.html", status, problem=problem, name=name[:100], wanted=wanted, lacks_admin=lacks_admin
        )

    # ------------------------------------------------------------------------------ /setup

    async def _show_setup(self, request: Request) -> Response:
        token = request.query_params.get("token", "")
        purpose = self._links.purpose(token)
        if purpose is None:
            return self._frame.refused(request, 403, "No longer valid", VOID)
        if purpose == "setup" and not await self._users.lacks_admin():
            return self._frame.refused(request, 403, "No longer valid", HAS_ADMIN)
        return self._setup_page(request, token)

    async def _setup(self, request: Request) -> Response:
        form = await read_form(request)
        token = form.get("token", "")
        purpose = self._links.purpose(token)
        if not self._guard.is_ours(request):
            return self._frame.refused(request, 403, "Not done", FOREIGN)
        if purpose is None:
            return self._frame.refused(request, 403, "No longer valid", VOID)
        if not self._guard.has_csrf(request, form, request.cookies.get(self._guard.form_cookie, "")):
            return self._setup_page(request, token, 403, OUTDATED)
        if purpose == "setup":
            return await self._choose_password(request, token, form.get("password", ""), form.get("again", ""))
        if not await self._links.spend(token):
            return self._frame.refused(request, 403, "No longer valid", VOID)
        return await self._signed_in(request, await self._users.some_admin(_by_link(request)), HOME)

    async def _choose_password(self, request: Request, token: str, password: str, again: str) -> Response:
        """A password that is not taken does not use the link up."""
        try:
            checked_password(password)
        except UserRefused as error:
            return self._setup_page(request, token, 422, f"{error.problem[:1].upper()}{error.problem[1:]}.")
        if password != again:
            return self._setup_page(request, token, 422, "The two are not the same: type the password again.")
        if not await self._links.spend(token):
            return self._frame.refused(request, 403, "No longer valid", VOID)
        user = await self._users.first_admin(password, _by_link(request))
        if user is None:
            return self._frame.refused(request, 403, "No longer valid", HAS_ADMIN)
        return await self._signed_in(request, user, HOME)

    def _setup_page(self, request: Request, token: str, status: int = 200, problem: str = "") -> Response:
        return self._with_form(
            request,
            "setup.html",
            status,
            token=token,
            problem=problem,
            purpose=self._links.purpose(token),
            min_characters=MIN_PASSWORD_CHARACTERS,
        )

    # ------------------------------------------------------------------------------ /logout

    async def _logout(self, request: Request, visitor: Visitor) -> Response:
        if visitor.form.get("everywhere"):
            await self._sessions.end_all(visitor.user)
        else:
            await self._sessions.end(request.cookies[self._guard.session_cookie])
        response = self._frame.moved(request, "login")
        self._guard.sign_out(response)
        return response

    def _with_form(self, request: Request, template: str, status: int, **values: object) -> Response:
        secret = self._guard.form_secret(request)
        response = self._frame.page(request, template, status, csrf=self._guard.csrf(secret), **values)
        self._guard.keep_form_secret(response, secret)
        return response

    async def _signed_in(self, request: Request, user: User, to: str) -> Response:
        """A session begins, under a secret that nobody had before; one that the browser had ends."""
        before = request.cookies.get(self._guard.session_cookie, "")
        if before:
            await self._sessions.end(before)
        secret = await self._sessions.begin(user, _address(request), request.headers.get("user-agent", ""))
        response = self._frame.moved(request, to)
        self._guard.sign_in(response, secret)
        return response


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _key(name: str) -> str:
    return name.lower()[:100]


def _by_link(request: Request) -> Actor:
    return Actor("one-time link", _address(request))
