"""
Numbers that are not to be called.

    await opt_outs.add("+15550100009", Actor("ada"), why="asked for it by mail")
    if await opt_outs.has("+15550100009"): ...
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from phonebot.errors import NotStored, StoreError
from phonebot.store import audit
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.tables import OptOutRow

MAX_WHY_CHARACTERS = 300
PAGE_ROWS = 50
E164 = re.compile(r"\+[1-9][0-9]{6,14}")  # ITU-T E.164: at most 15 digits, and no country code begins with 0


class OptOutRefused(StoreError):
    """What was given is no number that could be called."""


@dataclass(frozen=True, slots=True)
class OptOut:
    """A number that is not called: since when, by whom, and why."""

    number: str
    at: datetime
    by: str
    why: str


class OptOutStore:
    """Its methods raise StoreUnavailable when the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, number: str, actor: Actor, why: str = "") -> bool:
        """
        Never call a number again; whether it was called until now. Audited.

        Who opted out first, and why, stays. Raises OptOutRefused for what is no number in E.164 form.
        """
        if not E164.fullmatch(number):
            raise OptOutRefused('it is no number in E.164 form, "+" and 7 to 15 digits: correct it')
        why = _one_line(why)
        row = {"number": number, "at": datetime.now(UTC), "by": actor.name[:100], "why": why}
        new = self._database.insert(OptOutRow).values(row).on_conflict_do_nothing().returning(OptOutRow.number)
        async with self._database.begin() as session:
            is_new = await session.scalar(new) is not None
            if is_new:
                audit.note(session, actor, "opt_out.add", number, after={"why": why})
        return is_new

    async def remove(self, number: str, actor: Actor) -> None:
        """It may be called again. Audited. Raises NotStored."""
        async with self._database.begin() as session:
            row = await session.get(OptOutRow, number)
            if row is None:
                raise NotStored(f"{number[:64]} is not among the numbers that are not called: correct it")
            await session.execute(delete(OptOutRow).where(OptOutRow.number == number))
            audit.note(session, actor, "opt_out.remove", number, before={"by": row.by, "why": row.why})

    async def has(self, number: str) -> bool:
        """Whether a number is not to be called."""
        async with self._database.read() as session:
            return await is_opted_out(session, number)

    async def count(self) -> int:
        async with self._database.read() as session:
            return await session.scalar(select(func.count()).select_from(OptOutRow)) or 0

    async def page(self, *, part: str = "", after: str | None = None, limit: int = PAGE_ROWS) -> list[OptOut]:
        """
        At most `limit` of them, by number; those that hold `part`, and come after the number `after`.
        """
        wanted = select(OptOutRow).order_by(OptOutRow.number).limit(limit)
        if part:
            wanted = wanted.where(OptOutRow.number.contains(part, autoescape=True))
        if after is not None:
            wanted = wanted.where(OptOutRow.number > after)
        async with self._database.read() as session:
            return _shown(await session.scalars(wanted))


async def is_opted_out(session: AsyncSession, number: str) -> bool:
    """The same within a transaction."""
    return await session.scalar(select(OptOutRow.number).where(OptOutRow.number == number)) is not None


def _shown(rows: Iterable[OptOutRow]) -> list[OptOut]:
    return [OptOut(row.number, row.at, row.by, row.why) for row in rows]


def _one_line(text: str) -> str:
    return " ".join(text.replace("\0", "").split())[:MAX_WHY_CHARACTERS]
