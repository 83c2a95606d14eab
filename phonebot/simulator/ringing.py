"""
An outbound leg until TwiML has it: it rings, somebody answers or not, and it may be found out who.

Twilio, "Call resource", StatusCallbackEvent, Timeout, SendDigits; "Answering Machine Detection".
"""

import asyncio
from dataclasses import dataclass

from phonebot.simulator.callees import Busy, Callee, Drops, Human, Invalid, Machine, Refuses
from phonebot.simulator.caller import Caller, Said
from phonebot.simulator.detection import DetectionOrder, Detector
from phonebot.simulator.leg import Leg
from phonebot.simulator.speaking import press
from phonebot.simulator.terms import Over

ROUTED_MS = 100  # from the order until it rings, or it turns out that it will not


@dataclass(frozen=True, slots=True)
class Ring:
    """How a leg is to be rung. `timeout_s` is of ringing alone."""

    callee: Callee
    timeout_s: float = 60.0
    send_digits: str = ""
    detection: DetectionOrder | None = None


def party_of(callee: Callee) -> Caller:
    """Who holds the phone there; where nobody answers he never hears anything."""
    return callee.party() if isinstance(callee, Human | Machine | Drops) else Caller()


async def ring(leg: Leg, order: Ring) -> None:
    """Ring until somebody answers. Raises Over when nobody does."""
    clock = leg.terms.clock
    leg.record.status = "initiated"
    leg.progress("initiated")
    await clock.sleep(ROUTED_MS)
    match order.callee:
        case Invalid():
            raise Over("not reached", f"{leg.record.to_number} is nobody's number", "failed")
        case Busy():
            raise Over("not reached", "busy", "busy")
    leg.record.status = "ringing"
    leg.progress("ringing")
    leg.tell("rings")
    timeout_ms = order.timeout_s * 1000
    match order.callee:
        case Refuses(after_s=after_s) if after_s * 1000 <= timeout_ms:
            await clock.sleep(after_s * 1000)
            raise Over("not reached", "he refused the call", "busy")
        case Human() | Machine() | Drops() if order.callee.after_s * 1000 <= timeout_ms:
            await clock.sleep(order.callee.after_s * 1000)
        case _:
            await clock.sleep(timeout_ms)
            raise Over("not reached", f"nobody answered within {order.timeout_s:g} s", "no-answer")
    leg.answer()
    leg.progress("answered")
    leg.tell("answered")


async def find_out(leg: Leg, order: Ring) -> tuple[tuple[str, str], ...]:
    """
    What comes between the answer and the TwiML; return the fields that its request has for it.

    An asynchronous detection goes on beside the call and tells its callback; if the call ends first it tells
    nothing.
    """
    if order.send_digits:  # disables the detection (Twilio, Call resource, SendDigits)
        await press(leg, order.send_digits)
    elif order.detection is not None:
        found = _detect(leg, order.callee, order.detection)
        if not order.detection.is_async:
            with leg.on_line():
                return (("AnsweredBy", await found),)
    return ()


def _detect(leg: Leg, callee: Callee, order: DetectionOrder) -> "asyncio.Future[str]":
    """Begin to listen who is there; whoever waits for it is told, and the callback."""
    found: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    verdict, after_ms = None, 0
    if isinstance(callee, Human | Machine):
        verdict, after_ms = callee.answered_by, callee.detected_after_ms
    detector = Detector(order, verdict, after_ms)

    def tap(_frame: bytes, said: Said) -> None:
        answered_by = detector.hear(said)
        if answered_by is None:
            return
        leg.handset.taps.remove(tap)
        leg.record.answered_by = answered_by
        leg.tell("detected", answered_by)
        if not found.done():
            found.set_result(answered_by)
        if order.is_async and order.callback_url is not None:
            fields = (("AnsweredBy", answered_by), ("MachineDetectionDuration", str(detector.elapsed_ms)))
            leg.call_back("machine detection", order.callback_url, fields, order.callback_method, bare=True)

    leg.handset.taps.append(tap)
    return found
