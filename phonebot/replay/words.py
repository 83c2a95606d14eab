"""
What happened to a call and what it did, each in a few words.

A class that is not known here is named by its own name and fields, so nothing is ever left out for being new. Keys
are not told: they may belong to a card number.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from phonebot.audio.base64 import base64_length
from phonebot.audio.g711 import BYTES_PER_MS
from phonebot.call import actions as does
from phonebot.call import inputs as happens
from phonebot.call.actions import Action
from phonebot.call.inputs import Input
from phonebot.call.turns import Turn
from phonebot.carrier import messages as carrier
from phonebot.realtime import events as model
from phonebot.realtime.events import Command
from phonebot.replay.log import digest

MAX_TEXT = 32
MAX_VALUE = 40

_FLOOR = {
    Turn.IDLE: "nobody speaks",
    Turn.CALLER: "the caller has the floor",
    Turn.THINKING: "the model thinks",
    Turn.BOT: "the bot has the floor",
}


def clock(ms: int) -> str:
    """Call time as people read it: minutes, seconds, ms."""
    return f"{ms // 60_000}:{ms // 1000 % 60:02}.{ms % 1000:03}"


def of_input(received: Input) -> str:
    """What happened."""
    say = _INPUTS.get(type(received))
    return say(received) if say else _named(received)


def of_action(action: Action) -> str:
    """What the call did about it."""
    if isinstance(action, does.Tell):
        return f"tell the model: {of_command(action.command)}"
    say = _ACTIONS.get(type(action))
    return say(action) if say else _named(action)


def of_command(command: Command) -> str:
    say = _COMMANDS.get(type(command))
    return say(command) if say else _named(command)


_LIMITS = {
    "time": ("the time that it may last", "{:.0f} s"),
    "cost": ("what it may cost", "{:.2f} US dollars"),
    "number_day": ("what the calls of its number may cost in a day", "{:.2f} US dollars"),
    "day": ("what all calls may cost in a day", "{:.2f} US dollars"),
}


def of_limit(limit: does.LimitNear | does.LimitReached) -> str:
    """A sentence, without its full stop."""
    what, unit = _LIMITS[limit.limit]
    how = "has reached" if isinstance(limit, does.LimitReached) else "is near"
    return f"The call {how} {what}: {unit.format(limit.used)} of {unit.format(limit.most)}"


def changes(before: Struct, after: Struct) -> Iterator[str]:
    """Each field in which two values of one class differ, by its path. Of audio it is only told that it differs."""
    if isinstance(before, does.PlayAudio):
        yield "it is other audio"
        return
    yield from _changes("", msgspec.to_builtins(before), msgspec.to_builtins(after))


def _changes(path: str, before: Any, after: Any) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from _changes(f"{path}.{key}".lstrip("."), before.get(key), after.get(key))
    elif before != after:
        yield f"{path}: {_value(before)} is now {_value(after)}"


def _value(value: Any) -> str:
    if value is None:
        return "nothing"
    return quoted(value, MAX_VALUE) if isinstance(value, str) else _shortened(str(value), MAX_VALUE)


def quoted(text: str, longest: int = MAX_TEXT) -> str:
    return f'"{_shortened(" ".join(text.split()), longest)}"'


def _shortened(text: str, longest: int) -> str:
    """The text without control characters, its middle left out if it is long."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    if len(text) <= longest:
        return text
    tail = longest // 3
    return f"{text[: longest - tail - 1]}…{text[-tail:]}"


def _named(value: Struct) -> str:
    """The words of a class's name, and its fields."""
    name = type(value).__name__
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
    fields = {key: field for key, field in msgspec.to_builtins(value).items() if key not in ("is", "event_id")}
    told = ", ".join(
        f"{key} {_value(field)}" for key, field in fields.items() if not isinstance(field, (dict, list, tuple))
    )
    return f"{words} ({_shortened(told, 44)})" if told else words


def _length(text: str) -> str:
    """How long mu-law audio is: base64, or what stands for it in a log."""
    count, is_kept, _ = text.partition(" bytes")
    return f"{(int(count) if is_kept and count.isdecimal() else base64_length(text)) // BYTES_PER_MS} ms"


def _audio(text: str) -> str:
    """The same with a checksum, for audio that may differ in nothing else."""
    if " bytes" in text:
        return f"{_length(text)} of the caller's audio{text.partition(' bytes')[2]}"
    return f"{_length(text)} of the caller's audio, {digest(text, True).partition(', ')[2]}"


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.2f} s"


def _model_said(response: model.Response) -> str:
    why = response.reason or (response.error.message if response.error else "")
    return f"{response.status}{f' ({_shortened(why, MAX_VALUE)})' if why else ''}"


def _keys(count: int) -> str:
    return f"{count} keys" if count > 1 else "a key"


def _item(item: model.Item) -> str:
    if isinstance(item, model.FunctionCall):
        return f"a call of {item.name}"
    if isinstance(item, model.FunctionCallOutput):
        return f"the answer {quoted(item.output)} to a function"
    role = f" of the {item.role}" if isinstance(item, model.Message) else ""
    return f"{item.id or 'an item'}{role}"


def _looked(checked: happens.Checked) -> str:
    if checked.problem is not None:
        return f"nothing was found out: {quoted(checked.problem)}"
    return f"tripped{f' by {quoted(checked.why)}' if checked.why else ''}" if checked.tripped else "not tripped"


_INPUTS: dict[type[Struct], Callable[[Any], str]] = {
    carrier.Connected: lambda _: "the carrier connects",
    carrier.Start: lambda _: "the stream starts",
    carrier.Media: lambda it: f"{_length(it.payload)} of the caller",
    carrier.Dtmf: lambda _: "the caller presses a key",
    carrier.Mark: lambda it: f"mark {_shortened(it.name, MAX_VALUE)} comes back",
    carrier.Stop: lambda _: "the caller hangs up",
    happens.CarrierFault: lambda it: f"the carrier sends nonsense: {quoted(it.problem)}",
    happens.CarrierClosed: lambda it: f"the stream is closed with {it.code}",
    happens.ModelReady: lambda _: "the model is ready",
    happens.ModelLost: lambda it: f"the model is lost: {quoted(it.problem)}",
    happens.ModelFault: lambda it: f"the model sends nonsense: {quoted(it.problem)}",
    happens.CallerAudioDropped: lambda it: f"{it.frames} frames of the caller were dropped",
    happens.PlayClip: lambda it: f"a clip of {_length(it.audio)} is to be played: {quoted(it.text)}",
    happens.OperatorHangUp: lambda it: f"{quoted(it.by)} hangs up for us",
    happens.TypedText: lambda it: f"{quoted(it.by)} types for the {it.role}: {quoted(it.text)}",
    happens.ToolResult: lambda it: f"a function {'went wrong' if it.problem else 'has run'}: {quoted(it.output)}",
    happens.AnsweredBy: lambda it: f"a {it.by} has answered",
    happens.ServiceStops: lambda it: "the process ends, and the call " + ("moves" if it.goes_on else "with it"),
    happens.CapReached: lambda it: f"the cap {it.cap} is reached: {it.spent_usd:.2f} of {it.most_usd:.2f} dollars",
    happens.Checked: lambda it: f"guardrail {it.guardrail}: {_looked(it)}",
    happens.AnswerSent: lambda it: f"the first audio of {it.response_id} was sent after {it.took_us / 1000:.2f} ms",
    happens.Tick: lambda _: "a tick",
    model.ErrorEvent: lambda it: f"the model reports: {quoted(it.error.message)}",
    model.SpeechStarted: lambda it: f"the model hears the caller speak, at {_seconds(it.audio_start_ms)} of him",
    model.SpeechStopped: lambda it: f"the model hears him end, at {_seconds(it.audio_end_ms)} of him",
    model.AudioCommitted: lambda it: f"his turn is {it.item_id}",
    model.TranscriptionDelta: lambda it: f"the caller said … {quoted(it.delta)}",
    model.TranscriptionCompleted: lambda it: f"the caller said {quoted(it.transcript)}",
    model.ResponseCreated: lambda it: f"the model begins {it.response.id}",
    model.ResponseDone: lambda it: f"the model ends {it.response.id}: {_model_said(it.response)}",
    model.OutputItemAdded: lambda it: f"the model begins {_item(it.item)}",
    model.OutputItemDone: lambda it: f"the model ends {_item(it.item)}",
    model.ItemAdded: lambda it: f"{_item(it.item)} is in the conversation",
    model.ItemDone: lambda it: f"{_item(it.item)} is final",
    model.ItemTruncated: lambda it: f"{it.item_id} is truncated to {it.audio_end_ms} ms",
    model.ItemDeleted: lambda it: f"{it.item_id} is deleted",
    model.AudioDelta: lambda it: f"audio of {it.item_id}",
    model.AudioDone: lambda it: f"all audio of {it.item_id} is there",
    model.SpokenTextDelta: lambda it: f"its text: … {quoted(it.delta)}",
    model.SpokenTextDone: lambda it: f"its text: {quoted(it.transcript)}",
}

_ACTIONS: dict[type[Struct], Callable[[Any], str]] = {
    does.PlayAudio: lambda it: f"play {_length(it.payload)}",
    does.SendMark: lambda it: f"send mark {_shortened(it.name, MAX_VALUE)}",
    does.ClearPlayback: lambda _: "clear what was not played yet",
    does.CloseStream: lambda it: f"close the stream with {it.code}: {it.reason}",
    does.OpenModel: lambda _: "open the model's session",
    does.CloseModel: lambda _: "close the model's session",
    does.RunTool: lambda it: f"run {_shortened(it.name, MAX_VALUE)}",
    does.StopTool: lambda _: "give up a function",
    does.Check: lambda it: f"look at {quoted(it.arguments or it.text)} for {', '.join(it.guardrails)}",
    does.BargeIn: lambda it: f"barge-in: about {it.unheard_ms} ms are unheard",
    does.Held: lambda it: f"pause the bot: about {it.unheard_ms} ms are unheard",
    does.FalseAlarm: lambda it: f"that was no interruption: {it.why}{f' {quoted(it.text)}' if it.text else ''}",
    does.Cut: lambda it: f"cut {it.item_id}: {it.heard_ms} of {it.received_ms} ms heard ({it.settled})",
    does.Line: lambda it: (
        f"line of the {it.role}{', typed' * bool(it.typed_by)}: {quoted(it.text)}"
        f"{f' (cut, {it.heard_ms} ms)' if it.cut else ''}"
    ),
    does.GuardrailTripped: lambda it: (
        f"guardrail {it.guardrail} has tripped{f': {quoted(it.why)}' if it.why else ''}: {it.then}"
    ),
    does.ModelDropped: lambda it: (
        f"{'leave this session of' if it.planned else 'go on without'} the model: {quoted(it.problem)}"
    ),
    does.Recovered: lambda it: f"the model is there again, after {_seconds(it.away_ms)}",
    does.StartRecording: lambda _: "the call may be recorded from now on",
    does.CallerSilent: lambda it: (
        f"nobody has spoken for {_seconds(it.silent_ms)}: {f'ask, time {it.times}' if it.times else 'leave'}"
    ),
    does.LimitNear: lambda it: f"near the limit of {it.limit}: {it.used:.2f} of {it.most:.2f}",
    does.LimitReached: lambda it: f"the limit of {it.limit} is reached: {it.used:.2f} of {it.most:.2f}",
    does.KeysEntered: lambda it: (
        f"the caller has keyed in {_keys(len(it.keys))}{', a choice from the menu' * it.is_choice}"
    ),
    does.HandOff: lambda it: (
        f"{it.to_agent} takes over from {it.from_agent}{f': {quoted(it.note)}' if it.note else ''}"
    ),
    does.Floor: lambda it: _FLOOR[it.turn],
    does.Trouble: lambda it: f"trouble: {quoted(it.problem)}",
    does.Ended: lambda it: f"the call has ended: {it.outcome}",
}

_COMMANDS: dict[type[Struct], Callable[[Any], str]] = {
    model.AppendAudio: lambda it: _audio(it.audio),
    model.CommitAudio: lambda _: "the caller's turn is over",
    model.ClearAudio: lambda _: "forget the audio of this turn",
    model.CreateItem: lambda it: f"add {_item(it.item)}",
    model.TruncateItem: lambda it: f"truncate {it.item_id} to {it.audio_end_ms} ms",
    model.DeleteItem: lambda it: f"delete {it.item_id}",
    model.CreateResponse: lambda _: "answer",
    model.CancelResponse: lambda it: f"cancel {it.response_id or 'the response'}",
}
