"""
Dials a voice webhook as Twilio would, and lets a caller talk to whoever answers.

    record = await dial("http://127.0.0.1:8080/twilio/voice", Caller(WaitForBot(), HangUp()), auth_token=token)

One call is one coroutine: it posts the webhook, follows the TwiML, opens the media stream and runs a `Carrier` and
a `Caller` on it in real time, with a `Link` each way. One timer per call wakes it when a frame or a message is due;
frames are due at absolute times, and late ones are caught up in a burst, as from a congested network.

The signatures, the TwiML and the JSON are read and written by this package's own code from Twilio's documents
("Webhooks security", "TwiML for Programmable Voice", "Media Streams"), none of it shared with the service.
"""

import asyncio
import base64
import hashlib
import hmac
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from math import ceil
from pathlib import Path
from random import Random
from typing import Literal, NoReturn, TypeAlias
from urllib.parse import urldefrag, urlencode, urljoin, urlsplit
from uuid import uuid4
from xml.parsers import expat

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.protocol import State
from yarl import URL

from phonebot.audio import g711, wav
from phonebot.simulator.caller import Caller, Event
from phonebot.simulator.carrier import BYTES_PER_MS, FRAME_MS, Carrier, Oddities, StreamClock, Violation
from phonebot.simulator.network import Link, Network

Outcome: TypeAlias = Literal["caller hung up", "bot hung up", "rejected", "failed", "timed out"]
Fields: TypeAlias = Sequence[tuple[str, str]]

ANSWER_WITHIN_S = 15.0  # Twilio, Webhooks, connection overrides: the read timeout's default
CONNECT_WITHIN_S = 5.0
HANDSHAKE_WITHIN_S = 10.0
CLOSE_WITHIN_S = 2.0
MAX_DOCUMENT_BYTES = 64 * 1024  # 11750
MAX_PARAMETER_CHARACTERS = 500  # TwiML Stream, Parameter: name and value together stay below
MAX_DOCUMENTS = 30  # a call that is redirected without end is given up
MAX_PAUSE_S = 60.0
MAX_MESSAGE_BYTES = 1 << 20
MAX_UNDER_WAY = 1000  # messages; a faster server waits, as for a full TCP window
MAX_UNSENT_BYTES = 64 * 1024  # beyond it the server reads too slowly and loses messages (31930)
LOOPBACK = ("127.0.0.1", "::1", "localhost")
# Verbs of Twilio's that this carrier does not perform.
OTHER_VERBS = ("Enqueue", "Gather", "Leave", "Pay", "Record", "Refer", "Start", "Stop")
TWIML_TYPES = ("text/xml", "application/xml", "text/html")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One HTTP request of ours and its answer. `status` None: there was none, and `error` says why."""

    at_ms: float
    purpose: str
    method: str
    url: str
    fields: Fields = field(repr=False)
    status: int | None = None
    content_type: str = ""
    body: bytes = field(default=b"", repr=False)
    took_ms: float = 0.0
    error: str = ""


@dataclass(slots=True)
class StreamRecord:
    """One media stream of a call. `carrier` knows what was heard; its clock is zero at `zero_ms` of the call."""

    url: str
    stream_sid: str
    carrier: Carrier
    zero_ms: float = 0.0
    ended_by: Literal["caller", "server", "time limit", "violation"] | None = None  # None: it has not ended
    close_code: int | None = None  # what the server closed with
    lost_messages: int = 0  # not sent, since the server read too slowly


@dataclass(slots=True)
class CallRecord:
    """
    All that is known of a call. Times are ms since it was dialled.

    `events` are the caller's (see `Event`) and the carrier's: "cleared" with how much audio was dropped, "stream
    closed" by the server with the code, and verbs other than Connect: "plays", "dials", "passes over".

    `said` and `heard` are mu-law of equal length, a frame of each per tick of the streams: byte n of the first
    stream was said, and heard, at n / 8 + `Oddities.first_timestamp_ms` - 20 ms on the carrier's clock.
    """

    call_sid: str
    outcome: Outcome = "failed"
    reason: str = ""
    duration_ms: float = 0.0
    exchanges: list[Exchange] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    failed_steps: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    streams: list[StreamRecord] = field(default_factory=list)
    said: bytearray = field(default_factory=bytearray, repr=False)
    heard: bytearray = field(default_factory=bytearray, repr=False)

    @property
    def passed(self) -> bool:
        """The call ended as a call should, nothing was ruled out by the documents, and each step was done."""
        return self.outcome not in ("failed", "timed out") and not self.violations and not self.failed_steps

    def write_wav(self, path: Path) -> None:
        """Write the call as stereo mu-law: the caller on the left, what he heard on the right."""
        stereo = wav.interleave(bytes(self.said), bytes(self.heard))
        wav.write(path, wav.Wav("pcmu", g711.SAMPLE_RATE_HZ, 2, stereo))


async def dial(
    webhook_url: str,
    caller: Caller,
    *,
    from_number: str = "+15550100001",
    to_number: str = "+15550100002",
    account_sid: str = "AC" + "2" * 32,
    auth_token: str | None = None,
    public_url: str | None = None,
    fallback_url: str | None = None,
    status_url: str | None = None,
    network: Network | None = None,
    oddities: Oddities | None = None,
    seed: int = 0,
    max_call_s: float = 900.0,
    on_event: Callable[[Event], None] | None = None,
) -> CallRecord:
    """
    Make one call and return what happened; a server that fails makes a record that says so, never an exception.

    Connect, Redirect, Reject, Pause and Hangup are performed; Say, Play and Dial are events that take no time.

    With `auth_token` each request is signed. `public_url` is the origin that the server believes in: requests are
    signed for it and name it in `Host`, but go to where `webhook_url` points, as through a proxy. `fallback_url` is
    asked once when the first TwiML cannot be had, `status_url` told how the call ended. `seed` decides all that is
    random but the identifiers. Raises ValueError when `webhook_url` or `public_url` is no http(s) URL.
    """
    for url in filter(None, (webhook_url, public_url)):
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ValueError(f"{url!r} is no URL: it must look like https://bot.example.com/twilio/voice")
    timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S, sock_connect=CONNECT_WITHIN_S)
    cookies = aiohttp.CookieJar(unsafe=True)  # also of addresses: Twilio keeps a call's cookies
    async with aiohttp.ClientSession(timeout=timeout, cookie_jar=cookies) as http:
        terms = _Terms(
            from_number,
            to_number,
            account_sid,
            auth_token,
            network or Network(),
            oddities or Oddities(),
            max_call_s,
            on_event,
        )
        call = _Call(http, caller, _Route(webhook_url, public_url), terms, seed)
        return await call.run(webhook_url, fallback_url, status_url)


@dataclass(frozen=True, slots=True)
class _Terms:
    """What `dial` was asked for and a call needs throughout."""

    from_number: str
    to_number: str
    account_sid: str
    auth_token: str | None = field(repr=False)
    network: Network
    oddities: Oddities
    max_call_s: float
    on_event: Callable[[Event], None] | None


# ------------------------------------------------------------------ signatures and addresses


def signature(token: str, url: str, fields: Fields = ()) -> str:
    """
    The X-Twilio-Signature of a form POST to `url`, or without `fields` of a GET or a WebSocket upgrade.

    Twilio, "Webhooks security": base64 of the HMAC-SHA1 of the URL, then each field's name and value in the order
    of the names; a value that is repeated counts once. An https URL is signed without its port.
    """
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.port is not None:
        url = parts._replace(netloc=parts.netloc.rpartition(":")[0]).geturl()
    text = url + "".join(name + value for name, value in sorted(set(fields)))
    digest = hmac.new(token.encode(), text.encode(), hashlib.sha1)
    return base64.b64encode(digest.digest()).decode("ascii")


class _Route:
    """Where a URL is really dialled: what is named and signed by the public origin goes to the local one."""

    def __init__(self, webhook_url: str, public_url: str | None) -> None:
        parts = urlsplit(webhook_url)
        self._local = f"{parts.scheme}://{parts.netloc}"
        self._public = (public_url or self._local).rstrip("/")

    def public(self, url: str) -> str:
        return _moved(url, self._local, self._public)

    def dialled(self, url: str) -> str:
        return _moved(url, self._public, self._local)


def _moved(url: str, source: str, target: str) -> str:
    """The URL with the origin `source` replaced by `target`; ws counts as http. Any other URL stays as it is."""
    is_socket = url.startswith("ws")
    web_url = "http" + url.removeprefix("ws") if is_socket else url
    rest = web_url.removeprefix(source)
    if rest == web_url or rest[:1] not in ("", "/", "?"):
        return url
    moved = target + rest
    return "ws" + moved.removeprefix("http") if is_socket else moved


# ------------------------------------------------------------------ TwiML


class _Fault(Exception):
    """TwiML could not be had: the code that Twilio reports, and the reason as text."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason


@dataclass(slots=True)
class _Element:
    name: str
    attributes: dict[str, str]
    children: list["_Element"] = field(default_factory=list)
    text: str = ""


@dataclass(frozen=True, slots=True)
class _Document:
    """TwiML to be executed. `url` is what relative addresses in it refer to."""

    url: str
    verbs: list[_Element]


def _parse_twiml(body: bytes) -> list[_Element]:
    """The verbs of a TwiML document. Raises _Fault; a document type declaration, hence any entity, is refused."""
    if not body.startswith(b"<"):
        raise _Fault(12100, "TwiML must begin with its XML declaration or <Response>, without a blank before it")
    root = _Element("", {})
    path = [root]

    def start(name: str, attributes: dict[str, str]) -> None:
        element = _Element(name, attributes)
        path[-1].children.append(element)
        path.append(element)

    def end(_name: str) -> None:
        path.pop()

    def text(characters: str) -> None:
        path[-1].text += characters

    def doctype(*_: object) -> NoReturn:
        raise _Fault(12100, "TwiML must not have a document type declaration")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise _Fault(12100, f"not XML: {error}") from error
    if root.children[0].name != "Response":
        raise _Fault(12100, f"TwiML is a <Response>, not a <{root.children[0].name}>")
    return root.children[0].children


def _stream_url(document: _Document, element: _Element) -> str:
    """Where a Stream is to be dialled. Raises _Fault for what Twilio would not dial; ws is allowed on loopback."""
    address = element.attributes.get("url", "")
    try:
        if "://" not in address:
            address = "ws" + urljoin(document.url, address).removeprefix("http")
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise _Fault(11100, f"Stream url {address[:200]!r}: {error}") from error
    if not host or not (parts.scheme == "wss" or (parts.scheme == "ws" and host in LOOPBACK)):
        raise _Fault(31922, f"Stream url {address[:200]!r} must begin with wss:// (ws:// only on loopback)")
    return address


# ------------------------------------------------------------------ the call


class _Over(Exception):
    """The call has ended."""

    def __init__(self, outcome: Outcome, reason: str = "") -> None:
        super().__init__(outcome, reason)
        self.outcome: Outcome = outcome
        self.reason = reason


class _Call:
    """One call: its requests, the TwiML it runs, its streams."""

    def __init__(
        self, http: aiohttp.ClientSession, caller: Caller, route: _Route, terms: _Terms, seed: int
    ) -> None:
        self._http, self._caller, self._route, self._terms = http, caller, route, terms
        self._rng = Random(seed)  # noqa: S311 - jitter, no secret
        self._record = CallRecord(call_sid=_new_sid("CA"))
        self._zero_s = time.monotonic()
        self._ends_s = self._zero_s + terms.max_call_s
        self._answered_ms: float | None = None  # None: not yet
        self._status = "ringing"  # CallStatus
        self._callbacks: list[asyncio.Task[Exchange]] = []

    async def run(self, webhook_url: str, fallback_url: str | None, status_url: str | None) -> CallRecord:
        try:
            try:
                await self._execute(webhook_url, fallback_url)
            except _Over as over:
                self._record.outcome, self._record.reason = over.outcome, over.reason
            self._caller.call_ended()
            self._record.failed_steps = self._caller.failures
            self._record.duration_ms = self._now_ms()
            if status_url is not None:
                await self._request("status", self._route.public(status_url), self._final_status())
            await asyncio.gather(*self._callbacks)
        finally:
            for callback in self._callbacks:
                callback.cancel()
            await asyncio.gather(*self._callbacks, return_exceptions=True)
        return self._record

    async def _execute(self, webhook_url: str, fallback_url: str | None) -> NoReturn:
        """Run the call's documents until one of them, or the caller, ends it."""
        url = self._route.public(urldefrag(webhook_url).url)
        try:
            document = await self._fetch("voice", url)
        except _Fault as fault:
            if fallback_url is None:
                raise _Over("failed", fault.reason) from fault
            trouble = (("ErrorCode", str(fault.code)), ("ErrorUrl", url))
            document = await self._fetch_or_fail("fallback", self._route.public(fallback_url), trouble)
        for _ in range(MAX_DOCUMENTS):
            document = await self._perform(document)
        raise _Over("failed", f"more than {MAX_DOCUMENTS} documents of TwiML: they redirect without end")

    async def _perform(self, document: _Document) -> _Document:
        """Run one document's verbs; return the one that replaces it."""
        for position, verb in enumerate(document.verbs):
            if time.monotonic() >= self._ends_s:
                raise _Over("timed out", "the call reached its time limit")
            if verb.name == "Reject":
                raise _Over("rejected", verb.attributes.get("reason", "rejected"))
            if verb.name == "Hangup":
                break
            self._answer()
            replacement = await self._perform_verb(verb, document, position == len(document.verbs) - 1)
            if replacement is not None:
                return replacement
        raise _Over("bot hung up")

    async def _perform_verb(self, verb: _Element, document: _Document, is_last: bool) -> _Document | None:
        match verb.name:
            case "Connect":
                return await self._connect(verb, document, is_last)
            case "Redirect":
                return await self._follow("redirect", document, verb.text.strip(), verb)
            case "Dial":
                self._tell("dials", _whole_text(verb))
                if "action" in verb.attributes:
                    answered = (("DialCallStatus", "completed"),)
                    return await self._follow("dial action", document, verb.attributes["action"], verb, answered)
            case "Say" | "Play":
                self._tell("plays", verb.attributes.get("digits") or _whole_text(verb))
            case "Pause":
                await self._pause(verb.attributes.get("length", "1"))
            case name if name in OTHER_VERBS:
                self._tell("passes over", name)
            case name:
                self._violation(None, f"<{name[:40]}> is no TwiML verb; names are case sensitive")
        return None

    async def _pause(self, length: str) -> None:
        if not length.isdecimal():
            self._violation(None, f"Pause length {length[:20]!r} is no number of seconds")
            return
        await asyncio.sleep(min(float(length[:6]), MAX_PAUSE_S, self._ends_s - time.monotonic()))

    async def _connect(self, verb: _Element, document: _Document, is_last: bool) -> _Document | None:
        """Run a stream. Return the document of the action, None when there is none: the next verb is due."""
        action = verb.attributes.get("action")
        if action is not None and not is_last:
            self._violation(None, "verbs after a Connect with action are never reached")
        if [child.name for child in verb.children] != ["Stream"]:
            names = ", ".join(child.name for child in verb.children)[:80] or "nothing"
            self._violation(None, f"Connect holds {names}: it must hold one Stream")
        stream = next((child for child in verb.children if child.name == "Stream"), None)
        ended_by = await self._stream(stream, document) if stream is not None else None
        if ended_by == "time limit":
            raise _Over("timed out", "the call reached its time limit")
        if ended_by == "caller":
            self._status = "completed"
            if action is not None:  # Twilio tells the action all the same, but nobody is there to hear its TwiML
                url = self._absolute(document, action)
                await self._request("connect action", url, (), _method(verb))
            raise _Over("caller hung up")
        return None if action is None else await self._follow("connect action", document, action, verb)

    # ------------------------------------------------------------------ requests

    async def _follow(
        self, purpose: str, document: _Document, address: str, verb: _Element, extra: Fields = ()
    ) -> _Document:
        url = self._absolute(document, address)
        return await self._fetch_or_fail(purpose, url, extra, _method(verb))

    def _absolute(self, document: _Document, address: str) -> str:
        """An address in a document, which may be relative to it."""
        try:
            return urldefrag(urljoin(document.url, address)).url
        except ValueError as error:
            self._violation(11100, f"{address[:200]!r} is no URL: {error}")
            raise _Over("failed", f"the TwiML names {address[:200]!r}, which is no URL") from error

    async def _fetch_or_fail(self, purpose: str, url: str, extra: Fields = (), method: str = "POST") -> _Document:
        try:
            return await self._fetch(purpose, url, extra, method)
        except _Fault as fault:
            raise _Over("failed", fault.reason) from fault

    async def _fetch(self, purpose: str, url: str, extra: Fields = (), method: str = "POST") -> _Document:
        """Ask for TwiML. Raises _Fault, and notes it as a violation, when what comes is none."""
        exchange = await self._request(purpose, url, extra, method)
        try:
            return _Document(exchange.url, self._twiml(exchange))
        except _Fault as fault:
            self._violation(fault.code, fault.reason)
            raise

    def _twiml(self, exchange: Exchange) -> list[_Element]:
        where = f"{exchange.method} {exchange.url}"
        if exchange.status is None:
            raise _Fault(11205, f"{where} was not answered: {exchange.error}")
        if exchange.status == 403:
            raise _Fault(11200, f"{where} answered 403: {self._refusal()}")
        if not 200 <= exchange.status < 300:
            raise _Fault(11200, f"{where} answered {exchange.status}")
        if len(exchange.body) > MAX_DOCUMENT_BYTES:
            raise _Fault(11750, f"{where} answered more than {MAX_DOCUMENT_BYTES} bytes")
        if exchange.content_type not in TWIML_TYPES:
            raise _Fault(12300, f"{where}: content type {exchange.content_type!r} must be one of {TWIML_TYPES}")
        try:
            return _parse_twiml(exchange.body)
        except _Fault as fault:
            raise _Fault(fault.code, f"{where}: {fault.reason}") from fault

    def _refusal(self) -> str:
        if self._terms.auth_token is None:
            return "it wants a signature, and this caller was given no auth token to sign with"
        return "it refuses the signature; do the auth token and the public URL match the server's?"

    async def _request(self, purpose: str, url: str, extra: Fields = (), method: str = "POST") -> Exchange:
        """Make one signed request to a public URL; what goes wrong is in the exchange."""
        fields = (*self._standard_fields(), *extra)
        if method == "GET":
            url = f"{url}{'&' if '?' in url else '?'}{urlencode(fields)}"
        at_ms = self._now_ms()
        status, content_type, body, error = None, "", b"", ""
        try:
            status, content_type, body = await self._transfer(method, url, fields)
        except TimeoutError:
            error = f"no answer within {ANSWER_WITHIN_S:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as problem:
            error = str(problem) or type(problem).__name__
        took_ms = self._now_ms() - at_ms
        exchange = Exchange(at_ms, purpose, method, url, fields, status, content_type, body, took_ms, error)
        self._record.exchanges.append(exchange)
        return exchange

    async def _transfer(self, method: str, url: str, fields: Fields) -> tuple[int, str, bytes]:
        is_form = method != "GET"
        headers = {
            "Host": urlsplit(url).netloc.rpartition("@")[2],
            "User-Agent": "TwilioProxy/1.1",
            "I-Twilio-Idempotency-Token": str(uuid4()),
        }
        if is_form:
            headers["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8"
        if self._terms.auth_token is not None:
            headers["X-Twilio-Signature"] = signature(self._terms.auth_token, url, fields if is_form else ())
        async with self._http.request(
            method,
            URL(self._route.dialled(url), encoded=True),  # as signed: its escapes are left alone
            data=urlencode(fields).encode() if is_form else None,
            headers=headers,
            allow_redirects=False,
        ) as response:
            try:
                body = await response.content.readexactly(MAX_DOCUMENT_BYTES + 1)
            except asyncio.IncompleteReadError as whole:
                body = whole.partial
            return response.status, response.headers.get("Content-Type", "").partition(";")[0].strip(), body

    def _standard_fields(self) -> Fields:
        """Twilio, "TwiML for Programmable Voice", request parameters; one is empty, one not ASCII, one unknown."""
        return (
            ("AccountSid", self._terms.account_sid),
            ("ApiVersion", "2010-04-01"),
            ("CallSid", self._record.call_sid),
            ("CallStatus", self._status),
            ("Called", self._terms.to_number),
            ("Caller", self._terms.from_number),
            ("CallerName", '"Zoë & Sons "'),
            ("Direction", "inbound"),
            ("From", self._terms.from_number),
            ("FromCity", ""),
            ("FromCountry", "US"),
            ("NewerThanYourCode", "yes"),
            ("To", self._terms.to_number),
        )

    def _final_status(self) -> Fields:
        self._status = {"rejected": "busy", "failed": "failed"}.get(self._record.outcome, "completed")
        since_ms = self._record.duration_ms if self._answered_ms is None else self._answered_ms
        seconds = ceil((self._record.duration_ms - since_ms) / 1000)
        return (
            ("CallDuration", str(seconds)),
            ("Duration", str(ceil(seconds / 60))),
            ("CallbackSource", "call-progress-events"),
            ("SequenceNumber", "0"),
            ("Timestamp", format_datetime(datetime.now(UTC))),
        )

    # ------------------------------------------------------------------ the media stream

    async def _stream(self, element: _Element, document: _Document) -> str | None:
        """Open a stream and run it to its end; return who ended it, None when it could not be opened."""
        callback = element.attributes.get("statusCallback")
        callback_url = None if callback is None else self._absolute(document, callback)
        stream_sid = _new_sid("MZ")
        try:
            url = _stream_url(document, element)
            if "?" in url:
                self._violation(31920, f"Stream url {url[:200]!r} has a query, which is not sent: use Parameter")
                url = url.partition("?")[0]
            socket = await self._dial_stream(url)
        except _Fault as fault:
            self._violation(fault.code, fault.reason)
            self._call_back(callback_url, stream_sid, "stream-error", fault.reason)
            return None
        record = StreamRecord(url, stream_sid, Carrier(self._terms.oddities, self._rng))
        self._record.streams.append(record)
        self._call_back(callback_url, stream_sid, "stream-started")
        await self._run_stream(socket, record, self._parameters(element))
        self._call_back(callback_url, stream_sid, "stream-stopped")
        return record.ended_by

    async def _run_stream(self, socket: ClientConnection, record: StreamRecord, parameters: dict[str, str]) -> None:
        clock = StreamClock.starting(time.monotonic(), self._terms.oddities)

        def call_ms(stream_ms: float) -> float:
            return (clock.local_s(stream_ms) - self._zero_s) * 1000

        def publish(stream_ms: float, kind: str, detail: str) -> None:
            self._publish(Event(call_ms(stream_ms), kind, detail))

        record.zero_ms = call_ms(0)
        start = record.carrier.start(
            stream_sid=record.stream_sid,
            account_sid=self._terms.account_sid,
            call_sid=self._record.call_sid,
            parameters=parameters,
        )
        stream = _Stream(socket, record, self._record, self._caller, clock, self._terms.network, self._rng, publish)
        await stream.run(start, clock.stream_ms(self._ends_s))
        self._record.violations += [
            Violation(call_ms(violation.at_ms), violation.code, violation.reason)
            for violation in record.carrier.violations
        ]
        fault = stream.fault
        if fault is not None:
            self._violation(fault.code, fault.reason)
        if record.lost_messages:
            self._violation(31930, f"the server read too slowly: {record.lost_messages} messages were lost")

    def _parameters(self, element: _Element) -> dict[str, str]:
        parameters = {}
        for child in element.children:
            name, value = child.attributes.get("name", ""), child.attributes.get("value", "")
            if child.name != "Parameter" or not name:
                self._violation(None, f"Stream holds a <{child.name}>: it may hold Parameter with a name")
            elif len(name) + len(value) >= MAX_PARAMETER_CHARACTERS:
                self._violation(
                    None, f"Parameter {name[:40]}: {len(name) + len(value)} characters, 499 are allowed"
                )
            else:
                parameters[name] = value
        return parameters

    async def _dial_stream(self, url: str) -> ClientConnection:
        """The upgrade request as captured from Twilio: no extension, subprotocol, origin or cookie is offered."""
        dialled = urlsplit(self._route.dialled(url))
        headers = (
            {} if self._terms.auth_token is None else {"x-twilio-signature": signature(self._terms.auth_token, url)}
        )
        try:
            return await _Connect(
                f"{dialled.scheme}://{urlsplit(url).netloc}{dialled.path}",
                host=dialled.hostname,
                port=dialled.port or (443 if dialled.scheme == "wss" else 80),
                user_agent_header="Twilio.TmeWs/1.0",
                additional_headers=headers,
                compression=None,
                proxy=None,
                open_timeout=HANDSHAKE_WITHIN_S,
                ping_interval=None,
                close_timeout=CLOSE_WITHIN_S,
                max_size=MAX_MESSAGE_BYTES,
                write_limit=4 * MAX_UNSENT_BYTES,
            )
        except InvalidStatus as problem:
            status = problem.response.status_code
            hint = f": {self._refusal()}" if status == 403 else ""
            raise _Fault(31920, f"{url} answered the upgrade with {status}{hint}") from problem
        except TimeoutError as problem:
            raise _Fault(31901, f"{url} did not answer within {HANDSHAKE_WITHIN_S:g} s") from problem
        except ConnectionRefusedError as problem:
            raise _Fault(31902, f"{url} refused the connection") from problem
        except ssl.SSLError as problem:
            raise _Fault(31910, f"{url}: TLS failed: {problem}") from problem
        except (OSError, ValueError) as problem:  # ValueError: a name that DNS cannot hold
            raise _Fault(31901, f"{url} could not be reached: {problem}") from problem
        except WebSocketException as problem:
            raise _Fault(31924, f"{url} broke the WebSocket protocol: {problem}") from problem

    def _call_back(self, url: str | None, stream_sid: str, event: str, error: str = "") -> None:
        """Tell the Stream's statusCallback beside the call; `run` awaits it."""
        if url is None:
            return
        fields = [
            ("StreamSid", stream_sid),
            ("StreamName", stream_sid),
            ("StreamEvent", event),
            ("Timestamp", datetime.now(UTC).isoformat()),
        ]
        if error:
            fields.append(("StreamError", error))
        self._callbacks.append(asyncio.create_task(self._request("stream status", url, fields)))

    # ------------------------------------------------------------------ the record

    def _now_ms(self) -> float:
        return (time.monotonic() - self._zero_s) * 1000

    def _answer(self) -> None:
        if self._answered_ms is None:
            self._answered_ms = self._now_ms()
            self._status = "in-progress"

    def _violation(self, code: int | None, reason: str) -> None:
        self._record.violations.append(Violation(self._now_ms(), code, reason))

    def _tell(self, kind: str, detail: str) -> None:
        self._publish(Event(self._now_ms(), kind, detail))

    def _publish(self, event: Event) -> None:
        self._record.events.append(event)
        if self._terms.on_event is not None:
            self._terms.on_event(event)


# ------------------------------------------------------------------ the media stream


class _Connect(connect):
    """A carrier follows no redirect of an upgrade: 31920."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class _Stream:
    """
    Runs a carrier and a caller in real time on a socket until one side ends the stream.

    `publish` is told each event, in ms of the stream's clock. `fault` says afterwards how the server broke the
    connection, None when it did not.
    """

    def __init__(
        self,
        socket: ClientConnection,
        record: StreamRecord,
        call: CallRecord,
        caller: Caller,
        clock: StreamClock,
        network: Network,
        rng: Random,
        publish: Callable[[float, str, str], None],
    ) -> None:
        self.fault: _Fault | None = None
        self._socket, self._record, self._carrier, self._caller = socket, record, record.carrier, caller
        self._said, self._heard = call.said, call.heard
        self._clock, self._publish = clock, publish
        self._uplink: Link[str] = Link(network.uplink_delay_ms, network.uplink_jitter_ms, rng)
        # The last that comes down is how the socket was closed.
        self._downlink: Link[str | bytes | ConnectionClosed] = Link(
            network.downlink_delay_ms, network.downlink_jitter_ms, rng
        )
        self._tick_ms = float(record.carrier.oddities.first_timestamp_ms)  # when the next frame is due
        self._loop = asyncio.get_running_loop()
        self._alarm = self._loop.create_future()  # done: there may be something to do
        self._room = asyncio.Event()  # the downlink takes more

    async def run(self, start: list[str], ends_ms: float) -> None:
        """Send `start` and stay until the end, `ends_ms` on the stream's clock at the latest."""
        self._send_up(self._now_ms(), start)
        reader = asyncio.create_task(self._read())
        try:
            while True:
                now_ms = self._now_ms()
                self._advance(now_ms, ends_ms)
                for message in self._uplink.due(now_ms):
                    await self._send(message)
                if self._is_over():
                    return
                await self._sleep()
        finally:
            await self._socket.close()
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    def _is_over(self) -> bool:
        """The server is gone, or we are and our last message is on the wire."""
        ended_by = self._record.ended_by
        return ended_by == "server" or (ended_by is not None and not self._uplink)

    def _advance(self, now_ms: float, ends_ms: float) -> None:
        """Let all happen that is due by now, each at its own time, however late we are."""
        while self._record.ended_by is None:
            arrival_ms = self._downlink.next_due()
            if arrival_ms is not None and arrival_ms < self._tick_ms:
                if arrival_ms > now_ms:
                    return
                for message in self._downlink.due(arrival_ms):
                    self._receive(message, arrival_ms)
                self._room.set()
            elif self._tick_ms > now_ms:
                return
            elif self._tick_ms > ends_ms:
                self._end("time limit", self._tick_ms)
            else:
                self._tick(self._tick_ms)
                self._tick_ms += FRAME_MS

    def _tick(self, at_ms: float) -> None:
        """The frame that ends now was heard, and in the same 20 ms the caller said his."""
        heard = self._carrier.hearing
        said = self._caller.hear(heard)
        self._heard += heard
        self._said += said.audio
        for event in said.events:
            self._publish(at_ms - self._caller.now_ms + event.at_ms, event.kind, event.detail)
        if said.key:
            self._send_up(at_ms, self._carrier.dtmf(said.key))
        self._send_up(at_ms, self._carrier.tick(at_ms, said.audio))
        if said.hangs_up:
            self._end("caller", at_ms)

    def _receive(self, message: str | bytes | ConnectionClosed, at_ms: float) -> None:
        if isinstance(message, ConnectionClosed):
            self._receive_close(message, at_ms)
            return
        waiting_bytes, clears = self._carrier.buffered_bytes, len(self._carrier.clears)
        self._send_up(at_ms, self._carrier.receive(message, at_ms))
        if waiting_bytes and len(self._carrier.clears) > clears:
            self._publish(at_ms, "cleared", f"{waiting_bytes / BYTES_PER_MS:g} ms")
        if self._carrier.gives_up:
            self._end("violation", at_ms)

    def _receive_close(self, closed: ConnectionClosed, at_ms: float) -> None:
        self._record.ended_by = "server"
        if closed.rcvd is not None:
            self._record.close_code = closed.rcvd.code
        elif closed.sent is not None:
            self.fault = _Fault(31924, f"the server broke the WebSocket protocol: {closed.sent.reason}")
        else:
            self.fault = _Fault(31903, "the server broke the connection without closing it")
        self._publish(at_ms, "stream closed", str(self._record.close_code or ""))

    def _end(self, by: Literal["caller", "time limit", "violation"], at_ms: float) -> None:
        self._record.ended_by = by
        self._send_up(at_ms, self._carrier.stop())

    # ------------------------------------------------------------------ the socket

    async def _read(self) -> None:
        try:
            while True:
                message = await self._socket.recv()
                self._downlink.send(self._now_ms(), message)
                self._wake()
                if len(self._downlink) > MAX_UNDER_WAY:
                    self._room.clear()
                    await self._room.wait()
        except ConnectionClosed as closed:
            self._downlink.send(self._now_ms(), closed)
            self._wake()

    def _send_up(self, now_ms: float, messages: Iterable[str]) -> None:
        for message in messages:
            self._uplink.send(now_ms, message)

    async def _send(self, message: str) -> None:
        # On a closing connection `send` would wait for the end, and nothing would be heard meanwhile.
        if self._socket.state is not State.OPEN:
            return
        # Below the bound `send` does not block: its own limit is higher.
        if self._socket.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self._record.lost_messages += 1
            return
        with suppress(ConnectionClosed):  # the reader notices too
            await self._socket.send(message)

    async def _sleep(self) -> None:
        """Until a frame or a message is due, or one has come."""
        self._alarm = self._loop.create_future()
        due = [self._uplink.next_due()]
        if self._record.ended_by is None:  # otherwise only our last messages are still under way
            due += [self._tick_ms, self._downlink.next_due()]
        next_ms = min(due_ms for due_ms in due if due_ms is not None)
        timer = self._loop.call_later(self._clock.local_s(next_ms) - time.monotonic(), self._wake)
        try:
            await self._alarm
        finally:
            timer.cancel()

    def _wake(self) -> None:
        if not self._alarm.done():
            self._alarm.set_result(None)

    def _now_ms(self) -> float:
        return self._clock.stream_ms(time.monotonic())


def _method(verb: _Element) -> str:
    return "GET" if verb.attributes.get("method", "").upper() == "GET" else "POST"


def _whole_text(element: _Element) -> str:
    return " ".join([element.text.strip(), *map(_whole_text, element.children)]).strip()


def _new_sid(kind: Literal["CA", "MZ"]) -> str:
    return kind + uuid4().hex
