"""The caller of a recorded call, who calls again: he takes his turns as he did."""

from rehearsed import INTERRUPTED, QUIET, SPEAKS, interrupted, log_of, rehearsed

from phonebot.call.actions import BargeIn, Cut, Line
from phonebot.rehearsal.recorded_caller import steps_of
from phonebot.rehearsal.virtual import VirtualCall
from phonebot.replay.heard import legs
from phonebot.replay.utterances import of_bot, of_caller
from phonebot.simulator.caller import HangUp, Interrupt, Pause, Press, Say, WaitForHangUp, WaitForQuiet


def lines(call: VirtualCall) -> list[tuple[str, bool]]:
    return [(action.role, action.cut) for step in call.steps for action in step.actions if isinstance(action, Line)]


def cut_ms(call: VirtualCall) -> list[int]:
    return [action.heard_ms for step in call.steps for action in step.actions if isinstance(action, Cut)]


def test_his_script_waits_speaks_interrupts_and_hangs_up() -> None:
    kinds = [type(step) for step in steps_of(log_of(interrupted()))]
    assert kinds == [WaitForQuiet, Say, Interrupt, WaitForQuiet, HangUp]


def test_with_the_same_bot_the_call_goes_as_it_did() -> None:
    again = rehearsed(*steps_of(log_of(interrupted())))
    assert lines(again) == lines(interrupted())
    (before_ms,), (after_ms,) = cut_ms(interrupted()), cut_ms(again)
    assert abs(before_ms - after_ms) <= 100


def test_a_bot_that_speaks_longer_is_waited_for() -> None:
    greeting = "Hello, this is a much longer greeting than the one before. How can I help?"
    again = rehearsed(*steps_of(log_of(interrupted())), greeting=greeting)
    assert lines(again) == lines(interrupted())
    greeted, *_ = of_bot(legs(log_of(again)))
    spoke, *_ = of_caller(legs(log_of(again)))
    assert greeted.end_ms < spoke.begin_ms < greeted.end_ms + 1500


def test_a_bot_that_says_less_than_he_interrupted_after_is_answered_all_the_same() -> None:
    call = rehearsed(Interrupt(1500, SPEAKS.audio), QUIET, HangUp(), greeting="Hello and welcome to all of you")
    again = rehearsed(*steps_of(log_of(call)), greeting="Hello")
    assert lines(again)[0] == ("bot", False)
    assert not any(isinstance(action, BargeIn) for step in again.steps for action in step.actions)


def test_what_he_said_into_silence_comes_after_the_same_time() -> None:
    call = rehearsed(Pause(3000), SPEAKS, QUIET, HangUp(), greeting="")
    first, second, *_ = steps_of(log_of(call))
    assert isinstance(first, Pause)
    assert isinstance(second, Say)
    assert 2700 <= first.ms <= 3100
    assert SPEAKS.audio.strip(b"\xff")[800:-800] in second.audio


def test_keys_are_pressed_where_they_were() -> None:
    call = rehearsed(QUIET, Press("1"), Pause(1000), Press("#"), Pause(600), HangUp())
    steps = steps_of(log_of(call))
    assert [step.keys for step in steps if isinstance(step, Press)] == ["1", "#"]
    assert isinstance(steps[0], WaitForQuiet)
    (between,) = steps[2 : steps.index(Press("#"))]
    assert isinstance(between, Pause)
    assert 1000 <= between.ms <= 1300


def test_a_call_that_the_bot_ended_is_held_to_its_end() -> None:
    call = rehearsed(Pause(5_000), WaitForHangUp(), max_call_s=10)
    assert [type(step) for step in steps_of(log_of(call))][-2:] == [WaitForHangUp, HangUp]


def test_he_says_what_he_said() -> None:
    said = [step.audio for step in steps_of(log_of(interrupted())) if isinstance(step, (Say, Interrupt))]
    assert len(said) == 2
    assert all(SPEAKS.audio.strip(b"\xff")[800:-800] in audio for audio in said)


def test_the_same_log_makes_the_same_script() -> None:
    assert steps_of(log_of(rehearsed(*INTERRUPTED))) == steps_of(log_of(interrupted()))
