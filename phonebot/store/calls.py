"""
Finished calls: filed once, found, and deleted with all that was said in them.

    calls = CallStore(database)
    await calls.file(CallRow(call_sid="CA1", ...), turns=[TurnRow(sequence=1, who="caller", text="Hello")])
    page = await calls.page(Filters(text="hello"))
    older = await calls.page(Filters(text="hello"), page.cursor)

A call is filed as a whole, in one transaction: what is there is all there.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from phonebot.errors import NotStored
from phonebot.store import audit
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.overview import Overview, overview
from phonebot.store.paging import cursor_of, older_than
from phonebot.store.retention import AT_ONCE, time_is_over
from phonebot.store.search import found_by, searchable
from phonebot.store.tables import AuditRow, CallRow, CallText, MessageRow, ToolCallRow, TurnRow, UsageRow

PAGE_CALLS = 50
MAX_NUMBERS = 1000
LEASE = timedelta(minutes=10)
"""For so long calls whose time is over are left to who has begun to delete them."""
MIN_ENDING = 4
KEYS_AT_ONCE = 500  # of a query: SQLite has a limit of 32,766 parameters, and long queries are slow to compile
MAX_PARTS = 100
_PART = re.compile(r"(.+)-([2-9]|[1-9][0-9]|100)")
FILING_LOCK = 0x66696C65  # with a hash of the sid: PostgreSQL's locks of two numbers are apart from those of one
DELETED = "call.delete"
"""In the audit. What it stands for is never filed again."""

Filed: TypeAlias = Literal["new", "known", "deleted"]


@dataclass(frozen=True, slots=True)
class Filters:
    """
    Which calls are meant; None: any. `since` is the first moment at which they may begin, `until` is past it.

    `caller_part` is in the caller's number, whatever stands before and after it.
    """

    number: str | None = None
    caller: str | None = None
    caller_part: str | None = None
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
    ) -> Filed:
        """
        Keep a call that has ended; `text` is what it is found by.

        "known": its sid or its storage key is there already, and stays as it is. "deleted": the call was deleted,
        before it was filed or since, and nothing of it is kept. Raises SQLAlchemy's IntegrityError for rows that
        break a rule of the tables.
        """
        call.turns, call.tool_calls, call.usage = list(turns), list(tool_calls), list(usage)
        call.search = CallText(text=searchable(text))
        try:
            async with self._database.begin() as session:
                await in_turn(session, self._database, call.call_sid)
                if await _is_known(session, call):
                    return "known"
                if await is_deleted(session, call.call_sid):
                    return "deleted"
                session.add(call)
        except IntegrityError:
            # Another process may have filed it between our look and our row.
            async with self._database.read() as session:
                if not await _is_known(session, call):
                    raise
            return "known"
        return "new"

    async def sids_ending(self, ending: str) -> list[str]:
        """The CallSids that end so, two at most; of MIN_ENDING characters, or it must be a whole one."""
        async with self._database.read() as session:
            if await _id(session, ending) is not None:
                return [ending]
            if len(ending) < MIN_ENDING:
                return []
            wanted = select(CallRow.call_sid).where(CallRow.call_sid.endswith(ending, autoescape=True))
            return list(await session.scalars(wanted.order_by(CallRow.id.desc()).limit(2)))

    async def storage_key(self, call_sid: str) -> str | None:
        """Under which its files are kept; None: none are. Raises NotStored when there is no such call."""
        async with self._database.read() as session:
            rows = await session.scalars(select(CallRow.storage_key).where(CallRow.call_sid == call_sid))
            found = rows.all()
        if not found:
            raise _missing(call_sid)
        return found[0]

    async def owners(self, keys: Iterable[str]) -> dict[str, str]:
        """The sids of the calls whose files are kept under these keys, by key; no entry where there is none."""
        wanted = select(CallRow.storage_key, CallRow.call_sid)
        found: dict[str, str] = {}
        async with self._database.read() as session:
            asked = list(keys)
            for first in range(0, len(asked), KEYS_AT_ONCE):
                some = asked[first : first + KEYS_AT_ONCE]
                rows = await session.execute(wanted.where(CallRow.storage_key.in_(some)))
                found.update({key: sid for key, sid in rows if key is not None})
        return found

    async def get(self, call_sid: str) -> CallRow:
        """The call with its turns, tool calls, usage, and what was done after it. Raises NotStored."""
        wanted = (
            select(CallRow)
            .where(CallRow.call_sid == call_sid)
            .options(*map(selectinload, (CallRow.turns, CallRow.tool_calls, CallRow.usage, CallRow.after)))
        )
        async with self._database.read() as session:
            found = await session.scalar(wanted)
        if found is None:
            raise _missing(call_sid)
        return found

    async def parts(self, call_sid: str) -> list[str]:
        """
        The sids of the calls that were one for the caller, in their order; none where it was one here, too.

        Each stream that the carrier opened for a call is filed as one: the second and later ones with a number.
        """
        found = _PART.fullmatch(call_sid)
        whole = found[1] if found else call_sid
        names = [whole, *(f"{whole}-{number}" for number in range(2, MAX_PARTS + 1))]
        wanted = select(CallRow.call_sid).where(CallRow.call_sid.in_(names))
        async with self._database.read() as session:
            sids = list(await session.scalars(wanted.order_by(CallRow.started_at, CallRow.id)))
        return sids if len(sids) > 1 else []

    async def page(self, filters: Filters, cursor: str | None = None, limit: int = PAGE_CALLS) -> Page:
        """At most `limit` calls, from the newest on or after a page's cursor. Raises StoreError for a wrong one."""
        wanted = select(CallRow).where(*_conditions(filters))
        if words := found_by(filters.text):
            wanted = wanted.join(CallText, CallText.call_id == CallRow.id).where(*words)
        if cursor is not None:
            wanted = wanted.where(older_than(cursor, CallRow.started_at, CallRow.id, "calls"))
        wanted = wanted.order_by(CallRow.started_at.desc(), CallRow.id.desc()).limit(limit + 1)
        async with self._database.read() as session:
            found = (await session.scalars(wanted)).all()
        calls = tuple(found[:limit])
        return Page(calls, cursor_of(calls[-1].started_at, calls[-1].id) if len(found) > limit else None)

    async def numbers(self) -> list[str]:
        """The numbers of ours that have calls, MAX_NUMBERS at most."""
        async with self._database.read() as session:
            found = await session.scalars(
                select(CallRow.number).distinct().order_by(CallRow.number).limit(MAX_NUMBERS)
            )
            return list(found)

    async def delete(self, call_sid: str, actor: Actor) -> bool:
        """
        Delete all rows of a call, messages left in it too, and let it never be filed from now on. False: it was
        not filed.

        The audit keeps who did so, once, and nothing of the call.
        """
        async with self._database.begin() as session:
            await in_turn(session, self._database, call_sid)
            call_id = await _id(session, call_sid)
            await session.execute(delete(MessageRow).where(MessageRow.call_sid == call_sid))
            if call_id is not None:
                await session.execute(delete(CallRow).where(CallRow.id == call_id))
            if not await is_deleted(session, call_sid):
                audit.note(session, actor, DELETED, call_sid)
        return call_id is not None

    async def overview(self, since: datetime, until: datetime, number: str | None = None) -> Overview:
        """What the calls came to that began from `since` on and before `until`, of one number or of all."""
        conditions = _conditions(Filters(number=number, since=since, until=until))
        async with self._database.read() as session:
            return await overview(session, conditions)

    async def claim_expired(self, now: datetime, limit: int = AT_ONCE) -> list[str]:
        """
        Take calls that ended longer ago than their number keeps them, and that nobody else is about to delete.

        What comes back are the sids of at most `limit`, the oldest first. What `default` says holds for calls of
        numbers that have no entry. Whoever dies over one, or cannot delete it, loses it after LEASE.
        """
        async with self._database.begin() as session:
            free = or_(CallRow.lease_until.is_(None), CallRow.lease_until < now)
            wanted = (
                select(CallRow.id, CallRow.call_sid)
                .where(await time_is_over(session, CallRow.number, CallRow.ended_at, now), free)
                .order_by(CallRow.ended_at, CallRow.id)
                .limit(limit)
                .with_for_update(skip_locked=True)  # SQLite has one writer at a time
            )
            rows = (await session.execute(wanted)).all()
            if rows:
                mine = update(CallRow).where(CallRow.id.in_([row.id for row in rows]))
                await session.execute(mine.values(lease_until=now + LEASE))
        return [row.call_sid for row in rows]


async def in_turn(session: AsyncSession, database: Database, call_sid: str) -> None:
    """
    Nobody else files or deletes this call, or what belongs to it, until the transaction ends.

    SQLite has one writer at a time.
    """
    if not database.is_sqlite:
        await session.execute(select(func.pg_advisory_xact_lock(FILING_LOCK, func.hashtext(call_sid))))


async def _id(session: AsyncSession, call_sid: str) -> int | None:
    return await session.scalar(select(CallRow.id).where(CallRow.call_sid == call_sid))


async def _is_known(session: AsyncSession, call: CallRow) -> bool:
    same = CallRow.call_sid == call.call_sid
    if call.storage_key is not None:
        same = or_(same, CallRow.storage_key == call.storage_key)
    return await session.scalar(select(CallRow.id).where(same).limit(1)) is not None


async def is_deleted(session: AsyncSession, call_sid: str) -> bool:
    """Whether somebody deleted this call, filed or not."""
    noted = select(AuditRow.id).where(AuditRow.target == call_sid, AuditRow.what == DELETED)
    return await session.scalar(noted.limit(1)) is not None


def _missing(call_sid: str) -> NotStored:
    return NotStored(f"there is no call {call_sid}: check its CallSid")


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    equal = (
        (CallRow.number, filters.number),
        (CallRow.outcome, filters.outcome),
    )
    conditions: list[ColumnElement[bool]] = [column == value for column, value in equal if value is not None]
    if filters.caller is not None:
        conditions.append(_other_side(lambda column: column == filters.caller))
    if (part := filters.caller_part) is not None:
        conditions.append(_other_side(lambda column: column.contains(part, autoescape=True)))
    if filters.since is not None:
        conditions.append(CallRow.started_at >= filters.since)
    if filters.until is not None:
        conditions.append(CallRow.started_at < filters.until)
    return conditions


def _other_side(holds: Callable[[Any], ColumnElement[bool]]) -> ColumnElement[bool]:
    """Whether it holds of the one who called, or of the one whom we called."""
    is_ours = CallRow.kind == "outbound"
    return or_(and_(is_ours, holds(CallRow.to_number)), and_(~is_ours, holds(CallRow.from_number)))
