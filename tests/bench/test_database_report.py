"""What the database benchmark makes of what it measured."""

import io
import json

import pytest
from msgspec.structs import replace
from rich.console import Console

from phonebot.bench.database_figures import Figures, growth
from phonebot.bench.database_report import DatabaseReport, Kind, Load
from phonebot.bench.report import Delays
from phonebot.bench.timings import Timed, Timings, together
from phonebot.errors import StoreError

BEFORE = Figures(100.0, "15.18", 1_000_000, 8_000_000, 100_000, 0, 81, 100, 5.0, 100, 0)
AFTER = Figures(110.0, "15.18", 61_000_000, 90_000_000, 1_100_000, 50_000_000, 83, 100, 15.0, 1_100, 900)
MS = Delays.of([1.0, 20_000.0])
ROWS = Kind("live calls, rows", 11_111.1, 11_000.0, Delays(), 0)


def report(*kinds: Kind, **changed: object) -> DatabaseReport:
    fields = {
        "database": "db.example.com:5432/load",
        "load": Load(),
        "seconds": 30.0,
        "kinds": kinds or (ROWS,),
        "waiting": 0,
        "growth": growth(BEFORE, AFTER, 100),
        "generator_busy": 0.5,
        "late_ms": Delays.of([3.0]),
        **changed,
    }
    return DatabaseReport(**fields)  # type: ignore[arg-type]


def shown(of: DatabaseReport) -> str:
    output = io.StringIO()
    Console(file=output, width=80).print(of.table())
    return output.getvalue()


def test_what_a_database_did_is_the_difference_of_two_moments() -> None:
    grew = growth(BEFORE, AFTER, 100)
    assert (grew.wal_mb_s, grew.per_call_bytes, grew.cores, grew.hot) == (6.0, 10_000.0, 1.0, 0.9)
    elsewhere = growth(replace(BEFORE, cpu_s=None), replace(AFTER, cpu_s=None, updated=100), 0)
    assert (elsewhere.per_call_bytes, elsewhere.cores, elsewhere.hot) == (None, None, None)


def test_the_table_fits_a_terminal_and_holds_every_figure() -> None:
    text = shown(report(replace(ROWS, ms=MS, failed=12_345), waiting=98_765, generator_busy=0.97))
    assert max(map(len, text.splitlines())) <= 80
    for part in (
        "11,111.1",
        "20,000.0",
        "12,345",
        "98,765",
        "6.00 MB/s",
        "10,000 bytes",
        "83 of 100",
        "1.00 cores",
    ):
        assert part in text
    for part in ("at its limit: more --generators", "90% of updates", "is left as it is"):
        assert part in text


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (ROWS, None),
        (replace(ROWS, done=9_999.0), "did not keep up with live calls, rows: 9,999.0 of 11,111.1 a second"),
        (replace(ROWS, failed=1), "1 failed"),
        (replace(ROWS, wanted=None, done=0.0), None),
        (replace(ROWS, wanted=0.9, done=0.6), None),  # 27 in all: it comes in steps
    ],
)
def test_what_falls_behind_or_fails_is_a_fault_and_said(kind: Kind, fault: str | None) -> None:
    found = report(kind)
    assert bool(found.faults) == (fault is not None)
    assert (fault or "it kept up") in " ".join(shown(found).split())


def test_the_json_holds_what_was_measured() -> None:
    told = json.loads(report().to_json())
    assert told["kinds"][0]["wanted"] == 11_111.1
    assert told["growth"]["wal_mb_s"] == 6.0


def test_work_that_raises_has_failed_and_that_of_several_processes_is_added_up() -> None:
    timings = Timings()
    with timings.timing("filed"):
        pass
    with pytest.raises(StoreError), timings.timing("filed"):
        raise StoreError("away")
    timings.count("rows", 25)
    once = timings.taken
    assert (once.done("filed"), once.failed["filed"], once.done("rows")) == (1, 1, 25)
    twice = together([once, once])
    assert (twice.done("filed"), twice.failed["filed"], twice.done("rows")) == (2, 2, 50)
    timings.reset()
    assert timings.taken == Timed()
