"""What the process under test measures of itself, on an app that is made here."""

import asyncio
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import suppress
from typing import Any, NoReturn

import msgspec
import pytest
from starlette.types import Receive, Scope, Send

from phonebot.bench.reaction import PATH, Reacted, Reactions
from phonebot.bench.scenario import TABOO
from phonebot.carrier.messages import StreamWriter
from phonebot.errors import ModelUnreachable
from phonebot.realtime.connection import ModelConnection
from phonebot.realtime.events import AudioDone, Event, SpeechStarted, SpokenTextDelta
from phonebot.web.streams import EXTENSION, Stream

CLEAR = StreamWriter("MZ1").clear()
MARK = StreamWriter("MZ1").mark("0:1")
SPOKE = SpeechStarted(0)
OTHER = AudioDone("resp_1", "item_1", 0, 0)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """What the model says next."""
    events: list[Event] = []

    async def listen(connection: ModelConnection, heard: Callable[[Event], None], wrong: object) -> NoReturn:
        heard(events.pop(0))
        raise ModelUnreachable("it is over")

    monkeypatch.setattr(ModelConnection, "listen", listen)  # what the app puts in its place goes with it
    return events


class Call:
    """An app in which a task of the call listens to the model, and sends the texts given; `by` ASGI, or at once."""

    def __init__(self, *texts: str, by: str = "asgi") -> None:
        self.texts, self.by = texts, by

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.create_task(self._listen(scope, send))

    async def _listen(self, scope: Scope, send: Send) -> None:
        with suppress(ModelUnreachable):
            await ModelConnection.listen(None, lambda event: None, lambda error: None)  # type: ignore[arg-type]
        await asyncio.sleep(0.005)
        for text in self.texts:
            if self.by == "asgi":
                await send({"type": "websocket.send", "text": text})
            else:
                assert Stream.of(scope).send_now(text)  # type: ignore[union-attr]


class Sending:
    """A stream's short way."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def send_now(self, text: str) -> bool:
        self.sent.append(text)
        return True


async def nothing() -> MutableMapping[str, Any]:
    raise AssertionError("nothing is received")


async def call(app: Reactions) -> list[str]:
    """Hold a call; what it sent."""
    sent: list[str] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message["text"])

    stream = Sending()
    await asyncio.create_task(app({"type": "websocket", "extensions": {EXTENSION: stream}}, nothing, send))
    return sent + stream.sent


async def record(app: Reactions) -> Reacted:
    body = b""

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal body
        body += message.get("body", b"")

    await app({"type": "http", "path": PATH}, nothing, send)
    return msgspec.json.decode(body, type=Reacted)


@pytest.fixture
def timed() -> Iterator[Callable[..., Reactions]]:
    """Makes timed apps."""
    made: list[Reactions] = []

    def make(*texts: str, by: str = "asgi") -> Reactions:
        made.append(Reactions(Call(*texts, by=by)))
        return made[-1]

    yield make
    for app in made:
        app.close()


@pytest.mark.parametrize("word", [SPOKE, SpokenTextDelta("resp_1", "item_1", 0, 0, f"so: {TABOO}")])
@pytest.mark.parametrize("by", ["asgi", "the short way"])
async def test_a_clear_is_timed_from_the_models_word_and_once(
    said: list[Event], timed: Callable[..., Reactions], word: Event, by: str
) -> None:
    app = timed(MARK, CLEAR, CLEAR, by=by)
    said += [word, word]
    assert await call(app) == [MARK, CLEAR, CLEAR]
    assert await call(app) == [MARK, CLEAR, CLEAR]
    (first,), (second,) = (await record(app)).clears
    assert min(first.all_ms, second.all_ms) >= 5
    assert first.all_ms > first.cpu_ms > 0  # it slept
    assert (await record(app)).clears == ((), ())


async def test_a_clear_that_no_word_of_the_model_led_to_is_not_timed(
    said: list[Event], timed: Callable[..., Reactions]
) -> None:
    app = timed(CLEAR)
    said.append(OTHER)
    await call(app)
    assert (await record(app)).clears == ((),)


async def test_the_loop_is_asked_all_the_time_how_late_it_is(timed: Callable[..., Reactions]) -> None:
    app = timed()
    await record(app)
    while not (beats := (await record(app)).beats_late_ms):
        await asyncio.sleep(0.01)
    assert all(late_ms >= 0 for late_ms in beats)
