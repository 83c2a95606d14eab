"""
The media stream's endpoint: lets a stream in, and holds its call.

A stream is let in by the signature of its request, before it is accepted, and by the token in its start message. No
model session is opened before both.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from phonebot.bridge import StreamClosed
from phonebot.carrier.messages import Start, StreamReader
from phonebot.errors import CarrierError
from phonebot.web.admission import Admission, Gate, Refused
from phonebot.web.live import LiveCalls
from phonebot.web.webhooks import Door

log = logging.getLogger(__name__)

START_TIMEOUT_S = 5.0  # the start message follows the connection at once
SUBPROTOCOL = "audio.twilio.com"  # offered by some clients; one that was not offered must not be answered

HoldCall = Callable[["StarletteSocket", StreamReader, Start, Admission], Awaitable[None]]


class StarletteSocket:
    """A bridge's carrier socket over Starlette's WebSocket."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def receive(self) -> str | bytes:
        if self._websocket.client_state is not WebSocketState.CONNECTED:
            raise StreamClosed(1006)
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise StreamClosed(message.get("code") or 1005)
        text: str | None = message.get("text")
        return message.get("bytes", b"") if text is None else text

    async def send(self, message: str) -> None:
        try:
            await self._websocket.send({"type": "websocket.send", "text": message})
        except (WebSocketDisconnect, RuntimeError):
            # Starlette says RuntimeError for a socket that has been closed in between.
            raise StreamClosed(1006) from None

    async def close(self, code: int) -> None:
        if self._websocket.application_state is WebSocketState.CONNECTED:
            try:
                await self._websocket.close(code)
            except (WebSocketDisconnect, RuntimeError):
                raise StreamClosed(1006) from None


class MediaEndpoint:
    """`/twilio/media`."""

    def __init__(self, door: Door, gate: Gate, live: LiveCalls, hold: HoldCall) -> None:
        self._door = door
        self._gate = gate
        self._live = live
        self._hold = hold

    async def answer(self, websocket: WebSocket) -> None:
        """A stream asks to be let in; return when its call has ended."""
        if not self._door.lets_stream_in(websocket.scope):
            log.warning("a stream without a valid signature was refused")
            await websocket.close()  # before accepting: the answer is 403
            return
        if self._live.draining:
            log.info("a stream was refused: the service is stopping")
            await websocket.close()
            return
        with self._live.holding():
            await self._let_in(websocket)

    async def _let_in(self, websocket: WebSocket) -> None:
        offered = SUBPROTOCOL in websocket.scope["subprotocols"]
        await websocket.accept(SUBPROTOCOL if offered else None)
        socket, reader = StarletteSocket(websocket), StreamReader()
        try:
            start = await self._await_start(socket, reader)
            if not self._door.is_for(start.account_sid):
                raise Refused("the stream is another account's")
            admission = self._gate.admit(start)
        except (Refused, CarrierError) as error:
            log.warning("a stream was refused: %s", error)
            with suppress(StreamClosed):
                await socket.close(1008)
            return
        except StreamClosed:
            return
        await self._hold(socket, reader, start, admission)

    async def _await_start(self, socket: StarletteSocket, reader: StreamReader) -> Start:
        """The start message. Before it nothing but `connected` is accepted: raises CarrierError, or Refused."""
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while True:
                    message = reader.receive(await socket.receive())
                    if isinstance(message, Start):
                        return message
        except TimeoutError:
            raise Refused(f"no start message came within {START_TIMEOUT_S:g} s") from None
