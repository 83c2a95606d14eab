"""
Rows whose time is over, deleted by all processes: each takes some, and leaves to the others what they are at.

    count = await delete_some(session, SpentToken.nonce, SpentToken.expires_at <= now, limit=100)
"""

from typing import Any

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute


async def delete_some(
    session: AsyncSession,
    key: InstrumentedAttribute[Any],
    *conditions: ColumnElement[bool],
    limit: int,
    oldest_by: InstrumentedAttribute[Any] | None = None,
) -> int:
    """Delete rows of which the conditions hold, by the table's `key`; how many, `limit` at most."""
    wanted = select(key).where(*conditions).order_by(oldest_by).limit(limit)
    keys = list(await session.scalars(wanted.with_for_update(skip_locked=True)))  # SQLite has one writer at a time
    if keys:
        await session.execute(delete(key.class_).where(key.in_(keys)))
    return len(keys)
