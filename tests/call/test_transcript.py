import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonebot.call.transcript import cut_text


@pytest.mark.parametrize(
    ("heard_ms", "text"),
    [
        (0, ""),
        (100, ""),  # in the first word
        (200, "We"),
        (500, "We"),  # in the second
        (600, "We are"),
        (1999, "We are open from"),
        (2000, "We are open from eight"),
        (2500, "We are open from eight"),
    ],
)
def test_a_cut_text_ends_with_the_last_word_heard(heard_ms: int, text: str) -> None:
    assert cut_text("We are open from eight", heard_ms, 2000) == text


@given(st.text(), st.integers(0, 5_000), st.integers(0, 5_000))
def test_a_cut_text_begins_the_whole_one(text: str, heard_ms: int, total_ms: int) -> None:
    assert text.startswith(cut_text(text, heard_ms, total_ms))
