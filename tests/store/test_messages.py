"""Messages that callers left, on both databases: kept once, found, dealt with, gone with their call."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from phonebot.errors import NotStored, StoreError
from phonebot.store.after import AfterStore, NothingToDo
from phonebot.store.audit import Actor, AuditStore
from phonebot.store.calls import CallStore
from phonebot.store.database import Database
from phonebot.store.messages import MessageFilters, MessageStore
from phonebot.store.tables import AfterRow, CallRow, MessageRow, NumberRow

ADA = Actor("ada")
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
WISHES = {"message": {"url": "https://crm.example.com/messages"}}


def message(nth: int = 1, **values: Any) -> MessageRow:
    """The newest has the highest number `nth`."""
    given = {
        "message_id": f"00000000-0000-4000-8000-{nth:012}",
        "call_sid": "CA1",
        "taken_at": NOW + timedelta(minutes=nth),
        "number": "+15550100000",
        "from_number": "+15550100123",
        "name": "Ms Ünal",
        "call_back": "+15550100123",
        "text": "Please call me about the terrace.",
    }
    return MessageRow(**(given | values))


def numbers(messages: tuple[MessageRow, ...] | list[MessageRow]) -> list[int]:
    return [int(each.message_id[-12:]) for each in messages]


async def found(store: MessageStore, **filters: Any) -> list[int]:
    return numbers((await store.page(MessageFilters(**filters))).messages)


async def test_a_message_is_kept_once(database: Database) -> None:
    store = MessageStore(database)
    assert await store.keep(message()) == "new"
    assert await store.keep(message(text="Another")) == "known"
    kept = await store.get(message().message_id)
    assert (kept.text, kept.urgent, kept.done_at, kept.after) == (message().text, False, None, None)
    assert await store.new() == 1


async def test_messages_are_found_by_state_number_caller_and_words(database: Database) -> None:
    store = MessageStore(database)
    await store.keep(message(1))
    await store.keep(message(2, text="The oven", number="+15550100001", for_whom="the kitchen", call_sid="CA2"))
    await store.keep(message(3, from_number="+15550100999", call_back="", urgent=True))
    await store.mark(message(1).message_id, True, ADA)
    assert await found(store) == [3, 2, 1]
    assert await found(store, is_done=False) == [3, 2]
    assert await found(store, is_done=True) == [1]
    assert await found(store, number="+15550100001") == [2]
    assert await found(store, caller="+15550100999") == [3]
    assert await found(store, text="TERRACE unal") == [3, 1]
    assert await found(store, text='"the kitchen"') == [2]
    assert numbers(await store.of_call("CA1")) == [1, 3]


async def test_pages_follow_one_another(database: Database) -> None:
    store = MessageStore(database)
    for number in range(1, 6):
        await store.keep(message(number, taken_at=NOW))
    first = await store.page(MessageFilters(), limit=3)
    second = await store.page(MessageFilters(), first.cursor, limit=3)
    assert numbers([*first.messages, *second.messages]) == [5, 4, 3, 2, 1]
    assert second.cursor is None
    for wrong in ("x", "2026-11-27/1", "2026-11-27T00:00:00+00:00/x"):
        with pytest.raises(StoreError, match="is no cursor of a page of messages"):
            await store.page(MessageFilters(), wrong)


async def test_who_dealt_with_a_message_is_known_and_audited_once(database: Database) -> None:
    store = MessageStore(database)
    await store.keep(message())
    done = await store.mark(message().message_id, True, ADA)
    assert (done.done_by, await store.new()) == ("ada", 0)
    again = await store.mark(message().message_id, True, Actor("bob"))
    assert (again.done_by, again.done_at) == ("ada", done.done_at)
    opened = await store.mark(message().message_id, False, Actor("bob"))
    assert (opened.done_by, opened.done_at, await store.new()) == (None, None, 1)
    noted = await AuditStore(database).page()
    assert [(each.who, each.what) for each in noted] == [("bob", "message.reopen"), ("ada", "message.done")]


async def test_a_message_goes_with_its_call_and_does_not_come_back(database: Database) -> None:
    store, calls, after = MessageStore(database), CallStore(database), AfterStore(database)
    await store.keep(message(1), WISHES)
    await store.keep(message(2, call_sid="CA2"))
    await calls.delete("CA1", ADA)
    assert await found(store) == [2]
    assert await after.waiting() == 0
    assert await store.keep(message(3)) == "deleted"
    assert await found(store) == [2]


async def test_an_id_is_found_by_its_end(database: Database) -> None:
    store = MessageStore(database)
    await store.keep(message(11))
    await store.keep(message(21))
    assert await store.ids_ending("00021") == [message(21).message_id]
    assert len(await store.ids_ending("-000000000011")) == 1
    assert await store.ids_ending("1") == []
    assert await store.ids_ending("%%%%%") == []


async def test_whom_to_tell_of_it_waits_in_the_queue_of_calls(database: Database) -> None:
    store, after = MessageStore(database), AfterStore(database)
    await store.keep(message(), WISHES)
    (job,) = await after.claim("one", 5)
    assert (job.call_sid, job.call_id, job.message_id) == ("CA1", None, message().message_id)
    assert await after.claim("two", 5) == []
    assert await after.attempt(job) == 1
    assert await after.failed(job, "status 500", 3600)
    waiting = (await store.get(message().message_id)).after
    assert waiting is not None
    assert (waiting.state, waiting.attempts, waiting.problem) == ("waiting", 1, "status 500")
    await after.message_again(message().message_id, ADA)
    (job,) = await after.claim("two", 5)
    assert await after.attempt(job) == 2
    assert await after.delivered(job)
    with pytest.raises(NothingToDo, match="nothing waits any more"):
        await after.stop_message(message().message_id, ADA)


async def test_telling_of_it_can_be_given_up(database: Database) -> None:
    store, after = MessageStore(database), AfterStore(database)
    await store.keep(message(1), WISHES)
    await store.keep(message(2))
    await after.stop_message(message(1).message_id, ADA)
    assert await after.claim("one", 5) == []
    with pytest.raises(NothingToDo, match=r"has no messages\.url"):
        await after.message_again(message(2).message_id, ADA)
    for missing in (after.message_again, after.stop_message):
        with pytest.raises(NotStored):
            await missing(message(3).message_id, ADA)
    for asked in (store.get(message(3).message_id), store.mark(message(3).message_id, True, ADA)):
        with pytest.raises(NotStored):
            await asked


async def test_a_message_of_a_call_that_was_never_filed_goes_by_itself(database: Database) -> None:
    """A day later than that of one that was, since its call could have lasted so long."""
    store = MessageStore(database)
    async with database.begin() as session:
        session.add(NumberRow(number="+15550100000", created_at=NOW, retention_days=30))
    filed = dict.fromkeys(("from_number", "to_number", "number"), "+15550100000")
    await CallStore(database).file(CallRow(call_sid="CA1", started_at=NOW, **filed))
    await store.keep(message(1), WISHES)
    await store.keep(message(2, call_sid="CA2"), WISHES)
    await store.keep(message(3, call_sid="CA3"))
    await store.keep(message(4, call_sid="CA4", number="+15550100001"))  # which keeps its own for good
    assert await store.delete_expired(NOW + timedelta(days=31)) == 0
    assert await store.delete_expired(NOW + timedelta(days=31, minutes=10), limit=1) == 1
    assert await found(store) == [4, 3, 1]
    assert await store.delete_expired(NOW + timedelta(days=31, minutes=10)) == 1
    assert await found(store) == [4, 1]
    async with database.read() as session:
        assert len((await session.scalars(select(AfterRow))).all()) == 1
