"""
How calls go on that have left their media stream, so that whichever process the carrier asks next knows.

    await continuations.put("CA1", text)
    text = await continuations.get("CA1")       # None: nothing is kept of it
    await continuations.remove("CA1")

A text is JSON, which nobody here reads. It holds what was said in the call, so it is gone after KEPT_S.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select

from phonebot.store.database import Database
from phonebot.store.tables import ContinuationRow

KEPT_S = 3_600.0
DEADLINE_S = 2.0
"""A caller waits meanwhile."""


class ContinuationStore:
    """All methods raise StoreUnavailable when the database is away, or takes longer than DEADLINE_S."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, call_sid: str, text: str) -> None:
        """Keep it, in place of what was kept of the call; and let go of what nobody has asked for in time."""
        now = datetime.now(UTC)
        kept = {"continuation": text, "expires_at": now + timedelta(seconds=KEPT_S)}
        new = self._database.insert(ContinuationRow).values(call_sid=call_sid, **kept)
        async with self._database.in_time(DEADLINE_S), self._database.begin() as session:
            await session.execute(delete(ContinuationRow).where(ContinuationRow.expires_at < now))
            await session.execute(new.on_conflict_do_update(index_elements=[ContinuationRow.call_sid], set_=kept))

    async def get(self, call_sid: str) -> str | None:
        wanted = select(ContinuationRow.continuation).where(
            ContinuationRow.call_sid == call_sid, ContinuationRow.expires_at >= datetime.now(UTC)
        )
        async with self._database.in_time(DEADLINE_S), self._database.read() as session:
            return await session.scalar(wanted)

    async def remove(self, call_sid: str) -> None:
        async with self._database.in_time(DEADLINE_S), self._database.begin() as session:
            await session.execute(delete(ContinuationRow).where(ContinuationRow.call_sid == call_sid))
