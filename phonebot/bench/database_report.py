"""What the database benchmark measured: values, the table people read, the JSON scripts read."""

from collections.abc import Iterator

import msgspec
from rich.console import Group
from rich.table import Table

from phonebot.bench.database_figures import Growth
from phonebot.bench.report import Delays

KEPT_UP = 0.9
"""Of what was wanted. The rounds of a process are its period and what it takes to write, so all is never done."""
FEW = 30.0
"""Less than this in all is not judged by its rate: it comes in steps."""
GENERATOR_LIMIT = 0.85
"""Of a core: above it the load was perhaps late by itself."""


class Load(msgspec.Struct, frozen=True):
    """
    `calls` at once, spread over `processes`, each `call_s` long; in `consoles` processes somebody looks at the live
    calls. `generators` processes of the system play it, `slower` times slower than in earnest.
    """

    calls: int = 10_000
    processes: int = 40
    call_s: float = 180.0
    consoles: int = 5
    generators: int = 1
    slower: float = 1.0


class Kind(msgspec.Struct, frozen=True):
    """What was asked of the database, a second. `wanted` None: it depends. `ms`: how long one took."""

    name: str
    wanted: float | None
    done: float
    ms: Delays
    failed: int

    def kept_up(self, seconds: float) -> bool:
        if self.wanted is None or self.wanted * seconds < FEW:
            return not self.failed
        return not self.failed and self.done >= self.wanted * KEPT_UP


class DatabaseReport(msgspec.Struct, frozen=True):
    """
    `waiting`: calls that had ended and were not filed at the end. `generator_busy`: of a core, the busiest.
    `late_ms`: how far behind their time the generators were.
    """

    database: str
    load: Load
    seconds: float
    kinds: tuple[Kind, ...]
    waiting: int
    growth: Growth
    generator_busy: float
    late_ms: Delays

    @property
    def faults(self) -> tuple[str, ...]:
        """With what the database did not keep up."""
        return tuple(
            f"did not keep up with {each.name}: {each.done:,.1f} of {each.wanted or 0:,.1f} a second, "
            f"{each.failed:,} failed"
            for each in self.kinds
            if not each.kept_up(self.seconds)
        )

    def table(self) -> Group:
        """For a terminal of 80 columns."""
        shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        shown.add_column("", no_wrap=True)
        for heading in ("wanted/s", "done/s", "p50 ms", "p99 ms", "failed"):
            shown.add_column(heading, justify="right", no_wrap=True)
        for each in self.kinds:
            wanted = "" if each.wanted is None else f"{each.wanted:,.1f}"
            delays = (f"{each.ms.p50_ms:,.1f}", f"{each.ms.p99_ms:,.1f}") if each.ms.count else ("", "")
            shown.add_row(each.name, wanted, f"{each.done:,.1f}", *delays, f"{each.failed:,}")
        return Group(shown, "", *self._notes(), *(self.faults or ("it kept up",)))

    def _notes(self) -> Iterator[str]:
        load, grew = self.load, self.growth
        yield f"{load.calls:,} calls of {load.call_s:g} s in {load.processes} processes, for {self.seconds:g} s" + (
            "" if load.slower == 1 else f", {load.slower:g} times slower than in earnest"
        )
        yield f"PostgreSQL {grew.version}, {grew.connections} of {grew.most_connections} connections" + (
            "" if grew.cores is None else f", {grew.cores:.2f} cores"
        )
        filed = (
            "none was filed" if grew.per_call_bytes is None else f"{grew.per_call_bytes:,.0f} bytes a filed call"
        )
        yield f"write-ahead log {grew.wal_mb_s:.2f} MB/s; {filed}; {self.waiting:,} calls wait to be filed"
        hot = "" if grew.hot is None else f", {grew.hot:.0%} of updates touched no index"
        yield f"live calls take {grew.live_mb:,.1f} MB of {grew.size_mb:,.1f}{hot}"
        limit = ", at its limit: more --generators" if self.generator_busy > GENERATOR_LIMIT else ""
        yield (
            f"generators: {load.generators}, {self.generator_busy:.0%} of a core{limit}; "
            f"{self.late_ms.p99_ms:,.0f} ms late at p99"
        )
        yield f"{self.database} is left as it is, with these calls in it: drop it"

    def to_json(self) -> str:
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode()
