"""A bridge's carrier socket on the server's functions: what it hears, and what it sends without waiting."""

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any, cast

import pytest

from phonebot.bridge import StreamClosed
from phonebot.web import pace
from phonebot.web.media import MediaSocket
from phonebot.web.streams import FAILED, Stream


class Server:
    """The server's side of a socket: gives what is put into `coming`, and keeps what it was sent."""

    def __init__(self) -> None:
        self.coming: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self.sent: list[MutableMapping[str, Any]] = []
        self.error: Exception | None = None

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if self.error:
            raise self.error
        self.sent.append(message)


class Short:
    """A stream's short way."""

    def __init__(self) -> None:
        self.listener: Callable[[str], None] | None = None
        self.sent: list[str] = []
        self.has_room = True

    def listen(self, heard: Callable[[str], None] | None) -> None:
        self.listener = heard

    def send_now(self, text: str) -> bool:
        if self.has_room:
            self.sent.append(text)
        return self.has_room


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def short() -> Short:
    return Short()


@pytest.fixture
def floods() -> list[str]:
    return []


@pytest.fixture
def socket(server: Server, short: Short, floods: list[str]) -> MediaSocket:
    return MediaSocket(server.coming.get, server.send, lambda: floods.append("flood"), cast(Stream, short))


# ------------------------------------------------------------------------------------------- what it sends


async def test_what_there_is_room_for_is_sent_at_once(socket: MediaSocket, short: Short) -> None:
    assert socket.send_now("clear")
    assert short.sent == ["clear"]


async def test_what_there_is_no_room_for_is_not_sent_then_nor_later(
    socket: MediaSocket, server: Server, short: Short
) -> None:
    short.has_room = False
    assert not socket.send_now("clear")
    assert (short.sent, server.sent) == ([], [])
    await socket.send("clear")
    assert server.sent == [{"type": "websocket.send", "text": "clear"}]


async def test_where_there_is_no_short_way_all_waits_its_turn(server: Server) -> None:
    socket = MediaSocket(server.coming.get, server.send)
    assert not socket.send_now("clear")
    assert server.sent == []


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("after sending a close")])
async def test_a_socket_that_the_server_has_closed_says_so(
    socket: MediaSocket, server: Server, error: Exception
) -> None:
    server.error = error
    with pytest.raises(StreamClosed):
        await socket.send("clear")


async def test_a_socket_that_has_ended_takes_nothing(socket: MediaSocket, server: Server, short: Short) -> None:
    server.coming.put_nowait({"type": "websocket.disconnect", "code": 1001})
    with pytest.raises(StreamClosed):
        await socket.receive()
    assert not socket.send_now("clear")
    assert short.sent == []


# ------------------------------------------------------------------------------------------- what it hears


async def test_what_was_waiting_is_heard_and_then_what_comes_the_short_way(
    socket: MediaSocket, server: Server, short: Short
) -> None:
    heard: list[str | bytes] = []
    server.coming.put_nowait({"type": "websocket.receive", "text": "one"})
    hearing = asyncio.create_task(socket.hear(heard.append))
    await asyncio.sleep(0.01)
    assert short.listener is not None
    short.listener("two")
    assert heard == ["one", "two"]
    server.coming.put_nowait({"type": "websocket.disconnect", "code": 1001})
    with pytest.raises(StreamClosed) as ended:
        await hearing
    assert ended.value.code == 1001
    assert short.listener is None


async def test_what_a_listener_has_raised_is_raised_where_the_end_is_waited_for(
    socket: MediaSocket, server: Server
) -> None:
    server.coming.put_nowait({"type": FAILED, "error": ValueError("a fault of the core")})
    with pytest.raises(ValueError, match="a fault of the core"):
        await socket.hear(lambda message: None)


@pytest.mark.parametrize("way", ["short", "asgi"])
async def test_a_flood_closes_the_stream_and_is_told_of(
    way: str,
    socket: MediaSocket,
    server: Server,
    short: Short,
    floods: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pace.Pace, "exceeded_by", lambda self, length: length > 10)
    hearing = asyncio.create_task(socket.hear(lambda message: None))
    await asyncio.sleep(0.01)
    if way == "short":
        assert short.listener is not None
        try:
            short.listener("x" * 11)
        except Exception as error:  # as the stream does
            server.coming.put_nowait({"type": FAILED, "error": error})
    else:
        server.coming.put_nowait({"type": "websocket.receive", "text": "x" * 11})
    with pytest.raises(StreamClosed) as ended:
        await hearing
    assert (ended.value.code, floods) == (1008, ["flood"])
    assert server.sent == [{"type": "websocket.close", "code": 1008}]
