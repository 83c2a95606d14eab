"""
A media stream as the carrier holds it: the socket it opens, and a `Carrier` and a `Caller` on it in real time.

One timer wakes a stream when a frame or a message is due; frames are due at absolute times, and late ones are
caught up in a burst, as from a congested network.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from random import Random
from typing import Literal, Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.protocol import State

from phonebot.simulator.caller import Said
from phonebot.simulator.carrier import BYTES_PER_MS, FRAME_MS, StreamClock
from phonebot.simulator.document import Fault
from phonebot.simulator.network import Link, Network
from phonebot.simulator.record import CallRecord, StreamRecord
from phonebot.simulator.signing import Route, signature, why_refused

HANDSHAKE_WITHIN_S = 10.0
CLOSE_WITHIN_S = 2.0
MAX_MESSAGE_BYTES = 1 << 20
MAX_UNDER_WAY = 1000  # messages; a faster server waits, as for a full TCP window
MAX_UNSENT_BYTES = 64 * 1024  # beyond it the server reads too slowly and loses messages (31930)


class Tap(Protocol):
    """Sees what crosses a stream's socket, when it does: delayed on the way up, not yet on the way down."""

    def sent(self, message: str) -> None:
        """The message is written to the server next."""

    def received(self, message: str | bytes) -> None:
        """The message was read from the server."""


class Phone(Protocol):
    """Who listens and speaks at a stream's far end: a caller, or the handset he holds."""

    @property
    def now_ms(self) -> int:
        """How long he has been on the line."""

    def hear(self, frame: bytes) -> Said:
        """Take the 20 ms of mu-law that he hears; return what he does in the same 20 ms."""


class _Connect(connect):
    """A carrier follows no redirect of an upgrade: 31920."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def open_socket(url: str, route: Route, auth_token: str | None) -> ClientConnection:
    """
    Ask for the upgrade as captured from Twilio: no extension, subprotocol, origin or cookie is offered.

    Raises Fault when there is no WebSocket at `url`.
    """
    dialled = urlsplit(route.dialled(url))
    headers = {} if auth_token is None else {"x-twilio-signature": signature(auth_token, url)}
    try:
        return await _Connect(
            f"{dialled.scheme}://{urlsplit(url).netloc}{dialled.path}",
            host=dialled.hostname,
            port=dialled.port or (443 if dialled.scheme == "wss" else 80),
            user_agent_header="Twilio.TmeWs/1.0",
            additional_headers=headers,
            compression=None,
            proxy=None,
            open_timeout=HANDSHAKE_WITHIN_S,
            ping_interval=None,
            close_timeout=CLOSE_WITHIN_S,
            max_size=MAX_MESSAGE_BYTES,
            write_limit=4 * MAX_UNSENT_BYTES,
        )
    except InvalidStatus as problem:
        status = problem.response.status_code
        hint = f": {why_refused(auth_token)}" if status == 403 else ""
        raise Fault(31920, f"{url} answered the upgrade with {status}{hint}") from problem
    except TimeoutError as problem:
        raise Fault(31901, f"{url} did not answer within {HANDSHAKE_WITHIN_S:g} s") from problem
    except ConnectionRefusedError as problem:
        raise Fault(31902, f"{url} refused the connection") from problem
    except ssl.SSLError as problem:
        raise Fault(31910, f"{url}: TLS failed: {problem}") from problem
    except (OSError, ValueError) as problem:  # ValueError: a name that DNS cannot hold
        raise Fault(31901, f"{url} could not be reached: {problem}") from problem
    except WebSocketException as problem:
        raise Fault(31924, f"{url} broke the WebSocket protocol: {problem}") from problem


class MediaStream:
    """
    Runs a carrier and a caller in real time on a socket until one side ends the stream.

    `publish` is told each event, in ms of the stream's clock; `tap` sees the messages. `fault` says afterwards how
    the server broke the connection, None when it did not.
    """

    def __init__(
        self,
        socket: ClientConnection,
        record: StreamRecord,
        call: CallRecord,
        caller: Phone,
        clock: StreamClock,
        network: Network,
        rng: Random,
        publish: Callable[[float, str, str], None],
        tap: Tap | None = None,
    ) -> None:
        self.fault: Fault | None = None
        self._socket, self._record, self._carrier, self._caller = socket, record, record.carrier, caller
        self._said, self._heard = call.said, call.heard
        self._clock, self._publish, self._tap = clock, publish, tap
        self._uplink: Link[str] = Link(network.uplink_delay_ms, network.uplink_jitter_ms, rng)
        # The last that comes down is how the socket was closed.
        self._downlink: Link[str | bytes | ConnectionClosed] = Link(
            network.downlink_delay_ms, network.downlink_jitter_ms, rng
        )
        self._tick_ms = float(record.carrier.oddities.first_timestamp_ms)  # when the next frame is due
        self._loop = asyncio.get_running_loop()
        self._alarm = self._loop.create_future()  # done: there may be something to do
        self._room = asyncio.Event()  # the downlink takes more

    async def run(self, start: list[str], ends_ms: float) -> None:
        """
        Send `start` and stay until the end, `ends_ms` on the stream's clock at the latest.

        Cancelled, it stops the stream in good order first.
        """
        self._send_up(self._now_ms(), start)
        reader = asyncio.create_task(self._read())
        try:
            await self._run(ends_ms)
        except asyncio.CancelledError:
            self._end("carrier", self._now_ms())
            await self._run(ends_ms)
            raise
        finally:
            await self._socket.close()
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _run(self, ends_ms: float) -> None:
        while True:
            now_ms = self._now_ms()
            self._advance(now_ms, ends_ms)
            for message in self._uplink.due(now_ms):
                await self._send(message)
            if self._is_over():
                return
            await self._sleep()

    def _is_over(self) -> bool:
        """The server is gone, or we are and our last message is on the wire."""
        ended_by = self._record.ended_by
        return ended_by == "server" or (ended_by is not None and not self._uplink)

    def _advance(self, now_ms: float, ends_ms: float) -> None:
        """Let all happen that is due by now, each at its own time, however late we are."""
        while self._record.ended_by is None:
            arrival_ms = self._downlink.next_due()
            if arrival_ms is not None and arrival_ms < self._tick_ms:
                if arrival_ms > now_ms:
                    return
                for message in self._downlink.due(arrival_ms):
                    self._receive(message, arrival_ms)
                self._room.set()
            elif self._tick_ms > now_ms:
                return
            elif self._tick_ms > ends_ms:
                self._end("time limit", self._tick_ms)
            else:
                self._tick(self._tick_ms)
                self._tick_ms += FRAME_MS

    def _tick(self, at_ms: float) -> None:
        """The frame that ends now was heard, and in the same 20 ms the caller said his."""
        heard = self._carrier.hearing
        said = self._caller.hear(heard)
        self._heard += heard
        self._said += said.audio
        for event in said.events:
            self._publish(at_ms - self._caller.now_ms + event.at_ms, event.kind, event.detail)
        if said.key:
            self._send_up(at_ms, self._carrier.dtmf(said.key))
        self._send_up(at_ms, self._carrier.tick(at_ms, said.audio))
        if said.hangs_up:
            self._end("caller", at_ms)

    def _receive(self, message: str | bytes | ConnectionClosed, at_ms: float) -> None:
        if isinstance(message, ConnectionClosed):
            self._receive_close(message, at_ms)
            return
        waiting_bytes, clears = self._carrier.buffered_bytes, len(self._carrier.clears)
        self._send_up(at_ms, self._carrier.receive(message, at_ms))
        if waiting_bytes and len(self._carrier.clears) > clears:
            self._publish(at_ms, "cleared", f"{waiting_bytes / BYTES_PER_MS:g} ms")
        if self._carrier.gives_up:
            self._end("violation", at_ms)

    def _receive_close(self, closed: ConnectionClosed, at_ms: float) -> None:
        self._record.ended_by = "server"
        if closed.rcvd is not None:
            self._record.close_code = closed.rcvd.code
        elif closed.sent is not None:
            self.fault = Fault(31924, f"the server broke the WebSocket protocol: {closed.sent.reason}")
        else:
            self.fault = Fault(31903, "the server broke the connection without closing it")
        self._publish(at_ms, "stream closed", str(self._record.close_code or ""))

    def _end(self, by: Literal["caller", "time limit", "violation", "carrier"], at_ms: float) -> None:
        if self._record.ended_by is not None:
            return
        self._record.ended_by = by
        self._send_up(at_ms, self._carrier.stop())

    # ------------------------------------------------------------------ the socket

    async def _read(self) -> None:
        try:
            while True:
                message = await self._socket.recv()
                if self._tap:
                    self._tap.received(message)
                self._downlink.send(self._now_ms(), message)
                self._wake()
                if len(self._downlink) > MAX_UNDER_WAY:
                    self._room.clear()
                    await self._room.wait()
        except ConnectionClosed as closed:
            self._downlink.send(self._now_ms(), closed)
            self._wake()

    def _send_up(self, now_ms: float, messages: Iterable[str]) -> None:
        for message in messages:
            self._uplink.send(now_ms, message)

    async def _send(self, message: str) -> None:
        # On a closing connection `send` would wait for the end, and nothing would be heard meanwhile.
        if self._socket.state is not State.OPEN:
            return
        # Below the bound `send` does not block: its own limit is higher.
        if self._socket.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self._record.lost_messages += 1
            return
        if self._tap:
            self._tap.sent(message)
        with suppress(ConnectionClosed):  # the reader notices too
            await self._socket.send(message)

    async def _sleep(self) -> None:
        """Until a frame or a message is due, or one has come."""
        self._alarm = self._loop.create_future()
        due = [self._uplink.next_due()]
        if self._record.ended_by is None:  # otherwise only our last messages are still under way
            due += [self._tick_ms, self._downlink.next_due()]
        next_ms = min(due_ms for due_ms in due if due_ms is not None)
        timer = self._loop.call_later(self._clock.local_s(next_ms) - time.monotonic(), self._wake)
        try:
            await self._alarm
        finally:
            timer.cancel()

    def _wake(self) -> None:
        if not self._alarm.done():
            self._alarm.set_result(None)

    def _now_ms(self) -> float:
        return self._clock.stream_ms(time.monotonic())
