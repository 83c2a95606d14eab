"""
The load's WebSocket connections: what comes is handed on at once, what is sent is written at once.

A library's connection is a task that waits for each message; hundreds of calls on one core are cheaper without. The
protocol itself is the library's (websockets, "Integrate the Sans-I/O layer").
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol, cast

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

MAX_MESSAGE_BYTES = 1 << 20
CLOSE_TIMEOUT_S = 5.0
BACKLOG = 1024


class Receiver(Protocol):
    """Who a connection is for. None of these may raise."""

    def opened(self, wire: "Wire") -> None:
        """From now on it can send."""

    def receive(self, text: bytes) -> None:
        """A message has come, in UTF-8, as far as the sender kept to that."""

    def closed(self, reason: str) -> None:
        """The last that it is told: `reason` names the codes of both sides."""


class Wire(asyncio.Protocol):
    """One connection, of either side; a client's begins with a `request`. Made by `connect` and `serve`."""

    def __init__(
        self, protocol: ClientProtocol | ServerProtocol, receiver: Receiver, request: Request | None = None
    ) -> None:
        self._protocol = protocol
        self._receiver = receiver
        self._request = request
        self._transport: asyncio.Transport
        self._fragments = bytearray()
        loop = asyncio.get_running_loop()
        self._open: asyncio.Future[None] = loop.create_future()
        self._gone: asyncio.Future[None] = loop.create_future()

    @property
    def is_open(self) -> bool:
        """Neither side has said good-bye."""
        return self._protocol.state is State.OPEN

    @property
    def unsent_bytes(self) -> int:
        """What the other side has left unread beyond what the system keeps for it."""
        return self._transport.get_write_buffer_size()

    def send(self, text: str) -> None:
        """Send a message; on a connection that is not open (any more) it is lost."""
        if self.is_open:
            self._protocol.send_text(text.encode())
            self._flush()

    async def until_open(self) -> None:
        """Raises OSError where the other side refuses."""
        await asyncio.shield(self._open)

    async def close(self) -> None:
        """Say good-bye and wait for the answer, for a while."""
        if self.is_open:
            self._protocol.send_close(1000)
            self._flush()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await asyncio.shield(self._gone)
        except TimeoutError:
            self.abort()

    def abort(self) -> None:
        """Cut it off."""
        self._transport.abort()

    # ------------------------------------------------------------------------------ asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._request:
            assert isinstance(self._protocol, ClientProtocol), "it is the client who asks"
            self._protocol.send_request(self._request)
            self._flush()

    def data_received(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._receive(event)
            else:
                self._shake_hands(event)
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        self._protocol.receive_eof()
        if not self._open.done():
            self._open.set_exception(error or ConnectionResetError("the connection was closed at the handshake"))
            self._open.exception()  # a server's side has nobody who waits for it
        elif not self._open.exception():
            self._receiver.closed(str(self._protocol.close_exc))
        self._gone.set_result(None)

    def _shake_hands(self, event: Request | Response) -> None:
        protocol = self._protocol
        if isinstance(event, Request):
            assert isinstance(protocol, ServerProtocol), "a client gets no requests"
            protocol.send_response(protocol.accept(event))
            self._flush()
        if protocol.handshake_exc:
            self._open.set_exception(ConnectionRefusedError(str(protocol.handshake_exc)))
            self._open.exception()
        else:
            self._open.set_result(None)
            self._receiver.opened(self)

    def _receive(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.CONT):
            if frame.fin and not self._fragments:
                self._receiver.receive(bytes(frame.data))
                return
            self._fragments += frame.data
            if frame.fin:
                text = bytes(self._fragments)
                self._fragments.clear()
                self._receiver.receive(text)

    def _flush(self) -> None:
        """Write what the protocol has to send: messages, and its own answers to pings and good-byes."""
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:  # the library's sign that nothing more comes
                self._transport.close()


async def connect(url: str, receiver: Receiver, user_agent: str, timeout_s: float) -> Wire:
    """A connection to `url`, ws. Raises OSError or TimeoutError where there is none to be had."""
    uri = parse_uri(url)
    protocol = ClientProtocol(uri, max_size=MAX_MESSAGE_BYTES)
    request = protocol.connect()
    request.headers["User-Agent"] = user_agent
    wire = Wire(protocol, receiver, request)
    async with asyncio.timeout(timeout_s):
        await asyncio.get_running_loop().create_connection(lambda: wire, uri.host, uri.port)
        try:
            await wire.until_open()
        except BaseException:
            wire.abort()
            raise
    return wire


@asynccontextmanager
async def serve(receiver: Callable[[], Receiver]) -> AsyncIterator[int]:
    """
    Take connections at a free port of the loopback address, which comes back, while the block runs.

    Each gets a receiver of its own. Those that are left in the end are cut off.
    """
    wires = list[Wire]()

    def server() -> Wire:
        wires.append(Wire(ServerProtocol(max_size=MAX_MESSAGE_BYTES), receiver()))
        return wires[-1]

    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0, backlog=BACKLOG)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for wire in wires:
            wire.abort()
        await listener.wait_closed()
