"""What happened in a past call, on a terminal that has 80 columns, and as lines of JSON for scripts."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from phonebot.hooks import events as told
from phonebot.hooks.events import Event, HistoryItem, HistoryUpdated, MessageItem, ToolCallItem
from phonebot.replay.words import clock

NAME_COLUMNS = 17
MAX_TEXT = 300
STYLES = {
    "error": "red",
    "guardrail_tripped": "yellow",
    "limit": "yellow",
    "audio_interrupted": "yellow",
    "handoff": "magenta",
}
ROLES = {"user": "caller", "assistant": "bot", "system": "instruction"}


def as_lines(events: Iterable[Event]) -> Iterator[str]:
    """Each event as one line of JSON."""
    return (msgspec.json.encode(event).decode() for event in events)


def print_events(console: Console, events: Iterable[Event]) -> None:
    """
    A line for each, wrapped under its words.

    Of a history that has changed only the items that did are told.
    """
    known: dict[str, HistoryItem] = {}
    for event in events:
        if isinstance(event, told.HistoryAdded):
            continue  # it is in the history that comes next
        if not isinstance(event, HistoryUpdated):
            _print(console, event.t_ms, event.type, _words(event))
            continue
        now = {item.item_id: item for item in event.history}
        for item_id, item in now.items():
            if item != known.get(item_id):
                name = "history" if item_id in known else "history, new"
                _print(console, event.t_ms, name, _item(item))
        for item_id in known.keys() - now.keys():
            _print(console, event.t_ms, "history", f"{_item(known[item_id])} is gone: nothing of it was heard")
        known = now


def _print(console: Console, t_ms: int, name: str, words: str) -> None:
    head = Text(f"{clock(t_ms):>9} ", "dim") + Text(f"{name:<{NAME_COLUMNS}} ", STYLES.get(name, "cyan"))
    shown = words if len(words) <= MAX_TEXT else f"{words[:MAX_TEXT]} …"
    for number, part in enumerate(Text(shown).wrap(console, max(console.width - len(head), 20))):
        line = head + part if number == 0 else Text(" " * len(head)) + part
        line.rstrip()
        console.print(line, soft_wrap=True)


def _item(item: HistoryItem) -> str:
    match item:
        case MessageItem():
            by = f", typed by {item.typed_by}" if item.typed_by else ""
            cut = f" [heard {_seconds(item.heard_ms)} of {_seconds(item.of_ms)}]" if _is_cut(item) else ""
            text = " ".join(filter(None, [item.text, "…" if item.status == "in_progress" else ""]))
            return f"{ROLES[item.role]}{by}: {text}{cut}"
        case ToolCallItem():
            output = "" if item.output is None else f" = {item.output}"
            return f"function: {item.tool}({item.arguments}){output}"


def _is_cut(item: MessageItem) -> bool:
    return item.status == "incomplete" and item.of_ms > 0


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.2f} s"


_WORDS: dict[type[Event], Callable[[Any], str]] = {
    told.CallStart: lambda _: "",
    told.AgentStart: lambda it: f"{it.agent} begins {it.response_id}",
    told.AgentEnd: lambda it: f"{it.agent} has ended {it.response_id}: {it.status}",
    told.HandOff: lambda it: f"{it.from_agent} to {it.to_agent}{f': {it.note}' if it.note else ''}",
    told.ToolStart: lambda it: f"{it.tool}({it.arguments})",
    told.ToolEnd: lambda it: f"{it.tool} = {it.output}{f' [{it.problem}]' if it.problem else ''}",
    told.AudioEnd: lambda it: f"all audio of {it.item_id} is made",
    told.AudioInterrupted: lambda it: f"in {it.item_id}, about {_seconds(it.unheard_ms)} unheard",
    told.GuardrailTripped: lambda it: f"{it.guardrail}, on {it.on}: {it.then}{f' ({it.why})' if it.why else ''}",
    told.LimitTold: lambda it: f"{it.limit} {'reached' if it.reached else 'near'}: {it.used:.2f} of {it.most:.2f}",
    told.InputAudioTimeout: lambda _: "the caller says nothing",
    told.Error: lambda it: it.error,
    told.CallEnd: lambda it: it.outcome.replace("_", " "),
}


def _words(event: Event) -> str:
    words = _WORDS.get(type(event))
    return words(event) if words else ""
