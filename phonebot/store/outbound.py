"""
The calls that we make: the queue that all processes of a deployment share, and what became of each.

    call = await outbound.add("+15550100009", "+15550100000", Actor("ada"), reason="Confirm Friday's table.")
    jobs = await outbound.claim("web-1/4711", 4)              # nobody else has them for LEASE_S
    begun = await outbound.begin(jobs[0], at_once=5, look_s=60)
    await outbound.dialled(jobs[0], "CA1", look_s=60)         # what the carrier called it
    await outbound.over(call.id, 1, Over("no_answer", retry_s=900))

An attempt is kept before the carrier is asked for it: whoever dies meanwhile leaves a call of which somebody else
finds out at the carrier whether it was placed. Nobody is dialled twice for one attempt. Attempts count from 1; what
is told of an earlier one than the current is ignored. Moments are those of one clock: the database's, or the
machine's for SQLite.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias
from uuid import uuid4

from sqlalchemy import func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from phonebot.errors import NotStored, StoreError
from phonebot.store import audit
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.deletion import delete_some
from phonebot.store.opt_outs import is_opted_out
from phonebot.store.retention import AT_ONCE, time_is_over
from phonebot.store.tables import OutboundRow

LEASE_S = 120.0
MAX_REASON_CHARACTERS = 1_000
MAX_PROBLEM_CHARACTERS = 500
MAX_WAITING = 100_000
"""Calls that have not ended: more are refused."""
PAGE_ROWS = 50

State: TypeAlias = Literal["queued", "dialling", "talking", "done", "failed", "cancelled"]
OPEN: tuple[State, ...] = ("queued", "dialling", "talking")
ON_THE_LINE: tuple[State, ...] = ("dialling", "talking")
STATES: tuple[State, ...] = ("queued", "dialling", "talking", "done", "failed", "cancelled")

Begun: TypeAlias = Literal["begun", "opted_out", "crowded", "lost"]
"""What came of an attempt to begin: `crowded`, too many of the number's calls run, or one to the same person."""

_LOCK = 0x706F7574  # one number for all processes that begin calls in the same PostgreSQL database


class DialRefused(StoreError):
    """A call is not made: a sentence that says why."""


class NothingToCancel(StoreError):
    """The call has ended."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One of a call's attempts. `result` None: it has not ended; `call_sid` None: the carrier knows none."""

    at: datetime
    call_sid: str | None = None
    result: str | None = None
    answered_by: str | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class OutboundCall:
    """A call that somebody wants made: see OutboundRow."""

    id: int
    to_number: str
    from_number: str
    reason: str
    asked_by: str
    asked_at: datetime
    state: State
    result: str | None
    problem: str
    attempts: int
    due_at: datetime
    attempted_at: datetime | None
    ended_at: datetime | None
    call_sid: str | None
    answered_by: str | None
    cancelled_by: str | None
    tries: tuple[Attempt, ...]

    @property
    def is_over(self) -> bool:
        return self.state not in OPEN


@dataclass(frozen=True, slots=True)
class Job:
    """A call that somebody works at, under `lease`."""

    call: OutboundCall
    lease: str


@dataclass(frozen=True, slots=True)
class Over:
    """How an attempt ended. `retry_s`: after so long there is another one; None: it was the last."""

    result: str
    state: State = "failed"
    problem: str = ""
    retry_s: float | None = None


class OutboundStore:
    """
    All methods raise StoreUnavailable when the database is away.

    Those that take a Job say whether it still was the caller's: if not, nothing is kept, since another one has it.
    """

    def __init__(self, database: Database, lease_s: float = LEASE_S) -> None:
        self._database = database
        self._in = database.moment  # so many seconds from now
        self._lease_s = lease_s

    # ------------------------------------------------------------------------------ people

    async def add(self, to_number: str, from_number: str, actor: Actor, reason: str = "") -> OutboundCall:
        """
        Want a call made, as soon as may be. Audited, without the reason.

        Raises DialRefused when the number has opted out, or too many calls wait.
        """
        async with self._database.begin() as session:
            if await is_opted_out(session, to_number):
                raise DialRefused(f"{to_number} does not want to be called: it is among the opt-outs")
            waiting = select(func.count()).select_from(OutboundRow).where(OutboundRow.state.in_(OPEN))
            if (await session.scalar(waiting) or 0) >= MAX_WAITING:
                raise DialRefused(f"{MAX_WAITING} calls wait already: try again when some have been made")
            row = OutboundRow(
                to_number=to_number,
                from_number=from_number,
                reason=reason.replace("\0", "").strip()[:MAX_REASON_CHARACTERS],
                asked_by=actor.name[:100],
                asked_at=datetime.now(UTC),
                due_at=self._in(),
                tries=[],
            )
            session.add(row)
            await session.flush()
            audit.note(session, actor, "outbound.dial", _target(row.id), after={"from": from_number})
            await session.refresh(row)
            return _shown(row)

    async def get(self, call_id: int) -> OutboundCall:
        """Raises NotStored."""
        async with self._database.read() as session:
            row = await session.get(OutboundRow, call_id)
        if row is None:
            raise NotStored(f"there is no outbound call {call_id}: check its id")
        return _shown(row)

    async def of_call(self, call_sid: str) -> OutboundCall | None:
        """The one whose current attempt has this CallSid."""
        async with self._database.read() as session:
            row = await session.scalar(select(OutboundRow).where(OutboundRow.call_sid == call_sid).limit(1))
        return _shown(row) if row else None

    async def page(
        self,
        *,
        state: str | None = None,
        from_number: str | None = None,
        to_number: str | None = None,
        before_id: int | None = None,
        limit: int = PAGE_ROWS,
    ) -> list[OutboundCall]:
        """The newest first, at most `limit`. `state` "open": those that have not ended."""
        wanted = select(OutboundRow).order_by(OutboundRow.id.desc()).limit(limit)
        if state == "open":
            wanted = wanted.where(OutboundRow.state.in_(OPEN))
        elif state is not None:
            wanted = wanted.where(OutboundRow.state == state)
        if from_number is not None:
            wanted = wanted.where(OutboundRow.from_number == from_number)
        if to_number is not None:
            wanted = wanted.where(OutboundRow.to_number == to_number)
        if before_id is not None:
            wanted = wanted.where(OutboundRow.id < before_id)
        async with self._database.read() as session:
            return [_shown(row) for row in await session.scalars(wanted)]

    async def cancel(self, call_id: int, actor: Actor) -> OutboundCall:
        """
        Make no further attempt. Audited. A call that waits is over at once; one on the line is due to be hung up.

        Raises NotStored, and NothingToCancel when it has ended.
        """
        async with self._database.begin() as session:
            row = await session.get(OutboundRow, call_id, with_for_update=True)
            if row is None:
                raise NotStored(f"there is no outbound call {call_id}: check its id")
            if row.state not in OPEN:
                raise NothingToCancel(f"the outbound call {call_id} has ended: there is nothing to cancel")
            row.cancelled_by = actor.name[:100]
            if row.state == "queued":
                row.state, row.result, row.problem = "cancelled", "cancelled", ""
                row.ended_at, row.lease, row.lease_until = datetime.now(UTC), None, None
            else:
                row.due_at = self._in()
            audit.note(session, actor, "outbound.cancel", _target(call_id))
            await session.flush()
            await session.refresh(row)
            return _shown(row)

    # ------------------------------------------------------------------------------ whoever dials

    async def claim(self, who: str, limit: int) -> list[Job]:
        """Take at most `limit` calls that are due and that nobody has, the longest due first."""
        due = (
            select(OutboundRow.id)
            .where(
                OutboundRow.state.in_(OPEN),
                OutboundRow.due_at <= self._in(),
                or_(OutboundRow.lease_until.is_(None), OutboundRow.lease_until < self._in()),
            )
            .order_by(OutboundRow.due_at, OutboundRow.id)
            .limit(limit)
            .with_for_update(skip_locked=True)  # SQLite has one writer at a time
        )
        lease = f"{who[:60]} {uuid4().hex}"
        async with self._database.begin() as session:
            ids = list(await session.scalars(due))
            if not ids:
                return []
            leased = {"lease": lease, "lease_until": self._in(self._lease_s)}
            await session.execute(update(OutboundRow).where(OutboundRow.id.in_(ids)).values(leased))
            rows = await session.scalars(
                select(OutboundRow).where(OutboundRow.id.in_(ids)).order_by(OutboundRow.due_at, OutboundRow.id)
            )
            return [Job(_shown(row), lease) for row in rows]

    async def begin(self, job: Job, *, at_once: int, look_s: float) -> Begun:
        """
        Begin an attempt, unless the person has opted out by now, or is on the line already, or `at_once` calls of
        the number are. After `look_s` the carrier is asked what came of it.
        """
        async with self._database.begin() as session:
            if not self._database.is_sqlite:
                await session.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            row = await self._mine(session, job)
            if row is None or row.state != "queued":
                return "lost"
            if await is_opted_out(session, row.to_number):
                return "opted_out"
            on_the_line = select(func.count()).select_from(OutboundRow).where(OutboundRow.state.in_(ON_THE_LINE))
            ours = await session.scalar(on_the_line.where(OutboundRow.from_number == row.from_number))
            theirs = await session.scalar(on_the_line.where(OutboundRow.to_number == row.to_number))
            if theirs or (ours or 0) >= at_once:
                return "crowded"
            row.state, row.attempts, row.call_sid, row.answered_by = "dialling", row.attempts + 1, None, None
            row.attempted_at = datetime.now(UTC)
            row.result, row.problem = None, ""
            row.tries = [*row.tries, {"at": row.attempted_at.isoformat()}]
            await self._set(session, row, due_at=self._in(look_s), lease_until=self._in(self._lease_s))
            return "begun"

    async def dialled(self, job: Job, call_sid: str, look_s: float) -> None:
        """The carrier has placed the attempt, as `call_sid`; it is also told so by the first that is told of it."""
        async with self._database.begin() as session:
            row = await session.get(OutboundRow, job.call.id, with_for_update=True)
            # A call that is over by now has been told of with its name.
            if row is None or row.state not in ON_THE_LINE or row.call_sid not in (None, call_sid):
                return
            _name(row, call_sid)
            if row.lease == job.lease:
                due = self._in(look_s if row.cancelled_by is None else 0)
                await self._set(session, row, due_at=due, lease=None, lease_until=None)

    async def look_later(self, job: Job, seconds: float, problem: str = "") -> bool:
        """Nothing is known yet of an attempt: ask the carrier again later."""
        async with self._keeping(job) as (session, row):
            if row is None or row.state not in ON_THE_LINE:
                return False
            row.problem = problem[:MAX_PROBLEM_CHARACTERS]
            await self._set(session, row, due_at=self._in(seconds), lease=None, lease_until=None)
            return True

    async def wait(self, job: Job, until: datetime | float, problem: str = "", *, undone: bool = False) -> bool:
        """
        Let a call wait until a moment, or for so many seconds.

        `undone`: the attempt that was begun did not come to be, and does not count.
        """
        async with self._keeping(job) as (session, row):
            if row is None or row.state not in ("queued", "dialling"):
                return False
            if undone:
                row.attempts, row.tries = row.attempts - 1, row.tries[:-1]
            row.problem = problem[:MAX_PROBLEM_CHARACTERS]
            if row.cancelled_by is None:
                row.state = "queued"
            else:
                row.state, row.result, row.ended_at = "cancelled", "cancelled", datetime.now(UTC)
            due = self._in(until) if isinstance(until, float | int) else until
            await self._set(session, row, due_at=due, lease=None, lease_until=None)
            return True

    async def drop(self, job: Job, result: str, problem: str) -> bool:
        """The call is not made at all, or not any more."""
        async with self._keeping(job) as (_, row):
            if row is None or row.state != "queued":
                return False
            row.state, row.result, row.problem = "failed", result, problem[:MAX_PROBLEM_CHARACTERS]
            row.ended_at, row.lease, row.lease_until = datetime.now(UTC), None, None
            return True

    async def release(self, job: Job) -> None:
        """Give it back as it is: another process may have it at once."""
        async with self._keeping(job) as (_, row):
            if row is not None:
                row.lease, row.lease_until = None, None

    async def delete_expired(self, now: datetime, limit: int = AT_ONCE) -> int:
        """Delete calls that ended longer ago than the number that made them keeps its calls; how many, at most."""
        async with self._database.begin() as session:
            is_over = await time_is_over(session, OutboundRow.from_number, OutboundRow.ended_at, now)
            return await delete_some(session, OutboundRow.id, is_over, limit=limit, oldest_by=OutboundRow.ended_at)

    async def waiting(self) -> int:
        """How many calls of all processes have not ended."""
        counted = select(func.count()).select_from(OutboundRow).where(OutboundRow.state.in_(OPEN))
        async with self._database.read() as session:
            return await session.scalar(counted) or 0

    # ------------------------------------------------------------------------------ what the carrier tells

    async def talking(self, call_id: int, attempt: int, call_sid: str, look_s: float) -> bool:
        """Somebody, or something, has answered."""
        async with self._current(call_id, attempt, call_sid) as (session, row):
            if row is None or row.state != "dialling":
                return False
            row.state = "talking"
            await self._set(session, row, due_at=self._in(look_s))
            return True

    async def detected(self, call_id: int, attempt: int, call_sid: str, answered_by: str) -> OutboundCall | None:
        """Who answered, as the carrier found out; the call, None when that is not its current attempt."""
        async with self._current(call_id, attempt, call_sid) as (session, row):
            if row is None:
                return None
            row.answered_by = answered_by[:24]
            row.tries = [*row.tries[:-1], {**row.tries[-1], "answered_by": row.answered_by}]
            await session.flush()
            return _shown(row)

    async def seen(self, call_id: int, attempt: int, call_sid: str) -> OutboundCall | None:
        """The call, of whose current attempt something is told; None when it is another's, or was settled."""
        async with self._current(call_id, attempt, call_sid) as (session, row):
            if row is None:
                return None
            await session.flush()
            return _shown(row)

    async def over(self, call_id: int, attempt: int, how: Over) -> bool:
        """The attempt has ended. False: it had before, or another one runs by now."""
        async with self._database.begin() as session:
            row = await session.get(OutboundRow, call_id, with_for_update=True)
            if row is None or row.attempts != attempt or row.state not in ON_THE_LINE:
                return False
            row.result, row.problem = how.result, how.problem[:MAX_PROBLEM_CHARACTERS]
            ended = {"result": how.result} | ({"problem": row.problem} if row.problem else {})
            row.tries = [*row.tries[:-1], {**row.tries[-1], **ended}]
            row.lease, row.lease_until = None, None
            if row.cancelled_by is not None and how.state != "done":
                row.state, row.result = "cancelled", "cancelled"
            elif how.retry_s is None:
                row.state = how.state
            else:
                row.state = "queued"
                await self._set(session, row, due_at=self._in(how.retry_s))
            if row.state not in OPEN:
                row.ended_at = datetime.now(UTC)
            return True

    async def left_message(self, call_sid: str) -> bool:
        """On an attempt's machine the message was left, as is known afterwards: no further attempt is needed."""
        async with self._database.begin() as session:
            wanted = select(OutboundRow).where(OutboundRow.call_sid == call_sid).limit(1).with_for_update()
            row = await session.scalar(wanted)
            if row is None or row.state in ON_THE_LINE or row.result != "machine":
                return False
            row.tries = [*row.tries[:-1], {**row.tries[-1], "result": "message_left"}]
            row.result, row.state, row.ended_at = "message_left", "done", row.ended_at or datetime.now(UTC)
            return True

    # ------------------------------------------------------------------------------ shared

    @asynccontextmanager
    async def _keeping(self, job: Job) -> AsyncIterator[tuple[AsyncSession, OutboundRow | None]]:
        async with self._database.begin() as session:
            yield session, await self._mine(session, job)

    async def _mine(self, session: AsyncSession, job: Job) -> OutboundRow | None:
        row = await session.get(OutboundRow, job.call.id, with_for_update=True)
        return row if row is not None and row.lease == job.lease else None

    @asynccontextmanager
    async def _current(
        self, call_id: int, attempt: int, call_sid: str
    ) -> AsyncIterator[tuple[AsyncSession, OutboundRow | None]]:
        """The row whose current attempt this is, with its CallSid; None when it is none, or has ended."""
        async with self._database.begin() as session:
            row = await session.get(OutboundRow, call_id, with_for_update=True)
            is_current = (
                row is not None
                and row.attempts == attempt
                and row.state in ON_THE_LINE
                and row.call_sid in (None, call_sid)
            )
            if row is not None and is_current:
                _name(row, call_sid)
                yield session, row
            else:
                yield session, None

    async def _set(self, session: AsyncSession, row: OutboundRow, **values: Any) -> None:
        await session.flush()
        await session.execute(update(OutboundRow).where(OutboundRow.id == row.id).values(values))


def _target(call_id: int) -> str:
    """What the audit, which is kept for good, calls it: by no number, which is to go with its row."""
    return f"outbound {call_id}"


def _name(row: OutboundRow, call_sid: str) -> None:
    if row.call_sid is None:
        row.call_sid = call_sid[:64]
        row.tries = [*row.tries[:-1], {**row.tries[-1], "call_sid": row.call_sid}]


def _shown(row: OutboundRow) -> OutboundCall:
    return OutboundCall(
        row.id,
        row.to_number,
        row.from_number,
        row.reason,
        row.asked_by,
        row.asked_at,
        _STATES[row.state],
        row.result,
        row.problem,
        row.attempts,
        row.due_at,
        row.attempted_at,
        row.ended_at,
        row.call_sid,
        row.answered_by,
        row.cancelled_by,
        _attempts(row.tries),
    )


def _attempts(tries: Sequence[Mapping[str, Any]]) -> tuple[Attempt, ...]:
    return tuple(Attempt(**{**each, "at": datetime.fromisoformat(each["at"])}) for each in tries)


_STATES: dict[str, State] = {state: state for state in STATES}
