"""Messages that callers left, on a terminal that has 80 columns, and as JSON for scripts."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table as Sheet

from phonebot.call_sheet import ENDING, columns, told
from phonebot.store.tables import MessageRow


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
        yield "told of it", told(message.after)


def facts(message: MessageRow) -> dict[str, Any]:
    """All of a message but what only the database needs, for JSON."""
    told_of = columns(message.after) if message.after else None
    names = ("state", "attempts", "attempted_at", "delivered_at", "problem")
    return columns(message, "id", "found_by") | {"told": told_of and {name: told_of[name] for name in names}}
