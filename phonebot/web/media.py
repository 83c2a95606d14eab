"""
The media stream's endpoint: lets a stream in, and holds its call.

A stream is let in by the signature of its request, before it is accepted, and by the token in its start message. No
model session is opened before both.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import NoReturn

from starlette.types import Message, Receive, Scope, Send

from phonebot.bridge import StreamClosed
from phonebot.carrier.messages import Start, StreamReader
from phonebot.errors import CarrierError
from phonebot.web.admission import Admitted, Arrival, Gate, Refused
from phonebot.web.crowds import Bounds, Crowds, Party
from phonebot.web.live import LiveCalls
from phonebot.web.pace import Pace
from phonebot.web.streams import FAILED, Stream
from phonebot.web.webhooks import Door

log = logging.getLogger(__name__)

START_TIMEOUT_S = 5.0  # the start message follows the connection at once
MAX_WAITING = 1_000
"""Streams whose start message is waited for. The carrier's come from anywhere: no address has its own bound."""
SUBPROTOCOL = "audio.twilio.com"  # offered by some clients; one that was not offered must not be answered


class _TooMuch(Exception):
    """More came on a stream than a call can have."""


HoldCall = Callable[["MediaSocket", StreamReader, Start, Admitted], Awaitable[None]]
Answer = Callable[["MediaSocket", StreamReader, Start, Arrival], Awaitable[None]]
"""Holds a call that was let in, until it has ended."""


class MediaSocket:
    """
    A bridge's carrier socket, straight on the server (ASGI, WebSocket).

    No class stands between: each frame passes here on its own. Where the server is ours, it passes in the loop's
    turn in which it arrives, past ASGI (streams.py).
    """

    def __init__(
        self,
        receive: Receive,
        send: Send,
        flooded: Callable[[], None] = lambda: None,
        stream: Stream | None = None,
    ) -> None:
        """`flooded` is told when the stream is closed since too much comes on it. `stream` None: it is ASGI's."""
        self._receive, self._send, self._stream = receive, send, stream
        self._pace, self._flooded = Pace(), flooded
        self._ended = False  # nothing more can be read or sent

    async def accept(self, subprotocol: str | None) -> None:
        """Raises `StreamClosed` when the other side has gone already."""
        await self.receive()  # the server says that there is a request
        await self._give({"type": "websocket.accept", "subprotocol": subprotocol})

    async def refuse(self) -> None:
        """Instead of accepting: the answer is 403."""
        with suppress(StreamClosed):
            await self.receive()
            await self._give({"type": "websocket.close"})

    async def send_elsewhere(self) -> None:
        """Instead of accepting: the answer is 503, for which a proxy asks another process (RFC 9110, 15.6.4)."""
        with suppress(StreamClosed):
            await self.receive()
            await self._give({"type": "websocket.http.response.start", "status": 503, "headers": []})
            await self._give({"type": "websocket.http.response.body", "body": b"stopping"})

    async def receive(self) -> str | bytes:
        if self._ended:
            raise StreamClosed(1006)
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self._ended = True
            raise StreamClosed(message.get("code") or 1005)
        if message["type"] == FAILED:
            raise message["error"]
        text: str | None = message.get("text")
        content = message.get("bytes", b"") if text is None else text
        if self._pace.exceeded_by(len(content)):
            await self._refuse_flood()
        return content

    async def hear(self, heard: Callable[[str | bytes], None]) -> NoReturn:
        """Each message goes to `heard`, until the end. Raises `StreamClosed` then, and what `heard` raises."""

        def pass_on(text: str) -> None:
            if self._pace.exceeded_by(len(text)):
                raise _TooMuch
            heard(text)

        try:
            if self._stream:
                self._stream.listen(pass_on)
            while True:
                heard(await self.receive())
        except _TooMuch:
            await self._refuse_flood()
        finally:
            if self._stream:
                self._stream.listen(None)

    async def _refuse_flood(self) -> NoReturn:
        log.warning("a stream was closed: more came on it than a call can have")
        self._flooded()
        await self.close(1008)
        raise StreamClosed(1008)

    async def send(self, message: str) -> None:
        await self._give({"type": "websocket.send", "text": message})

    def send_now(self, message: str) -> bool:
        """Send without waiting. False, and nothing is sent, when that cannot be: then use `send`."""
        return not self._ended and self._stream is not None and self._stream.send_now(message)

    async def close(self, code: int) -> None:
        if not self._ended:
            self._ended = True
            await self._give({"type": "websocket.close", "code": code})

    async def _give(self, message: Message) -> None:
        try:
            await self._send(message)
        except (OSError, RuntimeError):
            # OSError by the specification, RuntimeError for a socket that the server has closed by itself.
            raise StreamClosed(1006) from None


class MediaEndpoint:
    """`/twilio/media`, an ASGI application: a stream asks to be let in, and it returns when its call has ended."""

    def __init__(
        self,
        door: Door,
        gate: Gate,
        live: LiveCalls,
        hold: HoldCall,
        crowds: Crowds | None = None,
        forged: Callable[[], None] = lambda: None,
        flooded: Callable[[], None] = lambda: None,
    ) -> None:
        """
        `crowds` count the calls; None: nobody does. `forged` is told of each request that is not the carrier's,
        `flooded` of each stream on which too much came.
        """
        self._crowds = crowds or Crowds(Bounds())
        self._forged, self._flooded = forged, flooded
        # Streams whose start message is waited for.
        self._waiting = 0
        self._door = door
        self._gate = gate
        self._live = live
        self._hold = hold

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = MediaSocket(receive, send, self._flooded, Stream.of(scope))
        if not self._door.lets_stream_in(scope):
            log.warning("a stream without a valid signature was refused")
            self._forged()
            await socket.refuse()
            return
        if self._waiting >= MAX_WAITING:
            log.warning("a stream was refused: %d others have yet to start", self._waiting)
            await socket.refuse()
            return
        if self._live.draining:
            log.info("a stream was sent elsewhere: the service is stopping")
            await socket.send_elsewhere()
            return
        with self._live.holding(), suppress(StreamClosed):
            await socket.accept(SUBPROTOCOL if SUBPROTOCOL in scope["subprotocols"] else None)
            await self._let_in(socket)

    async def _let_in(self, socket: MediaSocket) -> None:
        reader = StreamReader()
        try:
            start = await self._start_of(socket, reader)
            if not self._door.is_for(start.account_sid):
                raise Refused("the stream is another account's")
            admitted = self._gate.admit(start)
            if not admitted.issued_here:
                await self._gate.claim(admitted)
        except (Refused, CarrierError) as error:
            await _refuse(socket, error)
            return
        admission = admitted.admission
        call = Party(admission.call_sid, admission.caller, admission.number)
        with self._crowds.holding(call):
            async with self._claiming(socket, admitted):
                await self._hold(socket, reader, start, admitted)

    async def _start_of(self, socket: MediaSocket, reader: StreamReader) -> Start:
        self._waiting += 1
        try:
            return await await_start(socket, reader)
        finally:
            self._waiting -= 1

    @asynccontextmanager
    async def _claiming(self, socket: MediaSocket, admitted: Admitted) -> AsyncIterator[None]:
        """
        While the block holds the call, let other processes know that its token is used, if they do not yet.

        It was made here and came back here, so the call need not wait for the database. Had somebody been faster
        elsewhere with a copy of it, there are two streams, of which we cannot tell the right one: this one ends.
        """
        claiming = asyncio.create_task(self._claim(socket, admitted), name="claim a stream's token")
        try:
            yield
        finally:
            await asyncio.wait([claiming])

    async def _claim(self, socket: MediaSocket, admitted: Admitted) -> None:
        if not admitted.issued_here:
            return
        try:
            await self._gate.claim(admitted)
        except Refused as error:
            with suppress(StreamClosed):
                await _refuse(socket, error)


async def _refuse(socket: MediaSocket, error: Exception) -> None:
    """The reason is for our log alone."""
    log.warning("a stream was refused: %s", error)
    await socket.close(1008)


async def await_start(socket: MediaSocket, reader: StreamReader) -> Start:
    """The start message. Before it nothing but `connected` is accepted: raises CarrierError, or Refused."""
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                message = reader.receive(await socket.receive())
                if isinstance(message, Start):
                    return message
    except TimeoutError:
        raise Refused(f"no start message came within {START_TIMEOUT_S:g} s") from None
