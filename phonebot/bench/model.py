"""
The model's side of the load: a Realtime server of the GA dialect, cheap enough to hold hundreds of sessions.

Each session speaks half of the time: every 8 s a response of 4 s of stamped audio, generated at four times real
time in deltas of 200 to 400 ms, with the events that come around it (Realtime API reference, server events);
between two responses it reports that the caller spoke. The first response comes at once when it is asked for (a
greeting). No one interrupts here, so any command but these, audio, an item and the session's update is a fault.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any

import msgspec

from phonebot.bench import events
from phonebot.bench.events import Json
from phonebot.bench.stamps import Tally
from phonebot.bench.wire import Receiver, Wire, serve

BYTES_PER_MS = 8  # G.711: 8000 samples a second, one byte each (ITU-T G.711)
PERIOD_S = 8.0
DELTAS_MS = (200, 300, 400, 300, 400, 400) * 2
WORDS = ("We ", "are ", "open ", "from ", "nine ", "to ", "six, ", "and ", "on ", "Saturdays ", "until ", "noon.")
GENERATION_SPEED = 4
CALLER_SPEAKS_S = (5.5, 7.5)  # within a period
GOLDEN = 0.618  # successive multiples of it, modulo 1, fill an interval evenly, however many there are

_encode = msgspec.json.encode


class _Command(msgspec.Struct):
    type: str
    audio: str = ""
    session: Json = {}
    item: Json = {}


_COMMAND = msgspec.json.Decoder(_Command)


class LoadModel:
    """The server while it runs, at `url`. `faults` says what clients did wrong."""

    def __init__(self, to_model: Tally, to_caller: Tally) -> None:
        self.url = ""
        self.faults: list[str] = []
        self.to_model, self.to_caller = to_model, to_caller
        self._numbers = count()
        self._speaking: set[asyncio.Task[None]] = set()

    def session(self) -> "_Session":
        """The next one, for a client that has come."""
        return _Session(next(self._numbers), self)

    def begin(self, speech: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A session begins to speak. It is awaited in the end, and heard of should it fail."""
        task = asyncio.create_task(speech)
        self._speaking.add(task)
        task.add_done_callback(self._ended)
        return task

    async def silence(self) -> None:
        """No session speaks any more."""
        for task in self._speaking:
            task.cancel()
        await asyncio.gather(*self._speaking, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._speaking.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.faults.append(f"the model fell silent: {error!r}")


class _Session(Receiver):
    """One session: what it says, and when."""

    def __init__(self, number: int, model: LoadModel) -> None:
        self._model = model
        self._id = f"sess_{number:06}"
        self._first_s = number * GOLDEN % 1 * PERIOD_S  # so that sessions do not all speak at once
        self._wire: Wire
        self._greeting_asked = asyncio.Event()
        self._speaking: asyncio.Task[None] | None = None
        self._events = count(1)

    def opened(self, wire: Wire) -> None:
        self._wire = wire
        self.send({"type": "session.created", "session": self.merged({})})

    def receive(self, text: bytes) -> None:
        try:
            self._obey(_COMMAND.decode(text))
        except (msgspec.MsgspecError, ValueError) as error:
            self._model.faults.append(f"the model was sent {error}")

    def closed(self, reason: str) -> None:
        if self._speaking:
            self._speaking.cancel()

    def _obey(self, command: _Command) -> None:
        if command.type == "input_audio_buffer.append":
            self._model.to_model.arrive(command.audio)
        elif command.type == "session.update" and self._speaking is None:
            self.send({"type": "session.updated", "session": self.merged(command.session)})
            self._speaking = self._model.begin(self.speak())
        elif command.type == "conversation.item.create":
            # A service that was late with the session has asked the caller to wait, and says so.
            self.send(*({"type": f"conversation.item.{said}", "item": command.item} for said in ("added", "done")))
        elif command.type == "response.create" and not self._greeting_asked.is_set():
            self._greeting_asked.set()
        else:
            self._model.faults.append(f"the model was sent {command.type}")

    def send(self, *messages: Json) -> None:
        for event in messages:
            event_id = f"event_{self._id}_{next(self._events)}"
            self._wire.send(_encode({"type": event["type"], "event_id": event_id, **event}).decode())

    def merged(self, update: Json) -> Json:
        """The session with what the client set."""
        return events.session(self._id, update)

    async def speak(self) -> None:
        """Answer, hear the caller, answer again, for as long as the session lasts."""
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._first_s):
                await self._greeting_asked.wait()
        begin_s = loop.time()
        for turn in count(1):
            await self._respond(turn)
            for reported, at_s in zip(self._caller_speech(turn), CALLER_SPEAKS_S, strict=True):
                await _until(begin_s + at_s)
                self.send(*reported)
            begin_s += PERIOD_S
            await _until(begin_s)

    async def _respond(self, turn: int) -> None:
        begin_s = asyncio.get_running_loop().time()
        ids = (f"resp_{self._id}_{turn}", f"item_{self._id}_{turn}")
        self.send(*events.response_begins(ids[0]), *events.item_begins(*ids))
        for delta_ms, word in zip(DELTAS_MS, WORDS, strict=True):
            self.send(*events.speech(*ids, word, self._model.to_caller.send(delta_ms * BYTES_PER_MS)))
            begin_s += delta_ms / 1000 / GENERATION_SPEED
            await _until(begin_s)
        text = "".join(WORDS)
        self.send(*events.item_ends(*ids, text), *events.response_ends(ids[0], {ids[1]: text}))

    def _caller_speech(self, turn: int) -> tuple[tuple[Json, ...], tuple[Json, ...]]:
        """What is reported when the caller begins to speak, and when he has finished."""
        item_id = f"item_{self._id}_{turn}_caller"
        start_ms, end_ms = (int(((turn - 1) * PERIOD_S + at_s) * 1000) for at_s in CALLER_SPEAKS_S)
        return events.caller_begins(item_id, start_ms), events.caller_ends(item_id, end_ms, "And on Sundays?")


async def _until(time_s: float) -> None:
    await asyncio.sleep(max(0.0, time_s - asyncio.get_running_loop().time()))


@asynccontextmanager
async def serve_load(to_model: Tally, to_caller: Tally) -> AsyncIterator[LoadModel]:
    """The server on a free loopback port while the block runs."""
    model = LoadModel(to_model, to_caller)
    async with serve(model.session) as port:
        model.url = f"ws://127.0.0.1:{port}/v1/realtime"
        try:
            yield model
        finally:
            await model.silence()
