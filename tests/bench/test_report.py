"""What is computed of the measurements, and how it is shown."""

import io
import json

import pytest
from rich.console import Console
from rich.table import Table

from phonebot.bench.report import (
    CapacityReport,
    ClearsUnderLoad,
    Delays,
    LatencyReport,
    Machine,
    Reaction,
    Run,
    percentile,
    ratios,
)


def run(server: str, cpu_ms: float, **changed: object) -> Run:
    fields = {
        "calls": 50,
        "seconds": 20.0,
        "memory_mb": 0.5,
        "to_model": Delays.of([1.0, 2.0, 3.0]),
        "to_caller": Delays.of([4.0]),
        "first_audio": Delays(),
        "fault_count": 0,
        "faults": (),
        "load_busy": 0.3,
        "frames_late_ms": Delays(),
        "others_busy": 0.25,
        **changed,
    }
    return Run(server=server, cpu_ms=cpu_ms, **fields)  # type: ignore[arg-type]


def printed(table: Table) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(("percent", "expected"), [(50, 50.0), (99, 99.0), (100, 100.0), (1, 1.0)])
def test_percentile_is_the_nearest_rank(percent: int, expected: float) -> None:
    assert percentile([float(n) for n in range(1, 101)], percent) == expected


def test_delays_of_nothing_are_none_and_tell_the_loss() -> None:
    assert Delays.of([], lost=3) == Delays(lost=3)
    assert str(Delays.of([], lost=3)) == "none"


def test_delays_sum_up_unordered_values() -> None:
    assert Delays.of([3.0, 1.0, 2.0]) == Delays(count=3, lost=0, p50_ms=2.0, p99_ms=3.0, max_ms=3.0)


def test_a_ratio_compares_servers_of_the_same_turn() -> None:
    turns = [
        [run("relay", 2.0), run("phonebot", 3.0)],
        [run("relay", 10.0), run("phonebot", 14.0)],
        [run("relay", 4.0), run("phonebot", 7.0)],
    ]

    assert ratios(turns) == {"relay": 1.0, "phonebot": 1.5}


def test_a_turn_too_short_for_the_yardstick_to_use_cpu_time_has_no_ratio() -> None:
    assert ratios([[run("relay", 0.0), run("phonebot", 3.0)]]) == {}


def test_the_capacity_table_has_a_row_for_each_server_with_medians_over_its_runs() -> None:
    runs = (run("relay", 2.0), run("phonebot", 3.0), run("relay", 4.0), run("phonebot", 6.0, memory_mb=None))
    report = CapacityReport(Machine(2, "3.11.7", "0.1.0"), runs, (), {"relay": 1.0, "phonebot": 1.5})

    lines = printed(report.table()).splitlines()

    [row] = [line for line in lines if "phonebot" in line]
    assert row.split() == ["phonebot", "4.50", "1.50", "0.50", "2.00/3.00", "4.00/4.00", "0", "0", "25%"]


def test_faults_and_notes_stand_below_the_table() -> None:
    runs = (run("phonebot", 3.0, fault_count=1, faults=("the carrier was sent nonsense",)),)
    report = LatencyReport(Machine(1, "3.11.7", "0.1.0"), runs, ("Only one core.",))

    text = printed(report.table())

    assert "Only one core." in text
    assert "phonebot: the carrier was sent nonsense" in text


def test_how_soon_a_guardrail_stops_playback_stands_below_the_table() -> None:
    took = Reaction.of([0.5, 3.0])
    stopped = ClearsUnderLoad(20, Delays.of([1.0, 7.0]), took, took, Delays(), 0.2, 0.1, None, Delays(), ("odd",))
    report = LatencyReport(Machine(2, "3.11.7", "0.1.0"), (run("phonebot", 3.0),), (), stopped)

    text = " ".join(printed(report.table()).split())

    assert "guardrail, from its words to the clear with 20 calls at once, in ms: p50 1.0, p99 7.0" in text
    assert "(2 times, 0 without a clear)" in text
    assert report.faults == ("odd",)
    assert json.loads(report.to_json())["guardrail"]["inside"]["within_2_ms"] == 0.5


def test_json_holds_the_machine_and_every_run() -> None:
    runs = (run("relay", 2.0), run("phonebot", 3.0))
    report = CapacityReport(Machine(2, "3.11.7", "0.1.0"), runs, (), {"relay": 1.0, "phonebot": 1.5})

    read = json.loads(report.to_json())

    assert read["machine"] == {"cores": 2, "python": "3.11.7", "phonebot": "0.1.0"}
    assert [(each["server"], each["cpu_ms"]) for each in read["runs"]] == [("relay", 2.0), ("phonebot", 3.0)]
    assert read["ratios"]["phonebot"] == 1.5
    assert read["runs"][0]["to_model"] == {"count": 3, "lost": 0, "p50_ms": 2.0, "p99_ms": 3.0, "max_ms": 3.0}
