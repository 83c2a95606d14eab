"""How calls go on between two streams: kept for whichever process is asked next."""

import asyncio
from datetime import timedelta

from sqlalchemy import select, update

from phonebot.store.continuations import ContinuationStore
from phonebot.store.database import Database
from phonebot.store.tables import ContinuationRow


async def test_what_was_kept_last_of_a_call_is_there_until_it_is_removed(database: Database) -> None:
    store = ContinuationStore(database)
    assert await store.get("CA1") is None
    for text in ('{"to": "billing"}', '{"to": "desk"}'):
        await store.put("CA1", text)
    await store.put("CA2", "{}")
    assert await ContinuationStore(database).get("CA1") == '{"to": "desk"}'
    await store.remove("CA1")
    await store.remove("CA1")
    assert (await store.get("CA1"), await store.get("CA2")) == (None, "{}")


async def test_what_two_processes_keep_of_a_call_at_once_is_one_of_the_two(database: Database) -> None:
    for sid in ("CA1", "CA2", "CA3"):
        await asyncio.gather(*(ContinuationStore(database).put(sid, text) for text in ("one", "two") * 3))
        assert await ContinuationStore(database).get(sid) in ("one", "two")


async def test_what_has_expired_is_not_told_and_goes_with_the_next_that_is_kept(database: Database) -> None:
    store = ContinuationStore(database)
    await store.put("CA1", "{}")
    async with database.begin() as session:
        expires_at = await session.scalar(select(ContinuationRow.expires_at))
        assert expires_at is not None
        await session.execute(update(ContinuationRow).values(expires_at=expires_at - timedelta(hours=2)))
    assert await store.get("CA1") is None
    await store.put("CA2", "{}")
    async with database.read() as session:
        assert (await session.scalars(select(ContinuationRow.call_sid))).all() == ["CA2"]
