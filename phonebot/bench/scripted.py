"""
A Realtime server of the GA dialect that plays a script in each session, to the ms.

A session is told by its instructions which `Play` is meant. It does what its steps say (scenario.py) and answers
`conversation.item.truncate`, `.delete` and `response.cancel` as the service does; what it is led to believe is the
play's `Belief`. When the caller speaks it cancels its response by itself, as with `interrupt_response`. A play that
may be `asked` takes requests for responses and items, too: its next reply is what was asked for.

Events and commands travel `delay_ms`, in order, as over a network.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, Protocol, TypeVar

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from phonebot.bench import events
from phonebot.bench.belief import Belief
from phonebot.bench.events import Json
from phonebot.bench.model import GOLDEN
from phonebot.bench.scenario import Done, Freeze, Heard, Pause, Reply, Speak, Step
from phonebot.bench.tones import tone
from phonebot.realtime.events import AudioFormat

APPEND = '{"type":"input_audio_buffer.append"'
LATE_DELTA_MS = 200
WORD, CALLER_SAYS = "word ", "Excuse me."
MAX_MESSAGE_BYTES = 1 << 20
WIRE_FORMATS: dict[AudioFormat, Json] = {
    "pcmu": {"type": "audio/pcmu"},
    "pcma": {"type": "audio/pcma"},
    "pcm24k": {"type": "audio/pcm", "rate": 24_000},
}

T = TypeVar("T")


class Director(Protocol):
    """What the steps need of the rest of the call."""

    async def until_heard(self, item: int, ms: float) -> None:
        """Wait until the caller has heard so much of an item."""

    async def speak(self, ms: int) -> None:
        """Let the caller speak for so long; return when the model can have noticed."""

    async def freeze(self, ms: int) -> None:
        """Let the service stand still for so long; return when it goes on."""

    def wrote(self, event: Json) -> None:
        """The event is written to the service next."""

    def finished(self, problem: str | None) -> None:
        """All steps were done, or why not; the session goes on until the service ends it."""


class Silent:
    """Directs a model to whose answers nobody has to listen."""

    def __init__(self) -> None:
        self.problem: str | None = "it did not come to its end"
        self.done = asyncio.Event()

    async def until_heard(self, item: int, ms: float) -> None:
        raise AssertionError("nobody listens here")

    async def freeze(self, ms: int) -> None:
        raise AssertionError("nothing stands still here")

    async def speak(self, ms: int) -> None:
        """Nothing has to be said: the model hears what the script says."""

    def wrote(self, event: Json) -> None:
        """Nothing follows from it."""

    def finished(self, problem: str | None) -> None:
        self.problem = problem
        self.done.set()


async def until_done(calls: Iterable[Silent], within_s: float) -> None:
    """Wait for their scripts to end, no longer than this."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            for call in calls:
                await call.done.wait()


def repeated(turn: tuple[Step, ...], times: int, period_ms: int, place: int) -> tuple[Step, ...]:
    """The same turn again and again; those of all calls, each at its own `place`, are evenly spread in time."""
    first_ms = round(place * GOLDEN % 1 * period_ms)
    return (Pause(first_ms), *times * turn, Pause(period_ms - first_ms))


@dataclass(slots=True)
class Play:
    """One session's part."""

    steps: tuple[Step, ...]
    director: Director
    format: AudioFormat = "pcmu"
    delay_ms: float = 0.0
    asked: bool = False
    belief: Belief = field(default_factory=Belief)


class _Command(msgspec.Struct):
    type: str
    event_id: str | None = None
    session: Json = {}
    item_id: str = ""
    audio_end_ms: int = 0
    response: Json = {}


_COMMAND = msgspec.json.Decoder(_Command)


class ScriptedModel:
    """The server while it runs, at `url`. A session's instructions tell its play; `faults` are the clients'."""

    def __init__(self, plays: Mapping[str, Play]) -> None:
        self.url = ""
        self.faults: list[str] = []
        self._plays = plays
        self._numbers = count(1)

    async def converse(self, socket: ServerConnection) -> None:
        """Hold one session until the client leaves."""
        session_id = f"sess_{next(self._numbers):06}"
        created = {"type": "session.created", "event_id": "event_0", "session": events.session(session_id, {})}
        with suppress(ConnectionClosed):
            await socket.send(msgspec.json.encode(created).decode())
            update = _COMMAND.decode(await socket.recv())
            play = self._plays.get(update.session.get("instructions", ""))
            if update.type != "session.update" or play is None:
                self.faults.append(f"a session began with {update.type} and no play was meant")
                return
            await _Session(session_id, socket, play, self.faults).hold(update.session)


class _Response:
    """A response under way. `open`: the item that is being generated, None between two."""

    def __init__(self, response_id: str) -> None:
        self.id = response_id
        self.texts: dict[str, str] = {}
        self.open: str | None = None


class _Session:
    def __init__(self, session_id: str, socket: ServerConnection, play: Play, faults: list[str]) -> None:
        self._id, self._socket, self._play, self._faults = session_id, socket, play, faults
        self._belief, self._director = play.belief, play.director
        self._out: _Pipe[Json] = _Pipe(play.delay_ms, self._write)
        self._in: _Pipe[_Command] = _Pipe(play.delay_ms, self._obey)
        self._event_ids, self._response_ids, self._turns = count(1), count(1), count(1)
        self._loop = asyncio.get_running_loop()
        self._begin_s = self._loop.time()
        self._response: _Response | None = None  # the active one
        self._metadata: Json | None = None  # of the newest request for one
        self._generating: asyncio.Task[None] | None = None
        self._freezing: asyncio.Task[None] | None = None

    async def hold(self, update: Json) -> None:
        audio_format = {"format": WIRE_FORMATS[self._play.format]}
        session = {**update, "audio": {"input": audio_format, "output": audio_format}}
        self._tell({"type": "session.updated", "session": events.session(self._id, session)})
        tasks = [asyncio.create_task(work) for work in (self._out.run(), self._in.run(), self._perform())]
        try:
            async for text in self._socket:
                if not (isinstance(text, str) and text.startswith(APPEND)):
                    self._in.put(_COMMAND.decode(text))
        except msgspec.MsgspecError as error:
            self._faults.append(f"the model was sent {error}")
        finally:
            tasks += [task for task in (self._generating, self._freezing) if task]
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            self._faults += [
                f"the model's session failed: {outcome!r}"
                for outcome in outcomes
                if isinstance(outcome, Exception) and not isinstance(outcome, ConnectionClosed)
            ]

    # ------------------------------------------------------------------------------ the wire

    def _tell(self, *messages: Json) -> None:
        for event in messages:
            event_id = f"event_{self._id}_{next(self._event_ids)}"
            self._out.put({"type": event["type"], "event_id": event_id, **event})

    async def _write(self, event: Json) -> None:
        text = msgspec.json.encode(event).decode()
        self._director.wrote(event)
        await self._socket.send(text)

    async def _obey(self, command: _Command) -> None:
        match command.type:
            case "conversation.item.truncate":
                self._tell(self._belief.truncate(command.item_id, command.audio_end_ms, command.event_id))
            case "conversation.item.delete":
                self._tell(self._belief.delete(command.item_id, command.event_id))
            case "response.cancel":
                self._cancel_for_client(command.event_id)
            case "response.create" if self._play.asked:
                self._metadata = command.response.get("metadata")
            case "conversation.item.create" if self._play.asked:
                pass  # nothing depends on it
            case other:
                self._faults.append(f"the model was sent {other}")

    def _cancel_for_client(self, event_id: str | None) -> None:
        if response := self._stop_generating():
            self._cancelled(response, "client_cancelled")
        else:
            self._tell(events.error("There is no active response", "response_cancel_not_active", event_id))

    # ------------------------------------------------------------------------------ the steps

    async def _perform(self) -> None:
        problem: str | None = "the session ended before its script"
        try:
            for step in self._play.steps:
                await self._perform_step(step)
            problem = None
        except TimeoutError:
            problem = f"{step} did not come true"
        finally:
            self._director.finished(problem)

    async def _perform_step(self, step: Step) -> None:
        match step:
            case Reply():
                await self._done()
                self._generating = asyncio.create_task(self._generate(step))
            case Heard(item, ms):
                await self._director.until_heard(item, ms)
            case Done():
                await self._done()
            case Pause(ms):
                await asyncio.sleep(ms / 1000)
            case Freeze(ms):
                self._freezing = asyncio.create_task(self._director.freeze(ms))
                await asyncio.sleep(0)  # it stands still from here on
            case Speak():
                await self._director.speak(step.ms)
                await self._hear(step)

    async def _done(self) -> None:
        if self._generating:
            with suppress(asyncio.CancelledError):
                await self._generating

    # ------------------------------------------------------------------------------ the model speaks

    async def _generate(self, reply: Reply) -> None:
        response = self._response = _Response(f"resp_{self._id}_{next(self._response_ids)}")
        self._tell(*events.response_begins(response.id, self._metadata))
        self._metadata = None
        begin_s = self._loop.time() + reply.first_after_ms / 1000
        generated_ms, stalled_ms = 0, 0
        for index, item_ms in enumerate(reply.items_ms):
            await self._begin_item(response, begin_s if index == 0 else None)
            for start_ms in range(0, item_ms, reply.delta_ms):
                if reply.stall_ms and generated_ms >= reply.stalls_after_ms:
                    stalled_ms = reply.stall_ms
                if reply.pace:
                    await self._until(begin_s, generated_ms / reply.pace + stalled_ms)
                delta_ms = min(reply.delta_ms, item_ms - start_ms)
                says_it = reply.says and generated_ms <= reply.says_at_ms < generated_ms + delta_ms
                self._say(response, delta_ms, word=reply.says if says_it else WORD)
                generated_ms += delta_ms
            self._end_item(response, "completed")
        await asyncio.sleep(reply.tail_ms / 1000)
        self._tell(*events.response_ends(response.id, response.texts))
        self._response = None

    async def _begin_item(self, response: _Response, first_audio_s: float | None) -> None:
        item_id = f"item_{self._id}_{len(self._belief) + 1}"
        self._belief.begin(item_id)
        self._tell(*events.item_begins(response.id, item_id, len(response.texts)))
        response.open, response.texts[item_id] = item_id, ""
        if first_audio_s is not None:
            await self._until(first_audio_s, 0)

    def _say(self, response: _Response, ms: int, item_id: str | None = None, word: str = WORD) -> None:
        """A delta of the open item, or of the one named."""
        item_id = item_id or response.open
        assert item_id is not None, "audio is generated within an item"
        self._belief.extend(item_id, ms)
        response.texts[item_id] += word
        index = list(response.texts).index(item_id)
        audio = tone(list(self._belief.generated_ms).index(item_id), ms, self._play.format)
        self._tell(*events.speech(response.id, item_id, word, audio, index))

    def _end_item(self, response: _Response, status: events.Status) -> None:
        if item_id := response.open:
            text, index = response.texts[item_id], list(response.texts).index(item_id)
            self._tell(*events.item_ends(response.id, item_id, text, status, index))
            response.open = None

    # ------------------------------------------------------------------------------ the caller speaks

    async def _hear(self, step: Speak) -> None:
        turn, begin_s = next(self._turns), self._loop.time()
        item_id, start_ms = f"item_{self._id}_caller_{turn}", self._session_ms()
        self._tell(*events.caller_begins(item_id, start_ms))
        if response := self._stop_generating():
            await self._cut(response, step, begin_s)
        if step.again_ms:
            await self._until(begin_s, step.again_ms)
            self._tell(*events.caller_begins(item_id, start_ms))
        await self._until(begin_s, step.ms)
        self._tell(*events.caller_ends(item_id, self._session_ms(), CALLER_SAYS))

    async def _cut(self, response: _Response, step: Speak, begin_s: float) -> None:
        """End a response that was stopped; a little of its audio was still in the pipe."""
        said = list(response.texts)
        if step.late_after_done:
            self._cancelled(response, "turn_detected")
        for late_ms in step.late_ms:
            await self._until(begin_s, late_ms)
            self._say(response, LATE_DELTA_MS, said[-1])
        if not step.late_after_done:
            self._cancelled(response, "turn_detected")

    def _stop_generating(self) -> _Response | None:
        """Returns the response that was active; nothing more comes of it by itself."""
        response, self._response = self._response, None
        if self._generating:
            self._generating.cancel()
        return response

    def _cancelled(self, response: _Response, reason: events.Reason) -> None:
        self._end_item(response, "incomplete")
        self._tell(*events.response_is_cancelled(response.id, reason))

    def _session_ms(self) -> int:
        return int((self._loop.time() - self._begin_s) * 1000)

    async def _until(self, begin_s: float, ms: float) -> None:
        await asyncio.sleep(max(0.0, begin_s + ms / 1000 - self._loop.time()))


class _Pipe(Generic[T]):
    """Delivers what is put into it `delay_ms` later, in order, while `run` runs."""

    def __init__(self, delay_ms: float, deliver: Callable[[T], Awaitable[None]]) -> None:
        self._delay_s = delay_ms / 1000
        self._deliver = deliver
        self._under_way: deque[tuple[float, T]] = deque()
        self._filled = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def put(self, each: T) -> None:
        self._under_way.append((self._loop.time() + self._delay_s, each))
        self._filled.set()

    async def run(self) -> None:
        while True:
            while not self._under_way:
                self._filled.clear()
                await self._filled.wait()
            due_s, each = self._under_way.popleft()
            if (wait_s := due_s - self._loop.time()) > 0:
                await asyncio.sleep(wait_s)
            await self._deliver(each)


@asynccontextmanager
async def serve_script(plays: Mapping[str, Play]) -> AsyncIterator[ScriptedModel]:
    """The server on a free loopback port while the block runs."""
    model = ScriptedModel(plays)
    async with serve(
        model.converse, "127.0.0.1", 0, compression=None, ping_interval=None, max_size=MAX_MESSAGE_BYTES
    ) as listener:
        port = next(iter(listener.sockets)).getsockname()[1]
        model.url = f"ws://127.0.0.1:{port}/v1/realtime"
        yield model
