"""The folder of logs: what is in it, and who is at which."""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rehearsed import plan
from service_driver import environment

from phonebot.replay.log import About
from phonebot.replay.recorder import Writer
from phonebot.replay.spool import Spool, alone, reading

FIXTURES = Path(__file__).parent.parent.parent / "fixtures/calls"
SID = "CA11111111111111111111111111111111"  # the fixtures'


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "calls")


def put(spool: Spool, name: str) -> Path:
    shutil.copytree(FIXTURES / "clean", spool.folder / name)
    return spool.folder / name


def test_a_folder_that_is_not_there_has_no_logs(spool: Spool) -> None:
    assert spool.logs() == []
    assert spool.of(SID) == []
    assert spool.get("CA1") is None


def test_the_logs_of_a_call_are_found_by_name_and_by_what_they_say(spool: Spool) -> None:
    names = [f"20260102T030405Z-{SID}", f"20260102T030405Z-{SID}-2", f"20260102T030405Z-{SID}9"]
    first, second, _ = [put(spool, name) for name in names]
    other = put(spool, f"20260102T030406Z-{SID}")
    (other / "call.json").write_text("{}")
    (spool.folder / "a file").touch()
    assert spool.of(SID) == [first, second]
    assert [log.name for log in spool.logs()] == sorted([*names, other.name])


def test_a_log_is_removed_with_all_that_is_in_its_folder_its_header_last(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = put(spool, "log")
    (log / "more").mkdir()
    (tmp_path / "elsewhere").write_text("mine")
    (log / "link").symlink_to(tmp_path / "elsewhere")
    unlink, removed = Path.unlink, list[str]()

    def noted(path: Path, missing_ok: bool = False) -> None:
        removed.append(path.name)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", noted)
    spool.remove("log")
    spool.remove("log")
    assert not log.exists()
    assert removed[-1] == "call.json"
    assert (tmp_path / "elsewhere").read_text() == "mine"


async def test_a_log_is_locked_as_long_as_it_is_written_and_told_when_it_is_whole(spool: Spool) -> None:
    told = []

    def finished(log: Path) -> None:
        told.append((log.name, spool.state(log.name)))

    async with Writer(spool.folder, finished=finished) as writer:
        recorder = writer.recorder(About(call_sid="CA1"))
        recorder.plan(plan())
        while not (logs := spool.logs()):
            await asyncio.sleep(0.005)
        (log,) = logs
        assert spool.state(log.name) == "written"
        with reading(log) as is_mine:
            assert not is_mine
        recorder.close("caller_hung_up")
    assert told == [(log.name, "free")]


def test_readers_share_a_log_and_who_removes_it_waits_for_them(spool: Spool) -> None:
    log = put(spool, "log")
    with reading(log) as first, reading(log) as second, alone(log) as third:
        assert (first, second, third) == (True, True, False)
    with alone(log) as is_mine, reading(log) as is_read:
        assert (is_mine, is_read) == (True, False)
        assert spool.state("log") == "ending"
    assert spool.state("log") == "free"


def test_nobody_has_a_log_that_is_gone(spool: Spool) -> None:
    with reading(spool.folder / "log") as is_read, alone(spool.folder / "log") as is_mine:
        assert (is_read, is_mine) == (False, False)
    assert spool.state("log") == "free"


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from phonebot.replay.log import About
from phonebot.replay.recorder import Writer
from phonebot.replay.spool import Spool

async def write():
    spool = Spool(Path(sys.argv[1]))
    Writer(spool.folder).recorder(About(call_sid="CA1"))
    while not spool.logs():
        await asyncio.sleep(0.005)
    print(spool.state(spool.logs()[0].name), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(write())
"""


def test_the_lock_of_a_process_that_was_killed_goes_with_it(spool: Spool) -> None:
    command = [sys.executable, "-c", KILLED, str(spool.folder)]
    killed = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60)
    assert killed.stdout == "written\n", killed.stderr
    (log,) = spool.logs()
    assert spool.state(log.name) == "free"
