"""The load's connections, against the library's own."""

import asyncio

import pytest
from websockets.asyncio.client import connect as connect_library
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_library
from websockets.exceptions import ConnectionClosed

from phonebot.bench.wire import Receiver, Wire, connect, serve


class Noted(Receiver):
    """Tells what befell it."""

    def __init__(self) -> None:
        self.wire: Wire
        self.told: asyncio.Queue[str] = asyncio.Queue()

    def opened(self, wire: Wire) -> None:
        self.wire = wire

    def receive(self, text: bytes) -> None:
        self.told.put_nowait(text.decode())

    def closed(self, reason: str) -> None:
        self.told.put_nowait(reason)


class Echo(Noted):
    """Sends back what it gets."""

    def receive(self, text: bytes) -> None:
        self.wire.send(text.decode())


async def serve_echo(socket: ServerConnection) -> None:
    async for text in socket:
        await socket.send(text)


async def test_a_client_sends_receives_and_says_good_bye() -> None:
    noted = Noted()
    async with serve_library(serve_echo, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        wire = await connect(f"ws://127.0.0.1:{port}/path", noted, "Caller/1.0", 5.0)
        wire.send("grüezi")
        assert await noted.told.get() == "grüezi"
        await wire.close()
        assert not wire.is_open
        wire.send("is lost, and no error")

    assert "1000" in noted.told.get_nowait()


@pytest.mark.parametrize("size", [3, 300, 100_000])
async def test_a_server_takes_messages_of_all_sizes_whole_or_in_fragments(size: int) -> None:
    async with serve(Echo) as port, connect_library(f"ws://127.0.0.1:{port}/", proxy=None) as client:
        await client.send("x" * size)
        assert await client.recv() == "x" * size
        await client.send(["y" * size, "z" * size])
        assert await client.recv() == "y" * size + "z" * size
        await client.ping()


async def test_connections_that_are_left_are_cut_off_with_the_server() -> None:
    async with serve(Echo) as port:
        client = await connect_library(f"ws://127.0.0.1:{port}/", proxy=None)
    with pytest.raises(ConnectionClosed):
        await client.recv()


async def test_a_server_that_refuses_is_an_error() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectionRefusedError, match="404"):
            await connect(f"ws://127.0.0.1:{port}/", Noted(), "Caller/1.0", 5.0)


async def test_a_server_that_does_not_answer_is_waited_for_no_longer_than_told() -> None:
    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(keep_silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TimeoutError):
            await connect(f"ws://127.0.0.1:{port}/", Noted(), "Caller/1.0", 0.05)
