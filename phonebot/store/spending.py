"""
What calls have cost, by day and number: each process keeps what its own did, and reads what those of others did.

    await spending.put(process, today, {"+15550100000": 1.25})      # in all, so far, today
    others = await spending.of_others(process, today)               # {"+15550100000": 3.5}

Days are UTC's. A number is whose profile answers; "" where the carrier told none.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Executable, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from phonebot.store.database import Database
from phonebot.store.tables import AlarmRow, SpentRow

KEPT = timedelta(days=60)
DEADLINE_S = 5.0


class SpendingStore:
    """All methods raise StoreUnavailable when the database is away, or takes longer than DEADLINE_S."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, process: str, day: date, usd: Mapping[str, float]) -> None:
        """What the calls of a process have cost on a day, by number, in all: it stands for what was put before."""
        if not usd:
            return
        rows = [{"day": day, "process": process, "number": number, "usd": cost} for number, cost in usd.items()]
        async with self._database.in_time(DEADLINE_S), self._database.begin() as session:
            await session.execute(self._upsert(), rows)

    async def of_others(self, process: str, day: date) -> dict[str, float]:
        """What the calls of all other processes have cost on a day, by number."""
        wanted = (
            select(SpentRow.number, func.sum(SpentRow.usd).label("usd"))
            .where(SpentRow.day == day, SpentRow.process != process)
            .group_by(SpentRow.number)
        )
        async with self._database.in_time(DEADLINE_S), self._database.read() as session:
            rows = (await session.execute(wanted)).all()
        return {row.number: row.usd for row in rows}

    async def of_day(self, day: date) -> dict[str, float]:
        """What all calls have cost on a day, by number."""
        return await self.of_others("", day)

    async def claim(self, day: date, alarm: str) -> bool:
        """Whether this is the first to raise an alarm of that name on that day."""
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
        new = insert(AlarmRow).values(day=day, alarm=alarm, at=datetime.now(UTC)).on_conflict_do_nothing()
        async with self._database.in_time(DEADLINE_S), self._database.begin() as session:
            return await session.scalar(new.returning(AlarmRow.alarm)) is not None

    async def tidy(self, today: date) -> None:
        """Let go of days long past."""
        async with self._database.in_time(DEADLINE_S), self._database.begin() as session:
            for row in (SpentRow, AlarmRow):
                await session.execute(delete(row).where(row.day < today - KEPT))

    def _upsert(self) -> Executable:
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
        statement = insert(SpentRow)
        key = [SpentRow.day, SpentRow.process, SpentRow.number]
        return statement.on_conflict_do_update(index_elements=key, set_={"usd": statement.excluded.usd})
