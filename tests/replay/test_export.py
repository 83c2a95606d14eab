"""`phonebot calls export`, as it is typed."""

import os
import zipfile
from pathlib import Path

import pytest
from rehearsed import interrupted, saved
from typer.testing import CliRunner

from phonebot.audio import wav
from phonebot.cli import app, main
from phonebot.replay.archive import opened
from phonebot.replay.heard import legs
from phonebot.replay.reader import read


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return saved(tmp_path / "logs" / "call", interrupted())


def export(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["calls", "export", *map(str, arguments)])
    return done.exit_code, done.output


def test_a_log_is_zipped_with_what_was_heard(folder: Path) -> None:
    assert export(folder) == (0, "written to call.zip\n")
    with zipfile.ZipFile("call.zip") as zipped:
        names = ["bot.wav", "call.json", "caller.wav", "events.jsonl", "heard.wav", "model.raw"]
        assert sorted(zipped.namelist()) == [f"call/{name}" for name in names]
    with opened(Path("call.zip")) as unpacked:
        assert read(unpacked) == read(folder)


def test_a_place_that_is_no_zip_file_is_a_folder(folder: Path) -> None:
    assert export(folder, "--out", "taken") == (0, "written to taken\n")
    heard = wav.read("taken/heard.wav")
    assert heard.data[1::2] == legs(read(folder)).heard
    assert Path("taken").stat().st_mode & 0o777 == 0o700


def test_what_was_heard_may_be_left_out(folder: Path) -> None:
    export(folder, "--out", "taken", "--no-heard")
    assert not Path("taken/heard.wav").exists()


def test_a_zip_file_is_exported_as_its_folder_is(folder: Path) -> None:
    export(folder)
    assert export("call.zip", "--redact") == (0, "written to call-redacted.zip\n")
    with opened(Path("call-redacted.zip")) as unpacked:
        assert read(unpacked).header.note.startswith("Redacted")


def test_what_was_heard_of_a_redacted_call_is_redacted(folder: Path) -> None:
    export(folder, "--redact", "--no-audio", "--out", "shared")
    assert set(wav.read("shared/heard.wav").data) == {0xFF}


def test_other_files_stay_where_they_are(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    (folder / "passwd.raw").symlink_to("/etc/passwd")
    export(folder, "--out", "taken")
    assert sorted(os.listdir("taken")) == [
        "bot.wav",
        "call.json",
        "caller.wav",
        "events.jsonl",
        "heard.wav",
        "model.raw",
    ]


def failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[object, str]:
    monkeypatch.setattr("sys.argv", ["phonebot", "calls", "export", *arguments])
    with pytest.raises(SystemExit) as exited:
        main()
    return exited.value.code, capsys.readouterr().err


def test_nothing_is_written_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("call.zip").write_text("mine")
    code, said = failure(monkeypatch, capsys, str(folder))
    assert code == 1
    assert "call.zip exists already: remove it, or name another place with --out" in said
    assert Path("call.zip").read_text() == "mine"


def test_what_is_no_log_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "events.jsonl").write_text("{}\n")
    for arguments in ([str(folder)], [str(folder), "--redact", "--out", "shared"], ["nowhere.zip"]):
        assert failure(monkeypatch, capsys, *arguments)[0] == 1
    assert os.listdir() == []


def test_audio_is_left_out_of_redacted_logs_only(folder: Path) -> None:
    code, said = export(folder, "--no-audio")
    assert code == 2
    assert "needs --redact" in said
