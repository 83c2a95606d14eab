"""
Messages that callers left: kept as soon as they are taken, listed, dealt with.

    await messages.keep(MessageRow(message_id=..., ...), {"message": {"url": "https://..."}})
    page = await messages.page(MessageFilters(is_done=False))
    await messages.mark(message_id, True, Actor("ada"))
    count = await messages.delete_expired(datetime.now(UTC))

A message belongs to its call and goes with it, though the call is filed only when it has ended. One whose call was
never filed, as when its disk was lost, goes by itself: its time begins when the call can have ended at the latest.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import selectinload

from phonebot.errors import NotStored
from phonebot.store import audit
from phonebot.store.admissions import LONGEST_CALL
from phonebot.store.after import after_row
from phonebot.store.audit import Actor
from phonebot.store.calls import MIN_ENDING, in_turn, is_deleted
from phonebot.store.database import Database
from phonebot.store.deletion import delete_some
from phonebot.store.paging import cursor_of, older_than
from phonebot.store.retention import AT_ONCE, time_is_over
from phonebot.store.search import found_in, searchable
from phonebot.store.tables import CallRow, MessageRow

PAGE_MESSAGES = 50
MAX_OF_CALL = 100

Kept: TypeAlias = Literal["new", "known", "deleted"]


@dataclass(frozen=True, slots=True)
class MessageFilters:
    """Which messages are meant; None, or an empty text: any."""

    is_done: bool | None = None
    number: str | None = None
    caller: str | None = None
    call_sid: str | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Messages, the newest first. `cursor` leads to older ones; None: there are none."""

    messages: tuple[MessageRow, ...]
    cursor: str | None


class MessageStore:
    """All methods raise StoreUnavailable when the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, message: MessageRow, wishes: dict[str, Any] | None = None) -> Kept:
        """
        Keep a message, and whom to tell of it; `found_by` is filled in here.

        "known": it is kept already, and stays as it is. "deleted": its call was deleted, and it is not kept.
        """
        message.found_by = searchable(
            (message.text, message.name, message.call_back, message.for_whom, message.from_number, message.number)
        )
        message.after = after_row(wishes) if wishes else None
        known = select(MessageRow.id).where(MessageRow.message_id == message.message_id)
        try:
            async with self._database.begin() as session:
                await in_turn(session, self._database, message.call_sid)
                if await session.scalar(known) is not None:
                    return "known"
                if await is_deleted(session, message.call_sid):
                    return "deleted"
                session.add(message)
        except IntegrityError:
            # Another process may have kept it between our look and our row.
            async with self._database.read() as session:
                if await session.scalar(known) is None:
                    raise
            return "known"
        return "new"

    async def get(self, message_id: str) -> MessageRow:
        """The message, and what came of telling of it. Raises NotStored."""
        wanted = select(MessageRow).where(MessageRow.message_id == message_id)
        async with self._database.read() as session:
            found = await session.scalar(wanted.options(selectinload(MessageRow.after)))
        if found is None:
            raise _missing(message_id)
        return found

    async def ids_ending(self, ending: str) -> list[str]:
        """The ids that end so, two at most; of MIN_ENDING characters at least."""
        if len(ending) < MIN_ENDING:
            return []
        wanted = select(MessageRow.message_id).where(MessageRow.message_id.endswith(ending, autoescape=True))
        async with self._database.read() as session:
            return list(await session.scalars(wanted.order_by(MessageRow.id.desc()).limit(2)))

    async def page(
        self, filters: MessageFilters, cursor: str | None = None, limit: int = PAGE_MESSAGES
    ) -> MessagePage:
        """At most `limit`, from the newest on or after a page's cursor. Raises StoreError for a wrong one."""
        wanted = select(MessageRow).where(*_conditions(filters)).options(selectinload(MessageRow.after))
        if cursor is not None:
            wanted = wanted.where(older_than(cursor, MessageRow.taken_at, MessageRow.id, "messages"))
        wanted = wanted.order_by(MessageRow.taken_at.desc(), MessageRow.id.desc()).limit(limit + 1)
        async with self._database.read() as session:
            found = (await session.scalars(wanted)).all()
        messages = tuple(found[:limit])
        last = messages[-1] if len(found) > limit else None
        return MessagePage(messages, cursor_of(last.taken_at, last.id) if last else None)

    async def of_call(self, call_sid: str) -> list[MessageRow]:
        """Those left in a call, in their order."""
        page = await self.page(MessageFilters(call_sid=call_sid), limit=MAX_OF_CALL)
        return list(reversed(page.messages))

    async def new(self) -> int:
        """How many nobody has dealt with."""
        async with self._database.read() as session:
            counted = select(func.count()).select_from(MessageRow).where(MessageRow.done_at.is_(None))
            return await session.scalar(counted) or 0

    async def mark(self, message_id: str, is_done: bool, actor: Actor) -> MessageRow:
        """
        Mark it as dealt with, or as new again; the message as it is then. Raises NotStored.

        Audited, unless it was so already.
        """
        wanted = select(MessageRow).where(MessageRow.message_id == message_id)
        async with self._database.begin() as session:
            found = await session.scalar(wanted.options(selectinload(MessageRow.after)))
            if found is None:
                raise _missing(message_id)
            if (found.done_at is not None) != is_done:
                found.done_at = datetime.now(UTC) if is_done else None
                found.done_by = actor.name if is_done else None
                audit.note(session, actor, "message.done" if is_done else "message.reopen", message_id)
        return found

    async def delete_expired(self, now: datetime, limit: int = AT_ONCE) -> int:
        """Delete messages whose time is over, and whose call is not filed; how many, at most."""
        is_filed = select(CallRow.id).where(CallRow.call_sid == MessageRow.call_sid).exists()
        async with self._database.begin() as session:
            is_over = await time_is_over(session, MessageRow.number, MessageRow.taken_at, now - LONGEST_CALL)
            return await delete_some(
                session, MessageRow.id, is_over, ~is_filed, limit=limit, oldest_by=MessageRow.taken_at
            )


def _missing(message_id: str) -> NotStored:
    return NotStored(f"there is no message {message_id}: check its id")


def _conditions(filters: MessageFilters) -> list[ColumnElement[bool]]:
    equal = (
        (MessageRow.number, filters.number),
        (MessageRow.from_number, filters.caller),
        (MessageRow.call_sid, filters.call_sid),
    )
    conditions: list[ColumnElement[bool]] = [column == value for column, value in equal if value is not None]
    if filters.is_done is not None:
        conditions.append(MessageRow.done_at.is_not(None) if filters.is_done else MessageRow.done_at.is_(None))
    return conditions + found_in(MessageRow.found_by, filters.text)
