"""What happened in a call, in words."""

from pathlib import Path
from typing import get_args

import msgspec
import pytest

from phonebot.call.actions import FalseAlarm, GuardrailTripped, Outcome, Settled, Trouble
from phonebot.call.inputs import ModelLost, Tick
from phonebot.carrier.messages import Dtmf
from phonebot.replay import timeline as told
from phonebot.replay.reader import CallLog, Step, read
from phonebot.replay.timeline import Event, Kind, timeline

CALLS = Path(__file__).parents[2] / "fixtures" / "calls"


def log_of(name: str) -> CallLog:
    return read(CALLS / name)


def of_kinds(name: str, *kinds: Kind) -> list[str]:
    return [event.text for event in timeline(log_of(name), keys=True) if event.kind in kinds]


def with_steps(*steps: Step) -> CallLog:
    log = log_of("clean")
    return CallLog(log.header, log.plan, steps)


def test_silence_and_limits_are_told() -> None:
    assert of_kinds("no-input", "call")[1:] == [
        "Nobody spoke for 4.00 s: the caller was asked whether he is there",
        "Nobody spoke for 4.00 s: the caller was asked whether he is there",
        "Nobody spoke for 4.00 s: the bot takes leave",
        "The caller said nothing, and the bot hung up",
    ]
    assert of_kinds("time-limit", "call")[1:] == [
        "The call is near the time that it may last: 8 s of 10 s",
        "The call has reached the time that it may last: 10 s of 10 s",
        "The call reached its time limit",
    ]


def test_an_interruption_is_told_with_what_its_position_rests_on() -> None:
    assert of_kinds("interrupted-at-the-greeting", "interruption", "position", "call") == [
        "The audio stream started",
        "The caller interrupted the bot, with about 2.82 s still to be said",
        "The caller heard 1.44 s of 4.25 s. Exact: the carrier's echo behind the clear",
        "The carrier ended the stream",
        "The caller hung up",
    ]


def test_a_pause_is_told_with_why_the_bot_went_on() -> None:
    assert of_kinds("backchannel", "pause") == [
        "The bot paused, with about 4.74 s still to be said",
        'The bot goes on: the caller only agreed: "that is right"',
    ]


def test_a_guardrail_is_told_with_what_it_tripped_on_and_what_is_done() -> None:
    (text,) = of_kinds("guardrail", "guardrail")
    assert text.startswith(
        'The guardrail names tripped on what the bot said: "Doctor Rivera"; the words that are given'
    )
    tripped = (
        GuardrailTripped("days", "arguments", "interrupt", "", tool="book"),
        GuardrailTripped("rude", "caller", "end", "an insult"),
        GuardrailTripped("advice", "bot", "interrupt"),
    )
    assert [event.text for event in timeline(with_steps(Step(7, Tick(), tripped)), keys=True)] == [
        'The guardrail days tripped on the arguments of "book"; it did not run',
        'The guardrail rude tripped on what the caller said: "an insult"; the call ends',
        "The guardrail advice tripped on what the bot said; the bot was stopped and corrects itself",
    ]


def test_an_estimate_is_said_to_be_one() -> None:
    assert of_kinds("model-stall", "position")[-1].endswith(
        "A low estimate: the call ended before the carrier's echo came"
    )


def test_which_keys_were_pressed_is_told_only_where_it_may_be() -> None:
    log = log_of("keys")
    pressed = [event.text for event in timeline(log, keys=True) if event.kind == "key"]
    hidden = [event.text for event in timeline(log, keys=False) if event.kind == "key"]
    assert pressed == ["The caller pressed #", "The caller pressed 1", "The caller pressed #"]
    assert hidden == ["The caller pressed a key"] * 3


@pytest.mark.parametrize("name", sorted(path.name for path in CALLS.iterdir()))
def test_events_are_in_their_order_and_sentences_without_a_full_stop(name: str) -> None:
    events = timeline(log_of(name), keys=True)
    assert [event.at_ms for event in events] == sorted(event.at_ms for event in events)
    assert all(event.text and event.text[0].isupper() and not event.text.endswith(".") for event in events)


def test_what_others_wrote_is_cut_to_a_line() -> None:
    lost = ModelLost("refused\n\x1b[31m" + "x" * 1000)
    (lost_event, trouble) = timeline(with_steps(Step(7, lost, (Trouble("the model is gone"),))), keys=True)
    assert trouble == Event(7, "trouble", "the model is gone")
    assert lost_event.text.startswith('The model was lost: "refused ?[31mxxx')
    assert len(lost_event.text) < 2 * told.MAX_TEXT


def test_of_too_many_events_the_first_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "MAX_EVENTS", 2)
    steps = [Step(at, Dtmf(at, "1"), ()) for at in range(5)]
    assert [event.text for event in timeline(with_steps(*steps), keys=True)] == [
        "The caller pressed 1",
        "The caller pressed 1",
        "3 more events are in the log",
    ]


def test_every_settlement_and_every_end_has_words() -> None:
    assert told._SETTLED.keys() == set(get_args(Settled))
    assert told._ENDS.keys() >= set(get_args(Outcome))
    why = msgspec.structs.fields(FalseAlarm)[0].type
    assert told._FALSE_ALARMS.keys() == set(get_args(why))
