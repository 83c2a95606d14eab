"""
How long the content of calls is kept: as many days as the number's entry says, or else as `default`'s does.

    is_over = await time_is_over(session, CallRow.number, CallRow.ended_at, now)
    sids = await session.scalars(select(CallRow.call_sid).where(is_over))
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, false, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from phonebot.store.tables import DEFAULT, NumberRow

AT_ONCE = 100
"""So much is deleted in one go: nobody waits long for it."""


async def time_is_over(
    session: AsyncSession,
    number: InstrumentedAttribute[str],
    ended_at: InstrumentedAttribute[Any],
    now: datetime,
) -> ColumnElement[bool]:
    """
    Whether a row, whose number and end are in these columns, ended longer ago than its number keeps it.

    It never holds of what has not ended. There is a part for each count of days and not for each number: an
    expression of more than 1,000 parts SQLite refuses (SQLite, Limits, expression depth).
    """

    def ended_before(days: int) -> ColumnElement[bool]:
        return ended_at < now - timedelta(days=days)

    kept_for = NumberRow.retention_days
    over = [
        and_(number.in_(select(NumberRow.number).where(kept_for == days)), ended_before(days))
        for days in await session.scalars(select(kept_for).where(kept_for.is_not(None)).distinct())
        if days is not None
    ]
    others = await session.scalar(select(kept_for).where(NumberRow.number == DEFAULT))
    if others is not None:
        over.append(and_(number.not_in(select(NumberRow.number)), ended_before(others)))
    return or_(false(), *over)
