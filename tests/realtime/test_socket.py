"""The client's WebSocket with its short way, and a server that cuts what it sends as it likes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from closure import until
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close, Frame, Opcode
from websockets.server import ServerProtocol

from phonebot.frames import server_text
from phonebot.realtime.socket import Socket

TEXTS = ["one", "é" * 200, "three" * 5_000]


class Server:
    """Answers the handshake, sends `behind` right behind it, `piece` bytes at a time, then what it is told to."""

    def __init__(self, behind: bytes = b"", piece: int = 1_000_000, refuses: bool = False) -> None:
        self.behind, self.piece, self.refuses = behind, piece, refuses
        self.writer: asyncio.StreamWriter | None = None
        self.protocol = ServerProtocol()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.protocol.receive_data(await reader.readuntil(b"\r\n\r\n"))
        (request,) = self.protocol.events_received()
        accepted = self.protocol.accept(request)  # type: ignore[arg-type]
        answer = self.protocol.reject(503, "line\r\n\r\nafter line") if self.refuses else accepted
        self.protocol.send_response(answer)
        data = b"".join(self.protocol.data_to_send()) + self.behind
        for at in range(0, len(data), self.piece):
            await self.send(data[at : at + self.piece])
        if self.refuses:
            writer.close()
        while await reader.read(1_000):
            pass
        writer.close()

    async def send(self, data: bytes) -> None:
        assert self.writer is not None
        self.writer.write(data)
        await self.writer.drain()
        await asyncio.sleep(0.001)


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Socket]:
    listening = await asyncio.start_server(server.take, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        async with connect(
            f"ws://127.0.0.1:{port}/",
            create_connection=Socket,
            compression=None,
            ping_interval=None,
            close_timeout=0.1,
        ) as socket:
            assert isinstance(socket, Socket)
            yield socket
    finally:
        listening.close()
        await listening.wait_closed()


@pytest.mark.parametrize("piece", [1, 3, 100, 1_000_000])
async def test_what_comes_right_behind_the_handshake_is_received_however_it_is_cut(piece: int) -> None:
    texts = ["one", "é" * 200, "three" * 50]
    async with connected(Server(b"".join(map(server_text, texts)), piece)) as socket:
        assert [await socket.recv() for _ in texts] == texts


@pytest.mark.parametrize("piece", [1, 100])
async def test_a_refusal_is_read_whole_however_it_is_cut(piece: int) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connected(Server(piece=piece, refuses=True)):
            pass
    assert refused.value.response.body == b"line\r\n\r\nafter line"


async def test_what_was_received_before_is_brought_by_recv_and_what_comes_then_is_heard_at_once() -> None:
    server, heard = Server(server_text("0") + server_text("1")), list[str]()
    async with connected(server) as socket:
        assert await socket.recv() == "0"
        await asyncio.sleep(0.05)
        socket.listen(heard.append)
        await server.send(server_text("2"))  # "1" is before it
        assert heard == []
        assert [await socket.recv(), await socket.recv()] == ["1", "2"]
        for text in TEXTS:
            await server.send(server_text(text))
        await until(lambda: len(heard) == len(TEXTS))
        assert heard == TEXTS


async def test_what_is_no_whole_text_comes_by_recv_in_its_place() -> None:
    server, heard = Server(), list[str]()
    async with connected(server) as socket:
        socket.listen(heard.append)
        begin = Frame(Opcode.TEXT, b"b", fin=False).serialize(mask=False)
        end = Frame(Opcode.CONT, b"c").serialize(mask=False)
        await server.send(server_text("a") + begin + end + server_text("d"))
        assert [await socket.recv(), await socket.recv()] == ["bc", "d"]
        assert heard == ["a"]


async def test_the_end_comes_by_recv_behind_all_that_was_said() -> None:
    server, heard = Server(), list[str]()
    async with connected(server) as socket:
        socket.listen(heard.append)
        closes = Frame(Opcode.CLOSE, Close(1011, "over").serialize()).serialize(mask=False)
        await server.send(server_text("a") + closes)
        assert server.writer is not None
        server.writer.close()
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd == Close(1011, "over")
        assert heard == ["a"]


async def test_a_listener_that_fails_ends_the_connection_and_what_it_raised_is_kept() -> None:
    server, fault = Server(), ValueError("a fault")

    def fail(text: str) -> None:
        raise fault

    async with connected(server) as socket:
        socket.listen(fail)
        await server.send(server_text("a") + server_text("b"))
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        assert socket.failure is fault


async def test_what_is_still_said_after_our_close_is_dropped() -> None:
    server, heard = Server(), list[str]()
    async with connected(server) as socket:
        socket.listen(heard.append)
        closing = asyncio.create_task(socket.close())
        await asyncio.sleep(0.01)
        await server.send(b"".join(server_text(str(number)) for number in range(100)))
        await closing
        assert heard == []
