"""Tokens for one use that were used, and calls that are over: kept until what they stand for is void by itself."""

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from phonebot.store.tables import SpentToken

AT_ONCE = 1_000
"""So many go at most, since somebody waits: after a night without calls all of the day before would go at once."""


async def sweep(session: AsyncSession, now: datetime) -> None:
    """Delete what is void by now; what other processes are about to delete is left to them."""
    void = (
        select(SpentToken.nonce)
        .where(SpentToken.expires_at <= now)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True)  # SQLite has one writer at a time
    )
    if nonces := list(await session.scalars(void)):
        await session.execute(delete(SpentToken).where(SpentToken.nonce.in_(nonces)))
