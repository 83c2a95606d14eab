"""
The shell of one call: it owns the two sockets, feeds the Call and performs its actions. It decides nothing.

    carrier socket --StreamReader--> Call.receive(input, now) --actions--> outboxes --> carrier and model sockets
    model connection --Event-------^

What a socket takes is sent at once: a clear waits for no other task's turn. The rest waits in two outboxes, each
emptied by a task of its own, so that a slow model never keeps the caller's stream from being read, nor the other
way round. Both are bounded (outbox.py): caller audio that the model does not take in time is dropped, the oldest
first, and reported; a carrier that lets too much wait is given up.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from contextvars import copy_context
from time import monotonic
from typing import Any, NoReturn, Protocol, runtime_checkable

from phonebot.call.actions import (
    Action,
    Check,
    ClearPlayback,
    CloseModel,
    CloseStream,
    Ended,
    OpenModel,
    PlayAudio,
    RunTool,
    SendMark,
    StopTool,
    Tell,
    is_audio_for_model,
)
from phonebot.call.call import Call
from phonebot.call.clock import MediaClock
from phonebot.call.inputs import (
    AnsweredBy,
    AnswerSent,
    CallerAudioDropped,
    CapReached,
    CarrierClosed,
    CarrierFault,
    Checked,
    Input,
    ModelFault,
    ModelLost,
    ModelReady,
    OperatorHangUp,
    PlayClip,
    ServiceStops,
    Tick,
    ToolResult,
    TypedText,
)
from phonebot.call.plan import Clip
from phonebot.call.turns import Turn
from phonebot.carrier.messages import Media, Start, StreamReader, StreamWriter
from phonebot.errors import CarrierError, ModelError, ModelUnreachable
from phonebot.hidden_keys import HiddenKeys
from phonebot.outbox import CarrierOutbox, ModelOutbox
from phonebot.realtime.connection import ModelConnection
from phonebot.realtime.events import AppendAudio, Command, Session

SEND_TIMEOUT_S = 10.0  # a half-dead TCP connection can block a send for ever
CLOSE_TIMEOUT_S = 5.0
REPORT_MS = 1_000  # dropped audio is reported so often at most while the model takes nothing


class StreamClosed(Exception):
    """The carrier's socket has ended; `code` is the WebSocket close code as seen."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class CarrierSocket(Protocol):
    """The carrier's WebSocket, accepted. `hear` and `send` raise `StreamClosed` once it has ended."""

    async def hear(self, heard: Callable[[str | bytes], None]) -> NoReturn:
        """Each message goes to `heard`, as soon as it has arrived. Raises what `heard` raises, too."""
        ...

    async def send(self, message: str) -> None: ...

    def send_now(self, message: str) -> bool:
        """Send without waiting. False, and nothing is sent, when that cannot be: then use `send`."""
        ...

    async def close(self, code: int) -> None: ...


class Journal(Protocol):
    """
    Is told all that happens, in order, and what came of it: nothing where the call failed.

    It must not block: what follows waits for it. Of the frames of which nothing comes but that the model hears
    them, fifty in a second, only a `FrameJournal` is told.
    """

    def happened(self, now: int, received: Input, actions: list[Action]) -> None: ...


@runtime_checkable
class FrameJournal(Journal, Protocol):
    """Is told of each frame."""

    def passed_on(self, now: int, received: Input, actions: list[Action]) -> None:
        """Instead of `happened`: `actions` is that the model is told of audio, and no more."""
        ...


class Toolbox(Protocol):
    """Runs the functions that the model calls, beside the call."""

    def run(self, wanted: RunTool, answer: Callable[[ToolResult], object]) -> None:
        """Begin to run one. `answer` is given its result, later, unless it is stopped before."""
        ...

    def stop(self, call_id: str) -> None:
        """Its result is not wanted any more."""
        ...

    async def close(self) -> None:
        """Stop all; it must come back within some seconds."""
        ...


class Guard(Protocol):
    """Looks at what is said and done, for the call's guardrails."""

    def check(self, wanted: Check, answer: Callable[[Checked], object]) -> None:
        """Begin to look. `answer` is given what comes of each guardrail, later, and nothing after `close`."""
        ...

    async def close(self) -> None:
        """Stop all; it must come back within some seconds."""
        ...


ConnectModel = Callable[[Session], Awaitable[tuple[ModelConnection, ModelReady]]]
"""Opens a session of the model's; raises ModelError. A call may need several, one after another."""


class ModelLink:
    """
    One session with the model, from its opening to its end.

    `connection` None: it is not open yet. `task` holds it: connects, reads, closes the connection when it is
    cancelled.
    """

    def __init__(self) -> None:
        self.connection: ModelConnection | None = None
        self.task: asyncio.Task[None] | None = None


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
        toolbox: Toolbox | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._call = call
        self._start = start
        self._socket = socket
        self._reader = reader
        self._writer = StreamWriter(start.stream_sid)
        self._connect = connect
        self._journals: tuple[Journal, ...] = ()
        self._frame_journals: tuple[FrameJournal, ...] = ()
        self._let_know(journals)
        # None: the plan has no functions, so none is called.
        self._toolbox = toolbox
        # None: the plan has no guardrails.
        self._guard = guard
        # None: whatever the caller keys in may be known.
        self._hidden = HiddenKeys(call) if call.plan.keypad and call.plan.keypad.hidden else None
        self._loop = asyncio.get_running_loop()
        self._clock = MediaClock(self._local_ms())
        self._tasks = asyncio.TaskGroup()  # `run` enters it
        # The call's. What the carrier's socket calls runs in the server's: what begins there is given this one.
        self._context = copy_context()
        self._to_carrier = CarrierOutbox()
        # The session that the call has, or asked for; None: none. What another one still says is not heard.
        self._model: ModelLink | None = None
        # What waits for it.
        self._to_model = ModelOutbox()
        self._ended = asyncio.Event()
        # Call time at which dropped audio may be reported again.
        self._report_ms = 0
        self.read_s = 0.0
        """When the model's newest event was read, by time.monotonic."""
        # When the call wants its next Tick, as far as `_keep_time` knows; `_sooner` tells it of an earlier one.
        self._armed_ms = 0
        self._sooner = asyncio.Event()

    async def run(self) -> None:
        """Hold the call until it has ended, both sockets are closed and nothing runs beside it any more."""
        try:
            await self._hold()
        finally:
            for beside in (self._toolbox, self._guard):
                if beside:
                    await beside.close()

    async def _hold(self) -> None:
        async with self._tasks:
            writer = self._tasks.create_task(self._write_carrier())
            reader = self._tasks.create_task(self._read_carrier())
            self._feed(self._start)
            timer = self._tasks.create_task(self._keep_time())
            await self._ended.wait()
            reader.cancel()
            timer.cancel()
            # The last messages have a moment to leave, while the model's connection closes too.
            self._to_carrier.close(1000)
            await asyncio.wait([writer], timeout=CLOSE_TIMEOUT_S)
            writer.cancel()

    # ---------------------------------------------------------------------------------- who watches it, and acts

    def hang_up(self, by: str) -> None:
        """End the call now, because the operator of this name wants it. Nothing happens when it has ended."""
        self._feed(OperatorHangUp(by))

    def play(self, clip: Clip) -> None:
        """Play this to the caller, once he and the bot let it. Nothing happens when the call has ended."""
        self._feed(PlayClip(clip.text, clip.audio, clip.clip_id, clip.over_speech))

    def type_in(self, typed: TypedText) -> None:
        """Somebody types into the call. Nothing happens when it has ended."""
        self._feed(typed)

    def is_answered_by(self, answered: AnsweredBy) -> None:
        """The carrier has found out who answered. Nothing happens when the call has ended."""
        self._feed(answered)

    def note(self, sent: AnswerSent) -> None:
        """
        How long an answer took us: it is known later, since what took so long is being told of still.

        Nothing happens when the call has ended.
        """
        self._feed_later(sent)

    def cap(self, reached: CapReached) -> None:
        """What calls may cost in a day is spent. Nothing happens when the call has ended."""
        self._feed(reached)

    def stop(self, stops: ServiceStops) -> None:
        """The process is told to end. Nothing happens when the call has ended."""
        self._feed(stops)

    def lose(self) -> None:
        """The carrier has told elsewhere that the stream is over. Nothing happens when the call has ended."""
        self._feed(CarrierClosed(1006))

    @property
    def is_quiet(self) -> bool:
        """Nobody speaks."""
        return self._call.turn is Turn.IDLE

    @property
    def hidden_keys(self) -> str:
        """What the caller keyed in last, where it is hidden; "" for nothing."""
        return self._hidden.keys if self._hidden else ""

    def attach(self, journal: Journal) -> None:
        """Tell this one, too, from now on."""
        self._let_know((*self._journals, journal))

    def detach(self, journal: Journal) -> None:
        self._let_know(tuple(each for each in self._journals if each is not journal))

    def _let_know(self, journals: tuple[Journal, ...]) -> None:
        self._journals = journals
        self._frame_journals = tuple(each for each in journals if isinstance(each, FrameJournal))

    # ---------------------------------------------------------------------------------- the core

    def _feed(self, received: Input) -> None:
        """Let the call know, and do what it asks for. What the sockets still say after its end is dropped."""
        if self._call.ended:
            return
        now = self._time_of(received)
        if self._hidden:
            received = self._hidden.hide(received, now)
        actions: list[Action] = []
        passed_on = False
        try:
            actions = self._call.receive(received, now)
            if self._hidden:
                self._hidden.follow(actions)
            for action in actions:
                self._perform(action)
            passed_on = type(received) is Media and is_audio_for_model(actions)
        finally:
            if not passed_on:
                self._tell_journals(now, received, actions)
        if passed_on:
            for each in self._frame_journals:
                each.passed_on(now, received, actions)
        else:
            self._wake_in_time()
        if self._to_carrier.overfull or self._to_model.dropped or self._to_model.overfull:
            self._report_backlog(now)

    def _time_of(self, received: Input) -> int:
        """Call time."""
        if type(received) is Media:
            return self._clock.arrive(self._local_ms(), received.timestamp_ms)
        return self._clock.now(self._local_ms())

    def _tell_journals(self, now: int, received: Input, actions: list[Action]) -> None:
        for journal in self._journals:
            journal.happened(now, received, actions)

    def _perform(self, action: Action) -> None:
        """Do what an action asks for. Those that are not here are for people and the log."""
        match action:
            case Tell():  # first: fifty times a second
                self._tell(action.command)
            case PlayAudio():
                self._send(self._writer.media(action.payload), self._to_carrier.put_audio)
            case SendMark():
                self._send(self._writer.mark(action.name), self._to_carrier.put)
            case ClearPlayback():
                self._send(self._writer.clear(), self._to_carrier.put_clear)
            case OpenModel():
                self._open_model(action.session)
            case CloseModel():
                self._close_model()
            case CloseStream():
                self._to_carrier.close(action.code)
            case RunTool() | StopTool() | Check():
                self._context.copy().run(self._begin_beside, action)
            case Ended():
                self._ended.set()

    def _open_model(self, session: Session) -> None:
        self._close_model()
        link = self._model = ModelLink()
        link.task = self._begin(self._hold_model(session, link))

    def _close_model(self) -> None:
        """It comes with every end. The connection is closed beside what follows."""
        link, self._model = self._model, None
        if link and link.task:
            link.task.cancel()

    def _begin_beside(self, action: RunTool | StopTool | Check) -> None:
        """Begin, or stop, what runs beside the call and answers when it is done."""
        if isinstance(action, Check):
            assert self._guard is not None, "a plan with guardrails comes with who looks"
            self._guard.check(action, self._feed)
            return
        assert self._toolbox is not None, "a plan with functions comes with what runs them"
        if isinstance(action, RunTool):
            self._toolbox.run(action, self._feed_later)
        else:
            self._toolbox.stop(action.call_id)

    def _feed_later(self, received: ToolResult | AnswerSent) -> None:
        """In a task of the call: should the core fail by it, the call does, and not who brings it."""

        async def feed() -> None:
            self._feed(received)

        if not self._call.ended:  # else there may be no tasks of the call any more
            self._begin(feed())

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task of the call."""
        return self._tasks.create_task(work, context=self._context.copy())

    def _report_backlog(self, now: int) -> None:
        """Let the call know of what could not be sent."""
        if self._to_carrier.overfull:
            self._feed(CarrierClosed(1006))
        elif self._to_model.overfull:
            self._close_model()
            self._to_model = ModelOutbox()
            self._feed(ModelLost("the model's connection is too slow: too many commands wait for it"))
        elif now >= self._report_ms:
            self._report_ms = now + REPORT_MS
            self._feed(CallerAudioDropped(self._to_model.take_dropped()))

    def _wake_in_time(self) -> None:
        """What happened may want an earlier Tick than the one that is waited for."""
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
        try:
            await self._socket.hear(self._heard)
        except StreamClosed as closed:
            self._feed(CarrierClosed(closed.code))

    def _heard(self, message: str | bytes) -> None:
        try:
            received: Input = self._reader.receive(message)
        except CarrierError as error:
            received = CarrierFault(str(error), counts=not error.harmless)
        self._feed(received)

    def _send(self, message: str, put: Callable[[str], None]) -> None:
        """Send at once what the socket takes, unless something waits before it; else `put` it into the outbox."""
        if not (self._to_carrier.idle and self._socket.send_now(message)):
            put(message)

    async def _write_carrier(self) -> None:
        """Send until the socket is closed, by us or by the other side."""
        try:
            while not await self._write_waiting():
                await self._to_carrier.filled()
        except (StreamClosed, TimeoutError):
            self._feed(CarrierClosed(1006))

    async def _write_waiting(self) -> bool:
        """Send all that waits for the carrier. True once that was the close."""
        since_s = self._loop.time()
        async with asyncio.timeout_at(since_s + SEND_TIMEOUT_S) as limit:
            while (message := self._to_carrier.take()) is not None:
                if isinstance(message, int):
                    await self._socket.close(message)
                    return True
                await self._socket.send(message)
                if self._loop.time() > since_s + 1:  # it is slow, but takes something
                    since_s = self._loop.time()
                    limit.reschedule(since_s + SEND_TIMEOUT_S)
        return False

    # ---------------------------------------------------------------------------------- the model's connection

    def _tell(self, command: Command) -> None:
        # Fifty frames a second go out from here, without waking another task, unless something waits before them.
        connection = self._model.connection if self._model and self._to_model.idle else None
        if not (connection and isinstance(command, AppendAudio) and connection.send_now(command)):
            self._to_model.put(command)

    async def _hold_model(self, session: Session, link: ModelLink) -> None:
        try:
            link.connection, ready = await self._connect(session)
            outbox = self._to_model = ModelOutbox(ready.input_format)
            with outbox.keeping():
                self._feed(ready)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._write_model(link.connection, outbox))
                await self._listen(link, link.connection)
        except* ModelError as errors:
            if self._model is link:
                self._model = None
                self._feed(_lost(errors.exceptions[0]))
        finally:
            if link.connection:
                await link.connection.close()

    async def _listen(self, link: ModelLink, connection: ModelConnection) -> None:
        def heard(event: Input) -> None:
            if self._model is link:
                self.read_s = monotonic()
                self._feed(event)

        await connection.listen(heard, lambda error: heard(ModelFault(str(error))))

    async def _write_model(self, connection: ModelConnection, outbox: ModelOutbox) -> None:
        while True:
            await connection.send(await outbox.get())
            if outbox.dropped and outbox.empty:  # it has caught up: the rest of the report
                self._feed(CallerAudioDropped(outbox.take_dropped()))


def _lost(error: Exception) -> ModelLost:
    """What the call is told of a connection that is gone."""
    if isinstance(error, ModelUnreachable):
        return ModelLost(str(error), unheard_ms=error.unheard_ms)
    return ModelLost(str(error), fatal=True)
