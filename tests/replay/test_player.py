"""Replaying a log: today's core against what the log says."""

from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as altered
from rehearsed import INTERRUPTED, interrupted, kept, log_of, rehearsed, saved

from phonebot.call import caller
from phonebot.call.actions import Cut, Floor, PlayAudio, Tell
from phonebot.call.inputs import Tick
from phonebot.call.items import Items
from phonebot.call.turns import Turn
from phonebot.carrier.messages import Media
from phonebot.realtime.events import AudioDelta, AudioDone, SpokenTextDone, TruncateItem
from phonebot.replay.log import LogError
from phonebot.replay.player import Difference, perform, play
from phonebot.replay.reader import CallLog, Step, agrees, read


def position_of(log: CallLog, kind: type) -> int:
    """Where the first action of this kind is."""
    return next(
        number for number, step in enumerate(log.steps) if any(isinstance(action, kind) for action in step.actions)
    )


def with_step(log: CallLog, position: int, step: Step) -> CallLog:
    return replace(log, steps=(*log.steps[:position], step, *log.steps[position + 1 :]))


def test_a_call_replays_to_the_same_actions(tmp_path: Path) -> None:
    log = read(saved(tmp_path / "call", interrupted()))
    replay = play(log)
    assert replay.differences == ()
    assert len(replay.steps) == len(log.steps) > 300
    assert [step.actions for step in replay.steps] == [step.actions for step in interrupted().steps]


def test_a_call_without_audio_replays_too(tmp_path: Path) -> None:
    log = read(saved(tmp_path / "call", interrupted(), audio=False))
    assert play(log).differences == ()


def test_an_action_that_is_missing_now_is_a_difference() -> None:
    log = log_of(interrupted())
    position = position_of(log, Cut)
    step = log.steps[position]
    edited = with_step(log, position, replace(step, actions=(*step.actions, Floor(Turn.IDLE))))
    (difference,) = play(edited).differences
    assert (difference.kind, difference.position) == ("actions", position)
    assert difference.found == interrupted().steps[position].actions


def test_another_value_is_a_difference() -> None:
    log = log_of(interrupted())
    position = position_of(log, Cut)
    step = log.steps[position]
    actions = tuple(
        altered(action, heard_ms=action.heard_ms + 1) if isinstance(action, Cut) else action
        for action in step.actions
    )
    edited = with_step(log, position, replace(step, actions=actions))
    (difference,) = play(edited).differences
    assert (difference.kind, difference.position) == ("actions", position)
    assert difference.found == interrupted().steps[position].actions


def test_other_audio_is_a_difference() -> None:
    log = log_of(interrupted())
    position = position_of(log, PlayAudio)
    step = log.steps[position]
    actions = tuple(
        PlayAudio("AAAA" * (len(action.payload) // 4)) if isinstance(action, PlayAudio) else action
        for action in step.actions
    )
    edited = with_step(log, position, replace(step, actions=actions))
    assert [difference.position for difference in play(edited).differences] == [position]


# ------------------------------------------------------------------------------------------- ticks


def unanswered() -> CallLog:
    """A model that does not begin to answer: the core asks again when its patience ends, at a tick."""
    log = log_of(interrupted())
    answer = (AudioDelta, AudioDone, SpokenTextDone)
    committed = next(
        number for number, step in enumerate(log.steps) if type(step.input).__name__ == "AudioCommitted"
    )
    before = [step for step in log.steps[:committed] if not isinstance(step.input, answer)]
    committed_ms = log.steps[committed].now_ms
    frames = [
        Step(committed_ms + number, Media(2 * number, number, committed_ms + number, "/" * 216), ())
        for number in range(0, caller.ANSWER_PATIENCE_MS, 20)
    ]
    tick = Step(committed_ms + caller.ANSWER_PATIENCE_MS, Tick(), ())
    inputs = replace(log, steps=(*before, log.steps[committed], *frames, tick))
    return replace(inputs, steps=kept(perform(inputs)))


def test_a_tick_replays_with_the_answer_it_got() -> None:
    log = unanswered()
    assert isinstance(log.steps[-1].input, Tick)
    assert any(isinstance(action, Tell) for action in log.steps[-1].actions)
    assert play(log).differences == ()


def test_a_tick_that_is_not_asked_for_any_more_is_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    log = unanswered()
    monkeypatch.setattr(caller, "ANSWER_PATIENCE_MS", caller.ANSWER_PATIENCE_MS + 500)
    last = len(log.steps) - 1
    needless, unanswered_now = play(log).differences
    assert needless == Difference("needless tick", last, due_ms=log.steps[-1].now_ms + 500)
    assert unanswered_now == Difference("actions", last)


def test_a_tick_that_is_asked_for_earlier_is_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    log = unanswered()
    due_ms = log.steps[-1].now_ms - 3000
    monkeypatch.setattr(caller, "ANSWER_PATIENCE_MS", caller.ANSWER_PATIENCE_MS - 3000)
    kinds = [(difference.kind, difference.due_ms) for difference in play(log).differences]
    assert kinds[0] == ("missing tick", due_ms)


def test_a_tick_that_comes_late_is_none() -> None:
    """The process stood still: all that had come meanwhile was read before the tick."""
    log = unanswered()
    late = log.steps[-1].now_ms + 700
    frames = tuple(Step(late, Media(9, 9, late - 100 + number, "/" * 216), ()) for number in range(5))
    slow = replace(log, steps=(*log.steps[:-1], *frames, Step(late, Tick(), ())))
    assert play(replace(slow, steps=kept(perform(slow)))).differences == ()


def test_performing_puts_ticks_where_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    log = unanswered()
    monkeypatch.setattr(caller, "ANSWER_PATIENCE_MS", caller.ANSWER_PATIENCE_MS - 3000)
    steps = perform(log)
    ticks = [step.now_ms for step in steps if isinstance(step.input, Tick)]
    assert log.steps[-1].now_ms - 3000 in ticks
    assert play(replace(log, steps=kept(steps))).differences == ()


# ------------------------------------------------------------------------------------------- the edges


def test_the_actions_of_the_last_input_may_be_torn_off_by_a_crash() -> None:
    log = log_of(interrupted())
    position = position_of(log, Cut)
    step = log.steps[position]
    torn = replace(log, steps=(*log.steps[:position], replace(step, actions=step.actions[:1])))
    assert [difference.position for difference in play(torn).differences] == [position]
    cut_off = replace(torn, header=altered(log.header, ended=None))
    assert play(cut_off).differences == ()


def test_a_truncation_that_goes_elsewhere_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault put into the core."""
    log = log_of(interrupted())
    truncate = Items._truncate
    monkeypatch.setattr(
        Items, "_truncate", lambda items, item, part, ms: truncate(items, item, part, max(ms - 20, 0))
    )
    (difference,) = play(log).differences
    told = [action.command for action in difference.found if isinstance(action, Tell)]
    (was,) = (
        action.command
        for action in log.steps[difference.position].actions
        if isinstance(action, Tell) and isinstance(action.command, TruncateItem)
    )
    assert told == [altered(was, audio_end_ms=was.audio_end_ms - 20)]


def test_a_log_without_the_audio_in_which_its_turns_were_found_is_refused(tmp_path: Path) -> None:
    call = rehearsed(*INTERRUPTED[:1], turn_detection={"type": "local"})
    assert play(read(saved(tmp_path / "kept", call))).differences == ()
    log = read(saved(tmp_path / "left-out", call, audio=False))
    with pytest.raises(LogError, match="which was not recorded: it cannot be replayed"):
        play(log)


def test_what_is_kept_agrees_with_what_was_done() -> None:
    for step in interrupted().steps:
        assert all(agrees(action, action) for action in step.actions if not isinstance(action, Tell))
