"""
The second yardstick: the same relay on picows, a WebSocket library in Cython, and uvloop.

It moves what `relay.py` moves, and as little else; but there is no ASGI between, no task that waits for a message,
and no Python below its callbacks. Only the voice webhook is served as phonebot is. picows is optional: the extra
`bench`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from picows import (
    WSCloseCode,
    WSError,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_connect,
    ws_create_server,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from phonebot.bench.relay import AUDIO_EVENT, UPDATE
from phonebot.carrier import twiml

AUDIO = AUDIO_EVENT.encode()


def create_picows_relay(model_url: str, public_url: str) -> Starlette:
    """As `relay.create_relay`. The streams have a port of their own while the app runs."""
    ports = list[int]()
    calls = set[asyncio.Task[None]]()

    def take(request: WSUpgradeRequest) -> WSListener:
        carrier = _Carrier()
        call = asyncio.create_task(carrier.relay(model_url))
        calls.add(call)
        call.add_done_callback(calls.discard)
        return carrier

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        server = await ws_create_server(take, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        yield
        server.close()
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    async def voice(request: Request) -> Response:
        stream_url = f"ws://127.0.0.1:{ports[0]}/twilio/media"
        document = twiml.connect_stream(stream_url, f"{public_url}/twilio/after", {})
        return Response(document, media_type=twiml.CONTENT_TYPE)

    return Starlette(routes=[Route("/twilio/voice", voice, methods=["POST"])], lifespan=lifespan)


class _Side(WSListener):
    """One of a call's connections."""

    def __init__(self) -> None:
        super().__init__()
        self.transport: WSTransport | None = None
        self.gone = asyncio.Event()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.gone.set()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self.receive(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()

    def receive(self, text: bytes) -> None:
        raise NotImplementedError

    def send(self, text: bytes) -> None:
        assert self.transport is not None, "it is connected"
        self.transport.send(WSMsgType.TEXT, text)

    def leave(self) -> None:
        if self.transport:
            self.transport.send_close(WSCloseCode.OK)
            self.transport.disconnect()


class _Carrier(_Side):
    """A media stream. What comes before there is a model waits."""

    def __init__(self) -> None:
        super().__init__()
        self.head = b""  # of what it is sent, once its sid is known
        self._model: _Model | None = None
        self._early = list[bytes]()

    async def relay(self, model_url: str) -> None:
        """Connect to the model, and stay until either side has gone."""
        model = _Model(self)
        try:
            await ws_connect(lambda: model, model_url)
            model.send(UPDATE.encode())
            self._model = model
            for text in self._early:
                self.receive(text)
            ends = [asyncio.create_task(side.gone.wait()) for side in (self, model)]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
        except (OSError, WSError):
            return  # the caller hears nothing
        finally:
            model.leave()
            self.leave()

    def receive(self, text: bytes) -> None:
        if self._model is None:
            self._early.append(text)
        elif payload := _cut(text, b'"payload":"'):
            self._model.send(b'{"type":"input_audio_buffer.append","audio":"' + payload + b'"}')
        elif not self.head and (sid := _cut(text, b'"streamSid":"')):
            self.head = b'{"event":"media","streamSid":"' + sid + b'","media":{"payload":"'


class _Model(_Side):
    """A session of the model."""

    def __init__(self, carrier: _Carrier) -> None:
        super().__init__()
        self._carrier = carrier

    def receive(self, text: bytes) -> None:
        if AUDIO in text:
            self._carrier.send(self._carrier.head + _cut(text, b'"delta":"') + b'"}}')


def _cut(text: bytes, before: bytes) -> bytes:
    """What stands between `before` and the next quotation mark; b"" without it."""
    return text.partition(before)[2].partition(b'"')[0]
