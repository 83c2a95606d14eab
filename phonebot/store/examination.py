"""
What can be said of a database without changing it.

    facts = await examine(database)
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import text

from phonebot.store.database import Database, revisions, too_new


@dataclass(frozen=True, slots=True)
class Facts:
    """
    `revision`: the migration that the tables are at, None: they were never made; `newest`: where they should be.

    `ahead_s`: by how much the database's clock is ahead of ours; 0 where it is the same. `took_ms`: an answer.
    """

    revision: str | None
    newest: str
    ahead_s: float
    took_ms: int


async def examine(database: Database) -> Facts:
    """
    Ask it. Whether it may be written to is found by a statement that fits no row, and is taken back.

    Raises StoreError for one that is away, may not be written to, or is a later version's.
    """
    known = await asyncio.to_thread(revisions)
    newest = known[0]
    revision = await database.revision()
    if revision is None:
        return Facts(None, newest, 0.0, 0)
    if revision not in known:
        raise too_new(database.name, revision)
    started = time.perf_counter()
    async with database.begin() as session:
        took_ms = round((time.perf_counter() - started) * 1000)
        ahead_s = 0.0
        if not database.is_sqlite:
            theirs = await session.scalar(text("SELECT clock_timestamp()"))
            assert isinstance(theirs, datetime), "the driver knows this type"
            ahead_s = (theirs - datetime.now(UTC)).total_seconds()
        await session.execute(text("UPDATE counters SET value = value WHERE 1 = 0"))
        await session.rollback()
    return Facts(revision, newest, ahead_s, took_ms)
