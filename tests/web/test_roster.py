"""Which processes of this machine run, by the locks that they hold."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from service_driver import environment

from phonebot.web import roster
from phonebot.web.roster import Roster

KILLED = """
import os, signal, sys
from pathlib import Path
from phonebot.web.roster import Roster
with Roster(Path(sys.argv[1]), "host/1-aa").enrolled():
    os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_a_process_that_was_killed_is_known_to_have_ended_and_one_that_runs_is_not(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env=environment(), check=False)
    one, other = Roster(tmp_path, "host/2-bb"), Roster(tmp_path, "host/3-cc")
    with one.enrolled():
        assert await other.has_ended("host/1-aa")
        assert not await other.has_ended("host/2-bb")
        assert not await one.has_ended("host/2-bb")
    # Of one that ended as it should, or of another machine's, nothing is known here.
    assert not await other.has_ended("host/2-bb")
    assert not await other.has_ended("elsewhere/4-dd")


async def test_a_folder_that_stands_still_holds_nothing_up_and_nothing_is_known_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of another machine's does: whoever looks is stuck in the system until it goes on."""
    goes_on, looks = threading.Event(), list[Path]()

    def stuck(path: Path) -> bool:
        looks.append(path)
        return goes_on.wait()

    monkeypatch.setattr(roster, "_is_free", stuck)
    monkeypatch.setattr(roster, "LOOKS_S", 0.01)
    here = Roster(tmp_path, "host/1-aa")
    assert [await here.has_ended("host/2-bb") for _ in range(3)] == [False, False, False]
    assert len(looks) == 1, "no thread more gets stuck than one"
    goes_on.set()
    monkeypatch.setattr(roster, "LOOKS_S", 60)
    assert await here.has_ended("host/2-bb")


def test_files_of_the_dead_do_not_gather(tmp_path: Path) -> None:
    for number in range(roster.KEPT + 5):
        (tmp_path / f"host_{number}").touch()
    with Roster(tmp_path, "host/1-aa").enrolled():
        assert len(list(tmp_path.iterdir())) == roster.KEPT + 1


def test_a_folder_that_cannot_be_written_keeps_no_process_from_running(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with Roster(tmp_path / "file", "host/1-aa").enrolled():
        pass
