"""Every input and every action has words, also those that nobody has written any for."""

from typing import get_args

import pytest

from phonebot.call.actions import Action, Line, Trouble
from phonebot.call.inputs import Input
from phonebot.carrier.messages import Dtmf
from phonebot.realtime.events import Command, PartDone, RateLimitsUpdated, UpdateSession
from phonebot.replay import words


def test_a_class_that_is_not_known_is_told_by_its_name_and_fields() -> None:
    assert words.of_input(RateLimitsUpdated(())) == "rate limits updated"


@pytest.mark.parametrize(("ms", "text"), [(0, "0:00.000"), (61_007, "1:01.007"), (3_600_000, "60:00.000")])
def test_call_time_reads_in_minutes(ms: int, text: str) -> None:
    assert words.clock(ms) == text


def test_a_key_is_not_told() -> None:
    assert words.of_input(Dtmf(1, "7")) == "the caller presses a key"


def test_a_long_text_is_shortened_in_its_middle() -> None:
    told = words.of_action(Trouble("a" * 50 + "b" * 50))
    assert told == f'trouble: "{"a" * 21}…{"b" * 10}"'


def test_a_cut_line_says_how_much_was_heard() -> None:
    assert words.of_action(Line("bot", "item_1", "Hello", cut=True, heard_ms=700)) == (
        'line of the bot: "Hello" (cut, 700 ms)'
    )


def test_what_has_words_of_its_own_is_an_input_or_an_action() -> None:
    assert set(words._INPUTS) <= {*get_args(Input)}
    assert set(words._ACTIONS) <= {*get_args(Action)}
    assert set(words._COMMANDS) <= {*get_args(Command)}
    assert PartDone not in words._INPUTS
    assert UpdateSession not in words._COMMANDS
