"""What waits on the disk for the database."""

import re
import stat
from pathlib import Path

import pytest

from phonebot.disk_queue import DiskQueue


@pytest.fixture
def queue(tmp_path: Path) -> DiskQueue:
    return DiskQueue(tmp_path / "waiting", re.compile(r"[a-z]+\.json"))


def test_what_is_put_waits_in_order_until_it_is_removed(queue: DiskQueue) -> None:
    assert queue.names() == []
    queue.put("b.json", b"1")
    queue.put("a.json", b"2")
    queue.put("b.json", b"3")
    assert [(name, queue.get(name)) for name in queue.names()] == [("a.json", b"2"), ("b.json", b"3")]
    for _ in range(2):  # another process may have been faster
        queue.remove("a.json")
    assert (queue.names(), queue.get("a.json")) == (["b.json"], None)


def test_nobody_else_may_read_it(queue: DiskQueue) -> None:
    queue.put("a.json", b"")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (queue.folder, queue.folder / "a.json")]
    assert modes == [0o700, 0o600]


def test_what_is_not_put_whole_is_not_there(queue: DiskQueue) -> None:
    queue.put("a.json", b"")
    (queue.folder / "b.json").mkdir()
    with pytest.raises(OSError, match="directory"):
        queue.put("b.json", b"1")
    (queue.folder / "b.json").rmdir()
    assert [path.name for path in queue.folder.iterdir()] == ["a.json"]


def test_other_files_of_the_folder_do_not_wait(queue: DiskQueue) -> None:
    queue.put("a.json", b"")
    for name in ("tmp1x2y", "A.json", "a.json.bak"):
        (queue.folder / name).touch()
    assert queue.names() == ["a.json"]
