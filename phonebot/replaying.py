"""`phonebot replay`: plays call logs to today's core, and shows where it departs from them."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.text import Text

from phonebot.errors import PhonebotError
from phonebot.replay.archive import logs_in
from phonebot.replay.differences import described
from phonebot.replay.update import update
from phonebot.replay.verdict import Verdict, judge
from phonebot.replay.words import clock

_STYLES = {"+": "green", "-": "red", "=": "dim"}


@dataclass(frozen=True, slots=True)
class Replayed:
    """A log and what became of it. `problem` "": it holds. `length_ms` None: it cannot be replayed."""

    path: Path
    length_ms: int | None
    problem: str


def replay(paths: Sequence[Path]) -> Iterator[Replayed]:
    """Replay the logs that these paths stand for; a log that cannot be read has that as its problem."""
    for path in paths:
        for log in logs_in(path):
            yield _replayed(log)


def _replayed(path: Path) -> Replayed:
    try:
        verdict: Verdict = judge(path)
    except PhonebotError as error:
        return Replayed(path, None, str(error))
    return Replayed(path, verdict.length_ms, "" if verdict.holds else str(verdict))


def replay_and_show(console: Console, paths: Sequence[Path]) -> bool:
    """Replay and print a line for each log, and its first difference. True if all hold."""
    logs = [log for path in paths for log in logs_in(path)]
    if not logs:
        console.print(f"no call log in {escape(', '.join(map(str, paths)))}", soft_wrap=True)
        return False
    began_s = time.perf_counter()
    done: list[Replayed] = []
    for path in track(logs, "replaying", console=console, transient=True, disable=not console.is_terminal):
        done.append(_replayed(path))
        _show(console, done[-1])
    took_s = time.perf_counter() - began_s
    call_s = sum(each.length_ms or 0 for each in done) / 1000
    times = f", {call_s / took_s:,.0f} times real time" if call_s else ""
    console.print(f"[dim]{_calls(len(done))}, {call_s:.0f} s, in {took_s:.2f} s{times}:[/dim] {_summary(done)}")
    return not any(each.problem for each in done)


def _summary(done: Sequence[Replayed]) -> str:
    refused = sum(each.length_ms is None for each in done)
    differ = sum(bool(each.problem) for each in done) - refused
    told = [f"{count} of {len(done)} {what}" for count, what in ((differ, "differ"), (refused, "refused")) if count]
    return f"[red]{', '.join(told)}[/red]" if told else "all do what they did"


def _calls(count: int) -> str:
    return "1 call" if count == 1 else f"{count} calls"


def _show(console: Console, replayed: Replayed) -> None:
    if replayed.length_ms is None:
        sign, length = "[red]refused[/red]", ""
    else:
        sign = "[red]differs[/red]" if replayed.problem else "[green]holds[/green]  "
        length = clock(replayed.length_ms)
    console.print(f"{sign}  {length:>9}  {escape(replayed.path.name)}", soft_wrap=True)
    if replayed.problem:
        _show_lines(console, replayed.problem)


def as_json(paths: Sequence[Path]) -> tuple[str, bool]:
    """The same for a script to read, and whether all hold."""
    done = list(replay(paths))
    told = [
        {
            "log": str(each.path),
            "length_ms": each.length_ms,
            "holds": not each.problem,
            "problem": each.problem or None,
        }
        for each in done
    ]
    return msgspec.json.encode(told).decode(), bool(done) and not any(each.problem for each in done)


def update_and_show(console: Console, paths: Sequence[Path]) -> bool:
    """Let each log expect what today's core does, and say what changed. False if one could not be updated."""
    well = True
    for log in (log for path in paths for log in logs_in(path)):
        try:
            if not log.is_dir():
                raise UpdateRefused(log)
            before = update(log)
        except PhonebotError as error:
            well = False
            _show(console, Replayed(log, None, str(error)))
            continue
        if not before.differences:
            console.print(f"as it was  {escape(log.name)}", soft_wrap=True)
            continue
        console.print(f"[yellow]updated[/yellow]    {escape(log.name)}", soft_wrap=True)
        _show_lines(console, described(before))
        remaining = judge(log)
        if not remaining.holds:
            well = False
            _show_lines(console, str(remaining))
    return well


def _show_lines(console: Console, text: str) -> None:
    console.print()
    for line in text.splitlines():
        console.print(Text(f"  {line}", _STYLES.get(line.lstrip()[:1], "")), soft_wrap=True)
    console.print()


class UpdateRefused(PhonebotError):
    """A zipped log is not rewritten."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path.name} is zipped: unpack it, then update the folder"
