"""Rewriting what a log expects."""

from pathlib import Path

import pytest
from rehearsed import interrupted, saved

from phonebot.call import conversation, framing
from phonebot.call.inputs import Input, Tick
from phonebot.call.items import Items
from phonebot.replay.player import play
from phonebot.replay.reader import CallLog, read
from phonebot.replay.update import update


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def happened(log: CallLog) -> list[tuple[int, Input]]:
    """All that came from outside."""
    return [(step.now_ms, step.input) for step in log.steps if not isinstance(step.input, Tick)]


def test_a_log_that_replays_is_not_touched(tmp_path: Path) -> None:
    folder = saved(tmp_path / "call", interrupted())
    before = contents(folder)
    assert update(folder).differences == ()
    assert contents(folder) == before


def test_a_log_that_differs_expects_what_is_done_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path / "call", interrupted())
    (folder / "expected.toml").write_text('outcome = "time_limit"\n')
    before = read(folder)
    monkeypatch.setattr(framing, "PIECE_CHARACTERS", 960)
    assert len(update(folder).differences) > 1
    after = read(folder)
    assert play(after).differences == ()
    assert after.steps != before.steps
    assert happened(after) == happened(before)
    assert after.header.counts.actions > before.header.counts.actions
    assert contents(folder)["expected.toml"] == b'outcome = "time_limit"\n'
    assert sorted(contents(folder)) == [
        "bot.wav",
        "call.json",
        "caller.wav",
        "events.jsonl",
        "expected.toml",
        "model.raw",
    ]


def test_a_log_updated_and_updated_back_is_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path / "call", interrupted())
    before = contents(folder)
    monkeypatch.setattr(framing, "PIECE_CHARACTERS", 960)
    update(folder)
    assert contents(folder) != before
    monkeypatch.undo()
    update(folder)
    assert contents(folder) == before


def test_a_folder_that_cannot_be_written_keeps_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path / "call", interrupted())
    before = contents(folder)
    monkeypatch.setattr(Items, "_truncate", lambda *_: [])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("phonebot.replay.update.write", full)
    with pytest.raises(OSError, match="No space"):
        update(folder)
    assert contents(folder) == before


def test_an_outcome_that_changes_is_in_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path / "call", interrupted())
    end = conversation.Conversation.end
    lost = lambda talk, outcome, now, by_carrier=False: end(talk, "stream_lost", now)  # noqa: E731
    monkeypatch.setattr(conversation.Conversation, "end", lost)
    update(folder)
    assert read(folder).header.outcome == "stream_lost"
