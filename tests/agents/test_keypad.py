"""What may be keyed in, as a profile has it: what may stand there, and what is told otherwise."""

from datetime import UTC, datetime
from typing import Any

import pytest

from phonebot.agents.profile import Profile
from phonebot.call.plan import Keypad
from phonebot.call.planning import plan_for
from phonebot.errors import ProfileError


def profile_of(keys: Any, **table: Any) -> Profile:
    return Profile.from_table({"keys": keys, **table}, "test")


def keypad_of(profile: Profile) -> Keypad | None:
    return plan_for(profile, caller="", number="", now=datetime(2026, 11, 27, tzinfo=UTC)).keypad


def test_without_keys_what_is_keyed_in_is_no_answer() -> None:
    assert keypad_of(Profile()) is None


@pytest.mark.parametrize(
    ("keys", "keypad"),
    [
        ({}, Keypad("#", 3_000, 20)),
        ({"terminator": "none", "timeout_s": 0.5, "max": 4}, Keypad("", 500, 4)),
        ({"menu": {"1": "Yes.", "#": "Go on."}}, Keypad(menu={"1": "Yes.", "#": "Go on."})),
        ({"hidden": True}, Keypad(hidden=True)),
    ],
)
def test_what_the_profile_says_is_in_the_plan(keys: Any, keypad: Keypad) -> None:
    assert keypad_of(profile_of(keys)) == keypad


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("#", 'keys is "#"; it must be a table such as { timeout_s = 5'),
        ({"terminater": "#"}, "keys.terminater is not a known key; the nearest is terminator"),
        ({"terminator": "1"}, 'keys.terminator is "1"; it must be "#", "*" or "none"'),
        ({"timeout_s": 0}, "keys.timeout_s is 0; it must be a number of seconds from 0.5 to 30"),
        ({"max": 51}, "keys.max is 51; it must be a whole number from 1 to 50"),
        ({"menu": {"1a": "Yes."}}, 'keys.menu holds "1a", which are no keys: 1 to 50 of 0 to 9, * and #'),
        ({"menu": {"": "Yes."}}, 'keys.menu holds "", which are no keys'),
        ({"menu": {"1": ""}}, 'keys.menu.1 is ""; menu is a table of at most 50 texts of 1 to 300 characters'),
        ({"menu": {"123": "Yes."}, "max": 2}, 'keys.menu holds "123", and keys.max is 2'),
        ({"menu": {"1#": "Yes."}}, 'keys.menu holds "1#", and # is keys.terminator'),
        ({"menu": {"1": "Yes."}, "hidden": True}, "keys.menu needs keys.hidden = false"),
    ],
)
def test_what_is_wrong_is_told_with_what_is_allowed(keys: Any, problem: str) -> None:
    with pytest.raises(ProfileError) as caught:
        profile_of(keys)
    (told,) = caught.value.problems
    assert told.startswith(problem)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({}, 'keys.terminator has the key #, which ends turns with turn_detection.type = "none"'),
        ({"terminator": "*", "menu": {"#": "Go on."}}, "keys.menu has the key #, which ends turns with"),
    ],
)
def test_the_key_that_ends_turns_is_no_answer(keys: Any, problem: str) -> None:
    with pytest.raises(ProfileError) as caught:
        profile_of(keys, turn_detection={"type": "none"})
    assert caught.value.problems[0].startswith(problem)
    assert profile_of({"terminator": "*"}, turn_detection={"type": "none"}).keys
