"""Calls in progress, watched over real sockets."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from api_driver import Api
from service_driver import leaving_nothing, until

from phonebot.audio.wav import ENDLESS_BYTES
from phonebot.call.actions import Floor, Line, Trouble
from phonebot.call.inputs import Tick, TypedText
from phonebot.call.turns import Turn
from phonebot.errors import ListeningRefused, StoreUnavailable
from phonebot.hooks.events import CallStart
from phonebot.realtime.events import AudioCommitted
from phonebot.replay.log import About
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.tools.typist import MAX_TEXTS, Typist
from phonebot.web import streamed, subscription
from phonebot.web.api import streams
from phonebot.web.feed import CallFeed, Feed
from phonebot.web.held import HeldCall, HeldCalls
from phonebot.web.sound import Sound

ABOUT = About(call_sid="CA1", kind="twilio", from_number="+15550100123", to_number="+15550100000")


@pytest.fixture
def database_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """One kind will do: nothing here depends on it."""
    shutil.copy(migrated_sqlite, tmp_path / "phonebot.db")
    return f"sqlite:///{tmp_path}/phonebot.db"


class Reader:
    """Reads Server-Sent Events as a browser does (HTML Living Standard, 9.2.6)."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.comments: list[str] = []
        self.retry: str | None = None

    async def next(self) -> dict[str, Any] | None:
        """The next event; None: there is none any more."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(10):
            while line := await self.response.content.readline():
                text = line.decode().rstrip("\n")
                if text.startswith(":"):
                    self.comments.append(text)
                elif text:
                    name, _, value = text.partition(": ")
                    fields[name] = value
                elif "data" in fields:
                    event: dict[str, Any] = json.loads(fields["data"])
                    assert fields["event"] == event["type"]
                    return event
                else:
                    self.retry = fields.pop("retry", self.retry)
        return None


@asynccontextmanager
async def watching(api: Api, path: str) -> AsyncIterator[Reader]:
    headers = {"Authorization": f"Bearer {api.secrets['read']}"}
    async with api.http.get(api.url + path, headers=headers) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        yield Reader(response)


def feed_of(api: Api) -> Feed:
    feed: Feed = api.app.state.feed
    return feed


async def test_calls_in_progress_are_listed_and_shown(api: Api) -> None:
    call = feed_of(api).begin(ABOUT)
    call.happened(40, Tick(), [Line("caller", "item_1", "Hello")])
    (listed,) = (await api.get("/live")).json["items"]
    assert (listed["call_sid"], listed["caller"], listed["lines"][0]["text"]) == ("CA1", "+15550100123", "Hello")
    assert (await api.get("/live/CA1")).json == listed
    missing = await api.get("/live/CA2")
    assert (missing.status, missing.json["code"]) == (404, "not_found")
    assert (await api.get("/live/CA2/events")).status == 404


async def test_a_call_is_watched_from_its_snapshot_to_its_end(api: Api) -> None:
    call = feed_of(api).begin(ABOUT)
    async with watching(api, "/live/CA1/events") as events:
        first = await events.next()
        assert first is not None
        assert (first["type"], first["call_sid"]) == ("snapshot", "CA1")
        assert events.retry == str(streams.RETRY_MS)
        call.happened(40, Tick(), [Floor(Turn.CALLER)])
        assert await events.next() == {"type": "turn", "call_sid": "CA1", "at_ms": 40, "turn": Turn.CALLER}
        call.close("caller_hung_up")
        ended = await events.next()
        assert ended is not None
        assert (ended["type"], ended["outcome"]) == ("ended", "caller_hung_up")
        assert await events.next() is None
    await until(lambda: api.parts.streams.count == 0)


async def test_all_calls_are_watched_on_one_line_those_to_come_too(api: Api) -> None:
    async with watching(api, "/live/events") as events:
        for sid in ("CA1", "CA2"):
            call = feed_of(api).begin(About(call_sid=sid))
            call.close("caller_hung_up")
        told = [await events.next() for _ in range(4)]
    assert [(event["type"], event["call_sid"]) for event in told if event] == [
        ("snapshot", "CA1"),
        ("ended", "CA1"),
        ("snapshot", "CA2"),
        ("ended", "CA2"),
    ]


async def test_who_is_too_slow_is_told_so_at_last(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "MAX_QUEUED", 2)
    call = feed_of(api).begin(ABOUT)
    async with watching(api, "/live/CA1/events") as events:
        await events.next()
        for now in range(5):
            call.happened(now, Tick(), [Floor(Turn.CALLER)])
        assert await events.next() == {"type": "lost"}
        assert await events.next() is None


async def test_a_silent_stream_has_a_heartbeat_and_ends_in_time(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.01)
    monkeypatch.setattr(streams, "MAX_STREAM_S", 0.1)
    async with watching(api, "/live/events") as events:
        assert await events.next() is None
        assert events.comments
    await until(lambda: api.parts.streams.count == 0)


async def test_who_leaves_is_let_go(api: Api) -> None:
    feed_of(api).begin(ABOUT)
    async with watching(api, "/live/events") as events:
        await events.next()
        assert api.parts.streams.count == 1
    await until(lambda: api.parts.streams.count == 0)


async def test_streams_are_so_many_at_most(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_STREAMS", 1)
    async with watching(api, "/live/events"):
        refused = await api.get("/live/events")
        assert (refused.status, refused.json["code"]) == (503, "too_many_streams")
        assert "retry-after" in refused.headers


async def test_a_stream_counts_while_it_waits_for_its_first_events(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_begin = asyncio.Event()

    async def none() -> AsyncIterator[CallStart]:
        return
        yield

    @asynccontextmanager
    async def watch(call_sid: str | None = None) -> AsyncIterator[AsyncIterator[CallStart]]:
        await may_begin.wait()
        yield none()

    monkeypatch.setattr(api.app.state.board, "watch", watch)
    monkeypatch.setattr(streams, "MAX_STREAMS", 1)
    first = asyncio.create_task(api.get("/live/events"))
    await until(lambda: api.parts.streams.count == 1)
    assert (await api.get("/live/events")).status == 503
    may_begin.set()
    assert (await first).status == 200
    await until(lambda: api.parts.streams.count == 0)


async def test_a_client_that_takes_nothing_is_left(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "SEND_S", 0.05)
    call = feed_of(api).begin(ABOUT)
    async with watching(api, "/live/CA1/events") as events:
        await events.next()
        transport = events.response.connection.transport  # type: ignore[union-attr]
        transport.pause_reading()  # type: ignore[union-attr]
        text = "x" * 200_000
        async with asyncio.timeout(10):
            while api.parts.streams.count:
                call.happened(1, Tick(), [Line("bot", "item_1", text)])
                await asyncio.sleep(0.001)


async def test_the_service_stops_while_it_is_watched(database: Database, tmp_path: Path) -> None:
    async with leaving_nothing():
        async with aiohttp.ClientSession() as http:
            async with Api.serving(database, tmp_path) as api:
                secret = api.secrets["read"]
                response = await http.get(f"{api.url}/live/events", headers={"Authorization": f"Bearer {secret}"})
            events = Reader(response)
            assert await events.next() is None
            response.close()
        await database.close()


async def test_a_call_is_ended_by_who_may_operate(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[tuple[str, str]] = []

    async def hang_up(call_sid: str, actor: Actor) -> None:
        ended.append((call_sid, actor.name))

    monkeypatch.setattr(api.app.state.board, "hang_up", hang_up)
    assert (await api.post("/live/CA1/hang-up", scope="read")).status == 403
    assert (await api.post("/live/CA1/hang-up")).status == 202
    assert ended == [("CA1", "token operate")]


async def test_what_is_not_in_progress_is_not_ended_nor_listened_to(api: Api) -> None:
    assert (await api.post("/live/CA404/hang-up")).status == 404
    assert (await api.get("/live/CA404/audio", scope="operate")).status == 404


async def test_a_call_is_listened_to_by_who_may_operate(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    listened: list[tuple[str, str]] = []

    async def sounds() -> AsyncIterator[Sound]:
        yield Sound(b"\x01\x02", b"\x03\x04")

    @asynccontextmanager
    async def listen(call_sid: str, actor: Actor) -> AsyncIterator[AsyncIterator[Sound]]:
        listened.append((call_sid, actor.name))
        yield sounds()

    monkeypatch.setattr(api.app.state.board, "listen", listen)
    assert (await api.get("/live/CA1/audio", scope="read")).status == 403
    headers = {"Authorization": f"Bearer {api.secrets['operate']}"}
    async with api.http.get(f"{api.url}/live/CA1/audio", headers=headers) as response:
        assert (response.status, response.content_type) == (200, "audio/wav")
        heard = await response.read()
    assert heard.startswith(b"RIFF")
    assert heard.endswith(b"data" + ENDLESS_BYTES.to_bytes(4, "little") + b"\x01\x03\x02\x04")
    assert listened == [("CA1", "token operate")]


async def test_a_call_that_is_not_recorded_is_not_listened_to(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def listen(call_sid: str, actor: Actor) -> AsyncIterator[None]:
        if call_sid:
            raise ListeningRefused(call_sid, "it is not recorded")
        yield

    monkeypatch.setattr(api.app.state.board, "listen", listen)
    refused = await api.get("/live/CA1/audio", scope="operate")
    assert (refused.status, refused.json["code"]) == (409, "conflict")


async def test_a_call_is_followed_under_the_names_of_the_agents_sdk(api: Api) -> None:
    call = feed_of(api).begin(ABOUT)
    call.happened(30, AudioCommitted("turn_1"), [])
    with held(api, call):
        async with watching(api, "/live/CA1/session-events") as events:
            first = await events.next()
            assert first is not None
            assert (first["type"], first["t_ms"]) == ("history_updated", 30)
            assert [item["item_id"] for item in first["history"]] == ["turn_1"]
            call.happened(40, Tick(), [Trouble("It hangs.")])
            assert await events.next() == {"type": "error", "t_ms": 40, "error": "It hangs."}
            call.close("caller_hung_up")
            assert await events.next() == {"type": "call_end", "t_ms": 40, "outcome": "caller_hung_up"}
            assert await events.next() is None
    assert (await api.get("/live/CA9/session-events")).status == 404
    await until(lambda: api.parts.streams.count == 0)


async def test_a_database_that_goes_away_ends_a_stream_of_a_call_elsewhere(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def events() -> AsyncIterator[CallStart]:
        yield CallStart(t_ms=0)
        raise StoreUnavailable("the database is away: wait")

    @asynccontextmanager
    async def follow(call_sid: str, names: frozenset[str], actor: Actor) -> AsyncIterator[AsyncIterator[CallStart]]:
        yield events()

    monkeypatch.setattr(api.app.state.board, "follow", follow)
    async with watching(api, "/live/CA1/session-events") as told:
        assert await told.next() == {"type": "call_start", "t_ms": 0}
        assert await told.next() is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "the database is away" in caplog.text


async def test_audio_of_a_call_takes_the_scope_that_listening_takes(api: Api) -> None:
    call = feed_of(api).begin(ABOUT)
    with held(api, call):
        refused = await api.get("/live/CA1/session-events", audio="true")
        assert (refused.status, refused.json["scope"]) == (403, "operate")
        wrong = await api.get("/live/CA1/session-events", audio="perhaps")
        assert wrong.status == 422


async def test_text_is_typed_into_a_call_by_who_may_operate_and_so_much_of_it(api: Api) -> None:
    call = feed_of(api).begin(ABOUT)
    with held(api, call) as typed:
        path = "/live/CA1/text"
        assert (await api.post(path, {"text": "Hi"}, scope="read")).status == 403
        sent = {"text": "He is a regular.", "role": "system", "interrupt": True}
        assert (await api.post(path, sent)).status == 202
        assert typed == [TypedText("He is a regular.", "token operate", "system", True)]
        for wrong in ({}, {"text": ""}, {"text": "  "}, {"text": "x" * 2_001}, {"text": "x", "role": "assistant"}):
            assert (await api.post(path, wrong)).status == 422
        for _ in range(MAX_TEXTS - 1):
            assert (await api.post(path, {"text": "Hi"})).status == 202
        busy = await api.post(path, {"text": "Hi"})
        assert (busy.status, busy.json["code"], busy.headers["retry-after"]) == (429, "too_many_attempts", "10")
    assert (await api.post("/live/CA9/text", {"text": "Hi"})).status == 404


@contextmanager
def held(api: Api, call: CallFeed) -> Iterator[list[TypedText]]:
    """The process holds the call; what is typed into it."""
    typed: list[TypedText] = []
    bridge: Any = None
    held_calls: HeldCalls = api.app.state.held
    with held_calls.holding(HeldCall(call, bridge, Typist(call.call_sid, typed.append), audible=True)):
        yield typed
