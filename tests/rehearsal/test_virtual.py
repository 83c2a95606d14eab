"""Whole calls in virtual time, held against what a call must be."""

import math
from collections.abc import Generator

import pytest
from rehearsed import INTERRUPTED, QUIET, SPEAKS, rehearsed

from phonebot.call.actions import BargeIn, Cut, Ended, Line, Recovered
from phonebot.call.inputs import ModelLost
from phonebot.rehearsal.virtual import VirtualCall
from phonebot.rehearsal.virtual_model import VirtualModel, at_once
from phonebot.replay.player import play
from phonebot.simulator.caller import Caller, HangUp, Pause
from phonebot.simulator.mind import EchoMind
from phonebot.simulator.outputs import Options


def said(call: VirtualCall, *kinds: type) -> list[object]:
    return [action for step in call.steps for action in step.actions if isinstance(action, kinds)]


def test_a_call_goes_as_calls_go() -> None:
    call = rehearsed(*INTERRUPTED)
    lines = [(line.role, line.cut) for line in said(call, Line) if isinstance(line, Line)]
    assert lines == [("bot", False), ("caller", False), ("bot", True), ("caller", False), ("bot", False)]
    assert len(said(call, BargeIn)) == len(said(call, Cut)) == 1
    assert said(call, Ended) == [Ended("caller_hung_up")]


def test_the_same_call_gives_the_same_steps() -> None:
    assert rehearsed(*INTERRUPTED).steps == rehearsed(*INTERRUPTED).steps
    assert rehearsed(*INTERRUPTED, seed=1).steps != rehearsed(*INTERRUPTED, seed=2).steps


def test_call_time_never_runs_backwards() -> None:
    times = [step.now_ms for step in rehearsed(*INTERRUPTED).steps]
    assert times == sorted(times)
    assert times[0] == 0


def test_what_the_model_is_told_was_heard_is_what_the_carrier_played() -> None:
    call = rehearsed(*INTERRUPTED)
    (cut,) = (action for action in said(call, Cut) if isinstance(action, Cut))
    (clear,) = call.carrier.clears
    before_ms = sum(len(frame.audio) for frame in call.carrier.frames if frame.at_ms < clear.at_ms) / 8
    first, *_ = (line.heard_ms for line in said(call, Line) if isinstance(line, Line) and line.role == "bot")
    assert abs(before_ms - first - cut.heard_ms) <= 20


def test_time_stands_still_unless_it_is_waited_for() -> None:
    call = rehearsed(Pause(1000), HangUp())
    assert not call.run_until(lambda: False, 10_000)
    assert 1000 <= call.now_ms < 1300


def test_a_session_that_ends_is_a_model_that_is_lost() -> None:
    model = VirtualModel(EchoMind(), options=Options(seed=1))
    model._session._expires_ms = 2000.0
    further = VirtualModel(EchoMind(), options=Options(seed=2))
    plan = rehearsed(QUIET, HangUp()).plan
    call = VirtualCall(plan, Caller(Pause(5000), HangUp()), model, further=(further,))
    call.run_until(lambda: call.ended, 20_000)
    assert any(isinstance(step.input, ModelLost) for step in call.steps)
    assert len(said(call, Recovered)) == 1
    assert said(call, Ended) == [Ended("caller_hung_up")]


def test_a_caller_who_speaks_first_is_heard() -> None:
    call = rehearsed(SPEAKS, QUIET, HangUp(), greeting="")
    assert next(line.text for line in said(call, Line) if isinstance(line, Line)) == "opening hours"


class Slow:
    """Waits for something."""

    def __await__(self) -> Generator[None, None, str]:
        yield
        return "hello"


async def recognised() -> str:
    return await Slow()


def test_an_ear_that_waits_needs_a_loop() -> None:
    with pytest.raises(RuntimeError, match="must not wait"):
        at_once(recognised())


def test_a_model_that_is_not_open_has_nothing_due() -> None:
    assert VirtualModel(EchoMind()).next_ms() < math.inf  # its session's end
    assert VirtualModel(EchoMind()).due(0) == []


def test_a_rehearsed_call_is_one_that_replays() -> None:
    from rehearsed import log_of

    assert play(log_of(rehearsed(*INTERRUPTED, turn_detection={"type": "local"}))).differences == ()
