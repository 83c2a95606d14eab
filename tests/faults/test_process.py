"""What becomes of calls when their process is killed or told to stop, and of what was said in them."""

import asyncio
import logging
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from process_driver import Fleet, gap_ms
from service_driver import SPEECH

from phonebot.call.limits import TIME_IS_UP
from phonebot.simulator.caller import HangUp, Say, WaitForBot, WaitForHangUp, WaitForQuiet
from phonebot.web.live_events import Snapshot

pytestmark = pytest.mark.slow
log = logging.getLogger(__name__)

SPEAKS = (WaitForQuiet(300), Say(SPEECH), WaitForBot())
BROKEN = 31903  # Twilio: the server broke the connection


@pytest.fixture
async def fleet(tmp_path: Path, migrated_sqlite: Path) -> AsyncIterator[Fleet]:
    shutil.copy(migrated_sqlite, tmp_path / "phonebot.db")
    async with Fleet.open(tmp_path, f"sqlite:///{tmp_path}/phonebot.db") as fleet:
        yield fleet


def conversation(call: Snapshot) -> list[tuple[str, str]]:
    """What was said in a call so far, on all its streams."""
    lines = [*call.earlier, *((line.role, line.text) for line in call.lines)]
    return [(role, text) for role, text in lines if role != "instruction"]


async def test_a_call_whose_process_is_killed_goes_on_in_another_one_with_what_was_said(
    fleet: Fleet,
) -> None:
    one, other, elsewhere = await asyncio.gather(fleet.start(), fleet.start(), fleet.start(data_dir="elsewhere"))
    for process in (elsewhere, other, one):
        fleet.prefer(process)
    calling = fleet.call(*SPEAKS, WaitForQuiet(6_000), HangUp())
    first = await fleet.seen(lambda call: len(call.lines) >= 2 and bool(call.texts))
    one.kill()
    second = await fleet.seen(lambda call: call.resumed == 1 and bool(call.texts))
    other.kill()
    third = await fleet.seen(lambda call: call.resumed == 2 and len(call.lines) >= 1)
    record = await calling
    assert [fleet.holder(call) for call in (first, second, third)] == [one, other, elsewhere]
    assert (record.outcome, record.failed_steps, len(record.streams)) == ("caller hung up", [], 3)
    assert {violation.code for violation in record.violations} == {BROKEN}
    # What was said is known to each, and each said so: nothing more than the last second is lost.
    assert conversation(second)[: len(conversation(first))] == conversation(first)
    assert conversation(third)[: len(conversation(second))] == conversation(second)
    assert [call.lines[0].text[:11] if call.lines else "" for call in (second, third)] == ["", "back with 2"]
    assert [call.earlier[-1][0] for call in (second, third)] == ["instruction"] * 2
    assert "You were saying this when it broke off" in second.earlier[-1][1]
    assert "back with 2 lines" in third.earlier[-1][1]
    for place, where in enumerate(("same machine", "another machine")):
        log.info("%s: the caller heard nothing for %.0f ms", where, gap_ms(record, place))  # --log-cli-level=INFO
        assert gap_ms(record, place) < 10_000
    # The logs of the killed are closed and filed, once, by whoever looks through their folder next.
    one_more = await fleet.start()
    filed = await fleet.filed(3)
    assert [outcome for _, outcome, _ in filed] == ["stream_lost", "stream_lost", "caller_hung_up"]
    assert {sid for sid, _, _ in filed} == {first.call_sid + ending for ending in ("", "-2", "-3")}
    said = filed[0][2]
    assert said
    assert said[:2] == ["Hi", "something"][: len(said)]
    assert (fleet.logs("data")[0] / "caller.wav").stat().st_size > 1_000
    one_more.stop()
    assert await one_more.ended() == 0
    assert len(await fleet.filed(3)) == 3


async def test_a_process_told_to_stop_passes_its_calls_on_and_the_last_one_says_goodbye(fleet: Fleet) -> None:
    one, other = await asyncio.gather(fleet.start(PHONEBOT_DRAIN_S="1"), fleet.start(PHONEBOT_DRAIN_S="1"))
    fleet.prefer(one)
    calling = fleet.call(*SPEAKS, WaitForHangUp(within_ms=60_000))
    await fleet.seen(lambda call: len(call.lines) >= 2)
    one.stop()
    await one.says("stopping: calls in progress: 1; they have 1 s to end")
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{one.port}/readyz") as answer:
        assert answer.status == 503
    fleet.prefer(other)  # as a load balancer does, which asks /readyz
    moved = await fleet.seen(lambda call: bool(call.earlier) and len(call.lines) >= 1)
    assert fleet.holder(moved) is other
    assert await one.ended() == 0
    other.stop()
    record = await calling
    assert await other.ended() == 0
    assert (record.outcome, record.passed) == ("bot hung up", True), record
    ended = [(stream.ended_by, stream.close_code) for stream in record.streams]
    assert ended == [("server", 1012), ("server", 1000)]
    filed = await fleet.filed(2)
    assert [outcome for _, outcome, _ in filed] == ["moved", "service_stopped"]
    assert filed[1][2][-1] == TIME_IS_UP.text


async def test_a_worker_that_is_killed_is_replaced_and_its_call_goes_on_in_another(fleet: Fleet) -> None:
    supervisor = await fleet.start("--workers", "2", PHONEBOT_DRAIN_S="1")
    alone = [await supervisor.finds(rf"worker {number} alone answers at (\S+)") for number in (1, 2)]
    async with aiohttp.ClientSession() as http:
        for url in alone:
            async with http.get(f"{url}/readyz") as answer:
                assert await answer.text() == "ready"
        calling = fleet.call(*SPEAKS, WaitForHangUp(within_ms=60_000))
        first = await fleet.seen(lambda call: len(call.lines) >= 2 and bool(call.texts))
        os.kill(pid_of(first), signal.SIGKILL)
        second = await fleet.seen(lambda call: call.resumed == 1 and len(call.lines) >= 1)
        assert pid_of(second) not in (pid_of(first), supervisor.pid)
        assert conversation(second)[:2] == conversation(first)[:2]
        await supervisor.says("has ended with SIGKILL: another one begins in 1 s")
        await supervisor.finds(r"(worker \d alone answers at .*)", 3)
        supervisor.stop()
        record = await calling
    assert await supervisor.ended() == 0
    assert (record.outcome, record.failed_steps) == ("bot hung up", [])
    log.info("a worker is killed: the caller heard nothing for %.0f ms", gap_ms(record, 0))
    assert sorted(str(outcome) for _, outcome, _ in await fleet.filed(2)) == ["service_stopped", "stream_lost"]
    with pytest.raises(ProcessLookupError):
        os.kill(pid_of(second), 0)


def pid_of(call: Snapshot) -> int:
    return int(call.process.rpartition("/")[2].partition("-")[0])
