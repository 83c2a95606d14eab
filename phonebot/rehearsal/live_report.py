"""Then and now side by side: a recorded call and its live replay, in the terminal and as a page."""

from collections.abc import Iterator
from html import escape
from itertools import zip_longest
from statistics import median

from rich import box
from rich.table import Table
from rich.text import Text

from phonebot.call.actions import Line
from phonebot.rehearsal.live import LiveReplay
from phonebot.replay.account import Account
from phonebot.replay.prices import AS_OF

NAMES = {"bot": ("bot", "cyan"), "caller": ("caller", "green")}


def figures(account: Account) -> Iterator[tuple[str, str]]:
    """What there is to compare besides the words, each with its name."""
    yield "model", account.model or "not known"
    yield "outcome", (account.outcome or "cut off").replace("_", " ")
    yield "length", f"{account.length_ms / 1000:.1f} s"
    yield "answers after", _latencies(account)
    yield "functions", ", ".join(f"{each.name}({each.arguments})" for each in account.functions) or "none"
    tokens = account.tokens
    yield "tokens", f"{tokens.input:,} in ({tokens.cached:,} cached), {tokens.output:,} out"
    yield "cost", "no list price" if account.cost_usd is None else f"${account.cost_usd:.4f} (list, {AS_OF})"


def _latencies(account: Account) -> str:
    if not account.latencies_ms:
        return "none was heard"
    each = ", ".join(f"{latency_ms / 1000:.2f}" for latency_ms in account.latencies_ms)
    return f"{each} s; median {median(account.latencies_ms) / 1000:.2f} s"


def table(replay: LiveReplay) -> Table:
    """For a terminal of 80 columns or more."""
    shown = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False)
    shown.add_column("")
    shown.add_column("recorded", ratio=1)
    shown.add_column("now", ratio=1)
    for before, after in zip_longest(replay.before.turns, replay.after.turns, fillvalue=()):
        shown.add_row("", _told(before), _told(after))
    shown.add_section()
    for (name, before_value), (_, after_value) in zip(figures(replay.before), figures(replay.after), strict=True):
        shown.add_row(f"[dim]{name}[/dim]", Text(before_value), Text(after_value))
    return shown


def _told(lines: tuple[Line, ...]) -> Text:
    told = Text()
    for line in lines:
        name, style = NAMES[line.role]
        told.append(f"{name}: ", f"bold {style}")
        told.append(line.text)
        told.append(" ✂\n" if line.cut else "\n", "yellow")
    return told


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; color: #222; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; vertical-align: top; padding: .4em .8em; border-top: 1px solid #ddd; width: 45%; }}
th[scope=row] {{ width: 10%; font-weight: normal; color: #666; white-space: nowrap; }}
p {{ margin: 0; }}
.caller b {{ color: #176117; }}
.bot b {{ color: #0b5a75; }}
.cut::after {{ content: " (cut)"; color: #a05a00; }}
.broken {{ color: #b00020; }}
</style>
<h1>{title}</h1>
{broken}
<table>
<thead><tr><td></td><th scope="col">recorded</th><th scope="col">now</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</html>
"""


def page(title: str, replay: LiveReplay, broken: list[str]) -> str:
    """A page that stands alone: nothing is loaded from elsewhere."""
    rows = [
        f'<tr><th scope="row"></th><td>{_paragraphs(before)}</td><td>{_paragraphs(after)}</td></tr>'
        for before, after in zip_longest(replay.before.turns, replay.after.turns, fillvalue=())
    ]
    rows += [
        f'<tr><th scope="row">{name}</th><td>{escape(before)}</td><td>{escape(after)}</td></tr>'
        for (name, before), (_, after) in zip(figures(replay.before), figures(replay.after), strict=True)
    ]
    problems = "\n".join(f'<p class="broken">{escape(each)}</p>' for each in [*replay.faults, *broken])
    return _PAGE.format(title=escape(title), broken=problems, rows="\n".join(rows))


def _paragraphs(lines: tuple[Line, ...]) -> str:
    return "".join(
        f'<p class="{line.role}"><b>{line.role}</b> <span{" class=cut" * line.cut}>{escape(line.text)}</span></p>'
        for line in lines
    )
