"""
Events as they happen, as Server-Sent Events (HTML Living Standard, 9.2): `event:` has the type, `data:` the JSON.

    streams = Streams(board, stopping)
    response = streams.response(call_sid)       # None: all calls

A stream ends by itself: when its events do, after MAX_STREAM_S (the token may have been revoked since), when a
client takes nothing for SEND_S, and when the service stops, which does not wait for those who watch.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress

import msgspec
from msgspec import Struct
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from phonebot.audio.wav import endless_header, interleave
from phonebot.errors import ListeningRefused, StoreError
from phonebot.store.audit import Actor
from phonebot.web.api.problems import Refused
from phonebot.web.board import Board
from phonebot.web.sound import Sound
from phonebot.web.streamed import Streamed, gone, send_part

log = logging.getLogger(__name__)

HEARTBEAT_S = 15.0
"""A comment after so long a silence: proxies close connections on which nothing comes."""
STOP_S = 1.0
"""How long a stream has to end when the service stops."""
MAX_STREAM_S = 3_600.0
MAX_STREAMS = 100
"""In this process, all clients together."""
RETRY_MS = 3_000
"""How long a client waits until it connects again."""
WAV = "audio/wav"
SAMPLES_PER_S = 8_000


class Streams:
    """The streams of this process. `stopping` is set when the service stops: then they end, and none begins."""

    def __init__(self, board: Board, stopping: asyncio.Event) -> None:
        self.board = board
        self.stopping = stopping
        self.count = 0

    def response(self, call_sid: str | None) -> Response:
        """The events of a call, or of all. Raises Refused 503 when there are too many streams, or none any more."""
        self._check_room()
        return EventStream(self, self.board.watch(call_sid))

    async def session(self, call_sid: str, names: frozenset[str], actor: Actor) -> Response:
        """
        What happens in a call, under the names of the Agents SDK.

        Raises NotStored, StoreUnavailable, Refused 409 when that may not be heard, and 503 as `response` does.
        """
        self._check_room()
        following = AsyncExitStack()
        try:
            events = await following.enter_async_context(self.board.follow(call_sid, names, actor))
        except ListeningRefused as error:
            raise Refused(409, "conflict", str(error)) from None
        return EventStream(self, _entered(following, events))

    async def sound(self, call_sid: str, actor: Actor) -> Response:
        """
        What is heard of a call from now on: a WAV file without an end, the caller left, the bot as heard right.

        Raises NotStored, StoreUnavailable, Refused 409 when nobody may listen to it, and 503 as `response` does.
        """
        self._check_room()
        listening = AsyncExitStack()
        try:
            sounds = await listening.enter_async_context(self.board.listen(call_sid, actor))
        except ListeningRefused as error:
            raise Refused(409, "conflict", str(error)) from None
        return Streamed(self._heard(listening, sounds), WAV, self.stopping)

    async def _heard(self, listening: AsyncExitStack, sounds: AsyncIterator[Sound]) -> AsyncGenerator[bytes, None]:
        ends_s = asyncio.get_running_loop().time() + MAX_STREAM_S
        self.count += 1
        try:
            async with listening:
                yield endless_header("pcmu", SAMPLES_PER_S, channels=2)
                with suppress(ListeningRefused, StoreError):
                    async for sound in sounds:
                        yield interleave(sound.caller, sound.bot)
                        if asyncio.get_running_loop().time() > ends_s:
                            return
        finally:
            self.count -= 1

    def _check_room(self) -> None:
        if self.count >= MAX_STREAMS or self.stopping.is_set():
            raise Refused(
                503,
                "too_many_streams",
                f"{self.count} streams of events are open, or the service is stopping: try again in a moment",
                {"retry-after": "10"},
            )


@asynccontextmanager
async def _entered(stack: AsyncExitStack, events: AsyncIterator[Struct]) -> AsyncIterator[AsyncIterator[Struct]]:
    """What was entered already, so that its refusal could be told."""
    async with stack:
        yield events


class EventStream(Response):
    """Sends events until they end, the client has gone, or it must."""

    media_type = "text/event-stream"

    def __init__(self, streams: Streams, watching: AbstractAsyncContextManager[AsyncIterator[Struct]]) -> None:
        super().__init__(headers={"x-accel-buffering": "no"})  # nginx would collect them before it passes them on
        del self.headers["content-length"]
        self._streams = streams
        self._watching = watching

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._streams.count += 1
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        sending = asyncio.create_task(self._send_all(send), name="send events")
        others = [
            asyncio.create_task(gone(receive), name="wait until the client has gone"),
            asyncio.create_task(_stopped(self._streams.stopping), name="wait until the service stops"),
        ]
        try:
            await asyncio.wait((sending, *others), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._streams.count -= 1
            for task in (sending, *others):
                task.cancel()
            results = await asyncio.gather(sending, *others, return_exceptions=True)
        if isinstance(results[0], Exception):
            raise results[0]

    async def _send_all(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + MAX_STREAM_S
        stopping = asyncio.create_task(self._streams.stopping.wait())
        async with self._watching as events:
            coming = asyncio.ensure_future(anext(events, None))
            try:
                await send_part(send, b"retry: %d\n\n" % RETRY_MS)
                while (left_s := ends_s - loop.time()) > 0 and not stopping.done():
                    await asyncio.wait(
                        (coming, stopping), timeout=min(HEARTBEAT_S, left_s), return_when=asyncio.FIRST_COMPLETED
                    )
                    if not coming.done():
                        await send_part(send, b": here\n\n")
                        continue
                    event = coming.result()
                    if event is None:
                        break
                    await send_part(send, encoded(event))
                    coming = asyncio.ensure_future(anext(events, None))
                await send_part(send, b"", more=False)
            except TimeoutError:
                log.info("a client that takes no events is left")
            finally:
                for task in (coming, stopping):
                    task.cancel()
                await asyncio.gather(coming, stopping, return_exceptions=True)


async def _stopped(stopping: asyncio.Event) -> None:
    """Later than the streams know, so that those whose clients listen end as they should."""
    await stopping.wait()
    await asyncio.sleep(STOP_S)


def encoded(event: Struct) -> bytes:
    """An event on the line. JSON has no line breaks, so it is one `data:`."""
    name = str(event.__struct_config__.tag)
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(event))
