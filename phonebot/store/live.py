"""
Calls in progress, of all processes: what each is at, and what operators want of them.

    known, commands = await live.write("web-1/4711", [LiveCall(...)], forget=[...], done={...})
    listed = await live.listed()                # by any process
    await live.ask("CA1", "hang_up", actor)     # the process that holds it has the command with its next write

    standing = await live.standing("CA1", "x")  # also of a call whose process was killed

A process that holds calls writes about once a second, and with it says that it is alive; one without calls does
so every few seconds. One that says nothing for STALE_S may be slow or dead: its calls are shown as such, and from
GONE_S on no more. Their rows stay for KEPT_S, since what was said in them is needed to go on with such a call
elsewhere. A slow process whose rows were removed is told so, and writes them again.

Moments are those of one clock: the database's, or the machine's for SQLite, which has no other machine.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Executable,
    and_,
    delete,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from phonebot.errors import NotStored
from phonebot.store import audit
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.relay import DEADLINE_S, Key, Relay
from phonebot.store.tables import (
    NUMBER_CHARACTERS,
    LiveCallRow,
    LiveCommand,
    LiveProcess,
    Table,
)

STALE_S = 10.0
GONE_S = 30.0
TAKES_S = 8.0
"""For so long a process that says nothing counts as one that takes calls."""
KEPT_S = 600.0
"""Also for how long a command is kept."""
ENDED_S = 10.0
"""How long the row of a call that has ended stays, so that whoever watches learns how it ended."""
MAX_LISTED = 1_000
MAX_COMMANDS = 100
"""That a process takes at a time."""
ROWS_AT_ONCE = 25
"""To prepare more in one go would keep the event loop, and so the frames of calls, for several ms."""

What: TypeAlias = Literal["hang_up", "say", "listen", "follow", "carrier", "lost"]
"""
What is wanted: of operators; "carrier": what the carrier told another process of the call; "lost": its stream has
ended, as the carrier told there.
"""
UNAUDITED: frozenset[What] = frozenset({"follow", "carrier", "lost"})
CARRIER = Actor("carrier")


@dataclass(frozen=True, slots=True)
class LiveCall:
    """
    A call as its process writes it. `snapshot` is JSON, which nobody here reads.

    `counter` grows with each change. `outcome` None: it has not ended. `stream` is the name of the stream that it
    is on; "": that has none.
    """

    call_sid: str
    number: str
    caller: str
    started_at: datetime
    counter: int
    snapshot: str
    outcome: str | None = None
    stream: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """A call in the list of all. `silent_s`: for how long its process has said nothing."""

    key: Key
    counter: int
    outcome: str | None
    silent_s: float

    @property
    def is_stale(self) -> bool:
        return self.silent_s >= STALE_S


@dataclass(frozen=True, slots=True)
class Standing:
    """
    How a call stood on this stream when its process wrote it last. `silent_s`: for how long that process has said
    nothing.
    """

    process: str
    stream: str
    snapshot: str
    outcome: str | None
    silent_s: float


@dataclass(frozen=True, slots=True)
class Command:
    """
    What is wanted of a call. To `listen` and to `follow` are wanted for as long as the command is there.

    `wish` is JSON, which nobody here reads: what is to be said, or what the carrier told.
    """

    id: int
    call_sid: str
    what: str
    who: str
    wish: str | None = None


_CALLS, _PROCESSES, _COMMANDS = (
    Table.metadata.tables[f"live_{name}"] for name in ("calls", "processes", "commands")
)


class LiveStore:
    """
    All methods raise StoreUnavailable when the database is away, or takes longer than DEADLINE_S.

    `relay` has what somebody in another process hears and follows of a call.
    """

    def __init__(self, database: Database) -> None:
        self.relay = Relay(database)
        self._database = database
        self._in = database.moment  # so many seconds from now

    # ------------------------------------------------------------------------------ the process that holds calls

    async def write(
        self,
        process: str,
        calls: Iterable[LiveCall] = (),
        forget: Iterable[str] = (),
        done: Mapping[int, str] | None = None,
        takes_calls: bool = True,
    ) -> tuple[bool, list[Command]]:
        """
        Say that the process is alive, and whether it takes new calls; keep these calls, forget those, and take the
        outcomes of its commands.

        What comes back: whether the process was known, without which all its rows may have gone; and what is wanted
        of its calls. A command comes again until its outcome is written.
        """
        rows = [_values(process, call) for call in calls]
        forgotten = list(forget)
        async with self._writing() as session:
            known = await self._touch(session, process, takes_calls)
            upsert = self._upsert()
            for begin in range(0, len(rows), ROWS_AT_ONCE):
                await session.execute(upsert, rows[begin : begin + ROWS_AT_ONCE])
            if forgotten:
                await session.execute(
                    delete(LiveCallRow).where(LiveCallRow.process == process, LiveCallRow.call_sid.in_(forgotten))
                )
            for number, outcome in (done or {}).items():
                await session.execute(
                    update(LiveCommand).where(LiveCommand.id == number).values(outcome=outcome[:40])
                )
            return known, await self._wanted(session, process)

    async def tidy(self) -> None:
        """Remove what nobody needs any more, whichever process left it."""
        kept = select(LiveProcess.process).where(LiveProcess.seen_at >= self._ago(KEPT_S))
        async with self._writing() as session:
            await self.relay.tidy(session)
            await session.execute(delete(LiveCommand).where(LiveCommand.asked_at < self._ago(KEPT_S)))
            await session.execute(
                delete(LiveCallRow).where(
                    or_(
                        and_(LiveCallRow.outcome.is_not(None), LiveCallRow.updated_at < self._ago(2 * ENDED_S)),
                        LiveCallRow.process.not_in(kept),
                    )
                )
            )
            await session.execute(delete(LiveProcess).where(LiveProcess.seen_at < self._ago(KEPT_S)))

    # ------------------------------------------------------------------------------ who watches

    async def listed(self, besides: str = "", call_sid: str | None = None) -> list[Listed]:
        """
        The calls of all processes but one, the oldest first; at most MAX_LISTED. Those that ended say so.

        `call_sid`: that call alone, which two processes have for a moment when it moves.
        """
        found = (
            select(LiveCallRow.process, LiveCallRow.call_sid, LiveCallRow.counter, LiveCallRow.outcome)
            .add_columns(LiveProcess.seen_at, self._in().label("now"))
            .join(LiveProcess, LiveProcess.process == LiveCallRow.process)
            .where(LiveProcess.seen_at >= self._ago(GONE_S), LiveCallRow.process != besides)
            .order_by(LiveCallRow.started_at, LiveCallRow.call_sid)
            .limit(MAX_LISTED)
        )
        if call_sid is not None:
            found = found.where(LiveCallRow.call_sid == call_sid)
        async with self._reading() as session:
            rows = (await session.execute(found)).all()
        return [
            Listed((row.process, row.call_sid), row.counter, row.outcome, (row.now - row.seen_at).total_seconds())
            for row in rows
        ]

    async def snapshots(self, keys: Iterable[Key]) -> dict[Key, str]:
        """What was written of these calls, as far as they are there."""
        wanted = list(keys)
        if not wanted:
            return {}
        found = select(LiveCallRow.process, LiveCallRow.call_sid, LiveCallRow.snapshot).where(
            tuple_(LiveCallRow.process, LiveCallRow.call_sid).in_(wanted)
        )
        async with self._reading() as session:
            return {(row.process, row.call_sid): row.snapshot for row in await session.execute(found)}

    async def standing(self, call_sid: str, stream: str) -> Standing | None:
        """
        What was written last of a call on this stream, or else on another one; None: nothing is kept of the call.

        Also where its process is dead.
        """
        newest = (
            select(LiveCallRow.process, LiveCallRow.stream, LiveCallRow.snapshot, LiveCallRow.outcome)
            .add_columns(LiveProcess.seen_at, self._in().label("now"))
            .join(LiveProcess, LiveProcess.process == LiveCallRow.process)
            .where(LiveCallRow.call_sid == call_sid)
            .order_by((LiveCallRow.stream == stream).desc(), LiveCallRow.updated_at.desc())
            .limit(1)
        )
        async with self._reading() as session:
            row = (await session.execute(newest)).one_or_none()
        if row is None:
            return None
        silent_s = (row.now - row.seen_at).total_seconds()
        return Standing(row.process, row.stream, row.snapshot, row.outcome, silent_s)

    async def taking_calls(self, besides: str) -> list[str]:
        """The processes other than this one that take new calls, and have said so of late."""
        found = (
            select(LiveProcess.process)
            .where(LiveProcess.process != besides, LiveProcess.takes_calls)
            .where(LiveProcess.seen_at >= self._ago(TAKES_S))
            .limit(MAX_LISTED)
        )
        async with self._reading() as session:
            return list(await session.scalars(found))

    async def ask(
        self, call_sid: str, what: What, actor: Actor, lasts_s: float | None = None, wish: str | None = None
    ) -> tuple[Key, int]:
        """
        Want something of a call in another process. Audited but to follow it, as one follows all calls, and what
        the carrier told.

        What goes on has to be renewed within `lasts_s`. `wish`: see Command.

        What comes back: the call's key, and the number of the command. Raises NotStored when no such call is in
        progress, or its process has said nothing for too long to be asked.
        """
        holder = (
            select(LiveCallRow.process)
            .join(LiveProcess, LiveProcess.process == LiveCallRow.process)
            .where(
                LiveCallRow.call_sid == call_sid,
                LiveCallRow.outcome.is_(None),
                LiveProcess.seen_at >= self._ago(STALE_S),
            )
            .order_by(LiveProcess.seen_at.desc())
            .limit(1)
        )
        async with self._writing() as session:
            process = await session.scalar(holder)
            if process is None:
                raise NotStored(f"there is no call {call_sid[:64]} in progress: it may have ended just now")
            row = {
                "process": process,
                "call_sid": call_sid,
                "what": what,
                "who": actor.name,
                "wish": wish,
                "asked_at": self._in(),
                "until": None if lasts_s is None else self._in(lasts_s),
            }
            command: int = await session.scalar(_COMMANDS.insert().values(row).returning(_COMMANDS.c.id))
            if what not in UNAUDITED:
                audit.note(session, actor, f"call.{what}", call_sid)
            return (process, call_sid), command

    async def outcome(self, command: int) -> str | None:
        """What came of a command; None: nothing yet."""
        async with self._reading() as session:
            return await session.scalar(select(LiveCommand.outcome).where(LiveCommand.id == command))

    async def renew(self, command: int, lasts_s: float) -> str | None:
        """Go on listening or following, unless that is over: then its outcome comes back."""
        async with self._writing() as session:
            await session.execute(
                update(LiveCommand).where(LiveCommand.id == command).values(until=self._in(lasts_s))
            )
            return await session.scalar(select(LiveCommand.outcome).where(LiveCommand.id == command))

    async def withdraw(self, command: int) -> None:
        """Listen or follow no longer."""
        async with self._writing() as session:
            await session.execute(delete(LiveCommand).where(LiveCommand.id == command))

    async def note(self, what: What, call_sid: str, actor: Actor) -> None:
        """Audit what was done to a call of this process."""
        async with self._writing() as session:
            audit.note(session, actor, f"call.{what}", call_sid)

    async def is_held(self, key: Key) -> bool:
        """Whether a process that is alive, as far as is known, still has a call in progress."""
        process, call_sid = key
        found = (
            select(LiveCallRow.process)
            .join(LiveProcess, LiveProcess.process == LiveCallRow.process)
            .where(LiveCallRow.process == process, LiveCallRow.call_sid == call_sid)
            .where(LiveCallRow.outcome.is_(None), LiveProcess.seen_at >= self._ago(GONE_S))
        )
        async with self._reading() as session:
            return await session.scalar(found) is not None

    # ------------------------------------------------------------------------------ shared

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncSession]:
        async with self._database.in_time(DEADLINE_S), self._database.begin() as session:
            yield session

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncSession]:
        async with self._database.in_time(DEADLINE_S), self._database.read() as session:
            yield session

    async def _touch(self, session: AsyncSession, process: str, takes_calls: bool) -> bool:
        """Say that the process is alive; whether it was known."""
        seen = (
            update(_PROCESSES)
            .where(_PROCESSES.c.process == process)
            .values(seen_at=self._in(), takes_calls=takes_calls)
        )
        connection = await session.connection()
        if (await connection.execute(seen)).rowcount:
            return True
        row = {"process": process, "seen_at": self._in(), "takes_calls": takes_calls}
        await session.execute(_PROCESSES.insert().values(row))
        return False

    def _upsert(self) -> Executable:
        """For many rows at once."""
        statement = self._database.insert(_CALLS).values(updated_at=self._in())
        new = statement.excluded
        changed = {name: new[name] for name in ("updated_at", "stream", "counter", "snapshot", "outcome")}
        return statement.on_conflict_do_update(index_elements=[_CALLS.c.process, _CALLS.c.call_sid], set_=changed)

    async def _wanted(self, session: AsyncSession, process: str) -> list[Command]:
        found = (
            select(LiveCommand.id, LiveCommand.call_sid, LiveCommand.what, LiveCommand.who, LiveCommand.wish)
            .where(
                LiveCommand.process == process,
                LiveCommand.outcome.is_(None),
                or_(LiveCommand.until.is_(None), LiveCommand.until > self._in()),
            )
            .order_by(LiveCommand.id)
            .limit(MAX_COMMANDS)
        )
        rows = await session.execute(found)
        return [Command(row.id, row.call_sid, row.what, row.who, row.wish) for row in rows]

    def _ago(self, seconds: float) -> ColumnElement[datetime]:
        return self._in(-seconds)


def _values(process: str, call: LiveCall) -> dict[str, Any]:
    return {
        "process": process,
        "call_sid": call.call_sid,
        "stream": call.stream,
        "number": call.number[:NUMBER_CHARACTERS],
        "caller": call.caller[:NUMBER_CHARACTERS],
        "started_at": call.started_at,
        "counter": call.counter,
        "snapshot": call.snapshot,
        "outcome": call.outcome,
    }
