"""`phonebot replay`, as it is typed."""

import json
from pathlib import Path

import pytest
from rehearsed import interrupted, saved
from typer.testing import CliRunner

from phonebot.call.items import Items
from phonebot.cli import app
from phonebot.replay.archive import pack


def run(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["replay", *map(str, arguments)])
    return done.exit_code, done.output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return saved(tmp_path / "logs" / "call", interrupted())


def test_a_call_that_does_what_it_did_holds(folder: Path) -> None:
    code, output = run(folder)
    assert code == 0
    assert output.startswith("holds")
    assert "1 call" in output
    assert "all do what they did" in output


def test_a_folder_of_logs_stands_for_them_all(folder: Path) -> None:
    pack(folder, folder.parent / "zipped.zip")
    code, output = run(folder.parent)
    assert code == 0
    assert "2 calls" in output


def test_a_call_that_differs_is_shown_where(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Items, "_truncate", lambda *_: [])
    code, output = run(folder)
    assert code == 1
    assert output.startswith("differs")
    assert "- tell the model: truncate item_" in output
    assert "1 of 1 differ" in output


def test_a_log_that_cannot_be_read_does_not_keep_the_others_from_it(folder: Path) -> None:
    (folder.parent / "damaged.zip").write_bytes(b"PK")
    code, output = run(folder.parent)
    assert code == 1
    assert "damaged.zip: no zip file that can be read" in output
    assert "holds" in output
    assert "refused" in output
    assert output.rstrip().endswith("1 of 2 refused")


def test_a_log_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    code, output = run(tmp_path / "nothing")
    assert code == 1
    assert "there is no such call log" in output


def test_nothing_to_replay_is_a_failure(tmp_path: Path) -> None:
    """A folder without logs is a mistake; a script must not take it for success."""
    code, output = run(tmp_path)
    assert code == 1
    assert "no call log" in output


def test_a_script_reads_json(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, output = run("--json", folder)
    assert code == 0
    (told,) = json.loads(output)
    assert told == {"log": str(folder), "length_ms": interrupted().now_ms, "holds": True, "problem": None}
    monkeypatch.setattr(Items, "_truncate", lambda *_: [])
    code, output = run("--json", folder)
    assert code == 1
    assert json.loads(output)[0]["problem"].startswith("At 0:0")


def test_an_update_says_what_changed_and_then_the_call_holds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Items, "_truncate", lambda *_: [])
    code, output = run("--update", folder)
    assert code == 0
    assert "updated" in output
    assert "- tell the model: truncate item_" in output
    assert run(folder)[0] == 0
    assert run("--update", folder)[1].startswith("as it was")


def test_an_update_says_what_is_still_not_as_expected(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "expected.toml").write_text("barge_ins = 0\n")
    monkeypatch.setattr(Items, "_truncate", lambda *_: [])
    code, output = run("--update", folder)
    assert code == 1
    assert "there are 1 barge-ins, expected were 0" in output


def test_a_zipped_log_is_not_updated(folder: Path) -> None:
    pack(folder, folder.parent / "zipped.zip")
    code, output = run("--update", folder.parent / "zipped.zip")
    assert code == 1
    assert "unpack it, then update the folder" in output


def test_an_update_has_no_json(folder: Path) -> None:
    assert run("--update", "--json", folder)[0] == 2
