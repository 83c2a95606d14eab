"""
Twilio's REST API of one account: who may ask, what is logged and refused, and the numbers.

    async with serve(account_sid, auth_token) as twilio:
        twilio.numbers.append(Number("+15550100000"))
        ...                                         # a client is given twilio.url
        twilio.requests                             # all that it was asked

That, and the account itself, is all there is; a `switchboard` adds calls, conferences and recordings.

Written from Twilio, "Account resource", "IncomingPhoneNumber resource", "Twilio's response" and the error
dictionary. Stricter than Twilio where a client could not notice its mistake: a parameter that is not documented is
refused.
"""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Protocol, TypeAlias
from urllib.parse import urlsplit
from uuid import uuid4

from aiohttp import web

READABLE = frozenset({"PhoneNumber", "FriendlyName", "Beta", "Origin", "PageSize", "Page", "PageToken"})
URLS = ("VoiceUrl", "VoiceFallbackUrl", "StatusCallback")
METHODS = ("VoiceMethod", "VoiceFallbackMethod", "StatusCallbackMethod")
WRITABLE = frozenset({*URLS, *METHODS, "VoiceApplicationSid", "TrunkSid", "FriendlyName"})
FORM = "application/x-www-form-urlencoded"


@dataclass(slots=True)
class Number:
    """A number of the account, with what is set on it by the name of its parameter."""

    phone_number: str
    set: dict[str, str] = field(default_factory=dict)
    sid: str = field(default_factory=lambda: f"PN{uuid4().hex}")


class Refused(Exception):
    """A request that is answered by an error (Twilio, Error and Warning Dictionary)."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(status, code, message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True, slots=True)
class RestFault:
    """
    What the API gets wrong, once: of the next request of this method whose path ends so.

    `answer` is 429 or 500; None: it never answers. With `performed` the request is carried out all the same.
    """

    method: str
    path_end: str
    answer: int | None
    performed: bool = False


FAULTS = {429: (20429, "Too Many Requests"), 500: (20500, "Internal Server Error")}

Handler: TypeAlias = Callable[[web.Request, dict[str, str]], Awaitable[web.StreamResponse]]
"""Given the request and its parameters."""


class Resources(Protocol):
    """Some of an account's resources."""

    def routes(self) -> Iterable[tuple[str, str, Handler]]:
        """Method, path below the account's, and what answers."""


class RestServer:
    """
    The account's side. `requests` holds the method, path and parameters of each request, refused ones too.

    A parameter that is given more than once has its values in one, with a blank between.
    """

    def __init__(self, account_sid: str, auth_token: str, numbers: list[Number] | None = None) -> None:
        self.url = ""  # once it serves
        self.path = f"/2010-04-01/Accounts/{account_sid}"
        self.numbers: list[Number] = [] if numbers is None else numbers
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.faults: list[RestFault] = []
        self.status, self.type = "active", "Full"  # of the account
        self.ahead_s = 0.0  # by how much the carrier's clock is ahead of this machine's
        self.closing = asyncio.Event()  # those who wait for an answer that never comes may go
        self._account_sid = account_sid
        credentials = b64encode(f"{account_sid}:{auth_token}".encode()).decode()
        self._credentials = f"Basic {credentials}"  # RFC 7617, section 2
        self._routes: list[tuple[str, str, Handler]] = [
            ("GET", ".json", self._fetch),
            ("GET", "/IncomingPhoneNumbers.json", self._list),
            ("POST", "/IncomingPhoneNumbers/{sid}.json", self._update),
        ]

    def add(self, resources: Resources) -> None:
        """Serve these too."""
        self._routes += resources.routes()

    def app(self) -> web.Application:
        app = web.Application()
        app.on_response_prepare.append(self._date)
        for method, path, handler in self._routes:
            app.router.add_route(method, self.path + path, self._answering(handler))
        app.router.add_route("*", "/{rest:.*}", self._answering(_nothing))
        return app

    async def _date(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = format_datetime(datetime.now(UTC) + timedelta(seconds=self.ahead_s), usegmt=True)

    def _answering(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            given = await request.post() if request.method == "POST" else request.query
            parameters = {name: " ".join(map(str, given.getall(name))) for name in given}
            self.requests.append((request.method, request.path, parameters))
            fault = self._next_fault(request)
            try:
                if fault is not None and not fault.performed:
                    return await self._fail(fault)
                if request.headers.get("Authorization") != self._credentials:
                    raise Refused(401, 20003, "Authenticate")
                if request.method == "POST" and request.content_type != FORM:
                    raise Refused(400, 20001, f"the body is {request.content_type}, not {FORM}")
                response = await handler(request, parameters)
                return response if fault is None else await self._fail(fault)
            except Refused as refused:
                content = {
                    "code": refused.code,
                    "message": refused.message,
                    "more_info": f"https://www.twilio.com/docs/errors/{refused.code}",
                    "status": refused.status,
                }
                return web.json_response(content, status=refused.status)

        return answer

    def _next_fault(self, request: web.Request) -> RestFault | None:
        for fault in self.faults:
            if request.method == fault.method and request.path.endswith(fault.path_end):
                self.faults.remove(fault)
                return fault
        return None

    async def _fail(self, fault: RestFault) -> web.StreamResponse:
        if fault.answer is None:
            await self.closing.wait()
            raise Refused(503, 20503, "closing")
        raise Refused(fault.answer, *FAULTS[fault.answer])

    async def _fetch(self, request: web.Request, given: dict[str, str]) -> web.Response:
        """Twilio, Account resource."""
        know(given, frozenset())
        shown = {"sid": self._account_sid, "friendly_name": "Emulated", "status": self.status, "type": self.type}
        return web.json_response(shown)

    async def _list(self, request: web.Request, given: dict[str, str]) -> web.Response:
        know(given, READABLE)
        wanted = given.get("PhoneNumber", "").removeprefix("+")
        found = [self._shown(each) for each in self.numbers if wanted in each.phone_number]
        return page(request, "incoming_phone_numbers", found)

    async def _update(self, request: web.Request, given: dict[str, str]) -> web.Response:
        number = next((each for each in self.numbers if each.sid == request.match_info["sid"]), None)
        if number is None:
            raise not_found(request)
        know(given, WRITABLE)
        for name in URLS:
            if given.get(name) and not is_url(given[name]):
                raise Refused(400, 21402, f"{name} is not valid: {given[name]}")
        for name in METHODS:
            if given.get(name, "POST") not in ("GET", "POST"):
                raise Refused(400, 21403, f"{name} is not valid: {given[name]}")
        number.set |= given
        return web.json_response(self._shown(number))

    def _shown(self, number: Number) -> dict[str, object]:
        return {
            "sid": number.sid,
            "account_sid": self._account_sid,
            "friendly_name": number.set.get("FriendlyName", number.phone_number),
            "phone_number": number.phone_number,
            "api_version": "2010-04-01",
            "voice_url": number.set.get("VoiceUrl"),
            "voice_method": number.set.get("VoiceMethod", "POST"),
            "voice_fallback_url": number.set.get("VoiceFallbackUrl"),
            "voice_fallback_method": number.set.get("VoiceFallbackMethod", "POST"),
            "status_callback": number.set.get("StatusCallback"),
            "status_callback_method": number.set.get("StatusCallbackMethod", "POST"),
            "voice_application_sid": number.set.get("VoiceApplicationSid") or None,
            "trunk_sid": number.set.get("TrunkSid") or None,
            "capabilities": {"voice": True, "sms": True, "mms": False, "fax": False},
            "uri": f"{self.path}/IncomingPhoneNumbers/{number.sid}.json",
        }


async def _nothing(request: web.Request, _given: dict[str, str]) -> web.Response:
    raise not_found(request)


def not_found(request: web.Request) -> Refused:
    """There is no such resource."""
    return Refused(404, 20404, f"The requested resource {request.path} was not found")


def know(given: Mapping[str, str], known: frozenset[str]) -> None:
    """Refuse a parameter that is none of these."""
    unknown = sorted(given.keys() - known)
    if unknown:
        raise Refused(400, 20001, f"{', '.join(unknown)} is not a parameter")


def is_url(text: str) -> bool:
    """Whether it is one that Twilio would ask."""
    parts = urlsplit(text)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "_" not in str(parts.hostname)


def page(request: web.Request, name: str, found: list[dict[str, object]]) -> web.Response:
    """A list of resources, on one page (Twilio, "Twilio's response", paging)."""
    return web.json_response(
        {
            name: found,
            "page": 0,
            "page_size": 50,
            "start": 0,
            "end": max(len(found) - 1, 0),
            "uri": str(request.rel_url),
            "first_page_uri": str(request.rel_url),
            "next_page_uri": None,
            "previous_page_uri": None,
        }
    )


@asynccontextmanager
async def serving(server: RestServer, host: str = "127.0.0.1") -> AsyncIterator[RestServer]:
    """The API on a free port, while the block runs."""
    runner = web.AppRunner(server.app())
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, 0)
        await site.start()
        server.url = f"http://{host}:{runner.addresses[0][1]}"
        yield server
    finally:
        server.closing.set()
        await runner.cleanup()


@asynccontextmanager
async def serve(account_sid: str, auth_token: str, host: str = "127.0.0.1") -> AsyncIterator[RestServer]:
    """The API of an account that has nothing but numbers."""
    async with serving(RestServer(account_sid, auth_token), host) as server:
        yield server
