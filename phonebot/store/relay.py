"""
What somebody in another process hears and follows of a call in progress: blocks of its sound, parts of its events.

    await relay.put_audio(key, sequence, sound)         # the process that holds it, while somebody wants it
    for sequence, sound in await relay.audio(key, last): ...

A block is there for some seconds, for whoever asks in time.
"""

from datetime import datetime
from typing import TypeAlias

from sqlalchemy import ColumnElement, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from phonebot.store.database import Database
from phonebot.store.tables import LiveAudio, LiveEvents

AUDIO_S = 5.0
"""How much of a call's sound waits for those who listen in other processes."""
EVENTS_S = 15.0
"""The same of its events, for those who follow it."""
DEADLINE_S = 8.0
MAX_BLOCKS = 20

Key: TypeAlias = tuple[str, str]
"""Process and CallSid: a call may come back on another process while the first one's row is still there."""


class Relay:
    """All methods raise StoreUnavailable when the database is away, or takes longer than DEADLINE_S."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put_audio(self, key: Key, sequence: int, sound: bytes) -> None:
        """Keep a block of a call's sound for a moment. `sequence` grows with each block of the process."""
        await self._put(LiveAudio, key, sequence, AUDIO_S, sound=sound)

    async def put_events(self, key: Key, sequence: int, events: str) -> None:
        """Keep what happened in a call for a moment, as lines. `sequence` grows with each of the process."""
        await self._put(LiveEvents, key, sequence, EVENTS_S, events=events)

    async def _put(
        self,
        row: type[LiveAudio] | type[LiveEvents],
        key: Key,
        sequence: int,
        kept_s: float,
        **content: bytes | str,
    ) -> None:
        """In place of what was there for longer than that."""
        process, call_sid = key
        old = delete(row).where(*_of(row, key), row.at < self._ago(kept_s))
        new = insert(row).values(process=process, call_sid=call_sid, sequence=sequence, **content)
        async with self._database.in_time(DEADLINE_S), self._database.begin() as session:
            await session.execute(old)
            await session.execute(new.values(at=self._database.moment()))

    async def audio(self, key: Key, after: int | None) -> list[tuple[int, bytes]]:
        """The blocks of a call's sound after one, in order. `after` None: the newest one."""
        found = select(LiveAudio.sequence, LiveAudio.sound).where(*_of(LiveAudio, key))
        if after is None:
            found = found.order_by(LiveAudio.sequence.desc()).limit(1)
        else:
            found = found.where(LiveAudio.sequence > after).order_by(LiveAudio.sequence).limit(MAX_BLOCKS)
        async with self._database.in_time(DEADLINE_S), self._database.read() as session:
            return [(row.sequence, row.sound) for row in await session.execute(found)]

    async def events(self, key: Key, after: int) -> list[tuple[int, str]]:
        """What happened in a call after the part of this number, in order."""
        found = (
            select(LiveEvents.sequence, LiveEvents.events)
            .where(*_of(LiveEvents, key), LiveEvents.sequence > after)
            .order_by(LiveEvents.sequence)
            .limit(MAX_BLOCKS)
        )
        async with self._database.in_time(DEADLINE_S), self._database.read() as session:
            return [(row.sequence, row.events) for row in await session.execute(found)]

    async def newest_events(self, key: Key) -> int:
        """The number of the newest part that is kept of what happened in a call; -1: none is."""
        found = select(func.max(LiveEvents.sequence)).where(*_of(LiveEvents, key))
        async with self._database.in_time(DEADLINE_S), self._database.read() as session:
            newest = await session.scalar(found)
        return -1 if newest is None else newest

    async def tidy(self, session: AsyncSession) -> None:
        """Remove what nobody asks for any more, whichever process left it, in a transaction of somebody else's."""
        await session.execute(delete(LiveAudio).where(LiveAudio.at < self._ago(2 * AUDIO_S)))
        await session.execute(delete(LiveEvents).where(LiveEvents.at < self._ago(2 * EVENTS_S)))

    def _ago(self, seconds: float) -> ColumnElement[datetime]:
        return self._database.moment(-seconds)


def _of(row: type[LiveAudio] | type[LiveEvents], key: Key) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Whether a row is the call's, in that process."""
    process, call_sid = key
    return row.process == process, row.call_sid == call_sid
