"""
That calls leave no memory behind in their process.

Some calls in each run of the tests; `make chaos` makes a thousand, one soon after another (`PHONEBOT_CHAOS_CALLS`).
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from process_driver import Fleet, Running
from service_driver import SPEECH, TOKEN, until

from phonebot.simulator.caller import Caller, HangUp, Say, WaitForBot
from phonebot.simulator.phone import dial

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

CALLS = int(os.environ.get("PHONEBOT_CHAOS_CALLS", "0")) or 40
WARM = max(CALLS // 5, 20)
"""So many calls until what is kept for all of them is there."""
AT_ONCE = 5
MOST_GROWTH = 1.05


@pytest.fixture
async def fleet(tmp_path: Path, migrated_sqlite: Path) -> AsyncIterator[Fleet]:
    shutil.copy(migrated_sqlite, tmp_path / "phonebot.db")
    async with Fleet.open(tmp_path, f"sqlite:///{tmp_path}/phonebot.db") as fleet:
        yield fleet


def resident_kb(process: Running) -> int:
    """The memory that a process holds."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def open_sockets(process: Running) -> int:
    links = list(Path(f"/proc/{process.pid}/fd").iterdir())
    return sum(os.readlink(link).startswith("socket:") for link in links)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="what a process holds is told by Linux alone")
async def test_a_process_holds_no_more_after_a_thousand_calls_than_after_some(fleet: Fleet) -> None:
    process = await fleet.start()
    await _calls(fleet, 0, WARM)
    memory_kb, sockets = await _idle(fleet, process)
    await _calls(fleet, WARM, CALLS)
    later_kb, later_sockets = await _idle(fleet, process)
    print(f"after {WARM} calls {memory_kb} kB, after {CALLS} {later_kb} kB")  # noqa: T201  (for make chaos)
    assert later_kb <= memory_kb * MOST_GROWTH
    assert later_sockets <= sockets
    assert len(await fleet.filed(CALLS)) == CALLS


async def _calls(fleet: Fleet, begin: int, end: int) -> None:
    left = iter(range(begin, end))

    async def call() -> None:
        for index in left:
            caller = Caller(WaitForBot(), Say(SPEECH), HangUp())
            url, number = f"{fleet.url}/twilio/voice", f"+1555030{index:04}"
            record = await dial(url, caller, auth_token=TOKEN, from_number=number, max_call_s=60)
            assert record.passed, record

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(call())


async def _idle(fleet: Fleet, process: Running) -> tuple[int, int]:
    """The memory, in kB, and the sockets of a process in which no call is left."""
    await until(lambda: not fleet.model.sessions)
    await asyncio.sleep(1)
    return resident_kb(process), open_sockets(process)
