"""Who changed what: a row in the transaction of each change, so that neither is there without the other."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from phonebot.store.tables import AuditRow


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: a user's or token's name, `file` or `command line`; and the client's address, if any."""

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
