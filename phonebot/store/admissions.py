"""
Which tokens have opened a media stream, and which calls are over, for all processes of a deployment.

    await admissions.take("nonce", "CA1", expires_at)     # "taken", "used", or "over": the call has ended
    await admissions.over("CA1")                          # no stream of it is to be opened any more

A token is signed, so each process can check it by itself; that it is used once, all of them see to together.
"""

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from phonebot.store.database import Database
from phonebot.store.spent_tokens import sweep
from phonebot.store.tables import CallRow, SpentToken

DEADLINE_S = 0.5
"""A caller hears nothing meanwhile."""
SWEEP_S = 60.0
LONGEST_CALL = timedelta(hours=24)  # Twilio ends one by then (Call resource, TimeLimit)

Taken: TypeAlias = Literal["taken", "used", "over"]


class AdmissionStore:
    """All methods raise StoreUnavailable when the database is away, or takes longer than DEADLINE_S."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # When what has expired was deleted by this process, by time.monotonic; None: it was not yet.
        self._swept_s: float | None = None

    async def take(self, nonce: str, call_sid: str, expires_at: datetime) -> Taken:
        """
        Use up the token of this name, which is void by itself from `expires_at` on.

        "over": the carrier told that the call is, or it was filed longer ago than a call can last. Its requests are
        being sent once more, by somebody who has recorded them.
        """
        now = datetime.now(UTC)
        told = select(SpentToken.nonce).where(SpentToken.nonce == _over(call_sid), SpentToken.expires_at > now)
        filed = select(CallRow.call_sid).where(CallRow.call_sid == call_sid, CallRow.ended_at < now - LONGEST_CALL)
        try:
            async with self._database.in_time(DEADLINE_S), self._database.begin() as session:
                await self._sweep(session, now)
                session.add(SpentToken(nonce=nonce, expires_at=expires_at))
                await session.flush()
                is_over = await session.scalar(told) or await session.scalar(filed)
        except IntegrityError:
            return "used"
        return "over" if is_over else "taken"

    async def over(self, call_sid: str) -> None:
        """The call has ended for good; told twice it makes no difference."""
        until = datetime.now(UTC) + LONGEST_CALL
        with suppress(IntegrityError):  # another process was told, too
            async with self._database.in_time(DEADLINE_S), self._database.begin() as session:
                await session.merge(SpentToken(nonce=_over(call_sid), expires_at=until))

    async def _sweep(self, session: AsyncSession, now: datetime) -> None:
        """Once in a while: calls that begin at once do not wait for each other over it."""
        if self._swept_s is None or time.monotonic() - self._swept_s > SWEEP_S:
            self._swept_s = time.monotonic()
            await sweep(session, now)


def _over(call_sid: str) -> str:
    """Beside the names of tokens, which hold no colon."""
    return f"call:{call_sid}"[:100]
