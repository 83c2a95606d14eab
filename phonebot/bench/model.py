"""
The model's side of the load: a Realtime server of the GA dialect, cheap enough to hold hundreds of sessions.

Each session speaks half of the time: every 8 s a response of 4 s of stamped audio, generated at four times real
time in deltas of 200 to 400 ms, with the events that come around it (Realtime API reference, server events);
between two responses it reports that the caller spoke. The first response comes at once when it is asked for (a
greeting). No one interrupts here, so any command but these, audio and the session's update is a fault.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

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
            await session.send(*session.opening())
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

    async def send(self, *events: dict[str, Any]) -> None:
        for event in events:
            event_id = f"event_{self._id}_{next(self._events)}"
            await self._socket.send(_encode({"type": event["type"], "event_id": event_id, **event}).decode())

    def opening(self) -> Iterator[dict[str, Any]]:
        yield {"type": "session.created", "session": self.merged({})}

    def merged(self, update: dict[str, Any]) -> dict[str, Any]:
        """The session with what the client set."""
        pcm = {"format": {"type": "audio/pcm", "rate": 24_000}}
        audio = {"input": pcm, "output": pcm, **update.get("audio", {})}
        return {
            "type": "realtime",
            "object": "realtime.session",
            "id": self._id,
            "model": "load",
            "output_modalities": ["audio"],
            **update,
            "audio": audio,
        }

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
                for event, at_s in zip(_caller_speech(self._id, turn), CALLER_SPEAKS_S, strict=True):
                    await _until(begin_s + at_s)
                    await self.send(*event)
                begin_s += PERIOD_S
                await _until(begin_s)

    async def _respond(self, turn: int) -> None:
        begin_s = asyncio.get_running_loop().time()
        ids = {"response_id": f"resp_{self._id}_{turn}", "item_id": f"item_{self._id}_{turn}"}
        place = {**ids, "output_index": 0, "content_index": 0}
        await self.send(*_beginning(**ids), {"type": "response.content_part.added", **place, "part": _part("")})
        for delta_ms, word in zip(DELTAS_MS, WORDS, strict=True):
            await self.send({"type": "response.output_audio_transcript.delta", **place, "delta": word})
            audio = self._to_caller.send(delta_ms * BYTES_PER_MS)
            await self.send({"type": "response.output_audio.delta", **place, "delta": audio})
            begin_s += delta_ms / 1000 / GENERATION_SPEED
            await _until(begin_s)
        text = "".join(WORDS)
        await self.send(
            {"type": "response.output_audio.done", **place},
            {"type": "response.output_audio_transcript.done", **place, "transcript": text},
            {"type": "response.content_part.done", **place, "part": _part(text)},
            *_end(**ids, text=text),
        )


async def _until(time_s: float) -> None:
    await asyncio.sleep(max(0.0, time_s - asyncio.get_running_loop().time()))


def _part(text: str) -> dict[str, Any]:
    return {"type": "audio", "transcript": text}


def _message(item_id: str, status: str, *content: dict[str, Any], role: str = "assistant") -> dict[str, Any]:
    return {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "status": status,
        "role": role,
        "content": list(content),
    }


def _response(response_id: str, status: str, **fields: Any) -> dict[str, Any]:
    return {"object": "realtime.response", "id": response_id, "status": status, "output": [], **fields}


def _beginning(response_id: str, item_id: str) -> Iterator[dict[str, Any]]:
    item = _message(item_id, "in_progress")
    yield {"type": "response.created", "response": _response(response_id, "in_progress")}
    yield {"type": "response.output_item.added", "response_id": response_id, "output_index": 0, "item": item}
    yield {"type": "conversation.item.added", "item": item}


def _end(response_id: str, item_id: str, text: str) -> Iterator[dict[str, Any]]:
    item = _message(item_id, "completed", {"type": "output_audio", "transcript": text})
    usage = {"total_tokens": 190, "input_tokens": 150, "output_tokens": 40}
    yield {"type": "response.output_item.done", "response_id": response_id, "output_index": 0, "item": item}
    yield {"type": "conversation.item.done", "item": item}
    yield {"type": "response.done", "response": _response(response_id, "completed", output=[item], usage=usage)}
    yield {
        "type": "rate_limits.updated",
        "rate_limits": [{"name": "tokens", "limit": 40_000, "remaining": 39_000, "reset_seconds": 1.5}],
    }


def _caller_speech(session_id: str, turn: int) -> tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]]:
    """What is reported when the caller begins to speak, and when he has finished."""
    item_id, text = f"item_{session_id}_{turn}_caller", "And on Sundays?"
    item = _message(item_id, "completed", {"type": "input_audio", "transcript": None}, role="user")
    start_ms, end_ms = (int(((turn - 1) * PERIOD_S + at_s) * 1000) for at_s in CALLER_SPEAKS_S)
    transcription = "conversation.item.input_audio_transcription"
    began = {"type": "input_audio_buffer.speech_started", "audio_start_ms": start_ms, "item_id": item_id}
    return (began,), (
        {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": end_ms, "item_id": item_id},
        {"type": "input_audio_buffer.committed", "item_id": item_id},
        {"type": "conversation.item.added", "item": item},
        {"type": "conversation.item.done", "item": item},
        {"type": f"{transcription}.delta", "item_id": item_id, "content_index": 0, "delta": text},
        {"type": f"{transcription}.completed", "item_id": item_id, "content_index": 0, "transcript": text},
    )


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
