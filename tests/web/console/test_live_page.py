"""The page Live without a browser: who may see, listen and hang up, and what its streams say and when they end."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from console_driver import Visit
from service_driver import CALL_SID, PROFILE, Service, StartService
from sign_in import PASSWORD, QUICK

from phonebot.call.inputs import TypedText
from phonebot.call.turns import Turn
from phonebot.store.audit import Actor
from phonebot.store.store import Store
from phonebot.store.users import UserStore
from phonebot.web.console import live_page
from phonebot.web.console.live_page import as_shown
from phonebot.web.live_events import CallEnded, Lost, Said, Snapshot, TextAdded, TurnTaken

ADA = Actor("ada")


@pytest.fixture
async def store(migrated_sqlite: Path, tmp_path: Path) -> AsyncIterator[Store]:
    """With a user of each role, named after it."""
    shutil.copy(migrated_sqlite, tmp_path / "phonebot.db")
    opened = await Store.open(f"sqlite:///{tmp_path}/phonebot.db", (tmp_path / "calls").as_uri())
    users = UserStore(opened.database, QUICK)
    await users.create("viewer", PASSWORD, "viewer", ADA)
    await users.create("operator", PASSWORD, "operator", ADA)
    yield opened
    await opened.close()


@asynccontextmanager
async def visit(service: Service, name: str) -> AsyncIterator[Visit]:
    async with Visit(service) as visitor:
        assert (await visitor.sign_in(name)).status == 303
        yield visitor


async def csrf(visitor: Visit) -> str:
    page = await visitor.get("/console/live")
    return page.text.partition('csrf-token" content="')[2].partition('"')[0]


@asynccontextmanager
async def following(service: Service, visitor: Visit) -> AsyncIterator[AsyncIterator[Any]]:
    """What the stream says, event by event."""
    async with visitor.http.get(f"{service.url}/console/live/events") as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"

        async def events() -> AsyncIterator[Any]:
            async for line in response.content:
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))

        yield events()


async def rest(events: AsyncIterator[Any]) -> list[Any]:
    async with asyncio.timeout(15):
        return [event async for event in events]


async def test_a_viewer_sees_calls_and_neither_listens_nor_ends_them(
    start_service: StartService, store: Store
) -> None:
    service = await start_service(store=store)
    stream = await service.started_stream()
    async with visit(service, "viewer") as viewer:
        page = await viewer.get("/console/live")
        assert "Listen in" not in page.text
        assert 'aria-current="page">Live' in page.text
        token = {"x-csrf-token": await csrf(viewer)}
        assert "Tell the bot" not in page.text
        for what in ("listen", "text", "hang-up"):
            assert (await viewer.post(f"/console/live/{CALL_SID}/{what}", {}, **token)).status == 403
        async with following(service, viewer) as events:
            assert (await anext(events))["call_sids"] == [CALL_SID]
            snapshot = await anext(events)
            assert (snapshot["type"], snapshot["call_sid"]) == ("snapshot", CALL_SID)
            await stream.stop()
            ended = await anext(events)
            while ended["type"] != "ended":
                ended = await anext(events)
            assert ended["outcome"] == "caller_hung_up"
    await stream.closed()
    async with Visit(service) as nobody:
        for path in ("/console/live", "/console/live/events"):
            assert (await nobody.get(path)).status == 303


async def test_an_operator_needs_the_pages_token_and_a_call_that_is_there(
    start_service: StartService, store: Store
) -> None:
    service = await start_service(store=store, profile=PROFILE.model_copy(update={"record": False}))
    stream = await service.started_stream()
    async with visit(service, "operator") as operator:
        assert "Listen in" in (await operator.get("/console/live")).text
        hang_up = f"/console/live/{CALL_SID}/hang-up"
        assert (await operator.post(hang_up, {})).status == 403
        token = {"x-csrf-token": await csrf(operator)}
        assert (await operator.post(hang_up, {}, "https://evil.example", **token)).status == 403
        for what in ("listen", "text", "hang-up"):
            answer = await operator.post(f"/console/live/CA9/{what}", {"text": "Hello"}, **token)
            assert (answer.status, "has ended" in answer.text) == (404, True)
        unheard = await operator.post(f"/console/live/{CALL_SID}/listen", {}, **token)
        assert (unheard.status, "record = false" in unheard.text) == (409, True)
        text = f"/console/live/{CALL_SID}/text"
        assert (await operator.post(text, {"text": "Hello"})).status == 403
        blank = await operator.post(text, {"text": " "}, **token)
        assert (blank.status, "1 to 2000 characters" in blank.text) == (422, True)
        told = {"text": " He is a regular. ", "role": "system", "interrupt": "on"}
        assert (await operator.post(text, told, **token)).status == 200
        (witness,) = service.witnesses
        assert witness.saw(TypedText) == [TypedText("He is a regular.", "operator", "system", True)]
        assert (await operator.post(hang_up, {}, **token)).status == 200
    assert await stream.closed() == 1000


async def test_streams_end_when_the_service_stops_and_leave_nothing(
    start_service: StartService, store: Store
) -> None:
    service = await start_service(store=store)
    stream = await service.started_stream()
    async with visit(service, "operator") as operator:
        headers = {"x-csrf-token": await csrf(operator), "Origin": service.url}
        listen = f"{service.url}/console/live/{CALL_SID}/listen"
        async with following(service, operator) as events, operator.http.post(listen, headers=headers) as sound:
            assert (await anext(events))["type"] == "calls"
            assert sound.status == 200
            for n in range(1, 20):
                await stream.media(n, 20 * n)
            assert len(await sound.content.readexactly(1_600)) == 1_600
            stopping = asyncio.create_task(service.stop())
            await rest(events)
            await sound.content.read()
            await stopping
    await stream.closed()


async def test_who_is_signed_out_is_told_nothing_more(
    start_service: StartService, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_page, "PING_S", 0.05)
    service = await start_service(store=store)
    async with visit(service, "viewer") as viewer, following(service, viewer) as events:
        assert (await anext(events))["call_sids"] == []
        await store.sessions.end_all(await store.users.get("viewer"))
        assert await rest(events) == []


async def test_there_are_no_more_streams_than_a_process_takes(
    start_service: StartService, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_page, "MAX_STREAMS", 1)
    service = await start_service(store=store)
    async with visit(service, "viewer") as viewer:
        async with following(service, viewer) as events:
            await anext(events)
            assert await status(service, viewer) == 503
        async with asyncio.timeout(15):
            while await status(service, viewer) != 200:
                await asyncio.sleep(0.02)


async def status(service: Service, visitor: Visit) -> int:
    async with visitor.http.get(f"{service.url}/console/live/events") as response:
        return response.status


def test_of_calls_that_are_not_open_the_page_is_told_their_last_lines_and_who_speaks() -> None:
    lines = tuple(Said(role="caller", item_id=f"item_{n}", text=str(n)) for n in range(4))
    snapshot = Snapshot(
        call_sid="CA1",
        kind="twilio",
        started=datetime(2026, 1, 2, tzinfo=UTC),
        caller=None,
        number=None,
        profile=None,
        profile_version=None,
        lines=lines,
        texts={"item_9": "Good"},
    )
    assert as_shown(snapshot, "CA1") == snapshot
    short = as_shown(snapshot, "CA2")
    assert isinstance(short, Snapshot)
    assert (short.lines, short.texts) == (lines[-2:], {})
    text = TextAdded(call_sid="CA1", item_id="item_9", text="Good")
    assert as_shown(text, "CA1") == text
    assert as_shown(text, "") is None
    for event in (
        TurnTaken(call_sid="CA1", turn=Turn.BOT),
        CallEnded(call_sid="CA1", outcome="time_limit"),
        Lost(),
    ):
        assert as_shown(event, "") == event
