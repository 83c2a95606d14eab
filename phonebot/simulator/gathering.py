"""Gather and Record: what the carrier takes from the leg's person (Twilio, TwiML Gather, Record)."""

import asyncio

from phonebot.simulator.account import Account
from phonebot.simulator.caller import Ear, Said
from phonebot.simulator.carrier import FRAME_MS
from phonebot.simulator.document import Document, Element
from phonebot.simulator.leg import Leg
from phonebot.simulator.racing import first_of
from phonebot.simulator.recording import Recording, RecordingOrder
from phonebot.simulator.signing import Fields
from phonebot.simulator.speaking import SPEAKING, speak
from phonebot.simulator.terms import Over

ALL_KEYS = "0123456789*#"


async def gather(leg: Leg, verb: Element, document: Document) -> Document | None:
    """Take keys; return the document of the action, None when none was pressed: the next verb is due."""
    if "dtmf" not in verb.attributes.get("input", "dtmf"):
        leg.tell("passes over", "speech in Gather")
    digits, finish = "", verb.attributes.get("finishOnKey", "#")
    most = _number(leg, verb, "numDigits", 0)
    timeout_ms = _number(leg, verb, "timeout", 5) * 1000
    with leg.on_line(), leg.taking_keys() as keys:
        await first_of(_prompt(leg, verb, document), keys.come())  # a key cuts the prompt off
        while not (most and len(digits) == most):
            if await first_of(keys.come(), leg.rest(timeout_ms)) == 1:
                break
            key = keys.take()
            if key in finish:
                break
            digits += key
    if not digits and verb.attributes.get("actionOnEmptyResult") != "true":
        return None
    return await _act(leg, "gather action", verb, document, (("Digits", digits),))


async def _prompt(leg: Leg, verb: Element, document: Document) -> None:
    for child in verb.children:
        if child.name in SPEAKING:
            await speak(leg, child, document)
        else:
            leg.violation(None, f"Gather holds a <{child.name[:40]}>: it may hold Say, Play and Pause")


async def record(account: Account, leg: Leg, verb: Element, document: Document) -> Document | None:
    """Take a message; return the document of the action, None when nothing was said: the next verb is due."""
    if verb.attributes.get("playBeep") != "false":
        leg.tell("plays", "beep")
    leg.tell("records")
    recording = account.record(leg, _order(leg, verb, document))
    listener = _Listener(_number(leg, verb, "timeout", 5) * 1000)
    leg.handset.taps.append(listener.hear)
    pressed = ""
    try:
        with leg.on_line(), leg.taking_keys(verb.attributes.get("finishOnKey", ALL_KEYS)) as keys:
            longest_ms = _number(leg, verb, "maxLength", 3600) * 1000
            ended = await first_of(keys.come(), listener.is_quiet.wait(), leg.rest(longest_ms))
            pressed = keys.take() if ended == 0 else ""
    except asyncio.CancelledError:
        if isinstance(leg.interrupted_by, Over) and listener.has_heard:
            _stop(recording, listener)
            url = leg.absolute(document, verb.attributes.get("action", document.url))
            fields = (("Digits", "hangup"), *recording.fields())
            leg.call_back("record action", url, fields, verb.method)
        raise
    finally:
        leg.handset.taps.remove(listener.hear)
        _stop(recording, listener)
    if not listener.has_heard:
        return None
    fields = (*recording.fields(), ("Digits", pressed))
    return await _act(leg, "record action", verb, document, fields)


class _Listener:
    """Hears whether the person says something, and when he has said nothing for a while."""

    def __init__(self, silence_ms: int) -> None:
        self.is_quiet = asyncio.Event()
        self._ear, self._silence_ms, self._now_ms = Ear(), silence_ms, 0

    @property
    def has_heard(self) -> bool:
        return self._ear.loud_ms > 0

    def hear(self, _frame: bytes, said: Said) -> None:
        self._now_ms += FRAME_MS
        self._ear.hear(said.audio, self._now_ms)
        if self._now_ms - self._ear.loud_ms >= self._silence_ms:
            self.is_quiet.set()


def _stop(recording: Recording, listener: _Listener) -> None:
    if listener.has_heard:
        recording.stop()
    else:
        recording.give_up()


def _order(leg: Leg, verb: Element, document: Document) -> RecordingOrder:
    callback = verb.attributes.get("recordingStatusCallback")
    return RecordingOrder(
        "RecordVerb",
        track="inbound",
        callback_url=None if callback is None else leg.absolute(document, callback),
        callback_method=verb.attributes.get("recordingStatusCallbackMethod", "POST"),
        callback_events=frozenset(verb.attributes.get("recordingStatusCallbackEvent", "completed").split()),
    )


async def _act(leg: Leg, purpose: str, verb: Element, document: Document, fields: Fields) -> Document:
    """Both verbs ask the document's own URL when they name none."""
    return await leg.follow(purpose, document, verb.attributes.get("action", document.url), verb, fields)


def _number(leg: Leg, verb: Element, name: str, default: int) -> int:
    text = verb.attributes.get(name)
    if text is None:
        return default
    if not text.isdecimal():
        leg.violation(None, f"{verb.name} {name} {text[:20]!r} is no number")
        return default
    return int(text[:6])
