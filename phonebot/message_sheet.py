"""Messages that callers left, on a terminal that has 80 columns, and as JSON for scripts."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table as Sheet

from phonebot.store.tables import AfterRow, MessageRow

ENDING = 8  # characters of an id that the list shows: enough to name one


def table(messages: Sequence[MessageRow]) -> Sheet:
    """A line for each."""
    made = Sheet(box=None, padding=(0, 1, 0, 0))
    for heading in ("id", "taken", "", "from", "message"):
        made.add_column(heading, overflow="fold")
    for message in messages:
        state = "done" if message.done_at else "[bold red]urgent[/bold red]" if message.urgent else "new"
        who = "\n".join(filter(None, [message.name, message.call_back or "no number"]))
        text = f"For {message.for_whom}: {message.text}" if message.for_whom else message.text
        taken = f"{message.taken_at.astimezone():%m-%d %H:%M}"
        made.add_row(message.message_id[-ENDING:], taken, state, escape(who), escape(text))
    return made


def print_message(console: Console, message: MessageRow) -> None:
    """Its facts, then what it says."""
    facts = Sheet(box=None, pad_edge=False, show_header=False)
    facts.add_column(style="dim")
    facts.add_column(overflow="fold")
    for name, value in _facts(message):
        facts.add_row(name, escape(value))
    console.print(facts)
    console.print()
    console.print(message.text, markup=False)


def _facts(message: MessageRow) -> Iterator[tuple[str, str]]:
    yield "message", message.message_id
    yield "taken", f"{message.taken_at.astimezone():%Y-%m-%d %H:%M:%S}, in call {message.call_sid}"
    yield "from, to", f"{message.from_number} to {message.number}"
    yield "name", message.name or "not told"
    yield "call back", message.call_back or "no number"
    if message.for_whom:
        yield "for", message.for_whom
    if message.urgent:
        yield "urgent", "yes"
    if message.done_at:
        yield "done", f"{message.done_at.astimezone():%Y-%m-%d %H:%M}, by {message.done_by}"
    else:
        yield "done", "no"
    if message.after:
        yield "told of it", _told(message.after)


def _told(after: AfterRow) -> str:
    if after.delivered_at and after.state == "done":
        return f"{after.delivered_at.astimezone():%Y-%m-%d %H:%M:%S}, attempt {after.attempts}"
    why = f": {after.problem}" if after.problem else ""
    if after.state == "given_up":
        return f"given up after attempt {after.attempts}{why}"
    return f"not yet, attempt {after.attempts} failed{why}" if after.attempts else "not yet"


def facts(message: MessageRow) -> dict[str, Any]:
    """All of a message but what only the database needs, for JSON."""
    names = (column.name for column in message.__table__.columns if column.name not in ("id", "found_by"))
    told = message.after
    names_told = ("state", "attempts", "attempted_at", "delivered_at", "problem")
    return {name: _plain(getattr(message, name)) for name in names} | {
        "told": told and {name: _plain(getattr(told, name)) for name in names_told}
    }


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
