"""Words as they are compared, however a transcript writes them."""

import pytest

from phonebot.call.wording import consists_of, plain, resembles, says_one_of

NOTICE = "This call is recorded. We keep it for 30 days."


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Uh-huh.", "uh huh"),
        ("  It's\tfine… ", "it s fine"),
        ("STRASSE und Straße", "strasse und strasse"),
        ("\uff39\uff45\uff53", "yes"),  # full width
        ("?!", ""),
    ],
)
def test_plain_words_have_neither_case_nor_punctuation(text: str, words: str) -> None:
    assert plain(text) == words


@pytest.mark.parametrize(
    ("text", "does"),
    [
        ("Mhm.", True),
        ("Uh huh, uh-huh. Mhm!", True),
        ("uh huh uh", True),  # the first two are one phrase, and the last is one of its own
        ("huh", False),
        ("Mhm, but", False),
        ("but mhm", False),
        ("mhmm", False),
        ("", True),
        ("...", True),
    ],
)
def test_a_text_consists_of_phrases_when_nothing_else_is_in_it(text: str, does: bool) -> None:
    assert consists_of(["mhm", "uh-huh", "uh"])(text) is does


def test_without_phrases_only_a_text_without_words_consists_of_them() -> None:
    consists = consists_of(["", "-"])
    assert (consists("."), consists("yes")) == (True, False)


def test_a_caller_who_repeats_himself_keeps_nobody_waiting() -> None:
    """A phrase that is made of another: to try each way of cutting these words would take for ever."""
    consists = consists_of(["yeah", "yeah yeah"])
    assert (consists("yeah " * 1_000), consists("yeah " * 1_000 + "wait")) == (True, False)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Yes, please.", True),
        ("Go ahead!", True),
        ("well, go... ahead", True),
        ("yesterday", False),
        ("go on ahead", False),
        ("", False),
    ],
)
def test_a_phrase_is_said_as_whole_words(text: str, says: bool) -> None:
    assert says_one_of(text, ["yes", "go ahead", "?"]) is says


@pytest.mark.parametrize(
    ("text", "does"),
    [
        (NOTICE, True),
        ("this call is recorded we keep it for thirty days", True),
        ("This call is recorded.", False),  # less than it
        (f"{NOTICE} How can I help you today? Our opening hours are from eight to five.", False),  # more
        ("Hello, how can I help you?", False),
        ("", False),
    ],
)
def test_words_resemble_others_where_a_transcript_may_have_made_them_of_those(text: str, does: bool) -> None:
    assert resembles(text, NOTICE) is does
