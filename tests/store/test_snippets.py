"""Why a search found a call."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonebot.store.calls import CallStore, Filters
from phonebot.store.database import Database
from phonebot.store.search import plain, terms
from phonebot.store.snippets import MAX_CHARACTERS, Snippets, marked
from phonebot.store.tables import CallRow, TurnRow


def shown(text: str, query: str) -> str:
    return "".join(f"[{part.text}]" if part.found else part.text for part in marked(text, terms(query)))


@pytest.mark.parametrize(
    ("text", "query", "as_shown"),
    [
        ("A table for two, please.", "TWO table", "A [table] for [two], please."),
        ("Je voudrais un Café.", "cafe", "Je voudrais un [Café]."),
        ("In der Straße", "strasse", "In der [Straße]"),
        ("for\u00a0  two people", '"for two"', "[for\u00a0  two] people"),
        ("aaa", "aa", "[aaa]"),
        ("no such word", "table", "no such word"),
        ("", "table", ""),
    ],
)
def test_the_words_are_marked_as_they_were_said(text: str, query: str, as_shown: str) -> None:
    assert shown(text, query) == as_shown


def test_a_long_line_is_shown_around_the_first_word_that_was_found() -> None:
    text = "before " * 100 + "table for two " + "after " * 100
    line = shown(text, "table")
    assert "[table]" in line
    assert line.startswith("… before ")
    assert line.endswith(" …")
    assert len(line) <= MAX_CHARACTERS + 10


@given(st.text(max_size=400), st.text(min_size=1, max_size=3))
def test_what_is_shown_was_said_and_a_word_that_is_in_it_is_marked(text: str, word: str) -> None:
    parts = marked(text, terms(word))
    said = "".join(part.text for part in parts)
    assert said.removeprefix("… ").removesuffix(" …") in text or len(text) <= MAX_CHARACTERS
    if terms(word) and terms(word)[0] in plain(text) and " " not in terms(word)[0]:
        assert any(part.found for part in parts)


async def test_each_call_has_the_first_line_with_the_most_words(database: Database) -> None:
    calls = CallStore(database)
    for number, (said, note) in enumerate(
        [
            (["Two, please.", "A table for two.", "Two at the table"], ""),
            (["Good morning."], "Wants a table for two"),
            (["Nothing."], ""),
        ],
        1,
    ):
        row = CallRow(call_sid=f"CA{number}", from_number="", to_number="", number="", note=note)
        row.started_at = datetime(2026, 11, 27, 12, number, tzinfo=UTC)
        turns = [TurnRow(sequence=at, who="caller", text=text, start_ms=at * 1000) for at, text in enumerate(said)]
        await calls.file(row, turns)
    newest_first = (await calls.page(Filters())).calls
    found = await Snippets(database).of(newest_first, "table two")
    first, second = newest_first[2].id, newest_first[1].id
    assert found.keys() == {first, second}
    assert (found[first].who, found[first].start_ms, found[second].who) == ("caller", 1000, "note")
    assert await Snippets(database).of(newest_first, "  ") == {}
