"""How many calls fit, searched on servers that are made up, and once on a real one."""

import pytest
from bench_runs import run

from phonebot.bench.capacity_report import Found
from phonebot.bench.limit import GOAL_MS, find_limits, search, verdict
from phonebot.bench.load import LATE_MS, LOAD_TOO_BUSY
from phonebot.bench.report import Delays, Run
from phonebot.bench.subject import Subject


class Server:
    """Is late with more calls than `carries`; its load can't do more than `load_carries`."""

    def __init__(self, carries: int, load_carries: int = 10_000, hiccups: int = 0) -> None:
        self._carries, self._load_carries, self._hiccups = carries, load_carries, hiccups

    async def at(self, calls: int) -> Run:
        late = calls > self._carries or self._hiccups > 0
        self._hiccups -= 1
        busy = 0.9 if calls > self._load_carries else 0.5
        delays = Delays(100, 0, 1.0, 21.0 if late else 5.0)
        return run("server", calls=calls, to_model=delays, load_busy=busy)


@pytest.mark.parametrize("carries", [0, 7, 99, 100, 137, 300, 951])
async def test_the_search_ends_close_to_what_a_server_carries(carries: int) -> None:
    steps, found = await search("server", Server(carries).at, 100, 1000)

    assert found.bound == "late"
    assert found.more is not None
    assert found.calls <= carries < found.more
    assert found.more - found.calls <= max(5, found.calls // 20)
    assert len(steps) < 30


async def test_nothing_is_claimed_beyond_what_the_load_could_do() -> None:
    _, found = await search("server", Server(500, load_carries=300).at, 100, 1000)

    assert found.bound == "load"
    assert found.calls <= 300


async def test_a_server_that_carries_all_that_is_asked_for_is_not_asked_for_more() -> None:
    steps, found = await search("server", Server(5000).at, 100, 240)

    assert found == Found("server", 240, None, "asked")
    assert [step.calls for step in steps] == [100, 125, 156, 195, 240][: len(steps)]


async def test_what_fits_the_second_time_fits() -> None:
    steps, found = await search("server", Server(5000, hiccups=1).at, 100, 100)

    assert found.calls == 100
    assert [step.to_model.p99_ms for step in steps] == [21.0, 5.0]


GOOD = run("phonebot", to_model=Delays(9, 0, 1.0, GOAL_MS), to_caller=Delays(9, 0, 1.0, GOAL_MS))
LATE = Delays(9, 0, 1.0, GOAL_MS + 1)


@pytest.mark.parametrize(
    ("step", "judged"),
    [
        (GOOD, "fits"),
        (run("phonebot", to_model=LATE), "late"),
        (run("phonebot", to_caller=LATE), "late"),
        (run("phonebot", to_caller=Delays(9, 1, 1.0, 1.0)), "late"),
        (run("phonebot", load_busy=LOAD_TOO_BUSY + 0.01), "load"),
        (run("phonebot", to_caller=LATE, load_busy=LOAD_TOO_BUSY + 0.01), "load"),
        (run("phonebot", frames_late_ms=Delays(9, 0, 1.0, LATE_MS + 1)), "load"),
    ],
)
def test_a_step_is_judged_by_the_slower_direction_unless_the_load_was_slow_itself(step: Run, judged: str) -> None:
    assert verdict(step) == judged


def test_steps_are_measured_on_a_real_server() -> None:
    report = find_limits([Subject("relay")], 1, 2, 1.0, warmup_s=0.0)

    assert report.runs[0].server == "relay"
    assert report.runs[0].to_model.count > 20
    assert report.found[0].server == "relay"
    assert report.table().row_count == len(report.runs)
