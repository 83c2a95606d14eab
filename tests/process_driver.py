"""
Whole processes of the service behind one address, as behind a load balancer, and callers before them.

    async with Fleet.open(tmp_path) as fleet:
        first, second = await fleet.start(), await fleet.start()
        calling = fleet.call(WaitForBot(), Say(SPEECH), WaitForHangUp())
        holder = await fleet.holder(lambda call: len(call.lines) > 1)
        holder.kill()
        record = await calling

They share a database, and a data folder unless `start` is told otherwise. The front takes each connection to the
first process that answers: `prefer` says which is asked first.
"""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from service_driver import COMMAND, MODEL_KEY, SECRET_KEY, TOKEN, Ear, environment
from sqlalchemy import select

from phonebot.simulator.caller import Caller, Event
from phonebot.simulator.carrier import FRAME_BYTES, FRAME_MS, SILENCE, Oddities
from phonebot.simulator.mind import Call, Context, Mind, Say
from phonebot.simulator.phone import dial
from phonebot.simulator.record import CallRecord
from phonebot.simulator.server import ModelServer
from phonebot.simulator.server import serve as serve_model
from phonebot.store.database import Database
from phonebot.store.live import LiveStore
from phonebot.store.tables import CallRow, TurnRow
from phonebot.web.live_events import Snapshot

STARTS_S = 60.0  # on a machine with other work a process takes long to start
PROFILES = """
[default]
greeting = "Hi"
turn_detection = { type = "server_vad", silence_duration_ms = 200, prefix_padding_ms = 100 }
transcription = { model = "any" }
"""


class Remembering:
    """A mind that tells how much of the conversation it knows, and speaks for long."""

    def answer(self, context: Context) -> tuple[Say | Call, ...]:
        known = sum(line.role in ("user", "assistant") for line in context.history)
        newest = context.history[-1] if context.history else None
        if newest and newest.role == "system" and "broke off" in newest.text:
            return (Say(f"back with {known} lines of what was said before it broke off"),)
        return (Say(f"an answer to {known} lines that takes long enough to be cut off within"),)


@dataclass
class Running:
    """A process that serves. `told` is what it has written to its terminal, line by line."""

    process: asyncio.subprocess.Process
    port: int = 0
    told: list[str] = field(default_factory=list)
    reading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """As the system does when there is no memory left."""
        self.process.kill()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        async with asyncio.timeout(STARTS_S):
            code = await self.process.wait()
            assert self.reading is not None, "it was started"
            await self.reading
        return code

    async def says(self, text: str) -> None:
        async with asyncio.timeout(STARTS_S):
            while not any(text in line for line in self.told):
                assert self.process.returncode is None, "\n".join(self.told)
                await asyncio.sleep(0.02)

    async def finds(self, pattern: str, times: int = 1) -> str:
        """What it says that fits, or its group, for so many times."""
        async with asyncio.timeout(STARTS_S):
            while True:
                found = [match[1] for line in self.told if (match := re.search(pattern, line))]
                if len(found) >= times:
                    return found[-1]
                await asyncio.sleep(0.02)

    async def read(self) -> None:
        assert self.process.stderr is not None, "it has a pipe"
        while line := await self.process.stderr.readline():
            self.told.append(line.decode().rstrip())


@dataclass
class Fleet:
    """`port` is where callers dial, `public_url` as what the processes know that; None: they know it as it is."""

    folder: Path
    model: ModelServer
    database_url: str
    database: Database
    live: LiveStore
    port: int = 0
    public_url: str | None = None
    processes: list[Running] = field(default_factory=list)
    _calls: list[asyncio.Task[CallRecord]] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, folder: Path, database_url: str, minds: Callable[[], Mind] = Remembering
    ) -> AsyncIterator["Fleet"]:
        (folder / "profiles.toml").write_text(PROFILES)
        database = Database(database_url)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(database.close)
            model = await stack.enter_async_context(serve_model(minds=minds, ear=Ear(), key=MODEL_KEY))
            fleet = cls(folder, model, database_url, database, LiveStore(database))
            front = await asyncio.start_server(fleet._take, "127.0.0.1", 0)
            fleet.port = front.sockets[0].getsockname()[1]
            try:
                yield fleet
            finally:
                await fleet._close()
                front.close()
                await front.wait_closed()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self, *arguments: str, data_dir: str = "data", **settings: str) -> Running:
        """Start a process, which is ready when it is returned. One that is added is asked last."""
        variables = {
            "PHONEBOT_DATABASE_URL": self.database_url,
            "PHONEBOT_DATA_DIR": str(self.folder / data_dir),
            "PHONEBOT_PROFILES": str(self.folder / "profiles.toml"),
            "PHONEBOT_PUBLIC_URL": self.public_url or self.url,
            "PHONEBOT_SECRET_KEY": SECRET_KEY,
            "PHONEBOT_MODEL_URL": self.model.url,
            "PHONEBOT_MODEL_TOKEN": MODEL_KEY,
            "TWILIO_AUTH_TOKEN": TOKEN,
        }
        command = (*COMMAND, "serve", "--port", "0", *arguments)
        process = await asyncio.create_subprocess_exec(
            *command, env=environment(**variables, **settings), stderr=asyncio.subprocess.PIPE
        )
        running = Running(process)
        running.reading = asyncio.create_task(running.read())
        self.processes.append(running)
        await running.says("voice webhook")
        listens = next(found for line in running.told if (found := re.search(r"listens on .*:(\d+)", line)))
        running.port = int(listens[1])
        return running

    def prefer(self, process: Running) -> None:
        """From now on connections go to this one, if it accepts them."""
        self.processes.remove(process)
        self.processes.insert(0, process)

    # ------------------------------------------------------------------------------ callers

    def call(self, *steps: Any, on_event: Callable[[Event], None] | None = None) -> "asyncio.Task[CallRecord]":
        """Somebody calls, beside the test."""
        caller = dial(
            f"{self.url}/twilio/voice",
            Caller(*steps),
            auth_token=TOKEN,
            public_url=self.public_url,
            max_call_s=60,
            on_event=on_event,
        )
        self._calls.append(asyncio.create_task(caller))
        return self._calls[-1]

    async def seen(self, is_so: Callable[[Snapshot], bool]) -> Snapshot:
        """The only call, as the database has it while it is in progress and some seconds longer, once it is so."""
        async with asyncio.timeout(STARTS_S):
            while True:
                for listed in await self.live.listed():
                    text = (await self.live.snapshots([listed.key])).get(listed.key)
                    snapshot = msgspec.json.decode(text, type=Snapshot) if text else None
                    if snapshot and is_so(snapshot):
                        return snapshot
                await asyncio.sleep(0.02)

    async def filed(self, count: int) -> list[tuple[str, str | None, list[str]]]:
        """The calls that are filed, once there are so many: sid, outcome and what was said, the oldest first."""
        async with asyncio.timeout(STARTS_S):
            while True:
                async with self.database.read() as session:
                    calls = (await session.scalars(select(CallRow).order_by(CallRow.started_at))).all()
                    in_order = select(TurnRow).order_by(TurnRow.call_id, TurnRow.sequence)
                    turns = (await session.scalars(in_order)).all()
                if len(calls) >= count:
                    said = {call.id: [turn.text for turn in turns if turn.call_id == call.id] for call in calls}
                    return [(call.call_sid, call.outcome, said[call.id]) for call in calls]
                await asyncio.sleep(0.05)

    def logs(self, data_dir: str) -> list[Path]:
        return sorted((self.folder / data_dir / "calls").iterdir())

    def holder(self, call: Snapshot) -> Running:
        return next(each for each in self.processes if f"/{each.pid}-" in call.process)

    # ------------------------------------------------------------------------------ the front

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            request = await _request(reader)
            for process in tuple(self.processes):
                if process.process.returncode is not None:
                    continue  # by now its port may be that of somebody else's process
                with suppress(OSError):
                    inner, outer = await asyncio.open_connection("127.0.0.1", process.port)
                    outer.write(request)
                    if answer := await inner.read(65_536):
                        writer.write(answer)
                        await asyncio.gather(_pipe(reader, outer), _pipe(inner, writer))
                        return
        writer.transport.abort()

    async def _close(self) -> None:
        for process in self.processes:
            if process.process.returncode is None:
                process.kill()
            await process.ended()
            sys.stderr.write("\n".join(["", f"--- {process.pid}", *process.told, ""]))  # for a test that fails
        for call in await asyncio.gather(*self._calls, return_exceptions=True):
            sys.stderr.write(f"\n--- a call: {_told(call)}\n")


def _told(call: CallRecord | BaseException) -> str:
    """How it went, as a line each."""
    if isinstance(call, BaseException):
        return repr(call)
    return "\n".join(
        [
            f"{call.outcome} {call.reason}, {call.failed_steps}, {len(call.streams)} streams",
            *(f"{event.at_ms:7.0f} ms {event.kind} {event.detail}" for event in call.events),
        ]
    )


async def _request(reader: asyncio.StreamReader) -> bytes:
    """
    The request of a connection, whole: should its process die over it, another one is asked. There is one to a
    connection: a second one would go to the same process, though that had died meanwhile.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    request = head + await reader.readexactly(int(length[1]) if length else 0)
    upgrades = re.search(rb"^upgrade:", head, re.IGNORECASE | re.MULTILINE)
    return request if upgrades else request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes until either side has ended, and end the other."""
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


def gap_ms(record: CallRecord, place: int) -> float:
    """For how long the caller heard nothing, from a stream's last sound to the first of the next one."""
    frames = [record.heard[at : at + FRAME_BYTES] for at in range(0, len(record.heard), FRAME_BYTES)]
    ends_ms = [event.at_ms for event in record.events if event.kind == "stream closed"]
    closed = zip(record.streams, ends_ms, strict=False)  # the last one was ended by the caller
    begins_ms = Oddities().first_timestamp_ms - FRAME_MS  # on the carrier's clock, as `zero_ms` is
    lengths = [round((end_ms - stream.zero_ms - begins_ms) / FRAME_MS) for stream, end_ms in closed]
    begin = sum(lengths[:place])
    own, following = frames[begin : begin + lengths[place]], frames[begin + lengths[place] :]
    last = max(at for at, frame in enumerate(own) if frame != SILENCE)
    first = min(at for at, frame in enumerate(following) if frame != SILENCE)
    stream, next_stream = record.streams[place : place + 2]
    return (next_stream.zero_ms + first * FRAME_MS) - (stream.zero_ms + (last + 1) * FRAME_MS)
