"""What many calls cost, and how many are too many, as it is shown."""

import json

import pytest
from bench_runs import printed, run

from phonebot.bench.capacity_report import CapacityReport, Found, LimitReport, ratios
from phonebot.bench.report import Delays, Machine

MACHINE = Machine(2, "3.11.7", "0.1.0")
NEVER_WIDER = {
    "cpu_ms": 23.4,
    "calls": 1000,
    "memory_mb": 1234.0,
    "call_kb": 1234.0,
    "to_model": Delays(100, 12, 999.4, 99_999.0),
    "to_caller": Delays(100, 12, 9_999.4, 99_999.0),
    "fault_count": 9,
    "load_busy": 1.0,
    "others_busy": 1.0,
}


def test_a_ratio_compares_servers_of_the_same_turn() -> None:
    turns = [
        [run("relay", 2.0), run("picows", 1.0), run("phonebot", 3.0)],
        [run("relay", 10.0), run("picows", 5.0), run("phonebot", 14.0)],
        [run("relay", 4.0), run("picows", 2.0), run("phonebot", 7.0)],
    ]

    assert ratios(turns, ["relay", "picows"]) == {
        "relay": {"relay": 1.0, "picows": 0.5, "phonebot": 1.5},
        "picows": {"relay": 2.0, "picows": 1.0, "phonebot": 3.0},
    }


def test_a_yardstick_that_used_no_cpu_time_or_did_not_run_gives_no_ratios() -> None:
    assert ratios([[run("relay", 0.0), run("phonebot", 3.0)]], ["relay", "picows"]) == {}


def test_the_table_has_a_row_for_each_server_with_medians_over_its_runs() -> None:
    runs = (run("relay", 2.0), run("phonebot", 3.0), run("relay", 4.0), run("phonebot", 6.0, call_kb=None))
    report = CapacityReport(MACHINE, runs, (), {"relay": {"relay": 1.0, "phonebot": 1.5}})

    lines = printed(report.table()).splitlines()

    [row] = [line for line in lines if "phonebot" in line]
    assert row.split() == ["phonebot", "4.50", "1.50", "120", "2.00/3.00", "4.00/4.00", "0,", "0", "30%", "25%"]


def test_processes_that_shared_the_work_are_told_apart_below_the_table() -> None:
    runs = (run("1 worker"), run("2 workers", cpu_shares=(0.6, 0.4)))
    report = CapacityReport(MACHINE, runs, (), {"1 worker": {"1 worker": 1.0, "2 workers": 1.0}})

    text = printed(report.table())

    assert "2 workers: its processes used 60%, 40% of its CPU time" in text
    assert "1 worker: its processes" not in text


def test_json_holds_the_machine_and_every_run() -> None:
    report = CapacityReport(MACHINE, (run("relay", 2.0), run("phonebot", 3.0)), (), {"relay": {"phonebot": 1.5}})

    read = json.loads(report.to_json())

    assert read["machine"] == {"cores": 2, "python": "3.11.7", "phonebot": "0.1.0"}
    assert [(each["server"], each["cpu_ms"]) for each in read["runs"]] == [("relay", 2.0), ("phonebot", 3.0)]
    assert read["ratios"]["relay"]["phonebot"] == 1.5
    assert read["runs"][0]["to_model"] == {"count": 3, "lost": 0, "p50_ms": 2.0, "p99_ms": 3.0, "max_ms": 3.0}


def test_steps_and_what_they_came_to_are_shown() -> None:
    steps = (
        run("phonebot", 4.0, calls=100),
        run("phonebot", 4.0, calls=200, faults=("the carrier was sent nonsense",)),
    )
    report = LimitReport(MACHINE, steps, ("A note.",), 20, (Found("phonebot", 100, 200, "late"),))

    text = printed(report.table())

    [row] = [line for line in text.splitlines() if line.split()[:2] == ["phonebot", "200"]]
    assert row.split()[:6] == ["phonebot", "200", "4.00", "80%", "80", "120"]
    assert "phonebot: 100 calls; 200 are too many." in text
    assert "A note." in text
    assert "nonsense" not in text, "what being too many comes to is no fault"


def test_a_fault_with_calls_that_fit_is_one() -> None:
    steps = (run("phonebot", calls=100, faults=("the carrier was sent nonsense",)),)
    report = LimitReport(MACHINE, steps, (), 20, (Found("phonebot", 100, None, "asked"),))

    assert report.faults == ("phonebot, 100 calls: the carrier was sent nonsense",)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Found("relay", 300, 320, "late"), "relay: 300 calls; 320 are too many."),
        (Found("relay", 300, 320, "load"), "relay: at least 300 calls. At 320 the load was at its own limit"),
        (Found("relay", 1000, None, "asked"), "relay: at least 1000 calls; more were not asked for."),
    ],
)
def test_what_is_found_is_claimed_only_where_the_load_could_have_done_more(found: Found, said: str) -> None:
    assert str(found).startswith(said)


def test_the_tables_fit_into_80_columns_whatever_is_measured() -> None:
    servers = ("relay", "picows", "phonebot", "without log")
    runs = tuple(run(server, **NEVER_WIDER) for server in servers)  # type: ignore[arg-type]
    multiples = dict.fromkeys(servers, 12.34)
    capacity = CapacityReport(MACHINE, runs, (), {"relay": multiples, "picows": multiples})
    limit = LimitReport(MACHINE, runs[:3], (), 20, (Found("phonebot", 10, 12, "load"),))

    for report in (capacity, limit):
        text = printed(report.table(), 80)
        assert "…" not in text
        assert "12, 9" in text or "24, 9" in text
        assert "12.34" in text or report is limit
