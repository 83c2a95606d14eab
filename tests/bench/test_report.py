"""What is computed of the measurements, and how it is shown."""

import json

import pytest
from bench_runs import printed, run

from phonebot.bench.report import ClearsUnderLoad, Delays, LatencyReport, Machine, Reaction, percentile


@pytest.mark.parametrize(("percent", "expected"), [(50, 50.0), (99, 99.0), (100, 100.0), (1, 1.0)])
def test_percentile_is_the_nearest_rank(percent: int, expected: float) -> None:
    assert percentile([float(n) for n in range(1, 101)], percent) == expected


def test_delays_of_nothing_are_none_and_tell_the_loss() -> None:
    assert Delays.of([], lost=3) == Delays(lost=3)
    assert str(Delays.of([], lost=3)) == "none"


def test_delays_sum_up_unordered_values() -> None:
    assert Delays.of([3.0, 1.0, 2.0]) == Delays(count=3, lost=0, p50_ms=2.0, p99_ms=3.0, max_ms=3.0)


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
