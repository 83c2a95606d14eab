"""What many calls cost, and how many are too many: tables and JSON."""

from collections.abc import Sequence
from statistics import median
from typing import Literal, TypeAlias

import msgspec
from rich import box
from rich.table import Table

from phonebot.bench.report import Delays, Report, Run

Bound: TypeAlias = Literal["late", "load", "asked"]
"""What keeps a server from more calls: they were late, the load could do no more, no more were asked for."""

LOST = "lost,\nfaults"
HEADINGS = ("KB", "to\nmodel", "to\ncaller", LOST, "load", "others")
"""Of what a server's runs say, but for their CPU time; see `_figures`."""


class CapacityReport(Report, frozen=True):
    """
    What a call costs, beside yardsticks. `ratios`: by yardstick, each server's CPU time as a multiple of its.

    A server was measured several times, in turn with the others: figures are medians, a ratio is that of ratios of
    the same turn.
    """

    ratios: dict[str, dict[str, float]]

    def table(self) -> Table:
        calls, seconds = self.runs[0].calls, self.runs[0].seconds
        table = _table(
            f"{calls} calls, {seconds:.0f} s: CPU ms per call-second, KB per call, delays p50/p99 ms",
            ("CPU", *(f"x\n{yardstick}" for yardstick in self.ratios), *HEADINGS),
        )
        for name, runs in _by_server(self.runs).items():
            multiples = (f"{found[name]:.2f}" if name in found else "" for found in self.ratios.values())
            table.add_row(name, f"{median(run.cpu_ms for run in runs):.2f}", *multiples, *_figures(runs))
        return self.captioned(table, *(line for line in map(_split, self.runs) if line))


class Found(msgspec.Struct, frozen=True):
    """
    How many calls a server carries: `calls` were within the goal, with a load that could have done more.

    `more` calls were too many, by what `bound` says, or not tried (None).
    """

    server: str
    calls: int
    more: int | None
    bound: Bound

    def __str__(self) -> str:
        if self.bound == "late":
            return f"{self.server}: {self.calls} calls; {self.more} are too many."
        if self.bound == "load":
            return (
                f"{self.server}: at least {self.calls} calls. At {self.more} the load was at its own limit: "
                "what it saw there says nothing of the server."
            )
        return f"{self.server}: at least {self.calls} calls; more were not asked for."


class LimitReport(Report, frozen=True):
    """How many calls fit, by steps, each a run of a server that was started for it. `goal_ms`: at p99, each way."""

    goal_ms: int
    found: tuple[Found, ...]

    @property
    def faults(self) -> tuple[str, ...]:
        """Those of runs that fit: beyond, they are what being too many comes to."""
        fit = {found.server: found.calls for found in self.found}
        return tuple(
            f"{run.server}, {run.calls} calls: {fault}"
            for run in self.runs
            if run.calls <= fit.get(run.server, 0)
            for fault in run.faults
        )

    def table(self) -> Table:
        table = _table(
            f"{self.runs[0].seconds:.0f} s a step: CPU ms per call-second, KB per call, delays p50/p99 ms",
            ("calls", "CPU", "core", "MB", *HEADINGS),
        )
        for run in self.runs:
            core = f"{run.cpu_ms * run.calls / 1000:.0%}"
            table.add_row(
                run.server, str(run.calls), f"{run.cpu_ms:.2f}", core, f"{run.memory_mb:.0f}", *_figures([run])
            )
        goal = (
            f"Within {self.goal_ms} ms at p99, in the slower direction, nothing lost, the wire and the load in it:"
        )
        return self.captioned(table, goal, *map(str, self.found))


def ratios(turns: Sequence[Sequence[Run]], yardsticks: Sequence[str]) -> dict[str, dict[str, float]]:
    """Each server's CPU time over a yardstick's of the same turn: the median of all turns that can tell."""
    return {each: found for each in yardsticks if (found := _ratios(turns, each))}


def _ratios(turns: Sequence[Sequence[Run]], yardstick: str) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for turn in turns:
        unit = next((run.cpu_ms for run in turn if run.server == yardstick), 0.0)
        for run in turn:
            if unit:
                found.setdefault(run.server, []).append(run.cpu_ms / unit)
    return {name: round(median(values), 3) for name, values in found.items()}


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=0)  # the box keeps columns apart
    table.add_column("server", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=heading != LOST)
    return table


def _by_server(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of each server, in the order measured."""
    servers: dict[str, list[Run]] = {}
    for run in runs:
        servers.setdefault(run.server, []).append(run)
    return servers


def _figures(runs: Sequence[Run]) -> tuple[str, ...]:
    """The cells below HEADINGS."""
    lost = sum(run.to_model.lost + run.to_caller.lost for run in runs)
    return (
        _number([run.call_kb for run in runs], "{:.0f}"),
        _typical([run.to_model for run in runs]),
        _typical([run.to_caller for run in runs]),
        f"{lost}, {sum(run.fault_count for run in runs)}",
        _number([run.load_busy for run in runs], "{:.0%}"),
        _number([run.others_busy for run in runs], "{:.0%}"),
    )


def _split(run: Run) -> str:
    """How a server's processes shared the work; "" for one process."""
    if len(run.cpu_shares) < 2:
        return ""
    return (
        f"{run.server}: its processes used {', '.join(f'{share:.0%}' for share in run.cpu_shares)} of its CPU time"
    )


def _typical(delays: Sequence[Delays]) -> str:
    heard = [each for each in delays if each.count]
    if not heard:
        return "none"
    return f"{_ms(median(each.p50_ms for each in heard))}/{_ms(median(each.p99_ms for each in heard))}"


def _ms(ms: float) -> str:
    """In four characters."""
    if ms >= 999.5:
        return f"{ms / 1000:.1f}s" if ms < 9_950 else f"{ms / 1000:.0f}s"
    return f"{ms:.2f}" if ms < 10 else f"{ms:.1f}" if ms < 100 else f"{ms:.0f}"


def _number(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return form.format(median(known)) if known else ""
