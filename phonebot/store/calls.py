"""
Finished calls: filed once, found, and deleted with all that was said in them.

    calls = CallStore(database)
    await calls.file(CallRow(call_sid="CA1", ...), turns=[TurnRow(sequence=1, who="caller", text="Hello")])
    page = await calls.page(Filters(text="hello"))
    older = await calls.page(Filters(text="hello"), page.cursor)

A call is filed as a whole, in one transaction: what is there is all there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from phonebot.errors import NotStored, StoreError
from phonebot.store import audit
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.search import found_by, searchable
from phonebot.store.tables import CallRow, CallText, NumberRow, ToolCallRow, TurnRow, UsageRow

DEFAULT = "default"
PAGE_CALLS = 50


@dataclass(frozen=True, slots=True)
class Filters:
    """Which calls are meant; None: any. `since` is the first moment at which they may begin, `until` is past it."""

    number: str | None = None
    caller: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Calls, the newest first, without their turns. `cursor` leads to older ones; None: there are none."""

    calls: tuple[CallRow, ...]
    cursor: str | None


class CallStore:
    """What is kept of finished calls. All methods raise StoreUnavailable when the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def file(
        self,
        call: CallRow,
        turns: Iterable[TurnRow] = (),
        tool_calls: Iterable[ToolCallRow] = (),
        usage: Iterable[UsageRow] = (),
        text: Iterable[str | None] = (),
    ) -> bool:
        """
        Keep a call that has ended; `text` is what it is found by. False: it was there already, and stays as it is.

        Raises SQLAlchemy's IntegrityError for rows that break a rule of the tables.
        """
        call.turns, call.tool_calls, call.usage = list(turns), list(tool_calls), list(usage)
        call.search = CallText(text=searchable(text))
        try:
            async with self._database.begin() as session:
                if await _id(session, call.call_sid) is not None:
                    return False
                session.add(call)
        except IntegrityError:
            # Another process may have filed it between our look and our row.
            async with self._database.read() as session:
                if await _id(session, call.call_sid) is None:
                    raise
            return False
        return True

    async def get(self, call_sid: str) -> CallRow:
        """The call with its turns, tool calls and usage. Raises NotStored."""
        wanted = (
            select(CallRow)
            .where(CallRow.call_sid == call_sid)
            .options(*map(selectinload, (CallRow.turns, CallRow.tool_calls, CallRow.usage)))
        )
        async with self._database.read() as session:
            found = await session.scalar(wanted)
        if found is None:
            raise _missing(call_sid)
        return found

    async def page(self, filters: Filters, cursor: str | None = None, limit: int = PAGE_CALLS) -> Page:
        """At most `limit` calls, from the newest on or after a page's cursor. Raises StoreError for a wrong one."""
        wanted = select(CallRow).where(*_conditions(filters))
        if words := found_by(filters.text):
            wanted = wanted.join(CallText, CallText.call_id == CallRow.id).where(*words)
        if cursor is not None:
            wanted = wanted.where(_older_than(cursor))
        wanted = wanted.order_by(CallRow.started_at.desc(), CallRow.id.desc()).limit(limit + 1)
        async with self._database.read() as session:
            found = (await session.scalars(wanted)).all()
        calls = tuple(found[:limit])
        return Page(calls, _cursor(calls[-1]) if len(found) > limit else None)

    async def delete(self, call_sid: str, actor: Actor) -> None:
        """Delete all rows of a call. The audit keeps who did so, and nothing of the call. Raises NotStored."""
        async with self._database.begin() as session:
            call_id = await _id(session, call_sid)
            if call_id is None:
                raise _missing(call_sid)
            await session.execute(delete(CallRow).where(CallRow.id == call_id))
            audit.note(session, actor, "call.delete", call_sid)

    async def expired(self, now: datetime) -> list[str]:
        """
        The sids of the calls that ended longer ago than their number keeps them, the oldest first.

        What `default` says holds for calls of numbers that have no entry.
        """
        async with self._database.read() as session:
            rows = await session.execute(select(NumberRow.number, NumberRow.retention_days))
            kept = {row.number: row.retention_days for row in rows}
            over = [
                and_(_answered_by(number, kept), CallRow.ended_at < now - timedelta(days=days))
                for number, days in kept.items()
                if days is not None
            ]
            if not over:
                return []
            wanted = select(CallRow.call_sid).where(or_(*over)).order_by(CallRow.ended_at, CallRow.id)
            return list((await session.scalars(wanted)).all())


async def _id(session: AsyncSession, call_sid: str) -> int | None:
    return await session.scalar(select(CallRow.id).where(CallRow.call_sid == call_sid))


def _missing(call_sid: str) -> NotStored:
    return NotStored(f"there is no call {call_sid}: check its CallSid")


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    equal = (
        (CallRow.number, filters.number),
        (CallRow.from_number, filters.caller),
        (CallRow.outcome, filters.outcome),
    )
    conditions: list[ColumnElement[bool]] = [column == value for column, value in equal if value is not None]
    if filters.since is not None:
        conditions.append(CallRow.started_at >= filters.since)
    if filters.until is not None:
        conditions.append(CallRow.started_at < filters.until)
    return conditions


def _answered_by(number: str, kept: dict[str, int | None]) -> ColumnElement[bool]:
    named = [name for name in kept if name != DEFAULT]
    return CallRow.number.not_in(named) if number == DEFAULT else CallRow.number == number


def _cursor(call: CallRow) -> str:
    return f"{call.started_at.isoformat()}/{call.id}"


def _older_than(cursor: str) -> ColumnElement[bool]:
    moment, _, call_id = cursor.partition("/")
    try:
        started_at, last = datetime.fromisoformat(moment), int(call_id)
        if started_at.utcoffset() is None:
            raise ValueError("a moment without a time zone")
    except ValueError:
        raise StoreError(f"{cursor!r} is no cursor of a page of calls: begin again without one") from None
    return or_(CallRow.started_at < started_at, and_(CallRow.started_at == started_at, CallRow.id < last))
