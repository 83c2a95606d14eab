"""Answers that go on: what they are made of is left however they end."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import pytest
from starlette.types import Message

from phonebot.web import streamed
from phonebot.web.streamed import EVENTS, Streamed


class Client:
    """Takes `takes` messages, then fails or takes nothing more; it goes when it is told to."""

    def __init__(self, takes: int, fails: bool = False) -> None:
        self.taken: list[Message] = []
        self.goes = asyncio.Event()
        self._takes, self._fails = takes, fails

    async def send(self, message: Message) -> None:
        if len(self.taken) < self._takes:
            self.taken.append(message)
        elif self._fails:
            raise OSError("the socket is gone")
        else:
            await asyncio.Event().wait()

    async def receive(self) -> Message:
        await self.goes.wait()
        return {"type": "http.disconnect"}


class Source:
    """What the parts are made of: a tap, a subscription."""

    def __init__(self, parts: int = 1) -> None:
        self.is_left = False
        self.held = AsyncExitStack()
        self.held.callback(self._leave)
        self._parts = parts

    def _leave(self) -> None:
        self.is_left = True

    async def parts(self) -> AsyncGenerator[bytes, None]:
        for _ in range(self._parts):
            yield b"part"
        await asyncio.Event().wait()


def answer(source: Source, stopping: asyncio.Event | None = None) -> Streamed:
    return Streamed(source.parts(), EVENTS, stopping or asyncio.Event(), source.held)


async def test_a_client_that_is_gone_before_the_first_part_leaves_nothing_behind() -> None:
    source, client = Source(), Client(takes=0, fails=True)
    with pytest.raises(OSError, match="the socket is gone"):
        await answer(source)({}, client.receive, client.send)
    assert source.is_left


async def test_a_client_that_goes_ends_it() -> None:
    source, client = Source(), Client(takes=9)
    asyncio.get_running_loop().call_soon(client.goes.set)
    await answer(source)({}, client.receive, client.send)
    assert [message["type"] for message in client.taken] == ["http.response.start", "http.response.body"]
    assert source.is_left


async def test_a_client_that_takes_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(streamed, "SEND_S", 0.01)
    source, client = Source(parts=3), Client(takes=2)
    await answer(source)({}, client.receive, client.send)
    assert caplog.messages == ["a client that takes nothing of an answer is left"]
    assert source.is_left


async def test_when_the_service_stops_the_answer_comes_to_its_end() -> None:
    source, client, stopping = Source(), Client(takes=9), asyncio.Event()
    asyncio.get_running_loop().call_soon(stopping.set)
    await answer(source, stopping)({}, client.receive, client.send)
    assert client.taken[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
    assert source.is_left
