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
    yield "cost", "no price is known" if account.cost_usd is None else f"${account.cost_usd:.4f}"


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
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 64em; margin: 2em auto; padding: 0 1em; color: #222; }}
h1 {{ font-size: 1.5em; margin: 0 0 .6em; }}
.verdict {{ padding: .6em 1em; margin: 0 0 1em; border-left: 4px solid; background: #eaf5ea; color: #17581a; }}
.verdict.broken {{ background: #fbeaec; color: #9c001c; }}
.verdict ul {{ margin: .2em 0 0; padding-left: 1.2em; }}
table {{ border-collapse: collapse; table-layout: fixed; width: 100%; margin: 0 0 2em; }}
col.name {{ width: 7.5em; }}
th, td {{ text-align: left; vertical-align: top; padding: .5em .7em; border-top: 1px solid #ddd; }}
td {{ overflow-wrap: anywhere; }}
thead td, thead th {{ border: 0; }}
th[scope=row] {{ font-weight: normal; color: #666; padding-left: 0; }}
p {{ margin: 0; }}
p + p {{ margin-top: .4em; }}
.caller b {{ color: #176117; }}
.bot b {{ color: #0b5a75; }}
.cut::after {{ content: " (cut)"; color: #a05a00; }}
mark {{ background: #fff1b8; color: inherit; }}
.legend {{ color: #666; font-size: .875em; margin: 0 0 1em; }}
@media (max-width: 40em) {{
  body {{ font-size: 14px; margin: 1em auto; }}
  col.name {{ width: 4.8em; }}
  th, td {{ padding: .4em; }}
}}
</style>
<h1>{title}</h1>
{verdict}
<table>
<colgroup><col class="name"><col><col></colgroup>
<thead><tr><td></td><th scope="col">recorded</th><th scope="col">now</th></tr></thead>
<tbody>
{turns}
</tbody>
</table>
<p class="legend"><mark>Marked</mark>: in this turn not said in the other call.</p>
<table>
<colgroup><col class="name"><col><col></colgroup>
<thead><tr><td></td><th scope="col">recorded</th><th scope="col">now</th></tr></thead>
<tbody>
{figures}
</tbody>
</table>
</html>
"""


def page(title: str, replay: LiveReplay, broken: list[str]) -> str:
    """A page that stands alone: nothing is loaded from elsewhere."""
    turns = zip_longest(replay.before.turns, replay.after.turns, fillvalue=())
    told = [
        _row(f"turn {number}" if number else "greeting", _paragraphs(before, after), _paragraphs(after, before))
        for number, (before, after) in enumerate(turns)
        if before or after
    ]
    sides = zip(figures(replay.before), figures(replay.after), strict=True)
    shown = [_row(name, escape(before), escape(after)) for (name, before), (_, after) in sides]
    verdict = _verdict([*replay.faults, *broken])
    return _PAGE.format(title=escape(title), verdict=verdict, turns="\n".join(told), figures="\n".join(shown))


def _verdict(problems: list[str]) -> str:
    if not problems:
        return '<div class="verdict">The carrier found no fault, and no rule is broken.</div>'
    items = "".join(f"<li>{escape(each)}</li>" for each in problems)
    return f'<div class="verdict broken">The call is not as it must be:<ul>{items}</ul></div>'


def _row(name: str, before: str, after: str) -> str:
    return f'<tr><th scope="row">{name}</th><td>{before}</td><td>{after}</td></tr>'


def _paragraphs(lines: tuple[Line, ...], others: tuple[Line, ...]) -> str:
    """One side of a turn. What the other side has not is marked."""
    known = {(line.role, line.text, line.cut) for line in others}
    texts = (_text(line, (line.role, line.text, line.cut) not in known) for line in lines)
    return "".join(
        f'<p class="{line.role}"><b>{line.role}</b> {text}</p>' for line, text in zip(lines, texts, strict=True)
    )


def _text(line: Line, is_new: bool) -> str:
    text = f"<mark>{escape(line.text)}</mark>" if is_new else escape(line.text)
    return f"<span{' class=cut' * line.cut}>{text}</span>"
