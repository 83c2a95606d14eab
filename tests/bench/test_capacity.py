"""The whole benchmark, as small as it can be: real processes, real sockets, a second each."""

import json
import os

import pytest

from phonebot.bench import capacity
from phonebot.bench.capacity import measure_capacity, measure_workers
from phonebot.bench.latency import measure_latency
from phonebot.bench.load import Terms
from phonebot.errors import PhonebotError


def test_capacity_measures_every_server_without_a_fault_or_a_loss() -> None:
    told: list[str] = []
    cores = os.sched_getaffinity(0)

    report = measure_capacity(2, 1.0, warmup_s=0.0, rounds=1, progress=told.append)

    assert [run.server for run in report.runs] == ["relay", "picows", "phonebot", "without log"]
    assert len(told) == 4
    assert report.faults == ()
    for run in report.runs:
        assert run.to_model.count > 50  # two callers, 50 frames a second each, sent by a busy machine
        assert run.to_model.lost == 0
        assert run.to_caller.lost == 0
        assert run.call_kb is not None
        assert run.cpu_shares in ((), (1.0,))  # () where all it did took less than a tick of 10 ms
    assert json.loads(report.to_json())["runs"][0]["calls"] == 2
    assert report.table().row_count == 4
    assert os.sched_getaffinity(0) == cores, "the process has its cores back"


def test_without_picows_its_relay_is_left_out_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "has_picows", lambda: False)
    monkeypatch.setattr(capacity, "SUBJECTS", (capacity.RELAY, capacity.PICOWS))

    report = measure_capacity(1, 0.5, warmup_s=0.0, rounds=1)

    assert [run.server for run in report.runs] == ["relay"]
    assert capacity.NO_PICOWS in report.notes


def test_workers_are_measured_with_all_their_processes() -> None:
    """`phonebot serve` itself, once with one worker and once with two."""
    report = measure_workers(2, 4, 1.0, warmup_s=0.0, rounds=1)

    assert report.faults == ()
    one, two = report.runs
    assert (one.server, two.server) == ("1 worker", "2 workers")
    assert two.memory_mb > one.memory_mb, "a supervisor and two services"
    for run in report.runs:
        assert run.to_model.count > 50
        assert run.to_model.lost == run.to_caller.lost == 0
        assert run.cpu_ms > 0
    assert report.table().row_count == 2


def test_latency_measures_both_directions_and_the_first_audio() -> None:
    report = measure_latency(1, 2.0, warmup_s=0.0, greeted=2, guarded=0, asked=0)

    assert report.faults == ()
    spoken, kept = report.first_words
    assert (spoken.kept, spoken.from_start.count, kept.kept, kept.from_start.count) == (False, 2, True, 2)
    assert spoken.from_start.p50_ms > 300, "the model takes that long"
    assert report.answers is None
    relay, phonebot = report.runs
    assert relay.first_audio.count == 0
    assert phonebot.first_audio.count == 2
    assert phonebot.first_audio.p50_ms > 0
    assert phonebot.to_model.count > 50
    assert phonebot.to_model.lost == phonebot.to_caller.lost == 0
    assert report.table().row_count == 2


@pytest.mark.parametrize("terms", [(0, 1.0, 0.0), (1, 0.0, 0.0), (1, 1.0, -1.0)])
def test_terms_that_measure_nothing_are_refused(terms: tuple[int, float, float]) -> None:
    with pytest.raises(PhonebotError, match="at least one call"):
        Terms(*terms)
