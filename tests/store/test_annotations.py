"""Notes and tags of calls: kept, found, and told in the audit without their words."""

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from phonebot.errors import NotStored
from phonebot.store.annotations import (
    MAX_NOTE_CHARACTERS,
    MAX_TAG_CHARACTERS,
    MAX_TAGS,
    AnnotationRefused,
    Annotations,
)
from phonebot.store.audit import Actor
from phonebot.store.calls import CallStore, Filters
from phonebot.store.database import Database
from phonebot.store.tables import AuditRow, CallRow

ADA = Actor("ada", "192.0.2.7")


@pytest.fixture
async def calls(database: Database) -> CallStore:
    """With a call that somebody began with the word which is noted later."""
    store = CallStore(database)
    row = CallRow(call_sid="CA1", from_number="+1", to_number="+2", number="+2", started_at=datetime.now(UTC))
    await store.file(row, text=["Monday", "a table for two"])
    return store


async def is_found(calls: CallStore, text: str) -> bool:
    return bool((await calls.page(Filters(text=text))).calls)


async def test_a_note_and_tags_are_kept_and_found(database: Database, calls: CallStore) -> None:
    annotations = Annotations(database)
    assert await annotations.set("CA1", " Call  back\r\non Monday \n", [" big  party", "", "lead", "lead"], ADA)
    call = await calls.get("CA1")
    assert (call.note, call.tags) == ("Call  back\non Monday", ["big party", "lead"])
    assert await is_found(calls, '"call back on monday" lead "big party" table')


async def test_what_a_note_no_longer_says_is_not_found_any_more(database: Database, calls: CallStore) -> None:
    annotations = Annotations(database)
    await annotations.set("CA1", "Monday", ["urgent"], ADA)
    await annotations.set("CA1", "", [], ADA)
    assert not await is_found(calls, "urgent")
    assert await is_found(calls, "monday table")  # it was said, too


async def test_what_two_change_at_once_is_found_by_what_it_came_to(database: Database, calls: CallStore) -> None:
    annotations = Annotations(database)
    for number in range(20):
        await asyncio.gather(
            annotations.set("CA1", f"note{number}", [], ADA), annotations.set("CA1", "", [f"tag{number}"], ADA)
        )
        call = await calls.get("CA1")
        assert await is_found(calls, f"note{number}") == (call.note != "")
        assert await is_found(calls, f"tag{number}") == (call.tags != [])
        await annotations.set("CA1", "", [], ADA)


async def test_the_audit_tells_who_changed_what_and_not_the_words(database: Database, calls: CallStore) -> None:
    annotations = Annotations(database)
    await annotations.set("CA1", "secret", ["lead"], ADA)
    assert not await annotations.set("CA1", "secret", ["lead"], ADA)
    await annotations.set("CA1", "secret", [], ADA)
    async with database.read() as session:
        noted = (await session.scalars(select(AuditRow).order_by(AuditRow.id))).all()
    assert [(row.who, row.what, row.target, row.before, row.after) for row in noted] == [
        ("ada", "call.annotate", "CA1", None, {"changed": ["note", "tags"]}),
        ("ada", "call.annotate", "CA1", None, {"changed": ["tags"]}),
    ]


async def test_a_call_that_is_not_there_has_no_note(database: Database) -> None:
    with pytest.raises(NotStored, match="there is no call CA2"):
        await Annotations(database).set("CA2", "", [], ADA)


@pytest.mark.parametrize(
    ("note", "tags", "problem"),
    [
        ("x" * (MAX_NOTE_CHARACTERS + 1), [], "a note has 4000 characters at most, this one 4001"),
        ("", list(map(str, range(MAX_TAGS + 1))), "a call has 20 tags at most, these are 21"),
        ("", ["x" * (MAX_TAG_CHARACTERS + 1)], "a tag has 40 characters at most"),
    ],
)
async def test_what_is_too_long_is_refused(
    database: Database, calls: CallStore, note: str, tags: list[str], problem: str
) -> None:
    with pytest.raises(AnnotationRefused, match=problem):
        await Annotations(database).set("CA1", note, tags, ADA)
    assert (await calls.get("CA1")).note == ""
