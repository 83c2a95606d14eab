"""A difference, in words: what one reads when a recorded call fails as a test."""

import re
from dataclasses import replace

import pytest
from msgspec.structs import replace as altered
from rehearsed import INTERRUPTED, interrupted, log_of, rehearsed

from phonebot.call import call as core
from phonebot.call.actions import Action, ClearPlayback, Cut, Floor, OpenModel, PlayAudio, SendMark, Tell
from phonebot.call.caller import Caller
from phonebot.call.inputs import Tick
from phonebot.call.items import Items
from phonebot.call.turns import Turn
from phonebot.carrier.messages import Dtmf
from phonebot.realtime.events import AppendAudio, Session
from phonebot.replay.differences import compared, described
from phonebot.replay.player import play
from phonebot.replay.reader import CallLog
from phonebot.simulator.caller import HangUp, Pause, Press


def shown(log: CallLog) -> str:
    """As read, the items' ids and the exact times left out."""
    return re.sub(r"item_\w+", "ITEM", described(play(log)))


def test_a_call_that_replays_has_nothing_to_say() -> None:
    assert described(play(log_of(interrupted()))) == ""


def test_the_first_difference_stands_on_the_time_line_between_what_was_around_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = log_of(interrupted())
    truncate = Items._truncate
    monkeypatch.setattr(Items, "_truncate", lambda items, item, part, ms: truncate(items, item, part, ms - 20))
    (cut,) = (action for step in log.steps for action in step.actions if isinstance(action, Cut))
    text = shown(log)
    assert f"- tell the model: truncate ITEM to {cut.heard_ms} ms" in text
    assert f"+ tell the model: truncate ITEM to {cut.heard_ms - 20} ms" in text
    assert f"= cut ITEM: {cut.heard_ms} of {cut.received_ms} ms heard (fence)" in text
    assert "= clear what was not played yet" in text
    assert text.endswith(f"This is the only difference in {len(log.steps)} inputs.")
    times = re.findall(r"^(\d+):([\d.]+)  ", text, re.MULTILINE)
    assert len(times) >= 4
    assert times == sorted(times)


def test_each_line_fits_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(interrupted())
    monkeypatch.setattr(Items, "_truncate", lambda *_: [])
    assert max(map(len, described(play(log)).splitlines())) <= 78


def test_a_tick_that_is_not_asked_for_is_told_with_the_one_that_is() -> None:
    log = log_of(interrupted())
    middle = len(log.steps) // 2
    tick = replace(log.steps[middle], input=Tick(), actions=())
    edited = replace(log, steps=(*log.steps[:middle], tick, *log.steps[middle:]))
    assert "the log has a tick that the call did not ask for; the next one is due at 1:" in shown(edited)


def test_a_tick_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(interrupted())
    monkeypatch.setattr(core, "SILENT_CARRIER_MS", 1)
    assert re.match(
        r"At 0:0[\d.]+ the call asked for a tick; the log has none by 0:0[\d.]+\.$", shown(log), re.MULTILINE
    )


def test_how_many_more_there_are_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(interrupted())
    monkeypatch.setattr(Caller, "_append", lambda *_: [])
    replay = play(log)
    assert f"It is the first of {len(replay.differences)} differences" in described(replay)


def test_keys_are_not_told() -> None:
    log = log_of(rehearsed(Pause(300), Press("4242"), Pause(300), HangUp(), greeting=""))
    last = max(number for number, step in enumerate(log.steps) if isinstance(step.input, Dtmf))
    edited = replace(log.steps[last], actions=(*log.steps[last].actions, ClearPlayback()))
    text = shown(replace(log, steps=(*log.steps[:last], edited, *log.steps[last + 1 :])))
    assert "the caller presses a key" in text
    assert not re.search(r"key.*[0-9]$", text, re.MULTILINE)
    assert "4242" not in text


# ------------------------------------------------------------------------------------------- action by action


def test_the_fields_that_differ_are_named_where_the_words_do_not_tell() -> None:
    before: list[Action] = [OpenModel(Session(instructions="Be brief.", voice="marin"))]
    after: list[Action] = [OpenModel(Session(instructions="Be kind.", voice="marin"))]
    assert list(compared(before, after)) == [
        ("-", "open the model's session"),
        ("+", "open the model's session"),
        (" ", '  session.instructions: "Be brief." is now "Be kind."'),
    ]


def test_audio_that_differs_is_not_shown() -> None:
    assert list(compared([PlayAudio("AAAA")], [PlayAudio("////")])) == [
        ("-", "play 0 ms"),
        ("+", "play 0 ms"),
        (" ", "  it is other audio"),
    ]


def test_what_the_log_abridges_still_counts_as_the_same() -> None:
    told = Tell(AppendAudio("////"))
    before = [Tell(AppendAudio("3 bytes, crc32 53c9649d"))]
    assert [sign for sign, _ in compared(before, [told])] == ["="]
    assert [sign for sign, _ in compared([Tell(AppendAudio("3 bytes"))], [told])] == ["="]
    assert [sign for sign, _ in compared(before, [Tell(AppendAudio("AAAA"))])][:2] == ["-", "+"]


def test_an_action_that_came_and_one_that_went_stand_where_they_belong() -> None:
    before: list[Action] = [SendMark("0:1"), Floor(Turn.BOT), SendMark("0:2")]
    after: list[Action] = [SendMark("0:1"), SendMark("0:2"), Floor(Turn.IDLE)]
    assert list(compared(before, after)) == [
        ("=", "send mark 0:1"),
        ("-", "the bot has the floor"),
        ("=", "send mark 0:2"),
        ("+", "nobody speaks"),
    ]


def test_control_characters_of_a_log_do_not_reach_the_terminal() -> None:
    before = [SendMark("\x1b[31m\n")]
    assert list(compared(before, [])) == [("-", "send mark ?[31m?")]


def test_the_same_call_differs_in_the_same_words_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(rehearsed(*INTERRUPTED))
    monkeypatch.setattr(Items, "_truncate", lambda *_: [])
    assert described(play(log)) == described(play(log)) != ""


def test_an_edited_header_makes_no_difference() -> None:
    log = log_of(interrupted())
    assert described(play(replace(log, header=altered(log.header, note="edited", outcome="nonsense")))) == ""
