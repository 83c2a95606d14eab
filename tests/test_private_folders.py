"""What callers said is for us alone, whatever the umask lets others see."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from phonebot.disk_queue import DiskQueue
from phonebot.private_folders import make_private
from phonebot.web.roster import Roster


@pytest.fixture(autouse=True)
def lenient() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def enrol(folder: Path) -> None:
    with Roster(folder, "one").enrolled():
        pass


def queue(folder: Path) -> None:
    DiskQueue(folder, re.compile(".*")).put("name", b"content")


@pytest.mark.parametrize("make", [make_private, enrol, queue])
def test_a_folder_and_those_above_it_that_were_missing_are_for_us_alone(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    make(tmp_path / "data" / "part")
    assert mode(tmp_path / "data") == mode(tmp_path / "data" / "part") == 0o700


def test_one_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    make_private(tmp_path / "data")
    make_private(tmp_path / "data" / "part")
    assert mode(tmp_path / "data") == 0o755
    assert mode(tmp_path / "data" / "part") == 0o700


def test_a_file_in_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(FileExistsError):
        make_private(tmp_path / "data")


def test_a_relative_one_is_made_where_we_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_private(Path("data/part"))
    assert mode(tmp_path / "data" / "part") == 0o700
