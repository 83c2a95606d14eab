"""
Dials a voice webhook as Twilio would, and lets a caller talk to whoever answers.

    record = await dial("http://127.0.0.1:8080/twilio/voice", Caller(WaitForBot(), HangUp()), auth_token=token)

One call is one coroutine: it posts the webhook, follows the TwiML, opens the media stream and runs it to its end.

The signatures, the TwiML and the JSON are read and written by this package's own code from Twilio's documents
("Webhooks security", "TwiML for Programmable Voice", "Media Streams"), none of it shared with the service.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Literal, NoReturn
from urllib.parse import urldefrag, urljoin, urlsplit
from uuid import uuid4

import aiohttp
from websockets.asyncio.client import ClientConnection

from phonebot.simulator.caller import Caller, Event
from phonebot.simulator.carrier import Carrier, Oddities, StreamClock, Violation
from phonebot.simulator.document import Document, Element, Fault, stream_parameters, stream_url
from phonebot.simulator.network import Network
from phonebot.simulator.record import CallRecord, Exchange, Outcome, StreamRecord
from phonebot.simulator.signing import Fields, Route
from phonebot.simulator.stream import MediaStream, Tap, open_socket
from phonebot.simulator.webhook import Webhook, call_fields, end_fields, open_session

MAX_DOCUMENTS = 30  # a call that is redirected without end is given up
MAX_PAUSE_S = 60.0
# Verbs of Twilio's that this carrier does not perform.
OTHER_VERBS = ("Enqueue", "Gather", "Leave", "Pay", "Record", "Refer", "Start", "Stop")


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
    tap: Tap | None = None,
) -> CallRecord:
    """
    Make one call and return what happened; a server that fails makes a record that says so, never an exception.

    Connect, Redirect, Reject, Pause and Hangup are performed; Say, Play and Dial are events that take no time.

    With `auth_token` each request is signed. `public_url` is the origin that the server believes in: requests are
    signed for it and name it in `Host`, but go to where `webhook_url` points, as through a proxy. `fallback_url` is
    asked once when the first TwiML cannot be had, `status_url` told how the call ended. `tap` sees the streams'
    messages. `seed` decides all that is random but the identifiers. Raises ValueError when `webhook_url` or
    `public_url` is no http(s) URL.
    """
    for url in filter(None, (webhook_url, public_url)):
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ValueError(f"{url!r} is no URL: it must look like https://bot.example.com/twilio/voice")
    async with open_session() as http:
        terms = _Terms(
            from_number,
            to_number,
            account_sid,
            auth_token,
            network or Network(),
            oddities or Oddities(),
            max_call_s,
            on_event,
            tap,
        )
        call = _Call(http, caller, Route(webhook_url, public_url), terms, seed)
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
    tap: Tap | None


class _Over(Exception):
    """The call has ended."""

    def __init__(self, outcome: Outcome, reason: str = "") -> None:
        super().__init__(outcome, reason)
        self.outcome: Outcome = outcome
        self.reason = reason


class _Call:
    """One call: its requests, the TwiML it runs, its streams."""

    def __init__(self, http: aiohttp.ClientSession, caller: Caller, route: Route, terms: _Terms, seed: int) -> None:
        self._caller, self._route, self._terms = caller, route, terms
        self._webhook = Webhook(http, route, terms.auth_token, self._now_ms)
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
        except Fault as fault:
            if fallback_url is None:
                raise _Over("failed", fault.reason) from fault
            trouble = (("ErrorCode", str(fault.code)), ("ErrorUrl", url))
            document = await self._fetch_or_fail("fallback", self._route.public(fallback_url), trouble)
        for _ in range(MAX_DOCUMENTS):
            document = await self._perform(document)
        raise _Over("failed", f"more than {MAX_DOCUMENTS} documents of TwiML: they redirect without end")

    async def _perform(self, document: Document) -> Document:
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

    async def _perform_verb(self, verb: Element, document: Document, is_last: bool) -> Document | None:
        match verb.name:
            case "Connect":
                return await self._connect(verb, document, is_last)
            case "Redirect":
                return await self._follow("redirect", document, verb.text.strip(), verb)
            case "Dial":
                self._tell("dials", verb.whole_text())
                if "action" in verb.attributes:
                    answered = (("DialCallStatus", "completed"),)
                    return await self._follow("dial action", document, verb.attributes["action"], verb, answered)
            case "Say" | "Play":
                self._tell("plays", verb.attributes.get("digits") or verb.whole_text())
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

    async def _connect(self, verb: Element, document: Document, is_last: bool) -> Document | None:
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
                await self._request("connect action", url, (), verb.method)
            raise _Over("caller hung up")
        return None if action is None else await self._follow("connect action", document, action, verb)

    # ------------------------------------------------------------------ requests

    async def _follow(
        self, purpose: str, document: Document, address: str, verb: Element, extra: Fields = ()
    ) -> Document:
        url = self._absolute(document, address)
        return await self._fetch_or_fail(purpose, url, extra, verb.method)

    def _absolute(self, document: Document, address: str) -> str:
        """An address in a document, which may be relative to it."""
        try:
            return urldefrag(urljoin(document.url, address)).url
        except ValueError as error:
            self._violation(11100, f"{address[:200]!r} is no URL: {error}")
            raise _Over("failed", f"the TwiML names {address[:200]!r}, which is no URL") from error

    async def _fetch_or_fail(self, purpose: str, url: str, extra: Fields = (), method: str = "POST") -> Document:
        try:
            return await self._fetch(purpose, url, extra, method)
        except Fault as fault:
            raise _Over("failed", fault.reason) from fault

    async def _fetch(self, purpose: str, url: str, extra: Fields = (), method: str = "POST") -> Document:
        """Ask for TwiML. Raises Fault, and notes it as a violation, when what comes is none."""
        exchange = await self._request(purpose, url, extra, method)
        try:
            return self._webhook.document(exchange)
        except Fault as fault:
            self._violation(fault.code, fault.reason)
            raise

    async def _request(self, purpose: str, url: str, extra: Fields = (), method: str = "POST") -> Exchange:
        terms = self._terms
        fields = call_fields(
            self._record.call_sid, self._status, terms.account_sid, terms.from_number, terms.to_number
        )
        exchange = await self._webhook.request(purpose, method, url, (*fields, *extra))
        self._record.exchanges.append(exchange)
        return exchange

    def _final_status(self) -> Fields:
        self._status = {"rejected": "busy", "failed": "failed"}.get(self._record.outcome, "completed")
        since_ms = self._record.duration_ms if self._answered_ms is None else self._answered_ms
        return end_fields(self._record.duration_ms - since_ms)

    # ------------------------------------------------------------------ the media stream

    async def _stream(self, element: Element, document: Document) -> str | None:
        """Open a stream and run it to its end; return who ended it, None when it could not be opened."""
        callback = element.attributes.get("statusCallback")
        callback_url = None if callback is None else self._absolute(document, callback)
        stream_sid = _new_sid("MZ")
        try:
            url = stream_url(document, element)
            if "?" in url:
                self._violation(31920, f"Stream url {url[:200]!r} has a query, which is not sent: use Parameter")
                url = url.partition("?")[0]
            socket = await open_socket(url, self._route, self._terms.auth_token)
        except Fault as fault:
            self._violation(fault.code, fault.reason)
            self._call_back(callback_url, stream_sid, "stream-error", fault.reason)
            return None
        record = StreamRecord(url, stream_sid, Carrier(self._terms.oddities, self._rng))
        self._record.streams.append(record)
        self._call_back(callback_url, stream_sid, "stream-started")
        parameters, problems = stream_parameters(element)
        for problem in problems:
            self._violation(None, problem)
        await self._run_stream(socket, record, parameters)
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
        network, tap = self._terms.network, self._terms.tap
        stream = MediaStream(socket, record, self._record, self._caller, clock, network, self._rng, publish, tap)
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


def _new_sid(kind: Literal["CA", "MZ"]) -> str:
    return kind + uuid4().hex
