"""How soon playback stops, measured on a server of its own."""

from dataclasses import replace

from phonebot.bench.clears import GUARDRAIL, TURNS, measure_clears
from phonebot.bench.latency import GUARDED
from phonebot.bench.load import Cores
from phonebot.bench.scenario import TABOO, Pause, Reply, Speak


async def test_each_time_that_the_bot_says_what_it_must_not_playback_is_cleared() -> None:
    turn = (Reply((2_000,), says=TABOO, says_at_ms=400), Pause(500), Speak(100), Pause(300))
    cause = replace(GUARDRAIL, turn=turn, period_ms=1_000)
    took = await measure_clears(GUARDED, 2, Cores(1), cause)
    assert took.faults == ()
    assert (took.delays.count, took.delays.lost) == (2 * (TURNS - 1), 0)
    assert took.inside.delays.count == 2 * (TURNS - 1)
    assert 0 < took.inside.delays.p50_ms <= took.delays.max_ms
