"""
Calls while the processes that hold them are killed and replaced, again and again (`make chaos`).

`make test` kills one at a time, in faults/test_process.py.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

import pytest
from process_driver import Fleet
from service_driver import SPEECH, TOKEN

from phonebot.simulator.caller import Caller, HangUp, Say, WaitForQuiet
from phonebot.simulator.phone import dial
from phonebot.simulator.record import CallRecord
from phonebot.transfers.after import MAX_RESUMED

CALLS = int(os.environ.get("PHONEBOT_CHAOS_KILLS", "0"))
SEED = int(os.environ.get("PHONEBOT_CHAOS_SEED", "0")) or 20261127

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not CALLS, reason="make chaos does it"),
]

AT_ONCE = 4
BROKEN = 31903  # Twilio: the server broke the connection
SPOKEN = 3


@pytest.fixture
async def fleet(tmp_path: Path, migrated_sqlite: Path) -> AsyncIterator[Fleet]:
    shutil.copy(migrated_sqlite, tmp_path / "phonebot.db")
    async with Fleet.open(tmp_path, f"sqlite:///{tmp_path}/phonebot.db") as fleet:
        yield fleet


@asynccontextmanager
async def killed_now_and_then(fleet: Fleet, rng: Random) -> AsyncIterator[list[int]]:
    """Of two processes one is killed every few seconds, and another takes its place; yields the ids of the dead."""
    over, killed = asyncio.Event(), list[int]()

    async def kill_and_replace() -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), rng.uniform(4, 8))
            if over.is_set():
                return
            alive = [process for process in fleet.processes if process.process.returncode is None]
            await fleet.start()
            dies = rng.choice(alive)
            killed.append(dies.pid)
            dies.kill()

    killing = asyncio.create_task(kill_and_replace())
    try:
        yield killed
    finally:
        over.set()
        await killing


def _ended_well(record: CallRecord) -> bool:
    """The caller has said all he had to; or his process was killed once more than a call may come back."""
    if record.outcome == "bot hung up":
        return len(record.streams) == 1 + MAX_RESUMED
    return record.outcome == "caller hung up" and not record.failed_steps


async def test_calls_go_on_whichever_process_is_killed(fleet: Fleet) -> None:
    rng, left = Random(SEED), iter(range(CALLS))
    records: list[CallRecord] = []
    await fleet.start()
    await fleet.start()

    async def call() -> None:
        for index in left:
            said = [step for _ in range(SPOKEN) for step in (Say(SPEECH), WaitForQuiet(2_000, within_ms=40_000))]
            caller = Caller(WaitForQuiet(2_000, within_ms=40_000), *said, HangUp())
            url, number = f"{fleet.url}/twilio/voice", f"+1555040{index:04}"
            records.append(await dial(url, caller, auth_token=TOKEN, from_number=number, max_call_s=180))

    async with killed_now_and_then(fleet, rng) as killed, asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(call())
    streams = sum(len(record.streams) for record in records)
    print(f"{len(records)} calls on {streams} streams, {len(killed)} processes killed")  # noqa: T201
    wrong = {
        record.call_sid: (record.outcome, record.failed_steps, record.violations)
        for record in records
        if not _ended_well(record) or any(violation.code != BROKEN for violation in record.violations)
    }
    assert not wrong, wrong
    # What the killed have left on the disk is filed by who comes next: each part of each call, once.
    await fleet.start()
    filed = await fleet.filed(streams)
    assert len(filed) == streams
    assert all(outcome for _, outcome, _ in filed)
    for record in records:
        parts = [texts for sid, _, texts in filed if sid.partition("-")[0] == record.call_sid]
        assert len(parts) == len(record.streams)
        assert sum(texts.count("something") for texts in parts) <= SPOKEN
