"""
What calls have cost, by day and number: each process keeps what its own did, and reads what those of others did.

    await spending.put(process, today, {"+15550100000": 1.25})      # in all, so far, today
    others = await spending.of_others(process, today)               # {"+15550100000": 3.5}

What all processes have spent is added up as each of them writes, so to read it takes a row for each number, however
many processes there are. Days are UTC's. A number is whose profile answers; "" where the carrier told none.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Executable, and_, delete, func, select

from phonebot.store.database import Database
from phonebot.store.tables import NUMBER_CHARACTERS, AlarmRow, SpentInAllRow, SpentRow

KEPT = timedelta(days=60)
DEADLINE_S = 5.0
DECIMALS = 9
"""Of a dollar: what sums of fractions are off by lies far below."""


class SpendingStore:
    """All methods raise StoreUnavailable when the database is away, or takes longer than DEADLINE_S."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, process: str, day: date, usd: Mapping[str, float]) -> None:
        """What the calls of a process have cost on a day, by number, in all: it stands for what was put before."""
        if not usd:
            return
        costs = _of_numbers(usd)
        own = select(SpentRow.number, SpentRow.usd).where(SpentRow.day == day, SpentRow.process == process)
        async with self._database.in_time(DEADLINE_S), self._database.begin() as session:
            before = {row.number: row.usd for row in await session.execute(own.with_for_update())}
            rows = [
                {"day": day, "process": process, "number": number, "usd": cost} for number, cost in costs.items()
            ]
            await session.execute(self._upsert(), rows)
            # Others write these rows too: in one order, so that no two wait for each other, and last.
            more = [
                {"day": day, "number": number, "usd": costs[number] - before.get(number, 0.0)}
                for number in sorted(costs)
            ]
            await session.execute(self._add(), more)

    async def of_others(self, process: str, day: date) -> dict[str, float]:
        """What the calls of all other processes have cost on a day, by number."""
        own = and_(
            SpentRow.day == SpentInAllRow.day,
            SpentRow.number == SpentInAllRow.number,
            SpentRow.process == process,
        )
        wanted = (
            select(SpentInAllRow.number, (SpentInAllRow.usd - func.coalesce(SpentRow.usd, 0.0)).label("usd"))
            .outerjoin(SpentRow, own)
            .where(SpentInAllRow.day == day)
        )
        async with self._database.in_time(DEADLINE_S), self._database.read() as session:
            rows = (await session.execute(wanted)).all()
        spent = {row.number: round(row.usd, DECIMALS) for row in rows}
        return {number: usd for number, usd in spent.items() if usd > 0}

    async def claim(self, day: date, alarm: str) -> bool:
        """Whether this is the first to raise an alarm of that name on that day."""
        new = (
            self._database.insert(AlarmRow)
            .values(day=day, alarm=alarm, at=datetime.now(UTC))
            .on_conflict_do_nothing()
        )
        async with self._database.in_time(DEADLINE_S), self._database.begin() as session:
            return await session.scalar(new.returning(AlarmRow.alarm)) is not None

    async def tidy(self, today: date) -> None:
        """Let go of days long past."""
        async with self._database.in_time(DEADLINE_S), self._database.begin() as session:
            for row in (SpentRow, SpentInAllRow, AlarmRow):
                await session.execute(delete(row).where(row.day < today - KEPT))

    def _upsert(self) -> Executable:
        new = self._database.insert(SpentRow)
        key = [SpentRow.day, SpentRow.process, SpentRow.number]
        return new.on_conflict_do_update(index_elements=key, set_={"usd": new.excluded.usd})

    def _add(self) -> Executable:
        new = self._database.insert(SpentInAllRow)
        key = [SpentInAllRow.day, SpentInAllRow.number]
        return new.on_conflict_do_update(index_elements=key, set_={"usd": SpentInAllRow.usd + new.excluded.usd})


def _of_numbers(usd: Mapping[str, float]) -> dict[str, float]:
    """By numbers as the tables take them: what is dialled comes from outside, and may be of any length."""
    costs: dict[str, float] = {}
    for number, cost in usd.items():
        kept = number.replace("\0", "")[:NUMBER_CHARACTERS]
        costs[kept] = costs.get(kept, 0.0) + cost
    return costs
