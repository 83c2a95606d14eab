"""
Who changed what: a row in the transaction of each change, so that neither is there without the other.

    audit.note(session, actor, "profile.save", number, before=old, after=new)    # where it is changed
    rows = await AuditStore(database).page(target="+15550100000")                # where it is read
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from phonebot.store.database import Database
from phonebot.store.tables import AuditRow

PAGE_ROWS = 50


@dataclass(frozen=True, slots=True)
class Actor:
    """
    Who does something, and the client's address, if any.

    `name` is a user's name, `token` and a token's name, `file` or `command line`.
    """

    name: str
    address: str = ""


FILE = Actor("file")
COMMAND_LINE = Actor("command line")


def note(
    session: AsyncSession,
    actor: Actor,
    what: str,
    target: str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Add a row: `what` is a verb such as `profile.save`, `target` what it was done to. None: there was nothing."""
    session.add(
        AuditRow(
            at=datetime.now(UTC),
            who=actor.name,
            what=what,
            target=target,
            before=None if before is None else dict(before),
            after=None if after is None else dict(after),
            address=actor.address,
        )
    )


@dataclass(frozen=True, slots=True)
class Noted:
    """A row of the audit: who did `what` to `target`, and what that replaced and what by."""

    id: int
    at: datetime
    who: str
    what: str
    target: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    address: str


class AuditStore:
    """What was noted. Its method raises StoreUnavailable when the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        *,
        who: str | None = None,
        what: str | None = None,
        target: str | None = None,
        before_id: int | None = None,
        limit: int = PAGE_ROWS,
    ) -> list[Noted]:
        """The newest first, at most `limit`; `before_id`: those that were noted before the one of this id."""
        equal = ((AuditRow.who, who), (AuditRow.what, what), (AuditRow.target, target))
        wanted = select(AuditRow).where(*(column == value for column, value in equal if value is not None))
        if before_id is not None:
            wanted = wanted.where(AuditRow.id < before_id)
        async with self._database.read() as session:
            rows = await session.scalars(wanted.order_by(AuditRow.id.desc()).limit(limit))
            return [
                Noted(row.id, row.at, row.who, row.what, row.target, row.before, row.after, row.address)
                for row in rows
            ]
