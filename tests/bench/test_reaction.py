"""What the process under test measures of itself, on an app that is made here."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import msgspec
import pytest
from starlette.types import Receive, Scope, Send

from phonebot.bench.reaction import PATH, Reacted, Reactions
from phonebot.bench.scenario import TABOO
from phonebot.carrier.messages import StreamWriter
from phonebot.realtime.connection import ModelConnection
from phonebot.realtime.events import AudioDone, Event, SpeechStarted, SpokenTextDelta

CLEAR = StreamWriter("MZ1").clear()
MARK = StreamWriter("MZ1").mark("0:1")
SPOKE = SpeechStarted(0)
OTHER = AudioDone("resp_1", "item_1", 0, 0)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """What the model says next."""
    events: list[Event] = []

    async def receive(connection: ModelConnection) -> Event:
        return events.pop(0)

    monkeypatch.setattr(ModelConnection, "receive", receive)  # what the app puts in its place goes with it
    return events


class Call:
    """An app in which a task of the call reads the model, and then sends the texts given."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.create_task(self._read(send))

    async def _read(self, send: Send) -> None:
        await ModelConnection.receive(None)  # type: ignore[arg-type]
        await asyncio.sleep(0.005)
        for text in self.texts:
            await send({"type": "websocket.send", "text": text})


async def nothing() -> MutableMapping[str, Any]:
    raise AssertionError("nothing is received")


async def call(app: Reactions) -> list[str]:
    """Hold a call; what it sent."""
    sent: list[str] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message["text"])

    await asyncio.create_task(app({"type": "websocket"}, nothing, send))
    return sent


async def record(app: Reactions) -> Reacted:
    body = b""

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal body
        body += message.get("body", b"")

    await app({"type": "http", "path": PATH}, nothing, send)
    return msgspec.json.decode(body, type=Reacted)


@pytest.mark.parametrize("word", [SPOKE, SpokenTextDelta("resp_1", "item_1", 0, 0, f"so: {TABOO}")])
async def test_a_clear_is_timed_from_the_models_word_and_once(said: list[Event], word: Event) -> None:
    app = Reactions(Call(MARK, CLEAR, CLEAR))
    said += [word, word]
    assert await call(app) == [MARK, CLEAR, CLEAR]
    assert await call(app) == [MARK, CLEAR, CLEAR]
    (first,), (second,) = (await record(app)).clears
    assert min(first.all_ms, second.all_ms) >= 5
    assert first.all_ms > first.cpu_ms > 0  # it slept
    assert (await record(app)).clears == ((), ())


async def test_a_clear_that_no_word_of_the_model_led_to_is_not_timed(said: list[Event]) -> None:
    app = Reactions(Call(CLEAR))
    said.append(OTHER)
    await call(app)
    assert (await record(app)).clears == ((),)


async def test_the_loop_is_asked_all_the_time_how_late_it_is(said: list[Event]) -> None:
    app = Reactions(Call())
    await record(app)
    while not (beats := (await record(app)).beats_late_ms):
        await asyncio.sleep(0.01)
    assert all(late_ms >= 0 for late_ms in beats)
