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
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import parse_qsl, quote

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from phonebot.errors import StoreError
from phonebot.store.audit import Actor
from phonebot.store.sessions import LIFETIME, SessionStore
from phonebot.store.users import Role, User
from phonebot.web.body import read_body
from phonebot.web.console.access import Origins
from phonebot.web.console.frame import Frame

SAFE_METHODS = frozenset({"GET", "HEAD"})
MAX_FORM_BYTES = 64 * 1024
MAX_FORM_FIELDS = 300  # the editor of a profile has a third of it
MAX_FILES = 2
CSRF_FIELD, CSRF_HEADER = "csrf", "x-csrf-token"
FOREIGN = "This page is not the console's. Open the console by its own address."
OUTDATED = "This form is out of date, and nothing was done. Go back, load the page again, and send it once more."

_ROLE = "required_role"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Visitor:
    """
    Who is signed in, from the client at `address`.

    `csrf` goes into each form of the page; `form` holds what he sent, if it was a form, and `files` what came with
    it, those that are not empty.
    """

    user: User
    csrf: str
    form: Mapping[str, str]
    files: Mapping[str, bytes] = field(default_factory=dict)
    address: str = ""

    @property
    def actor(self) -> Actor:
        """As the audit names him."""
        return Actor(self.user.name, self.address)


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

    async def authorise_try(self, request: Request) -> str:
        """The name of who may call from this page. Raises HTTPException: 401, 403. Raises StoreUnavailable."""
        user = await self.user(request)
        if user is None:
            raise HTTPException(401, "you are not signed in: sign in and try again")
        if not user.may("operator"):
            raise HTTPException(403, _takes("operator", user))
        if not self.has_csrf(request, {}, request.cookies[self.session_cookie]):
            raise HTTPException(403, "this page is out of date: load it again, then call")
        return user.name

    def require(self, role: Role, handler: Handler, max_form_bytes: int = MAX_FORM_BYTES) -> Endpoint:
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
            csrf, address = self.csrf(bound), client_address(request)
            if not user.may(role):
                visitor = Visitor(user, csrf, {}, address=address)
                return self._frame.refused(request, 403, "Not allowed", _takes(role, user), visitor=visitor)
            visitor = Visitor(user, csrf, *await read_fields(request, max_form_bytes), address)
            if not self.has_csrf(request, visitor.form, bound):
                return self._frame.refused(request, 403, "Not done", OUTDATED, visitor=visitor)
            return await handler(request, visitor)

        vars(endpoint)[_ROLE] = role
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


def role_of(endpoint: object) -> Role | None:
    """The role that an endpoint takes which `Guard.require` made; None: it was made otherwise."""
    return getattr(endpoint, _ROLE, None)


def _takes(role: Role, user: User) -> str:
    return f"This takes the role {role}, and you are {user.role}. Ask an admin."


def client_address(request: HTTPConnection) -> str:
    """That of the connection; "" when there is none."""
    return request.client.host if request.client else ""


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form; none of a request that brings none. Raises HTTPException for one that is no form."""
    return (await read_fields(request, MAX_FORM_BYTES))[0]


async def read_fields(request: Request, max_bytes: int) -> tuple[dict[str, str], dict[str, bytes]]:
    """
    The fields of a form of so many bytes at most, and its files that are not empty.

    Raises HTTPException for one that is no form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if request.method in SAFE_METHODS or kind not in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return {}, {}
    body = await read_body(request, max_bytes)
    try:
        if kind == "multipart/form-data":
            return await _read_multipart(request, body)
        fields = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="replace", max_num_fields=MAX_FORM_FIELDS
        )
    except (ValueError, MultiPartException):
        raise HTTPException(400, "the body is no form") from None
    return dict(fields), {}


async def _read_multipart(request: Request, body: bytes) -> tuple[dict[str, str], dict[str, bytes]]:
    async def pieces() -> AsyncGenerator[bytes, None]:
        yield body
        yield b""

    parser = MultiPartParser(
        request.headers, pieces(), max_files=MAX_FILES, max_fields=MAX_FORM_FIELDS, max_part_size=len(body)
    )
    fields, files = dict[str, str](), dict[str, bytes]()
    form = await parser.parse()
    try:
        for name, value in form.multi_items():
            if not isinstance(value, UploadFile):
                fields[name] = value
            elif content := await value.read():
                files[name] = content
    finally:
        await form.close()
    return fields, files
