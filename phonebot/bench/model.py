"""
The model's side of the load: a Realtime server of the GA dialect, cheap enough to hold hundreds of sessions.

Each session speaks half of the time: every 8 s a response of 4 s of stamped audio, generated at four times real
time in deltas of 200 to 400 ms, with the events that come around it (Realtime API reference, server events);
between two responses it reports that the caller spoke. The first response comes at once when it is asked for (a
greeting). No one interrupts here, so any command but these, audio and the session's update is a fault.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from phonebot.bench import events
from phonebot.bench.events import Json
from phonebot.bench.stamps import Tally

BYTES_PER_MS = 8  # G.711: 8000 samples a second, one byte each (ITU-T G.711)
PERIOD_S = 8.0
DELTAS_MS = (200, 300, 400, 300, 400, 400) * 2
WORDS = ("We ", "are ", "open ", "from ", "nine ", "to ", "six, ", "and ", "on ", "Saturdays ", "until ", "noon.")
GENERATION_SPEED = 4
CALLER_SPEAKS_S = (5.5, 7.5)  # within a period
MAX_MESSAGE_BYTES = 1 << 20
GOLDEN = 0.618  # successive multiples of it, modulo 1, fill an interval evenly, however many there are

_encode = msgspec.json.encode


class _Command(msgspec.Struct):
    type: str
    audio: str = ""
    session: dict[str, Any] = {}


_COMMAND = msgspec.json.Decoder(_Command)


class LoadModel:
    """The server while it runs, at `url`. `faults` says what clients did wrong."""

    def __init__(self, to_model: Tally, to_caller: Tally) -> None:
        self.url = ""
        self.faults: list[str] = []
        self._to_model, self._to_caller = to_model, to_caller
        self._numbers = count()

    async def converse(self, socket: ServerConnection) -> None:
        """Hold one session until the client leaves."""
        session = _Session(next(self._numbers), socket, self._to_caller)
        with suppress(ConnectionClosed):
            await session.send({"type": "session.created", "session": session.merged({})})
            speaking: asyncio.Task[None] | None = None
            try:
                async for text in socket:
                    command = _COMMAND.decode(text)
                    if command.type == "input_audio_buffer.append":
                        self._to_model.arrive(command.audio)
                    elif command.type == "session.update" and speaking is None:
                        await session.send({"type": "session.updated", "session": session.merged(command.session)})
                        speaking = asyncio.create_task(session.speak())
                    elif command.type == "response.create" and not session.greeting_asked.is_set():
                        session.greeting_asked.set()
                    else:
                        self.faults.append(f"the model was sent {command.type}")
            except (msgspec.MsgspecError, ValueError) as error:
                self.faults.append(f"the model was sent {error}")
            finally:
                if speaking:
                    speaking.cancel()
                    [outcome] = await asyncio.gather(speaking, return_exceptions=True)
                    if isinstance(outcome, Exception):
                        self.faults.append(f"the model fell silent: {outcome!r}")


class _Session:
    """One session: what it says, and when."""

    def __init__(self, number: int, socket: ServerConnection, to_caller: Tally) -> None:
        self.greeting_asked = asyncio.Event()
        self._id = f"sess_{number:06}"
        self._first_s = number * GOLDEN % 1 * PERIOD_S  # so that sessions do not all speak at once
        self._socket = socket
        self._to_caller = to_caller
        self._events = count(1)

    async def send(self, *messages: Json) -> None:
        for event in messages:
            event_id = f"event_{self._id}_{next(self._events)}"
            await self._socket.send(_encode({"type": event["type"], "event_id": event_id, **event}).decode())

    def merged(self, update: Json) -> Json:
        """The session with what the client set."""
        return events.session(self._id, update)

    async def speak(self) -> None:
        """Answer, hear the caller, answer again, for as long as the session lasts."""
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._first_s):
                await self.greeting_asked.wait()
        begin_s = loop.time()
        with suppress(ConnectionClosed):
            for turn in count(1):
                await self._respond(turn)
                for reported, at_s in zip(self._caller_speech(turn), CALLER_SPEAKS_S, strict=True):
                    await _until(begin_s + at_s)
                    await self.send(*reported)
                begin_s += PERIOD_S
                await _until(begin_s)

    async def _respond(self, turn: int) -> None:
        begin_s = asyncio.get_running_loop().time()
        ids = (f"resp_{self._id}_{turn}", f"item_{self._id}_{turn}")
        await self.send(*events.response_begins(ids[0]), *events.item_begins(*ids))
        for delta_ms, word in zip(DELTAS_MS, WORDS, strict=True):
            await self.send(*events.speech(*ids, word, self._to_caller.send(delta_ms * BYTES_PER_MS)))
            begin_s += delta_ms / 1000 / GENERATION_SPEED
            await _until(begin_s)
        text = "".join(WORDS)
        await self.send(*events.item_ends(*ids, text), *events.response_ends(ids[0], {ids[1]: text}))

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
    async with serve(
        model.converse, "127.0.0.1", 0, compression=None, ping_interval=None, max_size=MAX_MESSAGE_BYTES
    ) as listener:
        port = next(iter(listener.sockets)).getsockname()[1]
        model.url = f"ws://127.0.0.1:{port}/v1/realtime"
        yield model
