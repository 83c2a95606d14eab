"""
Greetings as the model spoke them, kept to be played to later callers, and known to all processes.

    await greetings.keep(Kept("9f2c...", version, "openai", "gpt-realtime-2.1", "marin", "Hello!", audio, now))
    await greetings.of(["1a2b3c4d5e6f"])                   # those of a version, for whoever looks
    await greetings.drop("+15550100000", versions, actor)  # the next call of each gives another one

They belong to versions of profiles: when the last number goes that has a version, so do its greetings.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from phonebot.store import audit
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.tables import Counter, GreetingRow, ProfileVersion

COUNTER = "greetings"
DEADLINE_S = 5.0
BYTES_PER_MS = 8  # G.711: 8000 samples a second, one byte each
MOST = 1_000
"""So many are kept, the newest: of 30 s at most, so 240 MB at the worst, and of 4 s each 32 MB."""


@dataclass(frozen=True, slots=True)
class Kept:
    """
    A greeting: what it depends on, of which `key` is a hash, and its `audio`, raw mu-law at 8 kHz.

    `voice` None: the model's own. Where the audio was not asked for it is empty, and `length_ms` tells its length.
    """

    key: str
    version: str
    provider: str
    model: str
    voice: str | None
    text: str
    audio: bytes
    created_at: datetime
    length_ms: int = 0


class GreetingStore:
    """All methods raise StoreUnavailable when the database is away, or takes longer than DEADLINE_S."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def changes(self) -> int:
        """A number that grows whenever one is kept or dropped: cheap to ask for once a second."""
        async with self._database.in_time(DEADLINE_S), self._database.read() as session:
            return await session.scalar(select(Counter.value).where(Counter.name == COUNTER)) or 0

    async def keys(self) -> list[str]:
        """Which there are, the newest first."""
        async with self._database.in_time(DEADLINE_S), self._database.read() as session:
            return list(await session.scalars(_newest()))

    async def audio(self, key: str) -> bytes | None:
        """Of one; None: there is none by this key, or not any more."""
        async with self._database.in_time(DEADLINE_S), self._database.read() as session:
            return await session.scalar(select(GreetingRow.audio).where(GreetingRow.key == key))

    async def of(self, versions: Iterable[str]) -> list[Kept]:
        """Those of these versions, the newest first, without their audio."""
        row, length = GreetingRow, func.length(GreetingRow.audio)
        columns = (row.key, row.version, row.provider, row.model, row.voice, row.text, row.created_at)
        wanted = select(*columns, length).where(row.version.in_(set(versions))).limit(MOST)
        async with self._database.in_time(DEADLINE_S), self._database.read() as session:
            rows = (await session.execute(wanted.order_by(row.created_at.desc(), row.key))).all()
        return [
            Kept(key, version, provider, model, voice, text, b"", created_at, size // BYTES_PER_MS)
            for key, version, provider, model, voice, text, created_at, size in rows
        ]

    async def keep(self, kept: Kept) -> bool:
        """Whether it was kept: not if there is one by its key already. The oldest make room beyond MOST."""
        values = {name: getattr(kept, name) for name in GreetingRow.__table__.columns.keys()}  # noqa: SIM118
        new = self._database.insert(GreetingRow).values(values).on_conflict_do_nothing().returning(GreetingRow.key)
        async with self._database.in_time(DEADLINE_S), self._database.begin() as session:
            is_new = await session.scalar(new) is not None
            if is_new:
                await session.execute(delete(GreetingRow).where(GreetingRow.key.not_in(_newest())))
                await _count(session)
        return is_new

    async def drop(self, number: str, versions: Iterable[str], actor: Actor) -> int:
        """Forget those of these versions, which are the number's; how many there were. The audit tells of it."""
        gone = delete(GreetingRow).where(GreetingRow.version.in_(set(versions))).returning(GreetingRow.text)
        async with self._database.in_time(DEADLINE_S), self._database.begin() as session:
            texts = list(await session.scalars(gone))
            if texts:
                audit.note(session, actor, "greeting.drop", number, before={"greetings": texts})
                await _count(session)
        return len(texts)


def _newest() -> Select[str]:
    """The keys of those that may be kept, the newest first."""
    return select(GreetingRow.key).order_by(GreetingRow.created_at.desc(), GreetingRow.key).limit(MOST)


async def forget_strays(session: AsyncSession) -> None:
    """In the transaction in which versions went: greetings of those that no number has any more go, too."""
    known = select(ProfileVersion.version)
    gone = delete(GreetingRow).where(GreetingRow.version.not_in(known)).returning(GreetingRow.key)
    if list(await session.scalars(gone)):
        await _count(session)


async def _count(session: AsyncSession) -> None:
    await session.execute(update(Counter).where(Counter.name == COUNTER).values(value=Counter.value + 1))
