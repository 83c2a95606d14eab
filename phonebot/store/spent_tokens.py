"""Tokens for one use that were used, and calls that are over: kept until what they stand for is void by itself."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from phonebot.store.deletion import delete_some
from phonebot.store.tables import SpentToken

AT_ONCE = 1_000
"""So many go at most, since somebody waits: after a night without calls all of the day before would go at once."""


async def sweep(session: AsyncSession, now: datetime) -> None:
    """Delete what is void by now; what other processes are about to delete is left to them."""
    await delete_some(session, SpentToken.nonce, SpentToken.expires_at <= now, limit=AT_ONCE)
