"""
Signing in and out.

    GET  /login    the form                 POST /login    sign in
    GET  /setup    what a one-time link leads to           POST /setup    use the link up
    POST /logout   sign out; with `everywhere` all sessions of the user end
"""

import math
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from phonebot.errors import NotStored
from phonebot.store.audit import Actor
from phonebot.store.links import Link, OneTimeLinks, Purpose
from phonebot.store.sessions import SessionStore
from phonebot.store.users import MIN_PASSWORD_CHARACTERS, User, UserRefused, UserStore, checked_password
from phonebot.web.attempts import Attempts, network
from phonebot.web.console.frame import HOME, Frame, local_path, sentence
from phonebot.web.console.guard import FOREIGN, OUTDATED, Guard, Visitor, client_address, read_form

WINDOW_S = 300.0
ATTEMPTS_OF_AN_ADDRESS = 20
ATTEMPTS_FOR_A_NAME = 10

WRONG = "The name or the password is wrong."
_PRINTED = "This link was used already, or is older than an hour. Start phonebot again: it prints a new one."
VOID: Mapping[Purpose, str] = {
    "setup": _PRINTED,
    "sign-in": _PRINTED,
    "password": "This link was used already, or is older than three days. Ask an admin for a new one.",
}
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
        address = network(client_address(request))
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
        told = f"Too many attempts. Try again in {minutes} minute{'s' if minutes > 1 else ''}."
        response = await self._login_page(request, 429, told, name, wanted)
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
        link = self._links.read(token)
        void = await self._void(link)
        if link is None or void:
            return self._frame.refused(request, 403, "No longer valid", void)
        return self._setup_page(request, link, token)

    async def _setup(self, request: Request) -> Response:
        form = await read_form(request)
        token = form.get("token", "")
        if not self._guard.is_ours(request):
            return self._frame.refused(request, 403, "Not done", FOREIGN)
        link = self._links.read(token)
        void = await self._void(link)
        if link is None or void:
            return self._frame.refused(request, 403, "No longer valid", void)
        if not self._guard.has_csrf(request, form, request.cookies.get(self._guard.form_cookie, "")):
            return self._setup_page(request, link, token, 403, OUTDATED)
        password = ""
        if link.purpose != "sign-in":
            # A password that is not taken does not use the link up.
            try:
                password = chosen_password(form)
            except UserRefused as error:
                return self._setup_page(request, link, token, 422, sentence(error))
        user = await self._user_of(link, password, request) if await self._links.spend(token) else None
        if user is None:
            return self._frame.refused(request, 403, "No longer valid", VOID[link.purpose])
        return await self._signed_in(request, user, HOME)

    async def _void(self, link: Link | None) -> str:
        """Why a link is of no use any more; "" if it may be. Whether it was spent is found when it is used."""
        match link:
            case None:
                return VOID["setup"]
            case Link("setup") if not await self._users.lacks_admin():
                return HAS_ADMIN
            case Link("password", name, state):
                try:
                    is_his = await self._users.state(name) == state and not (await self._users.get(name)).disabled
                except NotStored:
                    is_his = False
                return "" if is_his else VOID["password"]
        return ""

    async def _user_of(self, link: Link, password: str, request: Request) -> User | None:
        """Whom the link lets in, with this password from now on; None: somebody else was faster."""
        actor = Actor("one-time link", client_address(request))
        match link.purpose:
            case "setup":
                return await self._users.first_admin(password, actor)
            case "sign-in":
                return await self._users.some_admin(actor)
        await self._users.change_password(link.user, password, Actor(link.user, actor.address))
        return await self._users.get(link.user)

    def _setup_page(
        self, request: Request, link: Link, token: str, status: int = 200, problem: str = ""
    ) -> Response:
        return self._with_form(
            request,
            "setup.html",
            status,
            token=token,
            problem=problem,
            link=link,
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
        secret = await self._sessions.begin(user, client_address(request), request.headers.get("user-agent", ""))
        response = self._frame.moved(request, to)
        self._guard.sign_in(response, secret)
        return response


def _key(name: str) -> str:
    return name.lower()[:100]


def chosen_password(form: Mapping[str, str]) -> str:
    """That of a form in which it stands twice. Raises UserRefused for one that cannot be, or is another there."""
    password = form.get("password", "")
    checked_password(password)
    if password != form.get("again", ""):
        raise UserRefused("the two are not the same: type the password again")
    return password
