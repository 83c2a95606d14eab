"""What was found, for people and for scripts."""

import json
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

from phonebot import __version__
from phonebot.checkup.check import Check, State
from phonebot.doctor.examination import Report

PAGE = "docs/troubleshooting.md"
MOST_COLUMNS = 100  # longer lines are hard to read
LABELS: dict[State, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "warning": ("warning", "yellow"),
    "failed": ("FAILED", "bold red"),
    "skipped": ("skipped", "dim"),
}
_INDENT, _LABEL, _NAME = 2, 9, 18  # columns
_ARROW = "→ "

Scrub = Callable[[str], str]


def show(console: Console, report: Report, scrub: Scrub) -> None:
    """Print it. `scrub` takes secrets out of a text, as others may have put them into what they told us."""
    width = min(console.width, MOST_COLUMNS)
    for section in report.sections:
        console.print(Text(section.title, "bold"))
        for check in section.checks:
            for line in _lines(check, width, scrub):
                console.print(line, soft_wrap=True)
        console.print()
    console.print(_summary(report), soft_wrap=True)
    if not report.is_well:
        console.print(Text(f"What callers notice of it, and more on each: {PAGE}", "dim"), soft_wrap=True)


def as_json(report: Report, scrub: Scrub) -> str:
    """For a script: `well`, and a list of checks with section, name, state, sentence and remedy."""
    told = {
        "version": __version__,
        "checked_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "took_s": round(report.took_s, 2),
        "well": report.is_well,
        "checks": [
            {
                "section": section.title,
                "name": check.name,
                "state": check.state,
                "sentence": clean(scrub(check.sentence)),
                "remedy": clean(scrub(check.remedy)),
            }
            for section in report.sections
            for check in section.checks
        ],
    }
    return json.dumps(told, indent=2, ensure_ascii=False)


def _lines(check: Check, width: int, scrub: Scrub) -> Iterator[Text]:
    label, style = LABELS[check.state]
    head = f"{' ' * _INDENT}{label:<{_LABEL}}{check.name:<{_NAME}}"
    column = _INDENT + _LABEL + _NAME
    if len(check.name) >= _NAME:
        head += " "
    wrapped = _wrapped(clean(scrub(check.sentence)), width, column, len(head))
    for n, part in enumerate(wrapped):
        if n:
            yield Text(" " * column + part)
        else:
            line = Text(head + part)
            line.stylize(style, _INDENT, _INDENT + len(label))
            yield line
    column = _INDENT + _LABEL
    for n, part in enumerate(_wrapped(clean(scrub(check.remedy)), width, column + len(_ARROW), 0)):
        yield Text(
            f"{' ' * column}{' ' * len(_ARROW) if n else _ARROW}{part}", "cyan" if check.state != "ok" else ""
        )


def _wrapped(text: str, width: int, column: int, first_column: int) -> list[str]:
    """The lines of a text that stands in this column; of its first line, what is left of it if that is less."""
    room = max(width - column, 20)
    gap = " " * max(first_column - column, 0)
    lines = textwrap.wrap(text, room, initial_indent=gap, break_on_hyphens=False)
    return [line.removeprefix(gap) for line in lines]


def _summary(report: Report) -> Text:
    counts = Counter(check.state for check in report.checks)
    told = Text()
    for state in ("failed", "warning", "ok", "skipped"):
        if counts[state]:
            label, style = LABELS[state]
            word = "warnings" if state == "warning" and counts[state] > 1 else label.lower()
            told.append(", " if told else "")
            told.append(f"{counts[state]} {word}", style)
    told.append(f", in {report.took_s:.1f} s")
    return told


def clean(text: str) -> str:
    """In one line, without what would move the cursor: some of it was written by others."""
    return "".join(each if each.isprintable() else " " for each in text)
