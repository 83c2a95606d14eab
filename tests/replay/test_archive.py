"""Zipped logs, also those that mean harm."""

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rehearsed import interrupted, saved

from phonebot.errors import PhonebotError
from phonebot.replay import archive
from phonebot.replay.archive import is_log, logs_in, opened, pack
from phonebot.replay.log import LogError
from phonebot.replay.reader import read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return saved(tmp_path / "logs" / "call", interrupted())


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def members_of(folder: Path, prefix: str = "") -> dict[str, bytes]:
    return {f"{prefix}{file.name}": file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("prefix", ["", "call/", "a/b/"])
def test_a_zipped_folder_reads_as_the_folder(folder: Path, tmp_path: Path, prefix: str) -> None:
    with opened(zipped(tmp_path / "call.zip", members_of(folder, prefix))) as unpacked:
        assert read(unpacked) == read(folder)
    assert not unpacked.exists()


def test_what_is_packed_can_be_opened(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "call.zip")
    with opened(tmp_path / "call.zip") as unpacked:
        assert read(unpacked) == read(folder)


def test_other_files_in_it_are_left_there(folder: Path, tmp_path: Path) -> None:
    others = {"heard.wav": b"RIFF", "__MACOSX/call.txt": b"x", "notes.txt": b"x"}
    with opened(zipped(tmp_path / "call.zip", members_of(folder) | others)) as unpacked:
        assert sorted(file.name for file in unpacked.iterdir()) == sorted(members_of(folder))


def test_a_path_stands_for_its_log_or_those_in_it(folder: Path, tmp_path: Path) -> None:
    pack(folder, folder.parent / "b.zip")
    (folder.parent / "README.md").write_text("no log")
    assert logs_in(folder) == [folder]
    assert logs_in(folder.parent) == [folder.parent / "b.zip", folder]
    assert logs_in(tmp_path / "nothing") == [tmp_path / "nothing"]
    assert not is_log(folder.parent)


def test_a_log_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="there is no such call log"), opened(tmp_path / "nothing"):
        pass


# ------------------------------------------------------------------------------------------- hostile ones


def everything_below(path: Path) -> set[Path]:
    return set(path.rglob("*"))


def refused(path: Path, tmp_path: Path) -> str:
    """Why a zip file is refused; nothing was written."""
    before = everything_below(tmp_path)
    with pytest.raises(LogError) as caught, opened(path):
        pass
    assert everything_below(tmp_path) == before
    return str(caught.value)


@pytest.mark.parametrize(
    "name", ["../call.json", "a/../../events.jsonl", "/etc/call.json", "..\\call.json", "C:\\call.json"]
)
def test_a_path_that_leads_out_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / "call.zip", members_of(folder) | {name: b"{}"})
    assert "leads out of the folder" in refused(path, tmp_path)


def test_a_file_that_grows_beyond_all_bounds_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 MB of zeros are 100 kB zipped."""
    monkeypatch.setitem(archive.LIMITS, "events.jsonl", 1_000_000)
    path = zipped(tmp_path / "call.zip", members_of(folder) | {"events.jsonl": bytes(100_000_000)})
    assert path.stat().st_size < 1_000_000
    assert refused(path, tmp_path) == "call.zip: events.jsonl in it is longer than 1000000 bytes"


def test_a_size_that_is_a_lie_is_not_believed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(archive.LIMITS, "model.raw", 1_000_000)
    path = zipped(tmp_path / "call.zip", members_of(folder) | {"model.raw": bytes(50_000_000)})
    content = path.read_bytes().replace(struct.pack("<I", 50_000_000), struct.pack("<I", 10))
    path.write_bytes(content)
    refused(path, tmp_path)


def test_two_calls_in_one_file_are_refused(folder: Path, tmp_path: Path) -> None:
    path = zipped(tmp_path / "call.zip", members_of(folder, "a/") | members_of(folder, "b/"))
    assert "is in it twice" in refused(path, tmp_path)


def test_files_that_do_not_stand_together_are_refused(folder: Path, tmp_path: Path) -> None:
    members = members_of(folder)
    path = zipped(
        tmp_path / "call.zip", {f"{number}/{name}": each for number, (name, each) in enumerate(members.items())}
    )
    assert "no call log" in refused(path, tmp_path)


def test_thousands_of_files_are_refused(folder: Path, tmp_path: Path) -> None:
    path = zipped(tmp_path / "call.zip", members_of(folder) | {str(number): b"" for number in range(200)})
    assert "more than 100 files" in refused(path, tmp_path)


def test_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "call.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members_of(folder).items():
            member = zipfile.ZipInfo(name)
            member.external_attr = (0o120777 if name == "events.jsonl" else 0o100600) << 16
            file.writestr(member, b"/etc/passwd" if name == "events.jsonl" else content)
    assert "events.jsonl is a link" in refused(path, tmp_path)


def test_an_encrypted_one_is_refused(folder: Path, tmp_path: Path) -> None:
    path = zipped(tmp_path / "call.zip", members_of(folder))
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = -1
        while (start := content.find(signature, start + 1)) >= 0:
            content[start + offset] |= 1
    path.write_bytes(content)
    assert "encrypted" in refused(path, tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"no zip file", b"PK\x05\x06" + bytes(18), bytes(1000)], ids=lambda each: repr(each[:8])
)
def test_what_is_no_zip_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "call.zip").write_bytes(content)
    refused(tmp_path / "call.zip", tmp_path)


def test_a_zip_file_larger_than_all_its_files_may_be_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "call.zip").open("wb") as file:
        file.truncate(archive.MAX_ZIP_BYTES + 1)
    assert "no zipped call log is" in refused(tmp_path / "call.zip", tmp_path)


GOOD = io.BytesIO()
with zipfile.ZipFile(GOOD, "w", zipfile.ZIP_DEFLATED) as _file:
    _file.writestr("call.json", '{"format": "phonebot-call-log"}')
    _file.writestr("events.jsonl", '[0, "in", "CallPlan", {"session": {"is": "Session"}}]\n')


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_damaged_one_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    from tempfile import TemporaryDirectory

    content = bytearray(GOOD.getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    with TemporaryDirectory() as folder:
        path = Path(folder) / "call.zip"
        path.write_bytes(content)
        try:
            with opened(path) as unpacked:
                assert {file.name for file in unpacked.iterdir()} <= set(archive.LIMITS)
        except PhonebotError:
            pass


# ------------------------------------------------------------------------------------------- folders


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda folder: (folder / "events.jsonl").write_bytes(b"{}\n"), "line 1"),
        (lambda folder: (folder / "events.jsonl").write_bytes(b" " * 2**21 + b"\n"), "line 1: longer than"),
        (lambda folder: (folder / "caller.wav").write_bytes(b"RIFF"), "caller.wav"),
        (lambda folder: (folder / "caller.wav").unlink(), "caller.wav: there is no such file"),
        (
            lambda folder: (folder / "call.json").write_text(
                (folder / "call.json").read_text().replace('"version": 1', '"version": 2')
            ),
            "version 2 of the format; this phonebot reads up to 1: update it",
        ),
        (
            lambda folder: (folder / "call.json").write_text(
                (folder / "call.json").read_text().replace('"version": 1', '"version": 0')
            ),
            "version 0 of the format: there never was one",
        ),
        (
            lambda folder: (folder / "events.jsonl").write_text(
                (folder / "events.jsonl").read_text().replace('"BargeIn"', '"PushIn"')
            ),
            "'PushIn' is no action that this phonebot knows",
        ),
    ],
)
def test_a_damaged_log_is_refused_with_its_place(
    folder: Path, damage: Callable[[Path], object], problem: str
) -> None:
    damage(folder)
    with pytest.raises(LogError, match=problem):
        read(folder)
