"""
The shell of one call: it owns the two sockets, feeds the Call and performs its actions. It decides nothing.

    carrier socket --StreamReader--> Call.receive(input, now) --actions--> outboxes --> carrier and model sockets
    model connection --Event-------^

What is to be sent waits in two outboxes, each emptied by a task of its own, so that a slow model never keeps the
caller's stream from being read, nor the other way round. Caller audio has a bound there: what the model does not
take in time is dropped, the oldest first, and counted. What goes to the carrier is bounded by the call itself,
which keeps its lead small.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol

from phonebot.call.actions import (
    Action,
    ClearPlayback,
    CloseStream,
    Ended,
    OpenModel,
    PlayAudio,
    SendMark,
    Tell,
)
from phonebot.call.call import Call
from phonebot.call.clock import MediaClock
from phonebot.call.inputs import (
    CallerAudioDropped,
    CarrierClosed,
    CarrierFault,
    Input,
    ModelFault,
    ModelLost,
    ModelReady,
    Tick,
)
from phonebot.carrier.messages import Media, Start, StreamReader, StreamWriter
from phonebot.errors import CarrierError, ModelError, ModelProtocolError, UnknownCarrierEvent
from phonebot.realtime.connection import ModelConnection
from phonebot.realtime.events import AppendAudio, Command, Session

MAX_CALLER_FRAMES = 100  # caller audio that may wait for the model: 2 s
SEND_TIMEOUT_S = 10.0  # a half-dead TCP connection can block a send for ever
CLOSE_TIMEOUT_S = 5.0


class StreamClosed(Exception):
    """The carrier's socket has ended; `code` is the WebSocket close code as seen."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class CarrierSocket(Protocol):
    """The carrier's WebSocket, accepted. Both methods raise `StreamClosed` once it has ended."""

    async def receive(self) -> str | bytes: ...

    async def send(self, message: str) -> None: ...

    async def close(self, code: int) -> None: ...


class Journal(Protocol):
    """Is told all that happens, in order. It must not block: it stands in the way of each frame."""

    def input(self, now: int, received: Input) -> None: ...

    def actions(self, now: int, actions: list[Action]) -> None: ...


ConnectModel = Callable[[Session], Awaitable[tuple[ModelConnection, ModelReady]]]
"""Opens the model's session; raises ModelError."""


class Bridge:
    """
    One call between its two sockets.

    The stream's start message has been read already: it says whose call it is.
    """

    def __init__(
        self,
        call: Call,
        start: Start,
        socket: CarrierSocket,
        reader: StreamReader,
        connect: ConnectModel,
        journals: tuple[Journal, ...] = (),
    ) -> None:
        self._call = call
        self._start = start
        self._socket = socket
        self._reader = reader
        self._writer = StreamWriter(start.stream_sid)
        self._connect = connect
        self._journals = journals
        self._loop = asyncio.get_running_loop()
        self._clock = MediaClock(self._local_ms())
        self._to_carrier: asyncio.Queue[str | CloseStream] = asyncio.Queue()
        self._to_model = ModelOutbox()
        self._connection: ModelConnection | None = None
        self._ended = asyncio.Event()
        # When the call wants its next Tick, as far as `_keep_time` knows; `_sooner` tells it of an earlier one.
        self._armed_ms = 0
        self._sooner = asyncio.Event()

    async def run(self) -> None:
        """Hold the call until it has ended and both sockets are closed."""
        try:
            async with asyncio.TaskGroup() as self._group:
                writer = self._group.create_task(self._write_carrier())
                self._readers = [self._group.create_task(self._read_carrier())]
                self._feed(self._start)
                self._readers.append(self._group.create_task(self._keep_time()))
                await self._ended.wait()
                for reader in self._readers:
                    reader.cancel()
                # The last messages have a moment to leave; the socket is closed behind them.
                self._to_carrier.put_nowait(CloseStream(1000, "caller_hung_up"))
                await asyncio.wait([writer], timeout=CLOSE_TIMEOUT_S)
                writer.cancel()
        finally:
            if self._connection:
                await self._connection.close()

    def _open_model(self, session: Session) -> None:
        self._readers.append(self._group.create_task(self._hold_model(session)))

    # ---------------------------------------------------------------------------------- the core

    def _feed(self, received: Input) -> None:
        """Let the call know, and do what it asks for. What the sockets still say after its end is dropped."""
        if self._call.ended:
            return
        local_ms = self._local_ms()
        if isinstance(received, Media):
            now = self._clock.arrive(local_ms, received.timestamp_ms)
        else:
            now = self._clock.now(local_ms)
        for journal in self._journals:
            journal.input(now, received)
        actions = self._call.receive(received, now)
        for action in actions:
            if perform := _PERFORM.get(type(action)):
                perform(self, action)
        for journal in self._journals:
            journal.actions(now, actions)
        due_ms = self._call.wakeup_ms
        if due_ms is not None and due_ms < self._armed_ms:
            self._sooner.set()

    async def _keep_time(self) -> None:
        while (due_ms := self._call.wakeup_ms) is not None:
            self._sooner.clear()
            self._armed_ms = due_ms
            wait_ms = due_ms - self._clock.now(self._local_ms())
            if wait_ms <= 0:
                self._feed(Tick())
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_ms / 1000):
                    await self._sooner.wait()

    def _local_ms(self) -> float:
        return self._loop.time() * 1000

    # ---------------------------------------------------------------------------------- the carrier's socket

    async def _read_carrier(self) -> None:
        while True:
            try:
                message = await self._socket.receive()
            except StreamClosed as closed:
                self._feed(CarrierClosed(closed.code))
                return
            try:
                received: Input = self._reader.receive(message)
            except CarrierError as error:
                received = CarrierFault(str(error), counts=not isinstance(error, UnknownCarrierEvent))
            self._feed(received)

    async def _write_carrier(self) -> None:
        """Send until the socket is closed, by us or by the other side."""
        while True:
            message = await self._to_carrier.get()
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    if isinstance(message, CloseStream):
                        await self._socket.close(message.code)
                        return
                    await self._socket.send(message)
            except (StreamClosed, TimeoutError):
                self._feed(CarrierClosed(1006))
                return

    # ---------------------------------------------------------------------------------- the model's connection

    def _tell(self, command: Command) -> None:
        # Fifty frames a second go out from here, without waking another task, unless something waits before them.
        connection = self._connection if self._to_model.idle else None
        if not (connection and isinstance(command, AppendAudio) and connection.send_now(command)):
            self._to_model.put(command)

    async def _hold_model(self, session: Session) -> None:
        try:
            self._connection, ready = await self._connect(session)
            self._feed(ready)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write_model(self._connection))
                await self._read_model(self._connection)
        except* ModelError as errors:
            self._feed(ModelLost(str(errors.exceptions[0])))

    async def _read_model(self, connection: ModelConnection) -> None:
        while True:
            try:
                received: Input = await connection.receive()
            except ModelProtocolError as error:
                received = ModelFault(str(error))
            self._feed(received)

    async def _write_model(self, connection: ModelConnection) -> None:
        while True:
            await connection.send(await self._to_model.get())
            if dropped := self._to_model.take_dropped():
                self._feed(CallerAudioDropped(dropped))


_PERFORM: dict[type, Callable[[Bridge, Any], object]] = {
    PlayAudio: lambda bridge, action: bridge._to_carrier.put_nowait(bridge._writer.media(action.payload)),
    SendMark: lambda bridge, action: bridge._to_carrier.put_nowait(bridge._writer.mark(action.name)),
    ClearPlayback: lambda bridge, action: bridge._to_carrier.put_nowait(bridge._writer.clear()),
    CloseStream: lambda bridge, action: bridge._to_carrier.put_nowait(action),
    OpenModel: lambda bridge, action: bridge._open_model(action.session),
    Tell: lambda bridge, action: bridge._tell(action.command),
    Ended: lambda bridge, action: bridge._ended.set(),
}
"""What is done about each action. The others are for the journals; the model is closed at the end of `run`."""


class ModelOutbox:
    """Commands waiting for the model. Of caller audio only the newest MAX_CALLER_FRAMES may wait."""

    def __init__(self) -> None:
        self._commands: deque[Command] = deque()
        self._audio = 0  # how many of them are caller audio
        self._dropped = 0
        self._filled = asyncio.Event()
        # Its reader has sent all there was and waits for more.
        self.idle = False

    def put(self, command: Command) -> None:
        if isinstance(command, AppendAudio):
            if self._audio == MAX_CALLER_FRAMES:
                oldest = next(i for i, waiting in enumerate(self._commands) if isinstance(waiting, AppendAudio))
                del self._commands[oldest]
                self._dropped += 1
            else:
                self._audio += 1
        self.idle = False
        self._commands.append(command)
        self._filled.set()

    async def get(self) -> Command:
        while not self._commands:
            self._filled.clear()
            self.idle = True
            await self._filled.wait()
        self.idle = False
        command = self._commands.popleft()
        if isinstance(command, AppendAudio):
            self._audio -= 1
        return command

    def take_dropped(self) -> int:
        """How many frames were dropped since this was last asked."""
        dropped, self._dropped = self._dropped, 0
        return dropped
