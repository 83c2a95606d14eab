"""
What is to be done after calls, and of which messages to tell: the queue that all processes of a deployment share.

    jobs = await after.claim("web-1/4711", 4)       # nobody else has them for LEASE_S
    await after.keep_text(job, "summary", text="...", spent=[UsageRow(...)])
    await after.delivered(job)                      # or failed(job, "...", retry_s=20), or given_up(job, "...")

A job is done at least once: whoever has it and dies loses it when its lease is over, and another one takes it. What
was made of it before is kept. Moments are those of one clock: the database's, or the machine's for SQLite.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias
from uuid import uuid4

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from phonebot.errors import NotStored, StoreError
from phonebot.store import audit
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.tables import AfterRow, CallRow, MessageRow, UsageRow

LEASE_S = 90.0
MAX_PROBLEM_CHARACTERS = 500

Kind: TypeAlias = Literal["summary", "extracted"]
"""A text that is made of a call, by the column that keeps it."""
KINDS: dict[Kind, str] = {"summary": "summary", "extracted": "extract"}
"""And the wish for it."""


class NothingToDo(StoreError):
    """After this call nothing is left that could be done once more, or given up."""


@dataclass(frozen=True, slots=True)
class Job:
    """
    A row that somebody works at, under `lease`: that of a call, or of the message `message_id` taken in it.

    `call_id` is the call's in the database; None: it is a message's row.
    """

    after_id: int
    lease: str
    call_sid: str
    call_id: int | None = None
    message_id: str | None = None


def after_row(wishes: dict[str, Any], noted: dict[str, Any] | None = None) -> AfterRow:
    """What is to be done, at once, after a call or with a message that is about to be kept."""
    return AfterRow(wishes=wishes, noted=noted, due_at=datetime.now(UTC), delivery_id=str(uuid4()))


class AfterStore:
    """
    All methods raise StoreUnavailable when the database is away.

    Those that take a Job say whether it still was the caller's: if not, nothing is kept, since another one has it.
    """

    def __init__(self, database: Database, lease_s: float = LEASE_S) -> None:
        self._database = database
        self._in = database.moment  # so many seconds from now
        self._lease_s = lease_s

    # ------------------------------------------------------------------------------ whoever works at it

    async def claim(self, who: str, limit: int) -> list[Job]:
        """Take at most `limit` jobs that are due and that nobody has, the longest due first."""
        free = or_(AfterRow.lease_until.is_(None), AfterRow.lease_until < self._in())
        due = (
            select(AfterRow.id)
            .where(AfterRow.state == "waiting", AfterRow.due_at <= self._in(), free)
            .order_by(AfterRow.due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)  # SQLite has one writer at a time
        )
        lease = f"{who[:60]} {uuid4().hex}"
        async with self._database.begin() as session:
            ids = list(await session.scalars(due))
            if not ids:
                return []
            await session.execute(
                update(AfterRow)
                .where(AfterRow.id.in_(ids))
                .values(lease=lease, lease_until=self._in(self._lease_s))
            )
            sid = func.coalesce(CallRow.call_sid, MessageRow.call_sid)
            wanted = select(AfterRow.id, sid, AfterRow.call_id, MessageRow.message_id)
            joined = wanted.outerjoin(CallRow, CallRow.id == AfterRow.call_id).outerjoin(
                MessageRow, MessageRow.id == AfterRow.message_id
            )
            rows = await session.execute(joined.where(AfterRow.id.in_(ids)))
            return [
                Job(after_id, lease, call_sid, call_id, message_id)
                for after_id, call_sid, call_id, message_id in rows
            ]

    async def renew(self, job: Job) -> bool:
        """Have it for LEASE_S more."""
        return await self._set(job, lease_until=self._in(self._lease_s))

    async def release(self, job: Job) -> bool:
        """Give it back as it is: another process may have it at once."""
        return await self._set(job, lease=None, lease_until=None)

    async def keep_text(
        self,
        job: Job,
        kind: Kind,
        value: Any = None,
        *,
        problem: str | None = None,
        spent: Sequence[UsageRow] = (),
    ) -> bool:
        """Keep a text, or why there will be none, and what was spent on it: on the call's bill, too."""
        async with self._database.begin() as session:
            kept = await self._keep(session, job, {kind: value, f"{kind}_problem": _cut(problem)})
            if kept:
                await _charge(session, job.call_id, spent)
        return kept

    async def keep_spent(self, job: Job, spent: Sequence[UsageRow]) -> None:
        """Put on the call's bill what was spent on an answer that nobody can use."""
        async with self._database.begin() as session:
            await _charge(session, job.call_id, spent)

    async def write_later(self, job: Job, retry_s: float) -> bool:
        """The model is away: let somebody ask it later."""
        attempts = AfterRow.write_attempts + 1
        return await self._set(job, write_attempts=attempts, due_at=self._in(retry_s), lease=None, lease_until=None)

    async def attempt(self, job: Job) -> int | None:
        """Begin a delivery: which one it is, from 1 on; None: the job is another's, or was given up."""
        async with self._database.begin() as session:
            begun = {"attempts": AfterRow.attempts + 1, "attempted_at": self._in()}
            if not await self._keep(session, job, begun | {"lease_until": self._in(self._lease_s)}):
                return None
            return await session.scalar(select(AfterRow.attempts).where(AfterRow.id == job.after_id))

    async def done(self, job: Job) -> bool:
        """Nothing is left to do, and nobody was to be told."""
        return await self._set(job, state="done", lease=None, lease_until=None)

    async def delivered(self, job: Job) -> bool:
        """Whom the profile names has taken it; that holds also when it was given up meanwhile."""
        values = {"state": "done", "delivered_at": self._in(), "problem": None, "lease": None, "lease_until": None}
        async with self._database.begin() as session:
            return await self._keep(session, job, values, ("waiting", "given_up"))

    async def failed(self, job: Job, problem: str, retry_s: float) -> bool:
        """It was not taken: let somebody try later."""
        values = {"problem": _cut(problem), "due_at": self._in(retry_s), "lease": None, "lease_until": None}
        return await self._set(job, **values)

    async def give_up(self, job: Job, problem: str) -> bool:
        """It is not wanted any more."""
        return await self._set(job, state="given_up", problem=_cut(problem), lease=None, lease_until=None)

    async def waiting(self) -> int:
        """How many jobs of all processes are not done yet."""
        counted = select(func.count()).select_from(AfterRow).where(AfterRow.state == "waiting")
        async with self._database.read() as session:
            return await session.scalar(counted) or 0

    # ------------------------------------------------------------------------------ people

    async def again(self, call_sid: str, actor: Actor) -> None:
        """
        Send it once more, now, and make the texts that could not be made.

        Audited. Raises NotStored for a call that there is not, NothingToDo for one after which there is nothing.
        """
        async with self._database.begin() as session:
            row = await _of(session, call_sid)
            unmade = [kind for kind in KINDS if getattr(row, f"{kind}_problem") is not None]
            if "after_call" not in row.wishes and not unmade:
                raise NothingToDo(f"after call {call_sid} nothing is to be sent, and nothing is missing")
            for kind in unmade:
                setattr(row, f"{kind}_problem", None)
            self._begin_again(row)
            audit.note(session, actor, "call.deliver", call_sid)

    async def message_again(self, message_id: str, actor: Actor) -> None:
        """Tell of a message once more, now. Audited. Raises NotStored, NothingToDo when nobody is to be told."""
        async with self._database.begin() as session:
            self._begin_again(await _of_message(session, message_id))
            audit.note(session, actor, "message.deliver", message_id)

    def _begin_again(self, row: AfterRow) -> None:
        row.state, row.write_attempts, row.lease, row.lease_until = "waiting", 0, None, None
        row.due_at = self._in()

    async def stop(self, call_sid: str, actor: Actor) -> None:
        """Try no more. Audited. Raises NotStored, and NothingToDo when nothing waits."""
        async with self._database.begin() as session:
            row = await _of(session, call_sid)
            if row.state != "waiting":
                raise NothingToDo(f"after call {call_sid} nothing waits any more")
            row.state = "given_up"  # who has it keeps the lease: what he has just sent counts
            audit.note(session, actor, "call.give_up", call_sid)

    async def stop_message(self, message_id: str, actor: Actor) -> None:
        """Tell of a message no more. Audited. Raises NotStored, and NothingToDo when nothing waits."""
        async with self._database.begin() as session:
            row = await _of_message(session, message_id)
            if row.state != "waiting":
                raise NothingToDo(f"with message {message_id} nothing waits any more")
            row.state = "given_up"
            audit.note(session, actor, "message.give_up", message_id)

    # ------------------------------------------------------------------------------ shared

    async def _set(self, job: Job, **values: Any) -> bool:
        async with self._database.begin() as session:
            return await self._keep(session, job, values)

    async def _keep(
        self, session: AsyncSession, job: Job, values: dict[str, Any], states: Iterable[str] = ("waiting",)
    ) -> bool:
        mine = and_(AfterRow.id == job.after_id, AfterRow.lease == job.lease, AfterRow.state.in_(states))
        connection = await session.connection()
        return bool((await connection.execute(update(AfterRow).where(mine).values(values))).rowcount)


async def _of(session: AsyncSession, call_sid: str) -> AfterRow:
    wanted = select(CallRow.id, AfterRow).outerjoin(AfterRow).where(CallRow.call_sid == call_sid)
    found = (await session.execute(wanted)).one_or_none()
    if found is None:
        raise NotStored(f"there is no call {call_sid}: check its CallSid")
    row: AfterRow | None = found[1]
    if row is None:
        raise NothingToDo(f"the profile that answered call {call_sid} wants nothing done after it")
    return row


async def _of_message(session: AsyncSession, message_id: str) -> AfterRow:
    wanted = select(MessageRow.id, AfterRow).outerjoin(AfterRow).where(MessageRow.message_id == message_id)
    found = (await session.execute(wanted)).one_or_none()
    if found is None:
        raise NotStored(f"there is no message {message_id}: check its id")
    row: AfterRow | None = found[1]
    if row is None:
        raise NothingToDo(f"nobody is to be told of message {message_id}: its profile has no messages.url")
    return row


async def _charge(session: AsyncSession, call_id: int | None, spent: Sequence[UsageRow]) -> None:
    """A call without a price stays without one, and so does one of which a part has none."""
    if not spent or call_id is None:
        return
    last = await session.scalar(select(func.max(UsageRow.sequence)).where(UsageRow.call_id == call_id)) or 0
    call = await session.get(CallRow, call_id)
    if call is None:
        return
    for number, row in enumerate(spent, last + 1):
        row.call_id, row.sequence = call_id, number
        session.add(row)
        known = call.cost_usd is not None and row.cost_usd is not None
        call.cost_usd = (call.cost_usd or 0) + (row.cost_usd or 0) if known else None


def _cut(problem: str | None) -> str | None:
    return None if problem is None else problem.replace("\0", "")[:MAX_PROBLEM_CHARACTERS]
