"""Files of calls, in a folder and in S3-compatible storage (moto's server, a process of its own)."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from closure import until
from s3_driver import S3Server

from phonebot.errors import NotStored, StoreError, StoreUnavailable
from phonebot.store.recordings import PART_BYTES, Recordings

KEY = "20261127-120000-CA1"


@pytest.fixture(params=["file", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "file":
        return f"file://{tmp_path}/kept%20here"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    server: S3Server = request.getfixturevalue("s3")
    return f"s3://{server.bucket()}/some/prefix?region=us-east-1&endpoint={server.endpoint}"


@pytest.fixture
def recordings(url: str) -> Recordings:
    return Recordings(url)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "call"
    path.mkdir()
    (path / "call.json").write_bytes(b'{"format": "phonebot-call-log"}')
    (path / "caller.wav").write_bytes(bytes(range(256)) * 4)
    return path


async def content(
    recordings: Recordings, name: str, *, key: str = KEY, start: int = 0, end: int | None = None
) -> bytes:
    return b"".join([piece async for piece in await recordings.open(key, name, start, end)])


async def test_a_folder_that_is_put_can_be_listed_and_read(recordings: Recordings, folder: Path) -> None:
    assert await recordings.put(KEY, folder) == 2
    assert await recordings.files(KEY) == {"call.json": 31, "caller.wav": 1024}
    assert await content(recordings, "call.json") == b'{"format": "phonebot-call-log"}'
    assert [key async for key in recordings.all_keys()] == [KEY]


async def test_a_part_of_a_file_can_be_read(recordings: Recordings, folder: Path) -> None:
    await recordings.put(KEY, folder)
    reading = await recordings.open(KEY, "caller.wav", 250, 260)
    assert (reading.size, reading.start, reading.end) == (1024, 250, 260)
    assert await content(recordings, "caller.wav", start=250, end=260) == bytes([*range(250, 256), *range(4)])
    assert await content(recordings, "caller.wav", start=1020) == bytes(range(252, 256))


async def test_what_is_put_again_takes_the_place_of_what_was_there(recordings: Recordings, folder: Path) -> None:
    await recordings.put(KEY, folder)
    (folder / "call.json").write_bytes(b"{}")
    await recordings.put(KEY, folder)
    assert await recordings.files(KEY) == {"call.json": 2, "caller.wav": 1024}


async def test_a_file_of_many_parts_comes_back_as_it_was(recordings: Recordings, folder: Path) -> None:
    audio = os.urandom(2 * PART_BYTES + 7)
    (folder / "caller.wav").write_bytes(audio)
    await recordings.put(KEY, folder)
    assert await content(recordings, "caller.wav") == audio


async def test_an_empty_file_is_kept_too(recordings: Recordings, folder: Path) -> None:
    (folder / "bot.wav").touch()
    await recordings.put(KEY, folder)
    assert await content(recordings, "bot.wav") == b""


async def test_delete_takes_all_of_one_call_and_nothing_of_another(recordings: Recordings, folder: Path) -> None:
    for key in (KEY, f"{KEY}1", "2026/11/CA2"):
        await recordings.put(key, folder)
    assert await recordings.delete(KEY) == 2
    assert await recordings.files(KEY) == {}
    assert sorted([key async for key in recordings.all_keys()]) == ["2026/11/CA2", f"{KEY}1"]
    assert await recordings.delete(KEY) == 0


async def test_a_file_that_is_not_there_is_told_as_such(recordings: Recordings, folder: Path) -> None:
    await recordings.put(KEY, folder)
    with pytest.raises(NotStored, match=f"^{KEY}/heard.wav is not in the storage {recordings.name}$"):
        await recordings.open(KEY, "heard.wav")
    assert await recordings.files("no-call") == {}


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/../b", "/etc", "a//b", "a\\b", "a\0b", ".hidden", "a b"]
)
async def test_a_key_that_may_mean_another_place_is_refused(
    recordings: Recordings, folder: Path, name: str
) -> None:
    for doing in (recordings.put(name, folder), recordings.files(name), recordings.delete(name)):
        with pytest.raises(ValueError, match="cannot be the key or name of a recording"):
            await doing
    with pytest.raises(ValueError, match="cannot be the key or name"):
        await recordings.open(KEY, name)


async def test_a_folder_that_is_where_it_is_kept_is_not_copied(tmp_path: Path, folder: Path) -> None:
    recordings = Recordings(f"file://{tmp_path}")
    before = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert await recordings.put("call", folder) == 2
    assert {file: file.stat().st_mtime_ns for file in folder.iterdir()} == before
    assert await recordings.files("call") == {"call.json": 31, "caller.wav": 1024}


async def test_a_deleted_call_leaves_no_folder(tmp_path: Path, folder: Path) -> None:
    recordings = Recordings(f"file://{tmp_path}/kept")
    await recordings.put(f"2026/{KEY}", folder)
    await recordings.delete(f"2026/{KEY}")
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "data",
        "file://host/data",
        "file:data",
        "http://bucket",
        "s3://",
        "s3://UPPER",
        "s3://bucket?secret=1",
        "s3://bucket?endpoint=minio",
        "s3://key:secret@bucket",
        "file:///data?x=1",
    ],
)
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(
        StoreError, match=r"^PHONEBOT_STORAGE_URL is no address of a storage: it must be file:///PATH"
    ):
        Recordings(url)


async def test_a_storage_that_is_away_is_told_as_such(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr("phonebot.store.recordings.RETRY_S", 0)
    recordings = Recordings("s3://calls?region=us-east-1&endpoint=http://127.0.0.1:1")
    with pytest.raises(StoreUnavailable) as caught:
        await recordings.put(KEY, folder)
    assert str(caught.value) == (
        "the storage s3://calls cannot be reached: check PHONEBOT_STORAGE_URL, and that there are keys for it"
    )


async def test_a_bucket_that_does_not_exist_is_told_as_such(
    s3: S3Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    recordings = Recordings(f"s3://nowhere?region=us-east-1&endpoint={s3.endpoint}")
    with pytest.raises(StoreError, match=r"^the bucket or folder is not in the storage s3://nowhere$"):
        await recordings.put(KEY, folder)


async def test_a_file_in_place_of_the_folder_is_told_as_such(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="cannot be used: check that it is a folder and that its"):
        await Recordings(f"file://{tmp_path}/file").put(KEY, folder)


PUT_AND_READ = """
import asyncio, resource, sys
from pathlib import Path
from phonebot.store.recordings import Recordings

async def put_and_read(folder):
    await recordings.put("CA1", folder)
    return sum([len(piece) async for piece in await recordings.open("CA1", "caller.wav")])

recordings, small, large = Recordings(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
asyncio.run(put_and_read(small))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
asyncio.run(put_and_read(large))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_long_call_takes_no_more_memory_than_its_parts(url: str, tmp_path: Path) -> None:
    """Of 120 MB, which is four hours of a leg, no more than the parts on their way are in memory at once."""
    sizes = {"small": 2 * PART_BYTES, "large": 120_000_000}
    for name, size in sizes.items():
        (tmp_path / name).mkdir()
        with (tmp_path / name / "caller.wav").open("wb") as file:
            file.truncate(size)
    command = [sys.executable, "-c", PUT_AND_READ, url, str(tmp_path / "small"), str(tmp_path / "large")]
    grown_mb = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert grown_mb < 40


READ_AND_END = """
import asyncio, sys
from phonebot.store.recordings import Recordings

async def read():
    recordings = Recordings(sys.argv[1])
    assert await recordings.files("CA1") == {"caller.wav": 1000000}
    async for piece in await recordings.open("CA1", "caller.wav"):
        pass

asyncio.run(read())
"""


async def test_a_process_that_ends_right_after_it_has_read_ends_in_peace(url: str, tmp_path: Path) -> None:
    """The library's own threads, had they handed over what was read, would abort about every second one."""
    (tmp_path / "call").mkdir()
    (tmp_path / "call/caller.wav").write_bytes(bytes(1_000_000))
    await Recordings(url).put("CA1", tmp_path / "call")
    command = [sys.executable, "-c", READ_AND_END, url]
    assert [subprocess.run(command, capture_output=True).returncode for _ in range(6)] == [0] * 6


async def test_its_threads_end_when_it_is_closed(recordings: Recordings, folder: Path) -> None:
    before = set(threading.enumerate())
    await recordings.put(KEY, folder)
    started = set(threading.enumerate()) - before
    assert started
    recordings.close()
    await until(lambda: not any(thread.is_alive() for thread in started))
