"""
The carrier's requests to a voice webhook, as Twilio makes them, and the TwiML in the answers.

Written from Twilio, "Webhooks security" and "TwiML for Programmable Voice".
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from math import ceil
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

import aiohttp
from yarl import URL

from phonebot.simulator.document import Document, Fault, parse_twiml
from phonebot.simulator.record import Exchange
from phonebot.simulator.signing import Fields, Route, signature, why_refused

ANSWER_WITHIN_S = 15.0  # Twilio, Webhooks, connection overrides: the read timeout's default
CONNECT_WITHIN_S = 5.0
MAX_DOCUMENT_BYTES = 64 * 1024  # 11750
TWIML_TYPES = ("text/xml", "application/xml", "text/html")


def open_session() -> aiohttp.ClientSession:
    """The HTTP client of one call, with Twilio's deadlines and a call's own cookies."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S, sock_connect=CONNECT_WITHIN_S)
    cookies = aiohttp.CookieJar(unsafe=True)  # also of addresses: Twilio keeps a call's cookies
    return aiohttp.ClientSession(timeout=timeout, cookie_jar=cookies)


class Webhook:
    """
    The server that answers a call, by the requests it is sent; each is signed when there is an auth token.

    `now_ms` is the call's clock, by which the exchanges are dated.
    """

    def __init__(
        self, http: aiohttp.ClientSession, route: Route, auth_token: str | None, now_ms: Callable[[], float]
    ) -> None:
        self._http, self._route, self._auth_token, self._now_ms = http, route, auth_token, now_ms

    async def request(
        self, purpose: str, method: str, url: str, fields: Fields, limit_bytes: int = MAX_DOCUMENT_BYTES
    ) -> Exchange:
        """
        Make one request to a public URL; what goes wrong is in the exchange.

        Of an answer's body it keeps `limit_bytes` and one more, which tells that it was longer. A connection that
        fails is tried once more, and nothing else is (Twilio, "Webhooks (HTTP callbacks): Connection Overrides":
        by default one retry, of `ct` alone).
        """
        if method == "GET" and fields:
            url = f"{url}{'&' if '?' in url else '?'}{urlencode(fields)}"
        at_ms = self._now_ms()
        status, content_type, body, error = None, "", b"", ""
        token = str(uuid4())
        try:
            try:
                status, content_type, body = await self._transfer(method, url, fields, token, limit_bytes)
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
                status, content_type, body = await self._transfer(method, url, fields, token, limit_bytes)
        except TimeoutError:
            error = f"no answer within {ANSWER_WITHIN_S:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as problem:
            error = str(problem) or type(problem).__name__
        took_ms = self._now_ms() - at_ms
        return Exchange(at_ms, purpose, method, url, fields, status, content_type, body, took_ms, error)

    async def _transfer(
        self, method: str, url: str, fields: Fields, token: str, limit_bytes: int
    ) -> tuple[int, str, bytes]:
        is_form = method != "GET"
        headers = {
            "Host": urlsplit(url).netloc.rpartition("@")[2],
            "User-Agent": "TwilioProxy/1.1",
            "I-Twilio-Idempotency-Token": token,  # the same for each try
        }
        if is_form:
            headers["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8"
        if self._auth_token is not None:
            headers["X-Twilio-Signature"] = signature(self._auth_token, url, fields if is_form else ())
        async with self._http.request(
            method,
            URL(self._route.dialled(url), encoded=True),  # as signed: its escapes are left alone
            data=urlencode(fields).encode() if is_form else None,
            headers=headers,
            allow_redirects=False,
        ) as response:
            try:
                body = await response.content.readexactly(limit_bytes + 1)
            except asyncio.IncompleteReadError as whole:
                body = whole.partial
            return response.status, response.headers.get("Content-Type", "").partition(";")[0].strip(), body

    def document(self, exchange: Exchange) -> Document:
        """The TwiML that was answered. Raises Fault when what came is none."""
        return read_document(exchange, self._auth_token)


def read_document(exchange: Exchange, auth_token: str | None) -> Document:
    """The TwiML that was answered. Raises Fault when what came is none; a token tells what a 403 may mean."""
    where = f"{exchange.method} {exchange.url}"
    if exchange.status is None:
        raise Fault(11205, f"{where} was not answered: {exchange.error}")
    if exchange.status == 403:
        raise Fault(11200, f"{where} answered 403: {why_refused(auth_token)}")
    if not 200 <= exchange.status < 300:
        raise Fault(11200, f"{where} answered {exchange.status}")
    if len(exchange.body) > MAX_DOCUMENT_BYTES:
        raise Fault(11750, f"{where} answered more than {MAX_DOCUMENT_BYTES} bytes")
    if exchange.content_type not in TWIML_TYPES:
        raise Fault(12300, f"{where}: content type {exchange.content_type!r} must be one of {TWIML_TYPES}")
    try:
        return Document(exchange.url, parse_twiml(exchange.body))
    except Fault as fault:
        raise Fault(fault.code, f"{where}: {fault.reason}") from fault


def call_fields(
    call_sid: str,
    status: str,
    account_sid: str,
    from_number: str,
    to_number: str,
    direction: str = "inbound",
    parent_sid: str | None = None,
) -> Fields:
    """Twilio, "TwiML for Programmable Voice", request parameters; one is empty, one not ASCII, one unknown."""
    return (
        ("AccountSid", account_sid),
        ("ApiVersion", "2010-04-01"),
        ("CallSid", call_sid),
        ("CallStatus", status),
        ("Called", to_number),
        ("Caller", from_number),
        ("CallerName", '"Zoë & Sons "'),
        ("Direction", direction),
        ("From", from_number),
        ("FromCity", ""),
        ("FromCountry", "US"),
        ("NewerThanYourCode", "yes"),
        ("To", to_number),
        *((("ParentCallSid", parent_sid),) if parent_sid is not None else ()),
    )


def progress_fields(sequence: int) -> Fields:
    """What each status callback has beside a call's fields. `sequence` counts the call's changes, from 0."""
    return (
        ("CallbackSource", "call-progress-events"),
        ("SequenceNumber", str(sequence)),
        ("Timestamp", format_datetime(datetime.now(UTC))),
    )


# Twilio, "Call resource", SipResponseCode; RFC 3261, section 21.
SIP_CODES = {"completed": 200, "busy": 486, "no-answer": 487, "canceled": 487, "failed": 404}


def end_fields(answered_for_ms: float, status: str) -> Fields:
    """What a status callback tells of the end of a call, beside those."""
    seconds = ceil(answered_for_ms / 1000)
    minutes = (("Duration", str(ceil(seconds / 60))),) if status == "completed" else ()
    return (("CallDuration", str(seconds)), *minutes, ("SipResponseCode", str(SIP_CODES[status])))
