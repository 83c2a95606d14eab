"""The fault benchmark as the command runs it, with few calls: real sockets, in real time."""

import pytest

from phonebot.bench.fault_calls import Terms
from phonebot.bench.fault_scenes import SCENES, Scene
from phonebot.bench.faults import begin, recover
from phonebot.bench.faults_report import FaultsReport
from phonebot.bench.report import Delays, Machine
from phonebot.bench.stopping import stop
from phonebot.realtime.failover import ATTEMPT_S

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
async def test_a_model_that_is_lost_is_found_again_and_every_line_is_kept(scene: Scene) -> None:
    recovered = await recover(scene, Terms(calls=2, upgrade_ms=100, start_ms=100))
    assert recovered.problems == ()
    assert recovered.heard.count == 2
    assert recovered.heard.p50_ms > 200  # what it takes to connect
    assert recovered.kept.is_exact
    assert recovered.kept.said == 2 * len(scene.lines)


async def test_calls_whose_first_provider_fails_are_greeted_by_the_second() -> None:
    rows = await begin(Terms(calls=3, upgrade_ms=0, start_ms=0))
    assert [row.name for row in rows] == [
        *("answers", "cannot be reached", "cannot be reached, known", "refuses", "refuses, known"),
        *("hangs", "hangs, known"),
    ]
    assert [row.problems for row in rows] == [()] * 7
    assert all(row.heard.count == 3 for row in rows)
    assert rows[5].heard.p50_ms > ATTEMPT_S * 1000


async def test_a_service_that_is_told_to_stop_lets_calls_end() -> None:
    drained = await stop(Terms(calls=2), 60, stays=False)
    assert (drained.ended, drained.parted, drained.exit_code, drained.problems) == (2, 0, 0, ())
    assert drained.kept.is_exact
    assert FaultsReport(Machine.this(1), 2, 0, 0, Delays(), (), (), (drained,)).faults == ()


async def test_a_service_that_may_not_wait_for_calls_parts_from_them_with_words() -> None:
    drained = await stop(Terms(calls=2), 1, stays=True)
    assert (drained.ended, drained.parted, drained.exit_code) == (0, 2, 0)
    assert drained.kept.is_exact
