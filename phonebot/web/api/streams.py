"""
Events as they happen, as Server-Sent Events (HTML Living Standard, 9.2): `event:` has the type, `data:` the JSON.

    streams = Streams(board, stopping)
    response = await streams.response(call_sid)       # None: all calls

A stream ends by itself: when its events do, after MAX_STREAM_S (the token may have been revoked since), and as
every answer of streamed.py does.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager, suppress
from typing import TypeVar

import msgspec
from msgspec import Struct
from starlette.responses import Response

from phonebot.audio.wav import endless_header, interleave
from phonebot.errors import ListeningRefused, StoreError
from phonebot.store.audit import Actor
from phonebot.web.api.problems import Refused
from phonebot.web.board import Board
from phonebot.web.sound import Sound
from phonebot.web.streamed import EVENTS, Streamed

HEARTBEAT_S = 15.0
"""A comment after so long a silence: proxies close connections on which nothing comes."""
MAX_STREAM_S = 3_600.0
MAX_STREAMS = 100
"""In this process, all clients together."""
RETRY_MS = 3_000
"""How long a client waits until it connects again."""
WAV = "audio/wav"
SAMPLES_PER_S = 8_000

T = TypeVar("T")

log = logging.getLogger(__name__)


class Streams:
    """The streams of this process. `stopping` is set when the service stops: then they end, and none begins."""

    def __init__(self, board: Board, stopping: asyncio.Event) -> None:
        self.board = board
        self.stopping = stopping
        self.count = 0

    async def response(self, call_sid: str | None) -> Response:
        """The events of a call, or of all. Raises Refused 503 when there are too many streams, or none any more."""
        events, held = await self._held(self.board.watch(call_sid))
        return Streamed(self._told(events), EVENTS, self.stopping, held)

    async def session(self, call_sid: str, names: frozenset[str], actor: Actor) -> Response:
        """
        What happens in a call, under the names of the Agents SDK.

        Raises NotStored, StoreUnavailable, Refused 409 when that may not be heard, and 503 as `response` does.
        """
        events, held = await self._held(self.board.follow(call_sid, names, actor))
        return Streamed(self._told(events), EVENTS, self.stopping, held)

    async def sound(self, call_sid: str, actor: Actor) -> Response:
        """
        What is heard of a call from now on: a WAV file without an end, the caller left, the bot as heard right.

        Raises NotStored, StoreUnavailable, Refused 409 when nobody may listen to it, and 503 as `response` does.
        """
        sounds, held = await self._held(self.board.listen(call_sid, actor))
        return Streamed(self._heard(sounds), WAV, self.stopping, held)

    async def _held(self, source: AbstractAsyncContextManager[T]) -> tuple[T, AsyncExitStack]:
        """What a stream is made of, entered so that its refusal can be told; and what leaves it again."""
        if self.count >= MAX_STREAMS or self.stopping.is_set():
            raise Refused(
                503,
                "too_many_streams",
                f"{self.count} streams of events are open, or the service is stopping: try again in a moment",
                {"retry-after": "10"},
            )
        async with AsyncExitStack() as held:
            held.enter_context(self._counted())  # from now on: others ask for theirs while this one is waited for
            try:
                return await held.enter_async_context(source), held.pop_all()
            except ListeningRefused as error:
                raise Refused(409, "conflict", str(error)) from None

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1

    async def _told(self, events: AsyncIterator[Struct]) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + MAX_STREAM_S
        # A task of its own: what is waited for no longer than a heartbeat must not be cancelled by it.
        coming = asyncio.ensure_future(anext(events, None))
        try:
            yield b"retry: %d\n\n" % RETRY_MS
            while (left_s := ends_s - loop.time()) > 0:
                await asyncio.wait((coming,), timeout=min(HEARTBEAT_S, left_s))
                if not coming.done():
                    yield b": here\n\n"
                    continue
                event = coming.result()
                if event is None:
                    return
                yield encoded(event)
                coming = asyncio.ensure_future(anext(events, None))
        except StoreError as error:
            log.warning("a stream of a call's events ends before the call does: %s", error)
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)

    async def _heard(self, sounds: AsyncIterator[Sound]) -> AsyncGenerator[bytes, None]:
        ends_s = asyncio.get_running_loop().time() + MAX_STREAM_S
        yield endless_header("pcmu", SAMPLES_PER_S, channels=2)
        with suppress(ListeningRefused, StoreError):
            async for sound in sounds:
                yield interleave(sound.caller, sound.bot)
                if asyncio.get_running_loop().time() > ends_s:
                    return


def encoded(event: Struct) -> bytes:
    """An event on the line. JSON has no line breaks, so it is one `data:`."""
    name = str(event.__struct_config__.tag)
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(event))
