"""The order of what is said, and what a new session is told of it."""

from typing import Any

import pytest
from msgspec import UNSET

from phonebot.call.actions import Tell
from phonebot.call.dialogue import MAX_RETOLD_CHARACTERS, Dialogue, retold_characters
from phonebot.call.plan import EarlierLine
from phonebot.realtime.events import CreateItem, Message, Part

# ------------------------------------------------------------------------------------------- places


def test_a_place_that_nothing_follows_is_the_end() -> None:
    dialogue = Dialogue()
    dialogue.added("a")
    dialogue.keep("clip")
    assert dialogue.take("clip") is None


def test_clips_that_are_not_told_yet_follow_nothing() -> None:
    dialogue = Dialogue()
    dialogue.keep("clip 1")
    dialogue.keep("clip 2")
    assert dialogue.take("clip 1") is None
    assert dialogue.take("clip 2") is None


def test_what_was_removed_before_it_was_told_is_told_at_the_end() -> None:
    dialogue = Dialogue()
    dialogue.keep("clip")
    dialogue.added("a")
    dialogue.removed("clip")
    assert dialogue.take("clip") is None


def a_turn_before_a_clip() -> Dialogue:
    dialogue = Dialogue()
    dialogue.added("a")
    dialogue.caller_begins("u")
    dialogue.keep("clip")
    dialogue.added("b")
    return dialogue


def test_a_turn_that_had_begun_before_the_clip_stands_before_it() -> None:
    dialogue = a_turn_before_a_clip()
    dialogue.added("u")
    assert dialogue.take("clip") == "u"


def test_a_turn_that_is_not_there_is_nobodys_place() -> None:
    assert a_turn_before_a_clip().take("clip") == "a"


def test_a_clip_is_behind_the_clip_before_it_once_that_was_told() -> None:
    dialogue = Dialogue()
    dialogue.keep("clip 1")
    dialogue.keep("clip 2")
    dialogue.caller_begins("u")
    assert dialogue.take("clip 1") == "root"
    assert dialogue.take("clip 2") == "clip 1"


def test_a_turn_without_a_name_comes_behind_the_clip_too() -> None:
    dialogue = Dialogue()
    dialogue.added("a")
    dialogue.keep("clip")
    dialogue.caller_begins(None)
    assert dialogue.take("clip") == "a"


@pytest.mark.parametrize(
    ("truncation", "characters"),
    [
        (UNSET, MAX_RETOLD_CHARACTERS),
        ("disabled", MAX_RETOLD_CHARACTERS),
        ({"type": "retention_ratio", "retention_ratio": 0.8}, MAX_RETOLD_CHARACTERS),
        ({"type": "retention_ratio", "retention_ratio": 0.5, "token_limits": {"post_instructions": 1_000}}, 2_000),
    ],
)
def test_a_new_session_is_told_no_more_than_its_truncation_leaves(truncation: Any, characters: int) -> None:
    assert retold_characters(truncation) == characters
    lines = [EarlierLine("caller", f"{number:05}") for number in range(20_000)]
    told = Dialogue(lines, retold_characters(truncation)).retell()
    assert len(told) == characters // 5
    assert told[-1] == Tell(CreateItem(Message("user", (Part("input_text", text="19999"),))))
