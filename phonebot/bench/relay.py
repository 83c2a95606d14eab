"""
The yardstick: a relay that moves the audio from socket to socket and does nothing else.

It is served as phonebot is (`phonebot.web.app.SERVER_OPTIONS`), but by uvicorn's own WebSocket implementation, and
speaks to the model through the same library, without our short way for messages (phonebot/frames.py).
Nothing is parsed: the payload is cut out of the text. It keeps no record, sends no marks, hears no interruption and
trusts both sides, so no service that does its work can cost less.
"""

import asyncio
from contextlib import suppress

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from phonebot.carrier import twiml

UPDATE = (
    '{"type":"session.update","session":{"type":"realtime","audio":'
    '{"input":{"format":{"type":"audio/pcmu"}},"output":{"format":{"type":"audio/pcmu"}}}}}'
)
AUDIO_EVENT = '"response.output_audio.delta"'


def create_relay(model_url: str, public_url: str) -> Starlette:
    """The relay between the media streams of calls to `public_url`, http, and a GA session each at `model_url`."""
    stream_url = f"ws{public_url.removeprefix('http')}/twilio/media"

    async def voice(request: Request) -> Response:
        document = twiml.connect_stream(stream_url, f"{public_url}/twilio/after", {})
        return Response(document, media_type=twiml.CONTENT_TYPE)

    async def media(carrier: WebSocket) -> None:
        await carrier.accept()
        with suppress(ConnectionClosed, WebSocketDisconnect):
            async with connect(model_url, compression=None, proxy=None) as model:
                await model.send(UPDATE)
                await _relay(carrier, model)

    return Starlette(
        routes=[Route("/twilio/voice", voice, methods=["POST"]), WebSocketRoute("/twilio/media", media)]
    )


async def _relay(carrier: WebSocket, model: ClientConnection) -> None:
    await carrier.receive()  # connected
    stream_sid = _cut((await carrier.receive())["text"], '"streamSid":"')
    down = asyncio.create_task(_to_carrier(carrier, model, stream_sid))
    try:
        await _to_model(carrier, model)
    finally:
        down.cancel()
        await asyncio.gather(down, return_exceptions=True)


async def _to_model(carrier: WebSocket, model: ClientConnection) -> None:
    while (message := await carrier.receive())["type"] == "websocket.receive":
        if payload := _cut(message["text"], '"payload":"'):
            await model.send(f'{{"type":"input_audio_buffer.append","audio":"{payload}"}}')


async def _to_carrier(carrier: WebSocket, model: ClientConnection, stream_sid: str) -> None:
    head = f'{{"event":"media","streamSid":"{stream_sid}","media":{{"payload":"'
    async for text in model:
        if isinstance(text, str) and AUDIO_EVENT in text:
            payload = _cut(text, '"delta":"')
            await carrier.send({"type": "websocket.send", "text": f'{head}{payload}"}}}}'})


def _cut(text: str, before: str) -> str:
    """What stands between `before` and the next quotation mark; "" without it."""
    return text.partition(before)[2].partition('"')[0]
