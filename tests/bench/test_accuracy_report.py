"""The verdict on each call, and how it is shown."""

import io
import json
from typing import Any

import pytest
from rich.console import Console

from phonebot.bench.accuracy_report import AccuracyReport, ItemHeard, Row
from phonebot.bench.report import ClearsUnderLoad, Delays, Machine, Reaction
from phonebot.bench.scenario import SCENARIOS, Scenario
from phonebot.simulator.carrier import Oddities

PLAIN = Scenario("plain", ())
MACHINE = Machine(2, "3.11.7", "0.1.0")


def item(heard_ms: float, said_ms: int, naive_ms: int | None = None) -> ItemHeard:
    return ItemHeard(generated_ms=8000, heard_ms=heard_ms, said_ms=said_ms, naive_ms=naive_ms)


def row(*items: ItemHeard, scenario: Scenario = PLAIN, **changed: Any) -> Row:
    fields = {"ghost_ms": 0.0, "refusals": (), "clears_ms": (1.25,), "told": 1, **changed}
    return Row.of(scenario, items, **fields)


def printed(report: AccuracyReport, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(report.table())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("said_ms", [3080, 3100, 3120])
def test_a_call_within_a_frame_is_right(said_ms: int) -> None:
    assert row(item(3100, said_ms)).faults == ()


@pytest.mark.parametrize("said_ms", [3079, 3121])
def test_a_call_off_by_more_than_a_frame_is_not(said_ms: int) -> None:
    [fault] = row(item(3100, said_ms)).faults

    assert fault == (
        f"item 1: 3100 ms heard, the model believes {said_ms}, {said_ms - 3100:+g} ms; allowed are -20 to +20"
    )


def test_each_item_is_judged_by_itself_so_that_errors_do_not_make_up_for_each_other() -> None:
    judged = row(item(1000, 1100), item(2000, 1900))

    assert judged.error_ms == 0
    assert [fault.split(":")[0] for fault in judged.faults] == ["item 1", "item 2"]


@pytest.mark.parametrize(("said_ms", "right"), [(3101, False), (3100, True), (2930, True), (2929, False)])
def test_where_nothing_comes_back_too_much_is_wrong_and_too_little_is_bounded(said_ms: int, right: bool) -> None:
    silent = Scenario("silent", (), answered=False, oddities=Oddities(start_buffer_ms=150))

    assert (row(item(3100, said_ms), scenario=silent).faults == ()) is right


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"ghost_ms": 40.0}, "40 ms of interrupted audio were played after the clear"),
        ({"refusals": ("too long",)}, "refused: too long"),
        ({"clears_ms": ()}, "playback was cleared 0 times, 1 expected"),
        ({"clears_ms": (1.0, 2.0)}, "playback was cleared 2 times, 1 expected"),
        ({"faults": ("31951: no",)}, "31951: no"),
    ],
)
def test_what_else_went_wrong_is_a_fault(changed: dict[str, Any], fault: str) -> None:
    assert row(item(3100, 3100), scenario=PLAIN, **changed).faults == (fault,)


def test_a_model_that_is_told_of_items_heard_in_full_is_a_fault() -> None:
    untouched = Scenario("untouched", (), clears=0, untouched=True)

    assert row(item(8000, 8000), scenario=untouched, clears_ms=(), told=0).faults == ()
    assert len(row(item(8000, 8000), scenario=untouched, clears_ms=(), told=1).faults) == 1


def test_errors_are_summed_over_the_items_as_are_the_naive_ones() -> None:
    judged = row(item(2000, 2010, naive_ms=4000), item(0, 0, naive_ms=1000))

    assert (judged.heard_ms, judged.said_ms, judged.error_ms, judged.naive_error_ms) == (2000, 2010, 10, 3000)


def test_without_the_naive_position_of_one_item_there_is_no_naive_error() -> None:
    assert row(item(2000, 2010, naive_ms=4000), item(0, 0)).naive_error_ms is None


def test_the_table_ends_with_the_worst_and_the_median() -> None:
    report = AccuracyReport(
        MACHINE,
        (
            row(item(3100, 3090, naive_ms=3100), clears_ms=(1.0,)),
            row(item(3100, 3100, naive_ms=6100), clears_ms=(4.0,)),
            row(item(3100, 3105, naive_ms=2900), clears_ms=(2.0,)),
        ),
        under_load=None,
    )

    lines = printed(report).splitlines()

    first = next(line.split() for line in lines if line.startswith(" plain"))
    assert first == ["plain", "3100", "3090", "-10", "+0", "0", "0", "1.0", "ok"]
    assert ["worst", "-10", "+3000", "0", "0", "4.0"] in [line.split() for line in lines]
    assert ["median,", "signs", "left", "out", "5", "200", "0", "0", "2.0"] in [line.split() for line in lines]


def test_the_table_of_all_scenarios_fits_80_columns_with_nothing_cut() -> None:
    rows = tuple(row(item(10_200, 10_200, naive_ms=14_900), scenario=each, ghost_ms=400.0) for each in SCENARIOS)

    text = printed(AccuracyReport(MACHINE, rows, under_load=None))

    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert all(scenario.name in text for scenario in SCENARIOS)


def test_the_time_of_a_clear_under_load_stands_below_with_its_caveat() -> None:
    inside = Reaction.of([0.1] * 98 + [2.0, 3.5])
    cpu = Reaction.of([0.1] * 99 + [2.0])
    late = Delays(900, 0, 0.2, 1.5, 4.0)
    loaded = ClearsUnderLoad(
        100,
        Delays(300, 0, 2.5, 20.25, 31.0),
        inside,
        cpu,
        late,
        0.5,
        0.4,
        0.05,
        Delays(9, 0, 1.0, 18.0, 50.0),
        (),
    )

    text = " ".join(printed(AccuracyReport(MACHINE, (row(item(3100, 3100)),), loaded)).split())

    assert "clear with 100 calls at once, in ms: p50 2.5, p99 20.2, max 31.0 (300 times, 0 without" in text
    assert "an upper bound" in text
    assert "its transport: p50 0.10, p99 2.00, max 3.50, 99.0% within 2 ms; CPU time" in text
    assert "CPU time in that: p50 0.10, p99 0.10, max 2.00, 100.0% within 2 ms; its event loop" in text
    assert "its event loop was 1.5 ms late at p99, 4.0 at most" in text
    assert "server 50%, load 40%, others on the server's core 5%; the load was 18 ms behind its time at p99" in text


def test_faults_of_rows_and_of_the_load_are_the_reports() -> None:
    loaded = ClearsUnderLoad(
        100,
        Delays(),
        Reaction.of(()),
        Reaction.of(()),
        Delays(),
        0.5,
        0.4,
        None,
        Delays(),
        ("the model was sent nonsense",),
    )
    report = AccuracyReport(MACHINE, (row(item(3100, 3100), ghost_ms=20.0),), loaded)

    assert report.faults == (
        "plain: 20 ms of interrupted audio were played after the clear",
        "the model was sent nonsense",
    )


def test_json_holds_every_row_with_its_items() -> None:
    report = AccuracyReport(MACHINE, (row(item(3100, 3110, naive_ms=3000)),), under_load=None)

    [read] = json.loads(report.to_json())["rows"]

    assert (read["scenario"], read["error_ms"], read["naive_error_ms"]) == ("plain", 10, -100)
    assert read["items"] == [{"generated_ms": 8000, "heard_ms": 3100, "said_ms": 3110, "naive_ms": 3000}]
