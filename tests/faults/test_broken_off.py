"""A connection that breaks off, and a disk that is full: the call goes on, in one process."""

import asyncio
import errno
import logging
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from service_driver import CALL_SID, GOODBYE, PATIENCE_S, SPEECH, WAIT, RawStream, Service, StartService, until

from phonebot.audio.wav import WavWriter
from phonebot.call.actions import Line
from phonebot.realtime.events import AudioDelta, SpeechStarted
from phonebot.simulator.caller import HangUp, Say, WaitForQuiet
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.live import Command, LiveStore
from phonebot.store.recordings import Recordings
from phonebot.store.store import Store
from phonebot.transfers.after import MAX_RESUMED
from phonebot.transfers.wording import BROKE_OFF
from phonebot.web import left_behind

pytestmark = pytest.mark.slow


def token_in(twiml: str) -> str | None:
    """What the stream has to bring that the carrier is to open; None: it is to open none."""
    parameter = ElementTree.fromstring(twiml).find("./Connect/Stream/Parameter")
    return None if parameter is None else parameter.attrib["value"]


async def after(service: Service, status: str = "in-progress") -> str | None:
    """What comes of asking how the call goes on: the token of its next stream."""
    _, twiml = await service.after(CallStatus=status)
    return token_in(twiml)


async def on_stream(service: Service, token: str) -> RawStream:
    """A stream with this token on which the bot has begun to speak."""
    place = len(service.witnesses)
    stream = await service.open_stream()
    await stream.connected()
    await stream.start(token)
    await stream.media()
    await until(lambda: len(service.witnesses) > place and service.witnesses[place].saw(AudioDelta))
    return stream


async def test_a_call_whose_connection_breaks_off_goes_on_where_it_was_but_not_for_ever(
    start_service: StartService,
) -> None:
    service = await start_service()
    token: str | None = await service.token()
    for _ in range(MAX_RESUMED + 1):
        assert token
        stream = await on_stream(service, token)
        stream.vanish()
        await until(lambda: not service.live)
        _, twiml = await service.after(CallStatus="in-progress")
        token = token_in(twiml)
    assert token is None
    assert GOODBYE in twiml
    _, figures = await service.request("GET", "/metrics")
    assert f'phonebot_calls_resumed_total{{why="stream_lost"}} {MAX_RESUMED}.0' in figures
    await service.stop()
    logs = service.logs()
    assert [log.header.outcome for log in logs] == ["stream_lost"] * (MAX_RESUMED + 1)
    assert [bool(log.plan.earlier) for log in logs if log.plan] == [False] + [True] * MAX_RESUMED
    assert all(BROKE_OFF in log.plan.earlier[-1].text for log in logs[1:] if log.plan)


async def test_a_call_whose_next_stream_is_refused_is_sent_back_and_told_to_hold_on(
    start_service: StartService,
) -> None:
    service = await start_service()
    stream = await on_stream(service, await service.token())
    stream.vanish()
    await until(lambda: not service.live)
    told = []
    for _ in range(MAX_RESUMED + 2):
        _, twiml = await service.after(CallStatus="in-progress")
        service.app.state.live.draining = True
        assert await service.refused_stream() == 503
        service.app.state.live.draining = False
        told.append(ElementTree.fromstring(twiml).findtext("./Say"))
    assert told == [None] + [WAIT] * (MAX_RESUMED + 1)
    token = token_in(twiml)
    assert token
    again = await on_stream(service, token)
    await again.stop()
    await again.closed()
    await service.stop()
    _, log = service.logs()
    assert log.plan
    assert log.plan.earlier


async def test_a_new_call_whose_first_stream_is_refused_is_sent_back_and_greeted(
    start_service: StartService, sqlite: Database, tmp_path: Path
) -> None:
    """As by a process that is told to stop, where no proxy asks another one."""
    service = await start_service(store=Store.of(sqlite, Recordings((tmp_path / "calls").as_uri())))
    await service.token()
    service.app.state.live.draining = True
    assert await service.refused_stream() == 503
    service.app.state.live.draining = False
    token = await after(service)
    assert token
    stream = await on_stream(service, token)
    (witness,) = service.witnesses
    assert witness.session is not None
    assert witness.session.lines[0].text == "Hi"
    stream.vanish()
    await until(lambda: not service.live)
    again = await on_stream(service, await after(service) or "")  # as any call whose connection breaks off
    await again.stop()
    await again.closed()
    assert await after(service) is None
    await service.stop()
    assert [bool(log.plan.earlier) for log in service.logs() if log.plan] == [False, True]


async def test_a_stream_that_ended_unnoticed_is_given_up_when_the_carrier_says_so(
    start_service: StartService,
) -> None:
    service = await start_service()
    stream = await on_stream(service, await service.token())
    assert await after(service, "completed") is None
    assert len(service.live) == 1
    token = await after(service)
    assert token
    assert await stream.closed() == 1000
    again = await on_stream(service, token)
    await again.stop()
    await again.closed()
    assert await after(service) is None
    await service.stop()
    outcomes = {log.header.outcome for log in service.logs()}
    assert outcomes == {"stream_lost", "caller_hung_up"}


@pytest.mark.parametrize("comes_back", [True, False])
async def test_a_call_that_ends_at_once_in_the_process_that_it_came_to_is_over(
    comes_back: bool, start_service: StartService, sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before that process could write anything: how it left the one before is written, or nothing at all."""
    store = Store.of(sqlite, Recordings((tmp_path / "calls").as_uri()))
    one, other = await start_service(store=store), await start_service(store=store)
    token: str | None = await one.token()
    if comes_back:
        (await on_stream(one, token or "")).vanish()
        await until(lambda: not one.live)
        async with asyncio.timeout(PATIENCE_S):
            while await store.live.standing(CALL_SID, "") is None:
                await asyncio.sleep(0.01)
        token = await after(one)
    assert token
    may_write, write = asyncio.Event(), LiveStore.write

    async def late(live: LiveStore, process: str, *rest: Any) -> tuple[bool, list[Command]]:
        if process == other.app.state.feed.process:
            await may_write.wait()
        return await write(live, process, *rest)

    monkeypatch.setattr(LiveStore, "write", late)
    monkeypatch.setattr(left_behind, "PATIENCE_S", 3_600)
    stream = await on_stream(other, token)
    await other.board.hang_up(CALL_SID, Actor("ada"))
    assert await stream.closed() == 1000
    asking = asyncio.create_task(one.after(CallStatus="in-progress"))
    await asyncio.sleep(0.3)
    may_write.set()
    _, twiml = await asking
    assert [verb.tag for verb in ElementTree.fromstring(twiml)] == ["Hangup"]


async def test_a_full_disk_ends_the_recording_and_not_the_call(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    written = WavWriter.append

    def append(wav: Any, audio: bytes) -> None:
        if wav.size >= 4_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        wav.size += len(audio)
        written(wav, audio)

    monkeypatch.setattr(WavWriter, "size", 0, raising=False)
    monkeypatch.setattr(WavWriter, "append", append)
    service = await start_service()
    with caplog.at_level(logging.WARNING):
        record = await service.dial(WaitForQuiet(300), Say(SPEECH), WaitForQuiet(2_000), HangUp())
    assert record.passed, record
    (witness,) = service.witnesses
    assert len(witness.saw(SpeechStarted)) == 1
    assert [line.role for line in witness.saw(Line)] == ["bot", "caller", "bot"]
    await service.stop()
    told = [text for text in caplog.messages if "is not recorded in full" in text]
    assert told == [f"call {record.call_sid} is not recorded in full: [Errno 28] No space left on device"]
    header = service.log().header
    assert header.outcome == "caller_hung_up"
    assert "No space left on device" in header.note
