"""Words and patterns."""

import pytest

from phonebot.guardrails.looking import Seen
from phonebot.guardrails.patterns import finds_pattern, finds_words
from phonebot.tools import ToolContext

CALL = ToolContext("CA1")


def said(text: str) -> Seen:
    return Seen("bot", text, CALL)


@pytest.mark.parametrize("text", ["Take Blue, pill!", "the blue-pill", "ＢＬＵＥ pill", "a blue\npill."])
def test_words_are_found_however_they_are_written(text: str) -> None:
    assert finds_words(["red", "Blue pill"])(said(text)) == "Blue pill"


@pytest.mark.parametrize("text", ["", "blue pills", "a blue and a pill", "bluepill"])
def test_other_words_are_not(text: str) -> None:
    assert finds_words(["red", "Blue pill"])(said(text)) is None


def test_a_pattern_is_found_anywhere_and_shown() -> None:
    find = finds_pattern(r"(?i)\d+ ?(%|percent)\s+off")
    assert find(said("You get 20 PERCENT\n off today")) == "20 PERCENT off"
    assert find(said("You get 20 today")) is None


def test_what_a_pattern_found_is_shown_on_a_line_of_bounded_length() -> None:
    found = finds_pattern("(?s)a.*b")(said("a" + "x\n" * 1_000 + "b")) or ""
    assert len(found) == 200
    assert found.isprintable()


def test_arguments_are_looked_at_as_the_characters_that_they_are() -> None:
    seen = Seen.arguments("book", '{"name": "J\\u00f6rg"}', CALL)
    assert finds_words(["jörg"])(seen) == "jörg"
    assert finds_words(["no json"])(Seen.arguments("book", "no json {", CALL)) == "no json"
    assert Seen.arguments("book", "", CALL).text == "{}"
