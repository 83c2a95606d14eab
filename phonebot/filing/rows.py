"""What is filed of a call: its summary as rows. What came from outside is bounded to what both databases take."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from phonebot.replay.summary import FunctionUsed, Spent, Summary, TurnSaid
from phonebot.store.overview import percentile
from phonebot.store.tables import CallRow, ToolCallRow, TurnRow, UsageRow

MAX_INTEGER = 2**31 - 1
MAX_NOTED = 1_000
MAX_TEXT = 1024 * 1024  # characters
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Rows:
    """As `CallStore.file` takes them."""

    call: CallRow
    turns: list[TurnRow]
    tool_calls: list[ToolCallRow]
    usage: list[UsageRow]
    text: list[str]


def rows_of(summary: Summary, key: str, call_sid: str) -> Rows:
    """`key` is the name of the call's log, under which it is stored."""
    call = _call(summary, key, call_sid)
    turns = [_turn(number, turn) for number, turn in enumerate(summary.turns, 1)]
    functions = [_function(number, function) for number, function in enumerate(summary.functions, 1)]
    usage = [_usage(number, spent) for number, spent in enumerate(summary.spent, 1)]
    return Rows(call, turns, functions, usage, list(_texts(call, turns)))


def _call(summary: Summary, key: str, call_sid: str) -> CallRow:
    header, latencies = summary.header, Counter(summary.latencies_ms)
    length = timedelta(milliseconds=_integer(summary.length_ms))
    return CallRow(
        call_sid=_text(call_sid, 64),
        stream_sid=_optional(header.stream_sid, 64),
        kind=header.kind,
        from_number=_text(header.from_number or UNKNOWN, 100),
        to_number=_text(header.to_number or UNKNOWN, 100),
        number=_text(header.number or UNKNOWN, 100),
        profile_name=_text(header.profile or "", 100),
        profile_version=_text(header.profile_version or "", 64),
        provider=_optional(header.provider, 100),
        model=_optional(header.model, 200),
        software_version=_text(header.software.removeprefix("phonebot "), 40),
        started_at=header.started,
        ended_at=header.ended or header.started + length,
        duration_ms=_integer(summary.length_ms),
        outcome=_text(summary.outcome, 40),
        cost_usd=summary.cost_usd,
        caller_talk_ms=_integer(summary.caller_talk_ms),
        bot_talk_ms=_integer(summary.bot_talk_ms),
        interruptions=_integer(summary.interruptions),
        generated_ms=_integer(summary.generated_ms),
        heard_ms=_integer(summary.heard_ms),
        corrections=_integer(summary.corrections),
        errors=_integer(summary.errors),
        latency_p50_ms=percentile(latencies, 50),
        latency_p95_ms=percentile(latencies, 95),
        round_trip_ms=_ms(summary.round_trip_ms),
        has_audio=summary.has_audio,
        storage_key=key,
        note=_text(header.note),
    )


def _turn(number: int, turn: TurnSaid) -> TurnRow:
    return TurnRow(
        sequence=number,
        who=turn.who,
        text=_text(turn.text),
        unheard_text=_text(turn.unheard_text),
        cut=turn.cut,
        heard_ms=_ms(turn.heard_ms),
        of_ms=_ms(turn.of_ms),
        start_ms=_ms(turn.start_ms),
        end_ms=_ms(turn.end_ms),
        latency_ms=_ms(turn.latency_ms),
        model_ms=_ms(turn.model_ms),
        ours_us=_ms(turn.ours_us),
        item_id=_text(turn.item_id, 200),
        typed_by=_text(turn.typed_by, 100),
    )


def _function(number: int, function: FunctionUsed) -> ToolCallRow:
    return ToolCallRow(
        sequence=number,
        tool_call_id=_text(function.call_id, 200),
        name=_text(function.name, 200),
        arguments=_text(function.arguments),
        result=_optional(function.result, MAX_TEXT),
        error=_optional(function.problem, MAX_TEXT),
        start_ms=_integer(function.start_ms),
        end_ms=_ms(function.end_ms),
    )


def _usage(number: int, spent: Spent) -> UsageRow:
    tokens = spent.tokens
    return UsageRow(
        sequence=number,
        response_id=_text(spent.response_id, 200),
        at_ms=_integer(spent.at_ms),
        input_text=_integer(tokens.input_text),
        input_audio=_integer(tokens.input_audio),
        input_image=_integer(tokens.input_image),
        cached_text=_integer(tokens.cached_text),
        cached_audio=_integer(tokens.cached_audio),
        cached_image=_integer(tokens.cached_image),
        output_text=_integer(tokens.output_text),
        output_audio=_integer(tokens.output_audio),
        cost_usd=spent.cost_usd,
    )


def noted_in(summary: Summary) -> dict[str, Any]:
    """What the log tells beside the rows, as JSON: hand-offs, and guardrails that tripped."""
    names = {"hand_off": "hand_offs", "guardrail": "guardrails"}
    noted: dict[str, Any] = {name: [] for name in names.values()}
    for each in summary.noted[:MAX_NOTED]:
        fields = {name: _text(value) if isinstance(value, str) else value for name, value in each.fields.items()}
        noted[names[each.what]].append({"t_ms": each.at_ms, **fields})
    return noted


def _texts(call: CallRow, turns: list[TurnRow]) -> Iterator[str]:
    """What the call is found by: who it was with, and what was said and heard."""
    yield from (call.call_sid, call.from_number, call.to_number, call.profile_name, call.note)
    yield from (turn.text for turn in turns)


def _text(text: str, longest: int = MAX_TEXT) -> str:
    """PostgreSQL keeps no NUL, and no database half of a character."""
    return text[:longest].replace("\0", "").encode(errors="replace").decode()


def _optional(text: str | None, longest: int) -> str | None:
    return None if text is None else _text(text, longest)


def _ms(value: int | None) -> int | None:
    return None if value is None else _integer(value)


def _integer(value: int) -> int:
    return max(0, min(value, MAX_INTEGER))
