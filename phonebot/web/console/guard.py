"""
Who a request is from, and whether he may do what it asks.

    Route("/console/numbers", guard.require("viewer", numbers))

A request that changes something needs, besides the session's cookie, an Origin that is ours and the token of a form
that we made for this session: another site's page can send neither.
"""

import hashlib
import hmac
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import parse_qsl, quote

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from phonebot.errors import StoreError
from phonebot.store.sessions import LIFETIME, SessionStore
from phonebot.store.users import Role, User
from phonebot.web.body import read_body
from phonebot.web.console.access import Origins
from phonebot.web.console.frame import Frame

SAFE_METHODS = frozenset({"GET", "HEAD"})
MAX_FORM_BYTES = 64 * 1024
MAX_FORM_FIELDS = 100
CSRF_FIELD, CSRF_HEADER = "csrf", "x-csrf-token"
FOREIGN = "This page is not the console's. Open the console by its own address."
OUTDATED = "This form is out of date, and nothing was done. Go back, load the page again, and send it once more."

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is signed in. `csrf` goes into each form of the page; `form` holds what he sent, if it was a form."""

    user: User
    csrf: str
    form: Mapping[str, str]


Handler: TypeAlias = Callable[[Request, Visitor], Awaitable[Response]]
Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


class Guard:
    """
    `secret_key` signs the tokens of forms. `secure`: browsers reach us by https, so that cookies are for it alone.
    """

    def __init__(
        self, sessions: SessionStore, frame: Frame, secret_key: str, urls: Iterable[str], secure: bool
    ) -> None:
        self._sessions = sessions
        self._frame = frame
        self._key = hashlib.sha256(b"phonebot forms\0" + secret_key.encode()).digest()
        self._origins = Origins(urls)
        self._secure = secure
        # A cookie of this prefix is ours: no other host, no page over http can have set it (RFC 6265bis, 4.1.3.2).
        prefix = "__Host-" if secure else ""
        self.session_cookie, self.form_cookie = f"{prefix}phonebot", f"{prefix}phonebot-form"

    async def user(self, connection: HTTPConnection) -> User | None:
        """Who is signed in by the cookie of a request; None: nobody. Raises StoreUnavailable."""
        secret = connection.cookies.get(self.session_cookie, "")
        return await self._sessions.user(secret) if secret else None

    async def authorise(self, connection: HTTPConnection) -> str | None:
        """The name of who may call from the browser: an operator. None when the store is away, too."""
        try:
            user = await self.user(connection)
        except StoreError as error:
            log.error("nobody can be let in: %s", error)
            return None
        return user.name if user and user.may("operator") else None

    def require(self, role: Role, handler: Handler) -> Endpoint:
        """
        A route's endpoint, for those with this role or a higher one.

        Who is not signed in is asked to (303), or told when he was about to change something (401). Who may not, or
        comes from another site's page or with an outdated form, gets 403.
        """

        async def endpoint(request: Request) -> Response:
            if not self.is_ours(request):
                return self._frame.refused(request, 403, "Not done", FOREIGN)
            user = await self.user(request)
            if user is None:
                return self._sign_in_first(request)
            bound = request.cookies[self.session_cookie]
            visitor = Visitor(user, self.csrf(bound), await read_form(request))
            if not user.may(role):
                sentence = f"This takes the role {role}, and you are {user.role}. Ask an admin."
                return self._frame.refused(request, 403, "Not allowed", sentence, visitor=visitor)
            if not self.has_csrf(request, visitor.form, bound):
                return self._frame.refused(request, 403, "Not done", OUTDATED, visitor=visitor)
            return await handler(request, visitor)

        return endpoint

    def is_ours(self, request: Request) -> bool:
        """Whether it changes nothing, or comes from a page of ours."""
        return request.method in SAFE_METHODS or self._origins.url(request) is not None

    def csrf(self, bound: str) -> str:
        """The token of forms that are bound to a cookie's value."""
        return hmac.new(self._key, bound.encode(errors="replace"), hashlib.sha256).hexdigest()

    def has_csrf(self, request: Request, form: Mapping[str, str], bound: str) -> bool:
        """Whether it changes nothing, or brings the token of a form bound to this value, which is not empty."""
        if request.method in SAFE_METHODS:
            return True
        given = request.headers.get(CSRF_HEADER) or form.get(CSRF_FIELD, "")
        return bound != "" and hmac.compare_digest(given.encode(errors="replace"), self.csrf(bound).encode())

    # ------------------------------------------------------------------------------ cookies

    def form_secret(self, request: Request) -> str:
        """To what the forms of somebody who is not signed in are bound: his cookie, or a new one's value."""
        return request.cookies.get(self.form_cookie, "") or secrets.token_urlsafe(16)

    def keep_form_secret(self, response: Response, secret: str) -> None:
        self._set_cookie(response, self.form_cookie, secret, None)

    def sign_in(self, response: Response, secret: str) -> None:
        """The browser keeps the session's secret from now on."""
        self._set_cookie(response, self.session_cookie, secret, int(LIFETIME.total_seconds()))

    def sign_out(self, response: Response) -> None:
        self._set_cookie(response, self.session_cookie, "", 0)

    def _set_cookie(self, response: Response, name: str, value: str, max_age_s: int | None) -> None:
        response.set_cookie(
            name, value, max_age=max_age_s, path="/", secure=self._secure, httponly=True, samesite="lax"
        )

    def _sign_in_first(self, request: Request) -> Response:
        if request.method not in SAFE_METHODS:
            sentence = "You are not signed in, or no longer. Sign in and try again."
            return self._frame.refused(request, 401, "Not done", sentence)
        query = request.url.query
        wanted = request.scope["path"] + (f"?{query}" if query else "")
        return self._frame.moved(request, f"login?next={quote(wanted, safe='')}")


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form; none of a request that brings none. Raises HTTPException for one that is no form."""
    if request.method in SAFE_METHODS:
        return {}
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        return {}
    body = await read_body(request, MAX_FORM_BYTES)
    try:
        fields = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="replace", max_num_fields=MAX_FORM_FIELDS
        )
    except ValueError:
        raise HTTPException(400, "the body is no form") from None
    return dict(fields)
