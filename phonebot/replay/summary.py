"""
What a call log comes to, as it is filed: the facts of its call, its transcript, its figures.

    summary = summary_of(folder)

All of it is found in the log; what the log does not tell is None. It is JSON without further ado: a log is read in
another process than the one that files it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from phonebot.audio.base64 import base64_length
from phonebot.audio.g711 import FRAME_MS
from phonebot.call.actions import Action, BargeIn, Cut, Line, LineRole, ModelDropped, Tell, Trouble
from phonebot.call.inputs import ModelReady, PlayClip, ToolResult
from phonebot.realtime.events import (
    BYTES_PER_MS,
    AudioDelta,
    AudioFormat,
    CreateItem,
    DeleteItem,
    FunctionCall,
    FunctionCallOutput,
    OutputItemDone,
    ResponseDone,
    SpokenTextDelta,
    SpokenTextDone,
    TruncateItem,
    Usage,
)
from phonebot.replay.account import transcriptions
from phonebot.replay.answer_times import answer_times, round_trip_ms
from phonebot.replay.log import BOT_FILE, CALLER_FILE, Header
from phonebot.replay.reader import CallLog, Step, outcome_of, read
from phonebot.replay.talk import Talk, talk_of
from phonebot.replay.utterances import Answer, Utterance

_NOTED: dict[str, Literal["hand_off", "guardrail"]] = {"HandOff": "hand_off", "GuardrailTripped": "guardrail"}

TRANSCRIPTION = "transcription"
"""Stands in the place of a response's id for what wrote down the caller's words."""

CUT_OFF = "stream_lost"
"""The outcome of a call whose log has no end: its process was killed, and its stream went with it."""


class TurnSaid(Struct, frozen=True, kw_only=True):
    """
    A line of the transcript, in ms of the call.

    `text` is what was heard; of one that was `cut`, `unheard_text` is how it would have gone on, as far as that was
    known. `of_ms`: how much speech the bot had made, of which `heard_ms` were heard; None for the caller.
    `latency_ms`: from the caller's last sound to the first that he heard of this answer; None: it is not the first
    line of an answer. Of that `model_ms` were the model's and `ours_us` microseconds ours (answer_times.py); None:
    the log does not tell. `typed_by`: nobody said it, but this person or program typed it.
    """

    who: LineRole
    text: str
    item_id: str
    unheard_text: str = ""
    cut: bool = False
    heard_ms: int | None = None
    of_ms: int | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    latency_ms: int | None = None
    model_ms: int | None = None
    ours_us: int | None = None
    typed_by: str = ""


class FunctionUsed(Struct, frozen=True, kw_only=True):
    """
    A function that the model called. `result` is what it was told of it; None: nothing, and `end_ms` is None.

    `problem`: why it failed; None: it did not.
    """

    call_id: str
    name: str
    arguments: str
    start_ms: int
    result: str | None = None
    end_ms: int | None = None
    problem: str | None = None


class Noted(Struct, frozen=True, kw_only=True):
    """A hand-off to another agent, or a guardrail that tripped; `fields` are the action's."""

    what: Literal["hand_off", "guardrail"]
    at_ms: int
    fields: dict[str, Any]


class Spent(Struct, frozen=True, kw_only=True):
    """
    The tokens of a response, and what they cost at the tariff of the call's plan; None: no price is known.

    The last one is perhaps that of the model that wrote down the caller's words, for the whole call.
    """

    response_id: str
    at_ms: int
    tokens: Usage
    cost_usd: float | None


class Summary(Struct, frozen=True, kw_only=True):
    """
    A call. `header` is its log's, and `length_ms` goes up to the last thing that happened.

    `generated_ms` is what the bot had to say: the model's audio as it came, and clips that were played; a pause
    that is played again counts once. Of it `heard_ms` were heard. `interruptions`: times that the caller stopped
    it. `corrections`: items that the model was told to cut or to forget because they were not heard in full.
    `errors`: troubles that did not end the call, sessions of the model's that were lost among them.
    `round_trip_ms`: to the carrier and back; None: nothing has measured it.
    """

    header: Header
    length_ms: int
    outcome: str
    has_audio: bool
    turns: tuple[TurnSaid, ...] = ()
    functions: tuple[FunctionUsed, ...] = ()
    spent: tuple[Spent, ...] = ()
    noted: tuple[Noted, ...] = ()
    cost_usd: float | None = None
    caller_talk_ms: int = 0
    bot_talk_ms: int = 0
    generated_ms: int = 0
    heard_ms: int = 0
    interruptions: int = 0
    corrections: int = 0
    errors: int = 0
    round_trip_ms: int | None = None

    @property
    def latencies_ms(self) -> list[int]:
        """Of all answers."""
        return [turn.latency_ms for turn in self.turns if turn.latency_ms is not None]


@dataclass(slots=True)
class _Speech:
    """Of one item of the bot's: how much there was, and how much of it was heard."""

    generated_ms: int = 0
    heard_ms: int = 0


def summary_of(folder: Path) -> Summary:
    """Raises LogError for what is no log that can be read, OSError as `open` does."""
    return summarised(read(folder), has_audio(folder))


def has_audio(folder: Path) -> bool:
    """Whether a log has a recording of its call."""
    return any((folder / file).is_file() for file in (CALLER_FILE, BOT_FILE))


def summarised(log: CallLog, is_recorded: bool = True) -> Summary:
    """Raises LogError for a log whose call is too long to be heard."""
    actions = [action for step in log.steps for action in step.actions]
    talk, spent = talk_of(log), tuple(_spent(log))
    speech = _speech(log)
    return Summary(
        header=log.header,
        length_ms=log.steps[-1].now_ms if log.steps else 0,
        outcome=_outcome(log.header, actions),
        has_audio=is_recorded,
        turns=tuple(_turns(log, talk, speech)),
        functions=tuple(_functions(log.steps)),
        spent=spent,
        noted=tuple(_noted(log.steps)),
        cost_usd=_sum(spent) if log.plan.tariff.model else None,
        caller_talk_ms=_length_ms(talk.caller),
        bot_talk_ms=_length_ms(talk.bot),
        generated_ms=sum(each.generated_ms for each in speech.values()),
        heard_ms=sum(each.heard_ms for each in speech.values()),
        interruptions=sum(isinstance(action, BargeIn) for action in actions),
        corrections=len(_corrected(actions)),
        errors=sum(_is_error(action) for action in actions),
        round_trip_ms=round_trip_ms(log.steps),
    )


def _outcome(header: Header, actions: Sequence[Action]) -> str:
    return outcome_of(actions) or header.outcome or CUT_OFF


def _is_error(action: Action) -> bool:
    return isinstance(action, Trouble) or (isinstance(action, ModelDropped) and not action.planned)


def _length_ms(utterances: Sequence[Utterance]) -> int:
    return sum(each.end_ms - each.begin_ms for each in utterances)


# ------------------------------------------------------------------------------------------- the transcript


def _turns(log: CallLog, talk: Talk, speech: dict[str, _Speech]) -> Iterator[TurnSaid]:
    texts, times = _texts(log.steps), answer_times(log.steps)
    waiting = list(talk.answers)
    for step in log.steps:
        for action in step.actions:
            if not isinstance(action, Line):
                continue
            when = talk.items.get(action.item_id)
            answer = _taken(waiting, when) if when and action.role == "bot" else None
            turn = _turn(action, when, answer, texts.get(action.item_id, ""), speech)
            took = times.get(action.item_id)
            yield replace(turn, model_ms=took.model_ms, ours_us=took.ours_us) if took else turn


def _turn(
    line: Line, when: Utterance | None, answer: Answer | None, said: str, speech: dict[str, _Speech]
) -> TurnSaid:
    spoken = speech[line.item_id] if line.role == "bot" else None
    return TurnSaid(
        who=line.role,
        text=line.text,
        item_id=line.item_id,
        unheard_text=said[len(line.text) :].strip() if line.cut and said.startswith(line.text) else "",
        cut=line.cut,
        heard_ms=spoken.heard_ms if spoken else None,
        of_ms=spoken.generated_ms if spoken else None,
        start_ms=when.begin_ms if when else None,
        end_ms=when.end_ms if when else None,
        latency_ms=answer.latency_ms if answer else None,
        typed_by=line.typed_by,
    )


def _taken(waiting: list[Answer], when: Utterance) -> Answer | None:
    """The first answer that began with this item; all that began while it was heard wait no longer."""
    begun = [each for each in waiting if when.begin_ms - FRAME_MS <= each.begin_ms <= when.end_ms]
    for each in begun:
        waiting.remove(each)
    return begun[0] if begun else None


def _texts(steps: Sequence[Step]) -> dict[str, str]:
    """What the bot meant to say, by item."""
    parts: dict[str, str] = {}
    for step in steps:
        match step.input:
            case SpokenTextDelta(item_id=item_id, delta=delta):
                parts[item_id] = parts.get(item_id, "") + delta
            case SpokenTextDone(item_id=item_id, transcript=transcript):
                parts[item_id] = transcript or parts.get(item_id, "")
            case PlayClip(text=text, clip_id=str(clip_id)):
                parts[clip_id] = text
    return parts


# ------------------------------------------------------------------------------------------- figures


def _speech(log: CallLog) -> dict[str, _Speech]:
    """By item. Of a clip of ours there is no delta: how long it was stands in its cut, or it was heard in full."""
    found: defaultdict[str, _Speech] = defaultdict(_Speech)
    received: Counter[str] = Counter()
    output_format: AudioFormat = "pcmu"
    for step in log.steps:
        match step.input:
            case ModelReady():
                output_format = step.input.output_format
            case AudioDelta(item_id=item_id, audio=audio):
                received[item_id] += base64_length(audio)
                found[item_id].generated_ms = received[item_id] // BYTES_PER_MS[output_format]
        for action in step.actions:
            match action:
                case Cut(item_id=item_id, heard_ms=heard_ms, received_ms=length_ms):
                    pass
                case Line(role="bot", item_id=item_id, heard_ms=heard_ms):
                    length_ms = heard_ms
                case _:
                    continue
            item = found[item_id]
            item.heard_ms, item.generated_ms = heard_ms, max(item.generated_ms, length_ms)
    return dict(found)


def _corrected(actions: Sequence[Action]) -> set[str]:
    cut = {action.item_id for action in actions if isinstance(action, Cut)}
    told = [action.command for action in actions if isinstance(action, Tell)]
    shortened = {command.item_id for command in told if isinstance(command, TruncateItem)}
    # What was deleted may also have been a turn of the caller's that was no speech.
    return shortened | cut & {command.item_id for command in told if isinstance(command, DeleteItem)}


def _functions(steps: Sequence[Step]) -> Iterator[FunctionUsed]:
    results = dict[str, tuple[str, int]]()
    problems = dict[str, str | None]()
    for step in steps:
        if isinstance(step.input, ToolResult):
            problems[step.input.call_id] = step.input.problem
        for action in step.actions:
            match action:
                case Tell(command=CreateItem(item=FunctionCallOutput(call_id=call_id, output=output))):
                    results.setdefault(call_id, (output, step.now_ms))
    for step in steps:
        match step.input:
            case OutputItemDone(item=FunctionCall(name=name, call_id=call_id, arguments=arguments)):
                result, end_ms = results.get(call_id, (None, None))
                yield FunctionUsed(
                    call_id=call_id,
                    name=name,
                    arguments=arguments,
                    start_ms=step.now_ms,
                    result=result,
                    end_ms=end_ms,
                    problem=problems.get(call_id),
                )


def _noted(steps: Sequence[Step]) -> Iterator[Noted]:
    for step in steps:
        for action in step.actions:
            if what := _NOTED.get(type(action).__name__):
                fields = msgspec.to_builtins(msgspec.structs.asdict(action))
                yield Noted(what=what, at_ms=step.now_ms, fields=fields)


def _spent(log: CallLog) -> Iterator[Spent]:
    tariff, now_ms = log.plan.tariff, 0
    for step in log.steps:
        now_ms = step.now_ms
        if isinstance(step.input, ResponseDone) and (usage := step.input.response.usage):
            cost = tariff.of(usage)
            yield Spent(response_id=step.input.response.id, at_ms=now_ms, tokens=usage, cost_usd=cost)
    if told := transcriptions(log):
        tokens = Usage(
            input=sum(each.input for each in told),
            output=sum(each.output for each in told),
            input_audio=sum(each.input for each in told),
            output_text=sum(each.output for each in told),
        )
        cost = sum(map(tariff.of_transcription, told)) if tariff.transcription else None
        yield Spent(response_id=TRANSCRIPTION, at_ms=now_ms, tokens=tokens, cost_usd=cost)


def _sum(spent: Sequence[Spent]) -> float:
    return sum(each.cost_usd or 0 for each in spent)
