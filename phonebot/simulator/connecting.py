"""Connect: the leg's person on a media stream with the server (Twilio, TwiML Connect, Stream)."""

import time
from datetime import UTC, datetime

from websockets.asyncio.client import ClientConnection

from phonebot.simulator.caller import Event
from phonebot.simulator.carrier import Carrier, StreamClock, Violation
from phonebot.simulator.document import Document, Element, Fault, stream_parameters, stream_url
from phonebot.simulator.leg import Leg, new_sid
from phonebot.simulator.record import StreamRecord
from phonebot.simulator.stream import MediaStream, open_socket
from phonebot.simulator.terms import Over


async def connect(leg: Leg, verb: Element, document: Document, is_last: bool) -> Document | None:
    """Run a stream. Return the document of the action, None when there is none: the next verb is due."""
    action = verb.attributes.get("action")
    if action is not None and not is_last:
        leg.violation(None, "verbs after a Connect with action are never reached")
    if [child.name for child in verb.children] != ["Stream"]:
        names = ", ".join(child.name for child in verb.children)[:80] or "nothing"
        leg.violation(None, f"Connect holds {names}: it must hold one Stream")
    stream = next((child for child in verb.children if child.name == "Stream"), None)
    ended_by = await _stream(leg, stream, document) if stream is not None else None
    if ended_by == "time limit":
        raise Over("timed out", "the call reached its time limit")
    if ended_by == "caller":
        leg.record.status = "completed"
        if action is not None:  # Twilio tells the action all the same, but nobody is there to hear its TwiML
            await leg.request("connect action", leg.absolute(document, action), (), verb.method)
        raise Over("caller hung up")
    return None if action is None else await leg.follow("connect action", document, action, verb)


async def _stream(leg: Leg, element: Element, document: Document) -> str | None:
    """Open a stream and run it to its end; return who ended it, None when it could not be opened."""
    callback = element.attributes.get("statusCallback")
    callback_url = None if callback is None else leg.absolute(document, callback)
    stream_sid = new_sid("MZ")
    try:
        url = stream_url(document, element)
        if "?" in url:
            leg.violation(31920, f"Stream url {url[:200]!r} has a query, which is not sent: use Parameter")
            url = url.partition("?")[0]
        socket = await open_socket(url, leg.terms.route, leg.terms.auth_token)
    except Fault as fault:
        leg.violation(fault.code, fault.reason)
        _call_back(leg, callback_url, stream_sid, "stream-error", fault.reason)
        return None
    record = StreamRecord(url, stream_sid, Carrier(leg.terms.oddities, leg.rng))
    leg.record.streams.append(record)
    _call_back(leg, callback_url, stream_sid, "stream-started")
    parameters, problems = stream_parameters(element)
    for problem in problems:
        leg.violation(None, problem)
    try:
        await _run(leg, socket, record, parameters)
    finally:
        _call_back(leg, callback_url, stream_sid, "stream-stopped")
    return record.ended_by


async def _run(leg: Leg, socket: ClientConnection, record: StreamRecord, parameters: dict[str, str]) -> None:
    terms = leg.terms
    clock = StreamClock.starting(time.monotonic(), terms.oddities)

    def call_ms(stream_ms: float) -> float:
        return (clock.local_s(stream_ms) - leg.zero_s) * 1000

    def publish(stream_ms: float, kind: str, detail: str) -> None:
        leg.publish(Event(call_ms(stream_ms), kind, detail))

    record.zero_ms = call_ms(0)
    start = record.carrier.start(
        stream_sid=record.stream_sid,
        account_sid=terms.account_sid,
        call_sid=leg.sid,
        parameters=parameters,
    )
    stream = MediaStream(socket, record, leg.record, leg.handset, clock, terms.network, leg.rng, publish, terms.tap)
    ends_s = time.monotonic() + (leg.limit_ms - leg.handset.now_ms) / 1000
    try:
        await stream.run(start, clock.stream_ms(ends_s))
    finally:
        leg.record.violations += [
            Violation(call_ms(violation.at_ms), violation.code, violation.reason)
            for violation in record.carrier.violations
        ]
        if stream.fault is not None:
            leg.violation(stream.fault.code, stream.fault.reason)
        if record.lost_messages:
            leg.violation(31930, f"the server read too slowly: {record.lost_messages} messages were lost")


def _call_back(leg: Leg, url: str | None, stream_sid: str, event: str, error: str = "") -> None:
    """Tell the Stream's statusCallback beside the call."""
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
    leg.call_back("stream status", url, fields)
