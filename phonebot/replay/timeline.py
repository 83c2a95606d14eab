"""
What happened in a call, for a person who looks at it afterwards: in order, in words, each with its moment.

    for event in timeline(read(folder)):
        print(clock(event.at_ms), event.text)

Frames, marks and deltas are left out, and so is what the transcript tells: there are thousands of them, and nothing
is asked of them one by one. A sentence holds what callers, models and services wrote: it is text, not markup.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from phonebot.audio.g711 import FRAME_MS
from phonebot.call import actions as does
from phonebot.call import inputs as happens
from phonebot.carrier import messages as carrier
from phonebot.realtime import events as model
from phonebot.replay.reader import CallLog
from phonebot.replay.words import of_limit, quoted

MAX_EVENTS = 2000
"""Of one call; of more the first are told, and how many are left out."""
MAX_TEXT = 300

Kind: TypeAlias = Literal[
    "call",
    "model",
    "speech",
    "answer",
    "interruption",
    "pause",
    "position",
    "tool",
    "guardrail",
    "handoff",
    "key",
    "trouble",
]

_SETTLED = {
    "fence": "exact: the carrier's echo behind the clear",
    "at_once": "exact: nothing was left to play",
    "timeout": "a low estimate: the carrier's echo did not come in time",
    "turn_end": "a low estimate: the caller's turn ended before the carrier's echo came",
    "call_end": "a low estimate: the call ended before the carrier's echo came",
}
_FALSE_ALARMS = {
    "echo": "it was the bot's own voice",
    "short": "there was less speech than the profile asks for",
    "empty": "it had no words",
    "backchannel": "the caller only agreed",
}
_ENDS = {
    "caller_hung_up": "The caller hung up",
    "operator_hung_up": "An operator hung up",
    "bot_hung_up": "The bot hung up",
    "transferred": "The bot put the caller through",
    "no_input": "The caller said nothing, and the bot hung up",
    "cost_limit": "The call cost as much as it may",
    "service_stopped": "The service stopped, and the bot said goodbye",
    "moved": "The service stopped, and the call went on in another process",
    "guardrail": "A guardrail ended the call",
    "stream_lost": "The connection to the caller was lost",
    "model_failed": "The model failed",
    "carrier_faults": "The carrier sent too much that it must not",
    "time_limit": "The call reached its time limit",
}
_REASONS = {
    "turn_detected": "the caller spoke",
    "client_cancelled": "phonebot stopped it",
    "max_output_tokens": "it reached the limit of its length",
    "content_filter": "the service's filter stopped it",
}


@dataclass(frozen=True, slots=True)
class Event:
    """`at_ms` is call time; `text` a sentence without its full stop."""

    at_ms: int
    kind: Kind
    text: str


def timeline(log: CallLog, *, keys: bool) -> tuple[Event, ...]:
    """
    The events in their order.

    `keys`: which ones the caller pressed is told, and not only that he did. They may belong to a card number.
    """
    found = list(_events(log, keys))
    if len(found) > MAX_EVENTS:
        left_out = len(found) - MAX_EVENTS
        found[MAX_EVENTS:] = [Event(found[MAX_EVENTS].at_ms, "call", f"{left_out} more events are in the log")]
    return tuple(found)


def _events(log: CallLog, keys: bool) -> Iterator[Event]:
    for step in log.steps:
        if isinstance(step.input, carrier.Dtmf):
            key = f"The caller pressed {step.input.digit[:1]}" if keys else "The caller pressed a key"
            yield Event(step.now_ms, "key", key)
        for each in (step.input, *step.actions):
            known = _TELL.get(type(each))
            if known is not None:
                kind, tell = known
                if text := tell(each):
                    yield Event(step.now_ms, kind, text)


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.2f} s"


def _answer_ended(done: model.ResponseDone) -> str:
    response = done.response
    usage = response.usage
    tokens = f"; {usage.input:,} tokens in, {usage.output:,} out" if usage else ""
    if response.status == "completed":
        return f"The model's answer is complete{tokens}"
    reason = response.reason or (response.error.message if response.error else "")
    why = _REASONS.get(reason) or (quoted(reason, MAX_TEXT) if reason else "")
    return f"The model's answer ended as {response.status}{f': {why}' if why else ''}{tokens}"


def _function_called(done: model.OutputItemDone) -> str:
    item = done.item
    if not isinstance(item, model.FunctionCall):
        return ""
    return f"The model called {quoted(item.name, MAX_TEXT)} with {quoted(item.arguments, MAX_TEXT)}"


_TRIPPED_ON = {"bot": "what the bot said", "caller": "what the caller said"}
_THEN = {
    "interrupt": "",
    "say": "; the words that are given for it are said",
    "go_on": "; the call goes on as it was",
    "hand_over": "; another agent takes over",
    "end": "; the call ends",
}


def _tripped(tripped: does.GuardrailTripped) -> str:
    on = _TRIPPED_ON.get(tripped.on) or f"the arguments of {quoted(tripped.tool, MAX_TEXT)}"
    why = f": {quoted(tripped.why, MAX_TEXT)}" if tripped.why else ""
    stopped = "; it did not run" if tripped.on == "arguments" else "; the bot was stopped and corrects itself"
    return f"The guardrail {tripped.guardrail} tripped on {on}{why}{_THEN[tripped.then] or stopped}"


def _silent(silent: does.CallerSilent) -> str:
    what = "the caller was asked whether he is there" if silent.times else "the bot takes leave"
    return f"Nobody spoke for {_seconds(silent.silent_ms)}: {what}"


def _handed_over(handed: does.HandOff) -> str:
    note = f": {quoted(handed.note, MAX_TEXT)}" if handed.note else ""
    return f"The agent {handed.to_agent} took over from {handed.from_agent}{note}"


def _false_alarm(alarm: does.FalseAlarm) -> str:
    said = f": {quoted(alarm.text, MAX_TEXT)}" if alarm.text else ""
    return f"The bot goes on: {_FALSE_ALARMS[alarm.why]}{said}"


def _position(cut: does.Cut) -> str:
    heard = f"The caller heard {_seconds(cut.heard_ms)} of {_seconds(cut.received_ms)}"
    return f"{heard}. {_SETTLED[cut.settled].capitalize()}"


def _dropped(dropped: does.ModelDropped) -> str:
    """What is no plan of ours is told by the input already."""
    return f"The model's session was renewed: {quoted(dropped.problem, MAX_TEXT)}" if dropped.planned else ""


def _recovered(recovered: does.Recovered) -> str:
    attempts = f"{recovered.attempts} attempts" if recovered.attempts > 1 else "one attempt"
    lost_ms = recovered.dropped_frames * FRAME_MS
    lost = f"; {_seconds(lost_ms)} of the caller were lost" if lost_ms else ""
    return f"The model was there again after {_seconds(recovered.away_ms)} and {attempts}{lost}"


_TELL: dict[type[Struct], tuple[Kind, Callable[[Any], str]]] = {
    carrier.Start: ("call", lambda _: "The audio stream started"),
    carrier.Stop: ("call", lambda _: "The carrier ended the stream"),
    happens.CarrierClosed: ("call", lambda it: f"The stream was closed with code {it.code}"),
    happens.CarrierFault: (
        "trouble",
        lambda it: f"The carrier's message was refused: {quoted(it.problem, MAX_TEXT)}",
    ),
    happens.ModelReady: ("model", lambda _: "The model was ready"),
    happens.ModelLost: ("trouble", lambda it: f"The model was lost: {quoted(it.problem, MAX_TEXT)}"),
    does.ModelDropped: ("model", _dropped),
    does.Recovered: ("model", _recovered),
    happens.ModelFault: ("trouble", lambda it: f"The model's message was refused: {quoted(it.problem, MAX_TEXT)}"),
    happens.CallerAudioDropped: (
        "trouble",
        lambda it: (
            f"The model did not take the caller's audio: {_seconds(it.frames * FRAME_MS)} of it were dropped"
        ),
    ),
    happens.PlayClip: ("call", lambda it: f"A recording was to be played: {quoted(it.text, MAX_TEXT)}"),
    happens.TypedText: ("call", lambda it: f"Typed by {quoted(it.by, MAX_TEXT)}: {quoted(it.text, MAX_TEXT)}"),
    model.ErrorEvent: ("trouble", lambda it: f"The model reported {quoted(it.error.message, MAX_TEXT)}"),
    model.SpeechStarted: ("speech", lambda _: "The caller was heard to speak"),
    model.SpeechStopped: ("speech", lambda _: "The caller was heard to stop"),
    model.ResponseCreated: ("answer", lambda _: "The model began an answer"),
    model.ResponseDone: ("answer", _answer_ended),
    model.OutputItemDone: ("tool", _function_called),
    does.BargeIn: (
        "interruption",
        lambda it: f"The caller interrupted the bot, with about {_seconds(it.unheard_ms)} still to be said",
    ),
    does.Held: ("pause", lambda it: f"The bot paused, with about {_seconds(it.unheard_ms)} still to be said"),
    does.FalseAlarm: ("pause", _false_alarm),
    does.Cut: ("position", _position),
    does.GuardrailTripped: ("guardrail", _tripped),
    does.StartRecording: ("call", lambda _: "The caller had heard the notice: the recording began"),
    does.CallerSilent: ("call", _silent),
    does.LimitNear: ("call", of_limit),
    does.LimitReached: ("call", of_limit),
    does.KeysEntered: (
        "key",
        lambda it: f"The caller keyed in an answer of {len(it.keys)} keys" * (len(it.keys) > 1),
    ),
    does.HandOff: ("handoff", _handed_over),
    does.Trouble: ("trouble", lambda it: quoted(it.problem, MAX_TEXT).strip('"')),
    does.Ended: ("call", lambda it: _ENDS.get(it.outcome, f"The call ended: {it.outcome}")),
}
