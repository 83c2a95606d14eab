"""
Twilio's REST API, as far as numbers go: who has which, and what they ask when they are called.

    async with serve(account_sid, auth_token) as twilio:
        twilio.numbers.append(Number("+15550100000"))
        ...                                         # a client is given twilio.url
        twilio.requests                             # all that it was asked

Written from Twilio, "IncomingPhoneNumber resource", "Twilio's response" and the error dictionary. Stricter than
Twilio where a client could not notice its mistake: a parameter that is not documented is refused.
"""

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
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


class RestServer:
    """The account's side. `requests` holds the method, path and parameters of each request, refused ones too."""

    def __init__(self, account_sid: str, auth_token: str) -> None:
        self.url = ""  # once it serves
        self.numbers: list[Number] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self._account_sid = account_sid
        credentials = b64encode(f"{account_sid}:{auth_token}".encode()).decode()
        self._credentials = f"Basic {credentials}"  # RFC 7617, section 2
        self._path = f"/2010-04-01/Accounts/{account_sid}/IncomingPhoneNumbers"

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._answer_refusals])
        app.router.add_get(f"{self._path}.json", self._list)
        app.router.add_post(f"{self._path}/{{sid}}.json", self._update)
        app.router.add_route("*", "/{rest:.*}", self._nothing)
        return app

    @web.middleware
    async def _answer_refusals(self, request: web.Request, handler: Any) -> web.StreamResponse:
        given = await request.post() if request.method == "POST" else request.query
        parameters = {name: str(value) for name, value in given.items()}
        self.requests.append((request.method, request.path, parameters))
        try:
            if request.headers.get("Authorization") != self._credentials:
                raise Refused(401, 20003, "Authenticate")
            response: web.StreamResponse = await handler(request)
        except Refused as refused:
            content = {
                "code": refused.code,
                "message": refused.message,
                "more_info": f"https://www.twilio.com/docs/errors/{refused.code}",
                "status": refused.status,
            }
            return web.json_response(content, status=refused.status)
        return response

    async def _list(self, request: web.Request) -> web.Response:
        _know(request.query.keys(), READABLE)
        wanted = request.query.get("PhoneNumber", "").removeprefix("+")
        found = [self._shown(each) for each in self.numbers if wanted in each.phone_number]
        return web.json_response(
            {
                "incoming_phone_numbers": found,
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

    async def _update(self, request: web.Request) -> web.Response:
        number = next((each for each in self.numbers if each.sid == request.match_info["sid"]), None)
        if number is None:
            raise Refused(404, 20404, f"The requested resource {request.path} was not found")
        if request.content_type != FORM:
            raise Refused(400, 20001, f"the body is {request.content_type}, not {FORM}")
        given = {name: str(value) for name, value in (await request.post()).items()}
        _know(given.keys(), WRITABLE)
        for name in URLS:
            if given.get(name) and not _is_url(given[name]):
                raise Refused(400, 21402, f"{name} is not valid: {given[name]}")
        for name in METHODS:
            if given.get(name, "POST") not in ("GET", "POST"):
                raise Refused(400, 21403, f"{name} is not valid: {given[name]}")
        number.set |= given
        return web.json_response(self._shown(number))

    async def _nothing(self, request: web.Request) -> web.Response:
        raise Refused(404, 20404, f"The requested resource {request.path} was not found")

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
            "uri": f"{self._path}/{number.sid}.json",
        }


def _know(names: Any, known: frozenset[str]) -> None:
    unknown = sorted(set(names) - known)
    if unknown:
        raise Refused(400, 20001, f"{', '.join(unknown)} is not a parameter")


def _is_url(text: str) -> bool:
    parts = urlsplit(text)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "_" not in str(parts.hostname)


@asynccontextmanager
async def serve(account_sid: str, auth_token: str, host: str = "127.0.0.1") -> AsyncIterator[RestServer]:
    """The API of one account on a free port, while the block runs."""
    server = RestServer(account_sid, auth_token)
    runner = web.AppRunner(server.app())
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, 0)
        await site.start()
        server.url = f"http://{host}:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()
