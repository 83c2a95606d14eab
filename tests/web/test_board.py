"""Calls in progress, of two processes on one database: seen, listened to and ended from either."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from board_driver import ADA, NOWHERE, audited, process
from service_driver import (
    CALL_SID,
    COMMAND,
    MODEL_KEY,
    PROFILE,
    SECRET_KEY,
    SPEECH,
    TOKEN,
    Clerk,
    Ear,
    Service,
    StartService,
    environment,
    listening_socket,
    until,
)
from sqlalchemy import update

from phonebot.errors import ListeningRefused, NotStored, StoreUnavailable
from phonebot.replay.player import play
from phonebot.simulator.caller import Caller, Say, WaitForQuiet
from phonebot.simulator.phone import dial
from phonebot.simulator.server import serve as serve_model
from phonebot.store.database import Database
from phonebot.store.live import GONE_S, STALE_S, LiveStore
from phonebot.store.tables import LiveProcess
from phonebot.web.live_events import CallEnded, LineSettled, Snapshot
from phonebot.web.subscription import Subscription

pytestmark = pytest.mark.slow

CHATTY = (WaitForQuiet(300), *(Say(SPEECH), WaitForQuiet(300)) * 15)


@pytest.fixture
async def one(start_service: StartService, database_url: str, tmp_path: Path) -> AsyncIterator[Service]:
    """The process that holds the call."""
    async with process(start_service, database_url, tmp_path) as service:
        yield service


@pytest.fixture
async def other(start_service: StartService, database_url: str, tmp_path: Path) -> AsyncIterator[Service]:
    async with process(start_service, database_url, tmp_path, model_url=NOWHERE) as service:
        yield service


async def reach(events: Subscription, kind: type, is_it: Any = lambda event: True) -> Any:
    """The next event of the kind of which it is so."""
    async with asyncio.timeout(20):
        async for event in events:
            if isinstance(event, kind) and is_it(event):
                return event
    raise AssertionError(f"there was no such {kind.__name__}")


def is_loud(audio: bytes) -> bool:
    return any(byte & 0x7F < 0x60 for byte in audio)


async def hear_both(service: Service, call_sid: str) -> None:
    """Listen until both have been heard."""
    heard = {"caller": False, "bot": False}
    async with asyncio.timeout(30), service.board.listen(call_sid, ADA) as sounds:
        async for sound in sounds:
            assert len(sound.caller) == len(sound.bot)
            heard["caller"] |= is_loud(sound.caller)
            heard["bot"] |= is_loud(sound.bot)
            if all(heard.values()):
                return
    raise AssertionError(f"the call ended before both were heard: {heard}")


async def test_a_call_of_one_process_is_seen_heard_and_ended_in_another(
    one: Service, other: Service, database: Database
) -> None:
    calling = asyncio.create_task(one.dial(*CHATTY))
    async with other.board.watch() as events:
        begun = await reach(events, Snapshot)
        said = await reach(events, Snapshot, lambda event: len(event.lines) >= 2)
        assert (begun.call_sid, begun.caller, begun.number) == (said.call_sid, "+15550100001", "+15550100002")
        assert [line.role for line in said.lines[:2]] == ["bot", "caller"]
        assert (begun.process, begun.stale) == ((await other.board.calls())[0].process, False)
        assert begun.process == (await one.board.calls())[0].process
        await hear_both(other, begun.call_sid)
        await other.board.hang_up(begun.call_sid, ADA)
        assert (await reach(events, CallEnded)).outcome == "operator_hung_up"
    assert (await calling).outcome == "bot hung up"
    assert await other.board.calls() == []
    with pytest.raises(NotStored):
        await other.board.hang_up(begun.call_sid, ADA)
    sid = begun.call_sid
    assert await audited(database) == [("ada", "call.listen", sid), ("ada", "call.hang_up", sid)]
    await one.stop()
    log = one.log()
    assert log.header.outcome == "operator_hung_up"
    assert play(log).differences == ()


async def test_what_the_carrier_tells_one_process_reaches_the_one_that_holds_the_call(
    one: Service, other: Service, database: Database
) -> None:
    heard: list[tuple[str, str]] = []
    told = asyncio.Event()

    def hear(call_sid: str, wish: str) -> bool:
        heard.append((call_sid, wish))
        told.set()
        return True

    one.board.hear(hear)
    calling = asyncio.create_task(one.dial(*CHATTY))
    async with other.board.watch() as events:
        sid = (await reach(events, Snapshot)).call_sid
        assert await other.board.tell(sid, "1")
        async with asyncio.timeout(20):
            await told.wait()
        assert await one.board.tell(sid, "2")
        assert not await other.board.tell("CA0", "3")
        await one.board.hang_up(sid, ADA)
    await calling
    assert heard == [(sid, "1"), (sid, "2")]
    assert await audited(database) == [("ada", "call.hang_up", sid)]


async def test_a_call_of_this_process_is_ended_at_once_and_told_of_as_it_happens(
    one: Service, database: Database
) -> None:
    calling = asyncio.create_task(one.dial(*CHATTY))
    async with one.board.watch() as events:
        sid = (await reach(events, Snapshot)).call_sid
        assert (await reach(events, LineSettled)).line.text == "Hi"
        assert await one.board.call(sid) is not None
        await hear_both(one, sid)
        await one.board.hang_up(sid, ADA)
        assert one.witnesses[0].history[-1].outcome == "operator_hung_up"  # type: ignore[union-attr]
        assert (await reach(events, CallEnded)).outcome == "operator_hung_up"
    assert (await calling).outcome == "bot hung up"
    assert await one.board.call(sid) is None
    assert await audited(database) == [("ada", "call.listen", sid), ("ada", "call.hang_up", sid)]


async def test_a_call_that_is_not_recorded_is_not_listened_to(
    start_service: StartService, database_url: str, tmp_path: Path, other: Service, database: Database
) -> None:
    profile = PROFILE.model_copy(update={"record": False})
    async with process(start_service, database_url, tmp_path, profile=profile) as one:
        stream = await one.started_stream()
        async with other.board.watch() as events:
            assert not (await reach(events, Snapshot)).audible
        for service in (one, other):
            with pytest.raises(ListeningRefused, match="record = false"):
                async with service.board.listen(CALL_SID, ADA):
                    pass
        assert await audited(database) == []
        await stream.stop()
        await stream.closed()


async def test_the_calls_of_a_killed_process_are_marked_then_vanish_and_its_words_are_kept(
    other: Service, database: Database, database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "numbers.toml").write_text('[default]\ngreeting = "Hi"\n')
    with listening_socket() as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    async with serve_model(minds=Clerk, ear=Ear(), key=MODEL_KEY) as model, other.board.watch() as events:
        settings = {
            "PHONEBOT_DATABASE_URL": database_url,
            "PHONEBOT_DATA_DIR": str(tmp_path / "killed"),
            "PHONEBOT_PROFILES": str(tmp_path / "numbers.toml"),
            "PHONEBOT_PUBLIC_URL": url,
            "PHONEBOT_PORT": url.rpartition(":")[2],
            "PHONEBOT_SECRET_KEY": SECRET_KEY,
            "PHONEBOT_MODEL_URL": model.url,
            "PHONEBOT_MODEL_TOKEN": MODEL_KEY,
            "TWILIO_AUTH_TOKEN": TOKEN,
        }
        killed = await asyncio.create_subprocess_exec(
            *COMMAND, "serve", env=environment(**settings), stderr=asyncio.subprocess.PIPE
        )
        try:
            assert killed.stderr is not None
            while b"voice webhook" not in await killed.stderr.readline():
                assert killed.returncode is None
            calling = asyncio.create_task(dial(f"{url}/twilio/voice", Caller(*CHATTY), auth_token=TOKEN))
            begun = await reach(events, Snapshot, lambda event: event.lines)
            assert f"/{killed.pid}-" in begun.process
        finally:
            killed.kill()
            await killed.communicate()
        await calling
        await silence(database, STALE_S + 1)
        assert (await reach(events, Snapshot, lambda event: event.stale)).call_sid == begun.call_sid
        await silence(database, GONE_S + 1)
        assert (await reach(events, CallEnded)).outcome == "stream_lost"
    assert await other.board.calls() == []
    kept = await LiveStore(database).standing(begun.call_sid, "")
    assert kept is not None
    assert begun.lines[0].text in kept.snapshot


async def test_while_the_database_is_away_own_calls_are_seen_and_ended(
    one: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("the database is away: wait")

    stream = await one.started_stream()
    for what in ("listed", "write", "note", "ask"):
        monkeypatch.setattr(LiveStore, what, away)
    async with one.board.watch() as events:
        assert (await reach(events, Snapshot)).call_sid == CALL_SID
        with pytest.raises(StoreUnavailable):
            async with one.board.listen(CALL_SID, ADA):
                pass
        await one.board.hang_up(CALL_SID, ADA)
        assert (await reach(events, CallEnded)).outcome == "operator_hung_up"
    assert await stream.closed() == 1000
    monkeypatch.undo()


async def test_a_database_that_is_away_is_seen_in_the_figures_as_long_as_it_is(
    one: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("the database is away: wait")

    async def figure() -> str:
        _, text = await one.request("GET", "/metrics")
        return next(line for line in text.splitlines() if line.startswith("phonebot_database_away"))

    stream = await one.started_stream()
    monkeypatch.setattr(LiveStore, "write", away)
    await until(lambda: one.board.is_cut_off)
    assert await figure() == "phonebot_database_away 1.0"
    monkeypatch.undo()
    await until(lambda: not one.board.is_cut_off)
    assert await figure() == "phonebot_database_away 0.0"
    await stream.stop()
    await stream.closed()


async def silence(database: Database, seconds: float) -> None:
    async with database.begin() as session:
        await session.execute(update(LiveProcess).values(seen_at=datetime.now(UTC) - timedelta(seconds=seconds)))
