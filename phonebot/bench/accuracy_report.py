"""What was measured of the heard position: values, the verdict on each, the table people read."""

from collections.abc import Iterable
from statistics import median
from typing import Self

import msgspec
from rich import box
from rich.table import Table

from phonebot.bench.report import ClearsUnderLoad, Machine
from phonebot.bench.scenario import Scenario


class ItemHeard(msgspec.Struct, frozen=True):
    """
    An item of the model's, in ms: generated, heard by the caller, and said as the model believes.

    `naive_ms` is what it would believe by the naive formula (naive.py); None where that can't be told.
    """

    generated_ms: int
    heard_ms: float
    said_ms: int
    naive_ms: int | None

    @property
    def error_ms(self) -> float:
        return self.said_ms - self.heard_ms


class Row(msgspec.Struct, frozen=True):
    """
    One call. Errors are said - heard, summed over the items: positive when the model believes too much.

    `ghost_ms` of interrupted audio were played after a clear had taken effect. `clears_ms`: of each clear, the time
    from the model's word of the caller's speech, as written, to the clear's arrival, both at the sockets.
    """

    scenario: str
    items: tuple[ItemHeard, ...]
    heard_ms: float
    said_ms: int
    error_ms: float
    naive_error_ms: float | None
    ghost_ms: float
    refused: int
    clears_ms: tuple[float, ...]
    faults: tuple[str, ...]

    @classmethod
    def of(
        cls,
        scenario: Scenario,
        items: Iterable[ItemHeard],
        *,
        ghost_ms: float,
        refusals: Iterable[str],
        clears_ms: Iterable[float],
        told: int,
        faults: Iterable[str] = (),
    ) -> Self:
        """Sum up a call. `told`: how often the model was told something about its items; `faults` are others'."""
        items, refusals, clears_ms = tuple(items), tuple(refusals), tuple(clears_ms)
        naive_ms = [item.naive_ms for item in items if item.naive_ms is not None]
        heard_ms = sum(item.heard_ms for item in items)
        found = [*faults, *_off(items, *scenario.limits_ms), *(f"refused: {refusal}" for refusal in refusals)]
        if ghost_ms:
            found.append(f"{ghost_ms:g} ms of interrupted audio were played after the clear")
        if scenario.clears not in (None, len(clears_ms)):
            found.append(f"playback was cleared {len(clears_ms)} times, {scenario.clears} expected")
        if scenario.untouched and told:
            found.append(f"all was heard, and yet the model was told {told} times of what was not")
        return cls(
            scenario=scenario.name,
            items=items,
            heard_ms=heard_ms,
            said_ms=sum(item.said_ms for item in items),
            error_ms=round(sum(item.error_ms for item in items), 3),
            naive_error_ms=round(sum(naive_ms) - heard_ms, 3) if len(naive_ms) == len(items) else None,
            ghost_ms=ghost_ms,
            refused=len(refusals),
            clears_ms=tuple(round(ms, 3) for ms in clears_ms),
            faults=tuple(found),
        )

    @property
    def clear_ms(self) -> float | None:
        """The slowest clear; None if there was none."""
        return max(self.clears_ms, default=None)


def _off(items: tuple[ItemHeard, ...], low_ms: float, high_ms: float) -> Iterable[str]:
    for number, item in enumerate(items, 1):
        if not low_ms <= item.error_ms <= high_ms:
            yield (
                f"item {number}: {item.heard_ms:g} ms heard, the model believes {item.said_ms}, {item.error_ms:+g} "
                f"ms; allowed are {low_ms:+g} to {high_ms:+g}"
            )


class AccuracyReport(msgspec.Struct, frozen=True):
    """A row for each call; what a clear takes under load, None if that was not measured."""

    machine: Machine
    rows: tuple[Row, ...]
    under_load: ClearsUnderLoad | None
    notes: tuple[str, ...] = ()

    @property
    def faults(self) -> tuple[str, ...]:
        found = [f"{row.scenario}: {fault}" for row in self.rows for fault in row.faults]
        return (*found, *(self.under_load.faults if self.under_load else ()))

    def to_json(self) -> str:
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode()

    def table(self) -> Table:
        title = "heard by the caller, said as the model believes, in ms; error = said - heard"
        table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=0)
        table.add_column("interrupted", no_wrap=True)
        for heading in ("heard", "said", "error", "naive", "ghost", "refused", "clear", ""):
            table.add_column(heading, justify="right", no_wrap=True)
        for row in self.rows:
            table.add_row(
                row.scenario,
                f"{row.heard_ms:.0f}",
                str(row.said_ms),
                *_figures(row.error_ms, row.naive_error_ms, row.ghost_ms, row.refused, row.clear_ms),
                "bad" if row.faults else "ok",
            )
        if self.rows:
            table.add_section()
            table.add_row("worst", "", "", *self._worst())
            table.add_row("median, signs left out", "", "", *self._median())
        said = (str(self.under_load),) if self.under_load else ()
        table.caption = "\n".join((*said, *self.notes, *self.faults)) or None
        table.caption_justify = "left"
        return table

    def _worst(self) -> tuple[str, ...]:
        rows = self.rows
        return _figures(
            max((row.error_ms for row in rows), key=abs),
            max((ms for row in rows if (ms := row.naive_error_ms) is not None), key=abs, default=None),
            max(row.ghost_ms for row in rows),
            max(row.refused for row in rows),
            max((ms for row in rows if (ms := row.clear_ms) is not None), default=None),
        )

    def _median(self) -> tuple[str, ...]:
        rows = self.rows
        naive = [abs(row.naive_error_ms) for row in rows if row.naive_error_ms is not None]
        clears = [ms for row in rows if (ms := row.clear_ms) is not None]
        return (
            f"{median(abs(row.error_ms) for row in rows):.0f}",
            f"{median(naive):.0f}" if naive else "",
            f"{median(row.ghost_ms for row in rows):.0f}",
            f"{median(row.refused for row in rows):.0f}",
            f"{median(clears):.1f}" if clears else "",
        )


def _figures(
    error_ms: float, naive_ms: float | None, ghost_ms: float, refused: int, clear_ms: float | None
) -> tuple[str, ...]:
    return (
        f"{error_ms:+.0f}",
        "" if naive_ms is None else f"{naive_ms:+.0f}",
        f"{ghost_ms:.0f}",
        str(refused),
        "" if clear_ms is None else f"{clear_ms:.1f}",
    )
