"""Logs are read in a process of its own, which outlives no other."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from filing_driver import FIXTURE
from service_driver import environment, until

from phonebot.filing.reader import NICENESS, LogReader
from phonebot.replay.log import LogError
from phonebot.replay.summary import summary_of

LOWEST = 19  # of priorities (setpriority, 2)
LONG_S = 60.0


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # the latter when it ends between the opening and the reading
        return False


def children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


async def test_a_summary_is_the_logs_and_the_process_serves_the_next_log_too() -> None:
    before = children()
    reader = LogReader()
    try:
        assert await reader.summary(FIXTURE) == summary_of(FIXTURE)
        (pid,) = children() - before
        ours = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, pid) == min(ours + NICENESS, LOWEST)
        with pytest.raises(LogError, match="there is no such file"):
            await reader.summary(Path("nowhere"))
        await reader.summary(FIXTURE)
        assert children() - before == {pid}
    finally:
        await reader.close()
    assert not alive(pid)


async def test_the_process_ends_when_there_was_no_log_for_a_while_and_another_takes_over() -> None:
    before = children()
    reader = LogReader(idle_s=0.01)
    await reader.summary(FIXTURE)
    await until(lambda: not any(map(alive, children() - before)))
    assert await reader.summary(FIXTURE) == summary_of(FIXTURE)
    await reader.close()


async def test_a_process_that_was_killed_is_replaced() -> None:
    before = children()
    reader = LogReader()
    await reader.summary(FIXTURE)
    (pid,) = children() - before
    os.kill(pid, signal.SIGKILL)
    assert await reader.summary(FIXTURE) == summary_of(FIXTURE)
    await reader.close()


async def test_a_log_that_takes_too_long_is_refused() -> None:
    reader = LogReader(deadline_s=0)
    with pytest.raises(LogError, match="was not read within 0 s"):
        await reader.summary(FIXTURE)
    await reader.close()


async def test_told_to_stop_with_the_whole_service_the_process_reads_on() -> None:
    before = children()
    reader = LogReader()
    await reader.summary(FIXTURE)
    (pid,) = children() - before
    os.kill(pid, signal.SIGTERM)
    await reader.summary(FIXTURE)
    assert children() - before == {pid}
    await reader.close()


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from phonebot.filing.reader import LogReader

async def read():
    await LogReader().summary(Path(sys.argv[1]))
    print(Path(f"/proc/self/task/{os.getpid()}/children").read_text(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(read())
"""


async def test_the_process_ends_with_the_one_that_started_it_even_if_that_is_killed() -> None:
    command = [sys.executable, "-c", KILLED, str(FIXTURE)]
    killed = await asyncio.to_thread(
        subprocess.run, command, env=environment(), capture_output=True, text=True, timeout=LONG_S
    )
    assert killed.returncode == -signal.SIGKILL
    (pid,) = map(int, killed.stdout.split())
    await until(lambda: not alive(pid))
