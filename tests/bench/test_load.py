"""The load sees what a carrier and a model would complain of, and says so."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection, connect

from phonebot.agents.numbers import Numbers
from phonebot.bench.carrier import Carrier
from phonebot.bench.load import Cores, Terms, measure
from phonebot.bench.model import serve_load
from phonebot.bench.picows_relay import create_picows_relay
from phonebot.bench.relay import UPDATE, create_relay
from phonebot.bench.stamps import Tally, stamped
from phonebot.bench.subject import Subject, running
from phonebot.errors import PhonebotError
from phonebot.serving import listen
from phonebot.serving import running as serving
from phonebot.settings import load
from phonebot.web.app import create_app


def app_with(media: Callable[[WebSocket], Awaitable[None]]) -> Starlette:
    """Takes a call, and does this with its stream."""

    async def voice(request: Request) -> Response:
        url = f"ws://{request.url.netloc}/twilio/media"
        document = f'<Response><Connect><Stream url="{url}"/></Connect></Response>'
        return Response(document, media_type="application/xml")

    return Starlette(
        routes=[Route("/twilio/voice", voice, methods=["POST"]), WebSocketRoute("/twilio/media", media)]
    )


def app_that_sends(*messages: str) -> Starlette:
    """Takes a call and sends these on its stream, `SID` being the stream's."""

    async def media(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_text()
        sid = (await websocket.receive_json())["streamSid"]
        for message in messages:
            await websocket.send_text(message.replace("SID", sid))
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass

    return app_with(media)


@asynccontextmanager
async def call_to(app: Starlette, to_caller: Tally) -> AsyncIterator[Carrier]:
    """A carrier with one call to the app; afterwards all that was sent on it has been seen."""
    with listen("127.0.0.1", 0) as listener:
        async with (
            serving(app, listener),
            Carrier(f"http://127.0.0.1:{listener.getsockname()[1]}", 1, Tally(), to_caller) as carrier,
        ):
            yield carrier


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        ("nonsense", "JSON is malformed"),
        ('{"event":"media","streamSid":"SID","media":{"payload":"/w==","track":"outbound"}}', "unknown field"),
        ('{"event":"mark","streamSid":"SID","mark":{}}', "missing required field `name`"),
        ('{"event":"media","streamSid":"SID","media":{"payload":"***"}}', "not base64"),
        ('{"event":"clear","streamSid":"MZ0"}', "the stream sid 'MZ0'"),
    ],
)
async def test_a_carrier_complains_of_messages_that_twilio_refuses(message: str, complaint: str) -> None:
    audio = f'{{"event":"media","streamSid":"SID","media":{{"payload":"{stamped(160, 1)}"}}}}'

    async with call_to(app_that_sends(message, audio), Tally()) as carrier:
        stream = await carrier.dial()
        await stream.first_audio_ms()  # so the message before it has been read

    [fault] = carrier.faults
    assert complaint in fault


async def test_a_carrier_echoes_marks_after_the_audio_before_them_and_all_of_them_after_a_clear() -> None:
    """Two pieces of 60 ms with a mark each; the clear comes when the first has been played."""
    echoes: asyncio.Queue[str] = asyncio.Queue()
    silence = stamped(480, 1)

    async def media(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_text()
        head = f'"streamSid":"{(await websocket.receive_json())["streamSid"]}"'
        await websocket.send_text(f'{{"event":"mark",{head},"mark":{{"name":"at once"}}}}')
        for name in ("first", "second"):
            await websocket.send_text(f'{{"event":"media",{head},"media":{{"payload":"{silence}"}}}}')
            await websocket.send_text(f'{{"event":"mark",{head},"mark":{{"name":"{name}"}}}}')
        while (message := await websocket.receive())["type"] == "websocket.receive":
            read = msgspec.json.decode(message["text"])
            if read["event"] == "mark":
                echoes.put_nowait(read["mark"]["name"])
                if read["mark"]["name"] == "first":
                    await websocket.send_text(f'{{"event":"clear",{head}}}')

    async with call_to(app_with(media), Tally()) as carrier:
        await carrier.dial()
        assert [await echoes.get() for _ in range(3)] == ["at once", "first", "second"]

    assert carrier.faults == []


async def test_a_stream_that_the_server_closes_is_a_fault() -> None:
    async def media(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close(1011)

    async with call_to(app_with(media), Tally()) as carrier:
        await carrier.dial()
        async with asyncio.timeout(10):
            while not carrier.faults:
                await asyncio.sleep(0.01)

    assert ["1011" in fault for fault in carrier.faults] == [True]


async def test_a_webhook_that_gives_no_stream_is_an_error() -> None:
    async def voice(request: Request) -> Response:
        return Response("<Response><Hangup/></Response>", media_type="application/xml")

    app = Starlette(routes=[Route("/twilio/voice", voice, methods=["POST"])])
    async with call_to(app, Tally()) as carrier:
        with pytest.raises(PhonebotError, match="answered 200 without a Stream"):
            await carrier.dial()


async def opened(model: ClientConnection) -> list[str]:
    """The types of the first two events, the session having been updated."""
    types = [msgspec.json.decode(await model.recv())["type"]]
    await model.send(UPDATE)
    return [*types, msgspec.json.decode(await model.recv())["type"]]


async def test_a_model_takes_an_item_that_it_is_told_of() -> None:
    async with serve_load(Tally(), Tally()) as server, connect(server.url, proxy=None) as model:
        await opened(model)
        await model.send('{"type":"conversation.item.create","item":{"id":"clip","type":"message"}}')
        async for text in model:
            event = msgspec.json.decode(text)
            if event["type"] == "conversation.item.done" and event["item"]["id"] == "clip":
                break

    assert server.faults == []


async def test_a_model_answers_at_once_when_it_is_asked_to_and_stamps_its_audio() -> None:
    to_model, to_caller = Tally(), Tally()
    to_caller.open()
    async with serve_load(to_model, to_caller) as server:
        async with connect(server.url, proxy=None) as first:
            # The second session of a server waits for seconds before it speaks by itself.
            assert await opened(first) == ["session.created", "session.updated"]
        async with connect(server.url, proxy=None) as model:
            await opened(model)
            await model.send('{"type":"response.create"}')
            async for text in model:
                event = msgspec.json.decode(text)
                if event["type"] == "response.output_audio.delta":
                    to_caller.arrive(event["delta"])
                    break

    assert len(to_caller.delays_ms) == 1
    assert server.faults == []


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ('{"type":"conversation.item.truncate"}', "conversation.item.truncate"),
        ('{"type":"input_audio_buffer.append","audio":"***"}', "not base64"),
        ("nonsense", "JSON is malformed"),
    ],
)
async def test_a_model_complains_of_what_nobody_should_send_it(command: str, complaint: str) -> None:
    to_model = Tally()
    async with serve_load(to_model, Tally()) as server, connect(server.url, proxy=None) as model:
        await opened(model)
        await model.send(command)

    [fault] = server.faults
    assert complaint in fault


def phonebot(model_url: str, url: str, data_dir: Path) -> Starlette:
    settings = load(
        {"PHONEBOT_PUBLIC_URL": url, "PHONEBOT_MODEL_URL": model_url, "PHONEBOT_DATA_DIR": str(data_dir)},
        env_file=None,
    )
    return create_app(settings, Numbers())


def relay(model_url: str, url: str, data_dir: Path) -> Starlette:
    return create_relay(model_url, url)


def picows(model_url: str, url: str, data_dir: Path) -> Starlette:
    return create_picows_relay(model_url, url)


@pytest.mark.parametrize("server", [relay, picows, phonebot])
async def test_a_server_under_load_carries_the_stamps_of_both_directions(
    server: Callable[[str, str, Path], Starlette], tmp_path: Path
) -> None:
    to_model, to_caller = Tally(), Tally()
    with listen("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with (
            serve_load(to_model, to_caller) as model,
            serving(server(model.url, url, tmp_path), listener),
        ):
            to_model.open()
            to_caller.open()
            async with Carrier(url, 1, to_model, to_caller) as carrier:
                stream = await carrier.dial()
                await stream.first_audio_ms()
                async with asyncio.timeout(10):
                    while not to_model.delays_ms:
                        await asyncio.sleep(0.01)

    assert to_caller.delays_ms
    assert (carrier.faults, model.faults) == ([], [])


async def test_a_server_that_cannot_start_is_an_error_with_what_it_wrote() -> None:
    with pytest.raises(PhonebotError, match=r"ended with code 1: (.|\n)*Error"):
        await measure(Subject("relay"), Terms(1, 0.1, 0.0), Cores(2, server=99_999))


async def test_what_a_server_has_used_is_read_from_outside() -> None:
    async with running(Subject("relay"), "ws://127.0.0.1:9/v1/realtime", core=None) as server:
        async with Carrier(server.url, 1, Tally(), Tally()) as carrier:
            await carrier.dial()  # it answers, hence runs
        assert server.cpu_s() > 0
        assert server.memory_mb() > 1


async def test_a_frozen_server_answers_when_it_goes_on() -> None:
    async with running(Subject("relay"), "ws://127.0.0.1:9/v1/realtime", core=None) as server:
        await server.ready()
        freezing = asyncio.create_task(server.freeze(200))
        await asyncio.sleep(0)
        asking = asyncio.create_task(server.ready())
        first, _ = await asyncio.wait([freezing, asking], return_when=asyncio.FIRST_COMPLETED)
        assert first == {freezing}
        await asking


async def test_a_server_that_has_ended_is_not_waited_for() -> None:
    async with running(Subject("relay"), "ws://127.0.0.1:9/v1/realtime", core=None) as server:
        pass
    with pytest.raises(PhonebotError, match="does not answer"):
        await server.ready()
