"""What the fault benchmark measured: values, the table people read, the JSON scripts read."""

from collections import Counter
from collections.abc import Sequence
from typing import Self

import msgspec
from rich import box
from rich.console import Group
from rich.table import Table

from phonebot.bench.report import Delays, Machine

MARK_MS = 2_500
"""Within so long of a loss a caller is to hear the bot again, 99 times of 100."""
QUIET_MARK_MS = 3_000
MAX_SHOWN = 10

Line = tuple[str, str]
"""Who said it, and what."""


class Kept(msgspec.Struct, frozen=True):
    """Of the lines that were said and heard in calls: how many transcripts lack, have twice, or have elsewhere."""

    said: int = 0
    lost: int = 0
    twice: int = 0
    displaced: int = 0

    @classmethod
    def of(cls, said: Sequence[Line], found: Sequence[Line]) -> Self:
        """One transcript. A bot's line that was cut is there as far as it was heard."""
        matched = [_among(line, said) for line in found]
        counts = Counter(line for line in matched if line is not None)
        wanted = Counter(said)
        twice = sum((counts - wanted).values()) + matched.count(None)
        order = [line for line in matched if line is not None]
        displaced = int(not (counts - wanted or wanted - counts) and order != list(said))
        return cls(len(said), sum((wanted - counts).values()), twice, displaced)

    def __add__(self, other: "Kept") -> "Kept":
        return Kept(
            self.said + other.said,
            self.lost + other.lost,
            self.twice + other.twice,
            self.displaced + other.displaced,
        )

    @property
    def is_exact(self) -> bool:
        return not (self.lost or self.twice or self.displaced)


def _among(line: Line, said: Sequence[Line]) -> Line | None:
    who, text = line
    for each in said:
        if each[0] == who and text and (each[1] == text or (who == "bot" and each[1].startswith(text))):
            return each
    return None


class Recovered(msgspec.Struct, frozen=True):
    """
    Calls that lost their model in the same way. `heard` is from the loss to the next word of the bot, `quiet` the
    longest time in which such a caller heard nothing, and said nothing.
    """

    name: str
    heard: Delays
    quiet: Delays
    kept: Kept
    problems: tuple[str, ...] = ()


class Begun(msgspec.Struct, frozen=True):
    """Calls whose first provider fails so: `heard` is from their dialling to the first word of the greeting."""

    name: str
    heard: Delays
    problems: tuple[str, ...] = ()


class Drained(msgspec.Struct, frozen=True):
    """
    A service that was told to stop (SIGTERM) while calls were in progress. `refuses_ms`: after which it said that
    it takes no more; `ended`: how many calls their callers ended; `parted`: how many the bot ended, with words.
    `gone_ms`: from the last one's end to its exit, with `exit_code`.
    """

    name: str
    calls: int
    refuses_ms: float
    ended: int
    parted: int
    gone_ms: float
    exit_code: int
    kept: Kept
    problems: tuple[str, ...] = ()


class FaultsReport(msgspec.Struct, frozen=True):
    """
    `upgrade_ms` and `start_ms` are what the model took for each connection, and then for each session. `late`: how
    far this process, in which all but the last calls were, was behind its time; the figures hold that.
    """

    machine: Machine
    calls: int
    upgrade_ms: int
    start_ms: int
    late: Delays
    recovered: tuple[Recovered, ...]
    begun: tuple[Begun, ...]
    drained: tuple[Drained, ...]

    def to_json(self) -> str:
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode()

    @property
    def faults(self) -> tuple[str, ...]:
        """What is not as promised."""
        found = [f"{part.name}: {problem}" for part in self._parts for problem in part.problems]
        for each in self.recovered:
            if each.heard.lost:
                found.append(f"{each.name}: {each.heard.lost} callers did not hear the bot again")
            if each.heard.p99_ms > MARK_MS:
                found.append(f"{each.name}: the bot was heard after {each.heard.p99_ms:.0f} ms at p99")
            if each.quiet.max_ms > QUIET_MARK_MS:
                found.append(f"{each.name}: nobody was heard for {each.quiet.max_ms:.0f} ms")
        for drained in self.drained:
            if drained.exit_code:
                found.append(f"{drained.name}: exit code {drained.exit_code}")
            if cut_off := drained.calls - drained.ended - drained.parted:
                found.append(f"{drained.name}: {cut_off} calls were cut off")
        both: tuple[Recovered | Drained, ...] = (*self.recovered, *self.drained)
        kept = {each.name: each.kept for each in both}
        lines = "transcripts do not say what was said"
        found += [f"{name}: {lines}" for name, each in kept.items() if not each.is_exact]
        return tuple(found)

    @property
    def _parts(self) -> tuple[Recovered | Begun | Drained, ...]:
        return (*self.recovered, *self.begun, *self.drained)

    def table(self) -> Group:
        lost = _table(
            f"{self.calls} calls lose their model, ms (p50 / p99); it takes {self.upgrade_ms} ms for a connection\n"
            f"and {self.start_ms} ms more for a session",
            *("", "bot heard after", "longest quiet", "lines", "lost", "twice", "moved"),
        )
        for each in self.recovered:
            lost.add_row(each.name, _shown(each.heard), f"{each.quiet.max_ms:.0f}", *_kept(each.kept))
        found = _table(
            f"{self.calls} calls by what the first\nof two providers does, ms (p50 / p99)",
            *("", "from dialling to the greeting"),
        )
        for begin in self.begun:
            found.add_row(begin.name, _shown(begin.heard))
        late = f"this process was {self.late.p99_ms:.0f} ms late at p99, {self.late.max_ms:.0f} ms at most"
        return Group(lost, found, *map(_sentence, self.drained), late, *self.faults[:MAX_SHOWN])


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    return table


def _shown(delays: Delays) -> str:
    return f"{delays.p50_ms:.0f} / {delays.p99_ms:.0f}" if delays.count else "none"


def _kept(kept: Kept) -> tuple[str, ...]:
    return tuple(str(count) for count in (kept.said, kept.lost, kept.twice, kept.displaced))


def _sentence(drained: Drained) -> str:
    return (
        f"told to stop, {drained.name}: refuses calls after {drained.refuses_ms:.0f} ms; of {drained.calls} calls\n"
        f"{drained.ended} ended by their callers, {drained.parted} by the bot with words; exit code "
        f"{drained.exit_code}, {drained.gone_ms:.0f} ms\nafter the last; lines: {drained.kept.said} said, "
        f"{drained.kept.lost} lost, {drained.kept.twice} twice"
    )
