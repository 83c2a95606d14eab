"""A bridge's carrier socket on the server's functions: what it sends without waiting."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from phonebot.bridge import StreamClosed
from phonebot.web.media import MediaSocket


class Server:
    """The server's side of a socket: `send` waits for room and then sends, as uvicorn's does."""

    def __init__(self) -> None:
        self.room = asyncio.Event()
        self.room.set()
        self.sent: list[str] = []
        self.error: Exception | None = None

    async def receive(self) -> MutableMapping[str, Any]:
        return {"type": "websocket.disconnect", "code": 1001}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        await self.room.wait()
        if self.error:
            raise self.error
        self.sent.append(message["text"])


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def socket(server: Server) -> MediaSocket:
    return MediaSocket(server.receive, server.send)


async def test_what_there_is_room_for_is_sent_at_once(socket: MediaSocket, server: Server) -> None:
    assert socket.send_now("clear")
    assert server.sent == ["clear"]


async def test_what_there_is_no_room_for_is_not_sent_then_nor_later(socket: MediaSocket, server: Server) -> None:
    server.room.clear()
    assert not socket.send_now("clear")
    server.room.set()
    await asyncio.sleep(0)
    assert server.sent == []
    await socket.send("clear")
    assert server.sent == ["clear"]


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("after sending a close")])
async def test_a_socket_that_the_server_has_closed_takes_nothing_and_send_says_so(
    socket: MediaSocket, server: Server, error: Exception
) -> None:
    server.error = error
    assert not socket.send_now("clear")
    with pytest.raises(StreamClosed):
        await socket.send("clear")


async def test_a_socket_that_has_ended_takes_nothing(socket: MediaSocket, server: Server) -> None:
    with pytest.raises(StreamClosed):
        await socket.receive()
    assert not socket.send_now("clear")
    assert server.sent == []
