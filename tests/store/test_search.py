"""Which calls a query finds, on both databases."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from phonebot.store.database import Database
from phonebot.store.search import MAX_WORDS, found_by, searchable, terms
from phonebot.store.tables import CallRow, CallText

TEXTS: tuple[list[str | None], ...] = (
    ["A table for two, please.", "+15550100001", "Front desk"],
    ["Je voudrais un CAFÉ.", None, "100% sure_thing"],
    ["Straße und ﬁnale", "予約をお願いします", 'the "other" one'],
)


async def found(database: Database, query: str) -> list[str]:
    async with database.read() as session:
        wanted = select(CallRow.call_sid).join(CallText).where(*found_by(query)).order_by(CallRow.call_sid)
        return list(await session.scalars(wanted))


@pytest.mark.parametrize(
    ("query", "calls"),
    [
        ("table", "1"),
        ("TABLE two", "1"),
        ("table paris", ""),
        ("able", "1"),
        ('"for two"', "1"),
        ('"two for"', ""),
        ("5550100", "1"),
        ("cafe", "2"),
        ("Café", "2"),
        ("cafe\u0301", "2"),
        ("STRASSE", "3"),
        ("final", "3"),
        ("予約", "3"),
        ("100%", "2"),
        ("%", "2"),
        ("e_t", "2"),
        ("table%two", ""),
        ("'", ""),
        ("", "123"),
        ("   ", "123"),
        ('""', "123"),
        ("e", "123"),
    ],
)
async def test_a_query_finds_the_calls_that_have_all_its_words(database: Database, query: str, calls: str) -> None:
    async with database.begin() as session:
        for n, parts in enumerate(TEXTS, 1):
            call = CallRow(call_sid=str(n), from_number="", to_number="", number="", started_at=datetime.now(UTC))
            call.search = CallText(text=searchable(parts))
            session.add(call)
    assert "".join(await found(database, query)) == calls


def test_parts_do_not_run_into_each_other() -> None:
    assert searchable(["one", None, "", "two  three\n"]) == "one\ntwo three"


def test_the_rarest_word_is_looked_for_first() -> None:
    assert terms('a restaurant "for two" a') == ["restaurant", "for two", "a"]
    assert len(terms(" ".join(map(str, range(50))))) == MAX_WORDS


@given(st.text())
def test_any_text_is_found_by_itself(text: str) -> None:
    kept = searchable([text])
    assert "\0" not in kept
    assert all(term in kept for term in terms(text))
