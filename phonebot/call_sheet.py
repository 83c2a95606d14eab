"""Past calls on a terminal that has 80 columns, and as JSON for scripts."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table as Sheet
from rich.text import Text

from phonebot.store.tables import AfterRow, CallRow, Table, ToolCallRow, TurnRow

ENDING = 8  # characters of a CallSid that the list shows: enough to tell calls apart, and to name one
CLOCK_COLUMNS = 7
WHO_COLUMNS = 8
STYLES = {"bot": "bold cyan", "caller": "bold green", "function": "magenta", "typed": "bold magenta"}


def table(calls: Sequence[CallRow]) -> Sheet:
    """A line for each call."""
    made = Sheet(box=None, padding=(0, 1, 0, 0))
    for heading in ("call", "began", "caller", "number"):
        made.add_column(heading, overflow="fold")
    made.add_column("length", justify="right")
    made.add_column("outcome", overflow="fold")
    made.add_column("cost", justify="right")
    for call in calls:
        began = f"{call.started_at.astimezone():%Y-%m-%d %H:%M}"
        outcome = (call.outcome or "").replace("_", " ")
        names = (call.call_sid[-ENDING:], began, call.caller, call.number)
        made.add_row(*map(escape, names), _length(call.duration_ms), escape(outcome), _price(call.cost_usd))
    return made


def print_call(console: Console, call: CallRow, version: tuple[str, int] | None) -> None:
    """
    Its facts, then its transcript with the functions that were called, in their order.

    `version`: of which number's profiles it was answered by which (NumberStore.which); None: of none that is kept.
    """
    facts = Sheet(box=None, pad_edge=False, show_header=False)
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    for name, value in _facts(call, version):
        facts.add_row(name, escape(value))
    console.print(facts)
    console.print()
    if not (call.turns or call.tool_calls):
        console.print("nothing was said")
    for event in _timeline(call):
        head, text = _function(event) if isinstance(event, ToolCallRow) else _turn(event)
        _print_wrapped(console, head, text)


def _facts(call: CallRow, version: tuple[str, int] | None) -> Iterator[tuple[str, str]]:
    yield "call", call.call_sid
    yield "began", f"{call.started_at.astimezone():%Y-%m-%d %H:%M:%S}, {_length(call.duration_ms)} long"
    way = {"browser": " in the browser", "outbound": ", dialled by us"}.get(call.kind, "")
    yield "from, to", f"{call.from_number} to {call.to_number}{way}"
    yield "outcome", (call.outcome or "").replace("_", " ")
    which = f"{version[0]}, version {version[1]}" if version else f"version {call.profile_version}, not kept here"
    yield "answered by", f"{call.profile_name} ({which})" if call.profile_name else which
    yield "model", ", ".join(dict.fromkeys(filter(None, [call.model, call.provider]))) or "none"
    tokens = sum(u.input_text + u.input_audio + u.input_image + u.output_text + u.output_audio for u in call.usage)
    price = "unknown, no price of this model is known" if call.cost_usd is None else _price(call.cost_usd)
    rate = call.cost_per_minute_usd
    yield "cost", f"{price}{'' if rate is None else f', {_price(rate)} a minute'}; {tokens:,} tokens"
    if call.latency_p50_ms is not None:
        yield "answers", f"half within {_seconds(call.latency_p50_ms)}, 95 % within {_seconds(call.latency_p95_ms)}"
    heard = f"{_seconds(call.heard_ms)} of {_seconds(call.generated_ms)} heard"
    yield "bot", f"{heard}; interruptions: {call.interruptions}, corrections: {call.corrections}"
    yield "talk", f"caller {_seconds(call.caller_talk_ms)}, bot {_seconds(call.bot_talk_ms)}"
    if call.errors:
        yield "troubles", str(call.errors)
    yield "recording", "kept" if call.has_audio and call.storage_key else "none"
    if call.note:
        yield "note", call.note
    if call.after:
        yield from _afterwards(call.after)


def _afterwards(after: AfterRow) -> Iterator[tuple[str, str]]:
    """What was made of the call, and whether it was told of."""
    for name, value, problem in (
        ("summary", after.summary, after.summary_problem),
        ("data", after.extracted, after.extracted_problem),
    ):
        if value is not None:
            yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        elif problem:
            yield name, f"none: {problem}"
    if "after_call" in after.wishes:
        yield "told of it", told(after)


def told(after: AfterRow) -> str:
    """Whether it was told of: of a call, or of a message."""
    attempt = f"attempt {after.attempts}"
    if after.delivered_at and after.state == "done":
        return f"{after.delivered_at.astimezone():%Y-%m-%d %H:%M:%S}, {attempt}"
    why = f": {after.problem}" if after.problem else ""
    if after.state == "given_up":
        return f"given up after {attempt}{why}"
    if not after.attempts:
        return "not yet"
    return f"not yet, {attempt} failed{why}; next one {after.due_at.astimezone():%Y-%m-%d %H:%M:%S}"


def _timeline(call: CallRow) -> list[TurnRow | ToolCallRow]:
    """Lines without a time stand where they are in the transcript."""
    at_ms = 0
    timed: list[tuple[int, TurnRow | ToolCallRow]] = []
    for turn in call.turns:
        at_ms = max(at_ms, turn.start_ms or 0)
        timed.append((at_ms, turn))
    timed += [(function.start_ms, function) for function in call.tool_calls]
    return [event for _, event in sorted(timed, key=lambda each: each[0])]


def _turn(turn: TurnRow) -> tuple[Text, Text]:
    text = Text(turn.text or ("" if turn.unheard_text else "…"))
    if turn.cut:
        text.append(f" {turn.unheard_text}" if turn.unheard_text else "", "dim strike")
        text.append(f"  ✂ heard {_seconds(turn.heard_ms)} of {_seconds(turn.of_ms)}", "yellow")
    if turn.latency_ms is not None:
        text.append(f"  after {_seconds(turn.latency_ms)}", "dim")
    if turn.model_ms is not None:
        text.append(f", of it the model {_seconds(turn.model_ms)}", "dim")
    if turn.typed_by:
        way = "as an instruction" if turn.who == "instruction" else "for the caller"
        text.append(f"  by {turn.typed_by}, {way}", "dim")
    return _head(turn.start_ms, "typed" if turn.typed_by else turn.who), text


def _function(function: ToolCallRow) -> tuple[Text, Text]:
    told = function.error or function.result
    text = Text(f"{function.name}({function.arguments})")
    text.append(f" = {told}" if told is not None else " was not answered", "red" if function.error else "dim")
    return _head(function.start_ms, "function"), text


def _head(at_ms: int | None, who: str) -> Text:
    clock = "" if at_ms is None else f"{at_ms // 60_000}:{at_ms / 1000 % 60:04.1f}"
    return Text(f"{clock:>{CLOCK_COLUMNS}} ", "dim") + Text(f"{who:>{WHO_COLUMNS}} ", STYLES.get(who, ""))


def _print_wrapped(console: Console, head: Text, text: Text) -> None:
    """The lines after the first stand under it."""
    for number, part in enumerate(text.wrap(console, max(console.width - len(head), 20))):
        part.rstrip()
        console.print(head + part if number == 0 else Text(" " * len(head)) + part, soft_wrap=True)


def _length(ms: int | None) -> str:
    seconds = round((ms or 0) / 1000)
    return f"{seconds // 60}:{seconds % 60:02}"


def _seconds(ms: int | None) -> str:
    return f"{(ms or 0) / 1000:.2f} s"


def _price(usd: float | None) -> str:
    return "-" if usd is None else f"${usd:.3f}"


# ------------------------------------------------------------------------------------------- JSON


def facts(call: CallRow) -> dict[str, Any]:
    """All of a call's row but what only the database needs."""
    return columns(call, "id", "storage_key", "lease_until") | {"cost_per_minute_usd": call.cost_per_minute_usd}


def whole(call: CallRow) -> dict[str, Any]:
    """The same with what belongs to it."""
    lists: dict[str, Sequence[Table]] = {"turns": call.turns, "tool_calls": call.tool_calls, "usage": call.usage}
    # Not its wishes: headers of requests may be among them.
    after = call.after and columns(call.after, "call_id", "wishes", "lease", "lease_until")
    return (
        facts(call)
        | {"after": after}
        | {name: [columns(row, "call_id", "sequence") for row in rows] for name, rows in lists.items()}
    )


def columns(row: Table, *besides: str) -> dict[str, Any]:
    """A row for JSON, but for some of its columns."""
    names = (column.name for column in row.__table__.columns)
    return {name: _plain(getattr(row, name)) for name in names if name not in besides}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
