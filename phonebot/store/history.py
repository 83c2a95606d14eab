"""What is known of a caller from his earlier calls to one of our numbers: deleted ones are gone from it."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from phonebot.store.database import Database
from phonebot.store.tables import AfterRow, CallRow, MessageRow, TurnRow

FIRST_LINES = 3


@dataclass(frozen=True, slots=True)
class EarlierCall:
    """`summary` None: there is none. `said`: the caller's first lines. `messages` are those that he left."""

    began: datetime
    outcome: str | None
    summary: str | None
    said: tuple[str, ...]
    messages: tuple[str, ...]


class HistoryStore:
    """Raises StoreUnavailable when the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, caller: str, number: str, since: datetime, limit: int) -> list[EarlierCall]:
        """At most `limit` calls between this caller and this number of ours since then, the newest first."""
        wanted = (
            select(CallRow.id, CallRow.call_sid, CallRow.started_at, CallRow.outcome, AfterRow.summary)
            .outerjoin(AfterRow, AfterRow.call_id == CallRow.id)
            .where(CallRow.from_number == caller, CallRow.number == number, CallRow.started_at >= since)
            .order_by(CallRow.started_at.desc(), CallRow.id.desc())
            .limit(limit)
        )
        async with self._database.read() as session:
            calls = (await session.execute(wanted)).all()
            if not calls:
                return []
            said, messages = defaultdict[int, list[str]](list), defaultdict[str, list[str]](list)
            lines = (
                select(TurnRow.call_id, TurnRow.text)
                .where(
                    TurnRow.call_id.in_([call.id for call in calls]), TurnRow.who == "caller", TurnRow.text != ""
                )
                .order_by(TurnRow.call_id, TurnRow.sequence)
            )
            for call_id, text in await session.execute(lines):
                if len(said[call_id]) < FIRST_LINES:
                    said[call_id].append(text)
            left = select(MessageRow.call_sid, MessageRow.text).where(
                MessageRow.call_sid.in_([call.call_sid for call in calls])
            )
            for call_sid, text in await session.execute(left.order_by(MessageRow.id)):
                messages[call_sid].append(text)
        return [
            EarlierCall(
                call.started_at, call.outcome, call.summary, tuple(said[call.id]), tuple(messages[call.call_sid])
            )
            for call in calls
        ]
