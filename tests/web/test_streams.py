"""The server's WebSocket with its short way, under uvicorn, as a client meets it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import uvicorn
from closure import until
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from phonebot.carrier.messages import MAX_MESSAGE_BYTES
from phonebot.web.app import SERVER_OPTIONS
from phonebot.web.streams import FAILED, Stream


class App:
    """Listens to one stream, and keeps what it heard the short way and what ASGI brought, in order."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.brought: list[str] = []
        self.failed: Exception | None = None
        self.stream: Stream | None = None
        self.listens = asyncio.Event()
        self.ended = asyncio.Event()
        self.listener: Callable[[str], None] = self.heard.append

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "websocket"
        await receive()
        await send({"type": "websocket.accept"})
        await self.listens.wait()
        self.stream = Stream.of(scope)
        assert self.stream is not None
        self.stream.listen(lambda text: self.listener(text))
        while (message := await receive())["type"] != "websocket.disconnect":
            if message["type"] == FAILED:
                self.failed = message["error"]
            elif (text := message.get("text")) is not None:
                self.heard.append(text)
                self.brought.append(text[:20])
        self.ended.set()


@asynccontextmanager
async def served(app: App) -> AsyncIterator[ClientConnection]:
    options = SERVER_OPTIONS | {"lifespan": "off", "loop": "none"}
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", **options))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with connect(f"ws://127.0.0.1:{port}/", compression=None, ping_interval=None) as client:
            yield client
    finally:
        server.should_exit = True
        await serving


def frame(client: ClientConnection, *frames: Frame) -> None:
    """Send frames by hand."""
    client.transport.write(b"".join(each.serialize(mask=True) for each in frames))


async def test_each_message_is_heard_in_order_whenever_somebody_begins_to_listen() -> None:
    app = App()
    async with served(app) as client:
        for number in range(5):
            await client.send(str(number))
        await asyncio.sleep(0.05)
        app.listens.set()
        for number in range(5, 50):
            await client.send(str(number))
        await until(lambda: len(app.heard) == 50)
    assert app.heard == [str(number) for number in range(50)]
    assert len(app.brought) <= 6  # those that had come, and no more


async def test_what_is_sent_at_once_arrives_as_it_is_in_order_with_the_rest() -> None:
    app = App()
    app.listens.set()
    async with served(app) as client:
        await client.send("a")
        await until(lambda: app.heard)
        assert app.stream is not None
        texts = ["é" * 10, "x" * 200, "y" * 70_000]
        for text in texts:
            assert app.stream.send_now(text)
        await app.stream.send({"type": "websocket.send", "text": "and then"})
        assert [await client.recv() for _ in range(4)] == [*texts, "and then"]


async def test_a_ping_is_answered_and_listening_goes_on() -> None:
    app = App()
    app.listens.set()
    async with served(app) as client:
        await client.send("a")
        await (await client.ping())
        await client.send("b")
        await until(lambda: app.heard == ["a", "b"])


async def test_a_message_in_fragments_is_heard_whole_and_in_its_place() -> None:
    app = App()
    app.listens.set()
    async with served(app) as client:
        await client.send("a")
        await client.send(["b", "c"])
        await client.send("d")
        await until(lambda: len(app.heard) == 3)
    assert app.heard == ["a", "bc", "d"]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (Frame(Opcode.TEXT, b"\xff"), 1007),
        (Frame(Opcode.CONT, b"a"), 1002),
        (Frame(Opcode.TEXT, b"a" * (MAX_MESSAGE_BYTES + 1)), 1009),
    ],
)
async def test_what_the_protocol_forbids_ends_the_connection_by_its_rules(sent: Frame, code: int) -> None:
    app = App()
    app.listens.set()
    async with served(app) as client:
        await client.send("a")
        await until(lambda: app.heard)
        frame(client, sent)
        with suppress(ConnectionClosed):
            await client.recv()
        assert client.close_code == code
        await until(app.ended.is_set)
    assert app.heard == ["a"]


async def test_who_listens_and_fails_is_told_where_he_waits_and_hears_no_more_by_the_short_way() -> None:
    app, raised = App(), ValueError("a fault")

    def fail(text: str) -> None:
        raise raised

    app.listens.set()
    app.listener = fail
    async with served(app) as client:
        await client.send("a")
        await until(lambda: app.failed)
        await client.send("b")
        await until(lambda: app.brought)
    assert (app.failed, app.brought) == (raised, ["b"])


async def test_nothing_is_sent_on_a_stream_that_has_ended() -> None:
    app = App()
    app.listens.set()
    async with served(app) as client:
        await client.send("a")
        await until(lambda: app.stream)
        await client.close()
        await until(app.ended.is_set)
        assert app.stream is not None
        assert not app.stream.send_now("late")


async def test_a_client_that_takes_nothing_is_sent_nothing_at_once_any_more() -> None:
    app = App()
    app.listens.set()
    async with served(app) as client:
        await client.send("a")
        await until(lambda: app.stream)
        assert app.stream is not None
        client.transport.pause_reading()
        sent = 0
        while app.stream.send_now("x" * 60_000):
            sent += 1
            assert sent < 1_000
            await asyncio.sleep(0)
        client.transport.resume_reading()
        assert len(await client.recv()) == 60_000
