"""
The socket to a service: opened, read and written in texts, closed.

All that the WebSocket library raises becomes a ModelError here. What the service says is quoted in it, without
our key, which some services repeat.
"""

import asyncio
import logging
import re
import socket as sockets
import ssl
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, NoReturn, cast
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
    ProxyError,
)
from websockets.frames import Close, CloseCode
from websockets.http11 import Response as HttpResponse
from websockets.protocol import State
from websockets.typing import Subprotocol

from phonebot.errors import ModelError, ModelProtocolError, ModelRefused, ModelUnreachable
from phonebot.frames import client_text
from phonebot.realtime.events import ErrorDetail
from phonebot.realtime.providers import Endpoint, masked
from phonebot.realtime.severity import close_meaning, close_severity, severity
from phonebot.realtime.socket import Socket

ROOM_BYTES = 16 * 1024  # half of what the library lets wait before a send blocks
SEND_TIMEOUT_S = 5.0  # by then the socket holds seconds of the caller's audio
CLOSE_TIMEOUT_S = 1.0  # a call that has ended does not wait for the model's farewell
# A caller waits while a dead connection is taken for a silent one. Where nobody acknowledges his audio, fifty
# frames a second, the system finds that out; where a system does, and its program is gone, pings do. Neither
# loses a service whose loop stands still for two seconds.
UNACKNOWLEDGED_MS = 2_500  # the system looks when it sends again what was not acknowledged: up to 0.7 s later
PING_INTERVAL_S = 2.0
PING_TIMEOUT_S = 3.0
UNHEARD_MS = 6_000  # what was sent for so long before either is found out has perhaps not been received
MAX_MESSAGE_BYTES = 16 * 1024 * 1024  # an item retrieved with its audio is one message
MAX_QUOTE = 300  # characters of the service's words in an error of ours

_TRY_AGAIN = frozenset({408, 409, 429})

_log = logging.getLogger(__name__)

# The library writes the handshake at DEBUG, and with it the key.
_library_log = logging.getLogger("phonebot.realtime.websocket")
_library_log.setLevel(logging.INFO)


class Line:
    """The socket in texts. Its faults become ours, without our key in them."""

    def __init__(self, endpoint: Endpoint, socket: Socket) -> None:
        self.endpoint = endpoint
        self._socket = socket
        self._closed_by_us = False
        self._parting: ErrorDetail | None = None  # an error after which services close

    async def read(self) -> str:
        """The next message, whole."""
        try:
            message = await self._socket.recv()
        except ConnectionClosed as closed:
            raise self._lost(closed) from None
        if isinstance(message, bytes):
            raise ModelProtocolError(f"message: {len(message)} bytes of binary, where only text is allowed")
        return message

    async def listen(self, heard: Callable[[str], None], wrong: Callable[[ModelProtocolError], None]) -> NoReturn:
        """Each message goes to `heard`, as soon as it has arrived; what `read` would say of one to `wrong`."""
        self._socket.listen(heard)
        try:
            while True:
                try:
                    heard(await self.read())
                except ModelProtocolError as error:
                    wrong(error)
        except ModelError:
            if failure := self._socket.failure:
                raise failure from None
            raise
        finally:
            self._socket.listen(None)

    def write_now(self, text: str) -> bool:
        """Send a message without waiting. False, and nothing is sent, when that cannot be: then use `write`."""
        socket = self._socket
        transport = socket.transport
        # A socket that broke is open to the library until the event loop's next turn.
        if socket.state is not State.OPEN or transport.is_closing():
            return False
        if transport.get_write_buffer_size() > ROOM_BYTES:
            return False
        # Whole messages only: the library never has a fragmented one under way that this could come between.
        transport.write(client_text(text))
        return True

    async def write(self, text: str) -> None:
        """Send a message; returns when it is on its way, which a peer that reads too slowly delays."""
        if self.write_now(text):
            return
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._socket.send(text)
        except ConnectionClosed as closed:
            raise self._lost(closed) from None
        except TimeoutError:
            problem = f"{self.endpoint.name} has taken nothing for {SEND_TIMEOUT_S:g} s"
            raise ModelUnreachable(problem, unheard_ms=UNHEARD_MS) from None

    async def close(self) -> None:
        """Say goodbye and close, in `2 * CLOSE_TIMEOUT_S` at most. May be called again."""
        self._closed_by_us = True
        try:
            async with asyncio.timeout(2 * CLOSE_TIMEOUT_S):
                await self._socket.close()
        except TimeoutError:
            _log.debug("%s did not take the close", self.endpoint.name)
        finally:
            self.abort()

    def abort(self) -> None:
        """Drop the connection without waiting for anything; no effect on a closed one."""
        self._closed_by_us = True
        self._socket.transport.abort()

    def note(self, error: ErrorDetail) -> None:
        """Remember an error that explains a close to come."""
        self._parting = error

    def refusal(self, what: str, error: ErrorDetail) -> ModelError:
        """The error to raise when the service refuses `what`: its own words, and whether to ask again."""
        where = f"{error.param}: " if error.param else ""
        problem = f"{self.endpoint.name} refused {what}: {where}{self.quoted(error.message) or error.type}"
        kind = ModelUnreachable if severity(error) in ("retry_response", "reconnect") else ModelRefused
        return kind(problem, error.code)

    def _lost(self, closed: ConnectionClosed) -> ModelError:
        name = self.endpoint.name
        if self._closed_by_us:
            return ModelUnreachable(f"the connection to {name} has been closed")
        if closed.rcvd is None and closed.sent is not None:
            code, reason = closed.sent.code, closed.sent.reason
            unheard_ms = UNHEARD_MS if code == CloseCode.INTERNAL_ERROR else 0  # a ping that nobody answered
            return ModelUnreachable(f"the connection to {name} was given up: {reason}", str(code), unheard_ms)
        if closed.rcvd is None and isinstance(closed.__cause__, TimeoutError):
            problem = f"the connection to {name} was given up: nothing was acknowledged"
            return ModelUnreachable(problem, unheard_ms=UNHEARD_MS)
        return self._ended(closed.rcvd or Close(1006, ""))

    def _ended(self, close: Close) -> ModelError:
        """What to raise when the service ended the session: the error it sent before tells more than the close."""
        problem = f"{self.endpoint.name} closed the session: {close_meaning(close.code)}"
        error = self._parting
        if error is None:
            typed = re.fullmatch(r"\w+\.(\w+)", close.reason)  # as in invalid_request_error.invalid_api_key
            error = ErrorDetail(close.reason, code=typed[1] if typed else None)
        fatal = "fatal" in (close_severity(close.code), severity(error))
        said = f": {self.quoted(error.message)}" if error.message else ""
        return (ModelRefused if fatal else ModelUnreachable)(problem + said, error.code or str(close.code))

    def quoted(self, text: str) -> str:
        """Words from outside, fit for a sentence of ours."""
        return " ".join(self.endpoint.scrubbed(text).split())[:MAX_QUOTE]


class _Opening(open_socket):
    """Follows no redirect: the credentials are for the configured host alone."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def open_line(endpoint: Endpoint, timeout_s: float) -> Line:
    """Connect and shake hands. Raises ModelRefused or ModelUnreachable."""
    name = endpoint.name
    try:
        socket = await _Opening(
            endpoint.url,
            additional_headers=list(endpoint.headers),
            subprotocols=[Subprotocol(each) for each in endpoint.subprotocols] or None,
            create_connection=Socket,
            compression=None,  # base64 audio hardly shrinks, and every frame would wait for it
            open_timeout=timeout_s,
            ping_interval=PING_INTERVAL_S,
            ping_timeout=PING_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=MAX_MESSAGE_BYTES,
            logger=_library_log,
            **_route(endpoint.url),
        )
    except InvalidStatus as answer:
        raise _http_refusal(endpoint, answer.response) from None
    except (InvalidMessage, ProxyError) as fault:
        raise ModelUnreachable(f"{name}: {endpoint.scrubbed(str(fault))}") from None
    except InvalidHandshake as fault:
        # No detail: it may quote the subprotocol that carries the key.
        raise ModelRefused(f"{name} does not answer as a WebSocket server ({type(fault).__name__})") from None
    except InvalidURI:
        raise ModelRefused(f"{masked(endpoint.url)} is not the URL of a WebSocket") from None
    except (InvalidProxy, ImportError):
        # No detail: the proxy's address may hold a password. A SOCKS proxy needs a package that is not required.
        raise ModelRefused(f"{name}: the proxy that the environment names cannot be used") from None
    except ssl.SSLError as fault:
        raise ModelUnreachable(f"{name}: no secure connection: {fault.reason or fault}") from fault
    except TimeoutError:
        raise ModelUnreachable(f"{name} did not open a session within {timeout_s:g} s") from None
    except OSError as fault:
        raise ModelUnreachable(f"{name} cannot be reached: {fault.strerror or fault}") from fault
    _limit_unacknowledged(socket.transport)
    return Line(endpoint, cast(Socket, socket))


def _limit_unacknowledged(transport: asyncio.Transport) -> None:
    """Let the system break a connection whose peer acknowledges nothing (tcp(7), TCP_USER_TIMEOUT: Linux alone)."""
    if sys.platform == "linux":
        tcp: sockets.socket = transport.get_extra_info("socket")
        tcp.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)


def _route(url: str) -> dict[str, Any]:
    """By the environment's proxy, unless the service runs on this machine, and with one TLS context for all."""
    parts = urlsplit(url)
    local = parts.hostname in ("localhost", "::1") or (parts.hostname or "").startswith("127.")
    route: dict[str, Any] = {"proxy": None if local else True}
    if parts.scheme == "wss":
        route["ssl"] = tls()
    return route


@cache
def tls() -> ssl.SSLContext:
    """Made once: reading the certificate authorities takes longer than a frame lasts."""
    return ssl.create_default_context()


def _http_refusal(endpoint: Endpoint, response: HttpResponse) -> ModelError:
    """What an HTTP status means where a WebSocket was asked for."""
    status, said = response.status_code, _http_words(endpoint, response)
    where = masked(endpoint.url)
    if status in (401, 403):
        problem = f"{endpoint.name} does not accept the key, or not for this model"
    elif status == 404:
        problem = f"{endpoint.name} has nothing at {where}: check the address and the model"
    elif 300 <= status < 400:
        problem = f"{endpoint.name} redirects {where}: configure the final address"
    else:
        problem = f"{endpoint.name} answered {status} at {where}"
    unavailable = status in _TRY_AGAIN or status >= 500
    return (ModelUnreachable if unavailable else ModelRefused)(f"{problem}{said}", str(status))


def _http_words(endpoint: Endpoint, response: HttpResponse) -> str:
    """The message in a body of the form {"error": {"message": ...}}, led by a colon, or nothing."""
    try:
        body = msgspec.json.decode(response.body or b"", type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ""
    error = body.get("error", body)
    message = error.get("message") if isinstance(error, dict) else error
    return f": {endpoint.scrubbed(message)[:MAX_QUOTE]}" if isinstance(message, str) and message else ""
