"""`phonebot calls ...`, as one would type them."""

import asyncio
import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from zipfile import ZipFile

import pytest
from after_rows import after_of
from filed_calls import DESK, NEWEST
from filing_driver import FIXTURE, NAME, SID, Office
from service_driver import is_setting
from terminal_driver import Terminal

from phonebot import recalling
from phonebot.replay.reader import read
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.numbers import NumberStore
from phonebot.store.tables import AfterRow, CallRow

OTHER = "CA00000000000000000000000000000002"
OTHER_NAME = f"20261127T120100Z-{OTHER}"


@pytest.fixture(autouse=True)
def _clean_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, migrated_sqlite: Path) -> None:
    for name in filter(is_setting, list(os.environ)):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recalling.console, "width", 80)
    (tmp_path / "data").mkdir()
    shutil.copy(migrated_sqlite, tmp_path / "data/phonebot.db")


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


class Data:
    """What is in the data folder, as a service left it."""

    def __init__(self, folder: Path) -> None:
        self.calls_dir = folder / "calls"
        self._url = f"sqlite:///{folder}/phonebot.db"

    def spool(self, fixture: str = FIXTURE.name, name: str = NAME, sid: str = SID) -> Path:
        return self._office().spool(name, sid, fixture=fixture)

    def file(self) -> None:
        """File all that is spooled."""

        async def work() -> None:
            office = self._office()
            await office.filed()
            await office.database.close()

        asyncio.run(work())

    def file_with(self, after: AfterRow) -> None:
        """File a call after which something is to be done."""

        async def work() -> None:
            office = self._office()
            call = CallRow(call_sid=SID, from_number="a", to_number="b", number="b", started_at=NEWEST, after=after)
            await office.calls.file(call)
            await office.database.close()

        asyncio.run(work())

    def file_answered_by(self, number: str, name: str) -> None:
        """Save a number's profile, and file a call that it answered."""

        async def work() -> None:
            office = self._office()
            await NumberStore(office.database).save(number, {"name": name}, "b28fe7b83c6d", Actor("ada"))
            call = CallRow(call_sid=SID, from_number="a", to_number=DESK, number=DESK, started_at=NEWEST)
            call.profile_name, call.profile_version = name, "b28fe7b83c6d"
            await office.calls.file(call)
            await office.database.close()

        asyncio.run(work())

    def _office(self) -> Office:
        return Office(Database(self._url), self.calls_dir.as_uri(), self.calls_dir)


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path / "data")


@pytest.mark.parametrize(
    ("number", "name", "told"),
    [
        ("default", "", "default, version 1"),
        (DESK, "Desk", f"Desk ({DESK}, version 1)"),
        ("+15550100777", "", "not kept here"),
    ],
)
def test_a_call_says_which_version_of_whose_profile_answered_it(
    terminal: Terminal, data: Data, number: str, name: str, told: str
) -> None:
    data.file_answered_by(number, name)
    assert told in " ".join(terminal.says("calls", "show", SID).split())


@pytest.fixture
def two_calls(data: Data) -> Data:
    data.spool()
    data.spool("silent-caller", OTHER_NAME, OTHER)
    data.file()
    return data


def test_without_calls_the_list_says_so(terminal: Terminal) -> None:
    assert terminal.says("calls", "list") == "no calls yet\n"
    assert json.loads(terminal.says("calls", "list", "--json")) == []


def test_the_list_fits_a_terminal_and_names_calls_by_the_end_of_their_sids(
    terminal: Terminal, two_calls: Data
) -> None:
    said = terminal.says("calls", "list").splitlines()
    assert said[0].split() == ["call", "began", "caller", "number", "length", "outcome", "cost"]
    assert len(said) == 3
    assert all(len(line) <= 80 for line in said)
    began = f"{datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).astimezone():%Y-%m-%d %H:%M}"
    line = next(line for line in said if line.startswith(SID[-8:]))
    assert line.split() == [
        SID[-8:], *began.split(), "+15550100001", "+15550100002", "0:22", "caller", "hung", "up", "-"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("--text", "opening hours"), [SID]),
        (("--text", "zebra"), []),
        (("--number", "+15550100002", "--caller", "+15550100001"), [OTHER, SID]),
        (("--number", "+15550100003"), []),
        (("--outcome", "caller_hung_up"), [OTHER, SID]),
        (("--outcome", "stream_lost"), []),
        (("--since", "2026-01-01", "--until", "2026-01-04"), [OTHER, SID]),
        (("--since", "2026-01-04 12:00"), []),
        (("--until", "2026-01-01T12:00:00"), []),
        (("--limit", "1"), [OTHER]),
    ],
)
def test_calls_are_listed_by_each_filter(
    terminal: Terminal, two_calls: Data, arguments: tuple[str, ...], found: list[str]
) -> None:
    listed = json.loads(terminal.says("calls", "list", "--json", *arguments))
    assert [call["call_sid"] for call in listed] == found


def test_a_list_that_is_cut_says_that_there_are_more(terminal: Terminal, two_calls: Data) -> None:
    assert "--limit shows more than 1" in terminal.says("calls", "list", "--limit", "1")
    assert "--limit shows" not in terminal.says("calls", "list", "--limit", "2")
    assert terminal.says("calls", "list", "--text", "zebra") == "no such calls\n"


def test_a_call_is_shown_with_what_was_heard_of_it(terminal: Terminal, two_calls: Data) -> None:
    said = terminal.says("calls", "show", SID[-8:])
    assert all(len(line) <= 80 for line in said.splitlines())
    told = " ".join(said.split())
    assert f"call {SID}" in told
    assert "outcome caller hung up" in told
    assert "answers half within 0.82 s, 95 % within 0.90 s" in told
    assert "12.62 s of 20.87 s heard; interruptions: 2, corrections: 2" in told
    assert "unknown, no price of this model is known; 1,232 tokens" in told
    assert (
        "0:08.7 bot I can offer you Tuesday morning at half past ten, with Doctor Rivera. The visit takes about "
        "forty minutes. Is that right for you? ✂ heard 3.20 s of 7.96 s after 0.82 s" in told
    )
    assert "0:05.8 caller i would like to book an appointment" in told


def test_what_was_done_after_a_call_is_shown(terminal: Terminal, data: Data) -> None:
    data.file_with(after_of(attempts=3, problem="status 500", summary="A table for four.", extracted={"guests": 4}))
    said = terminal.says("calls", "show", SID)
    assert all(len(line) <= 80 for line in said.splitlines())
    told = " ".join(said.split())
    assert "summary A table for four." in told
    assert 'data {"guests": 4}' in told
    assert "told of it not yet, attempt 3 failed: status 500; next one 2126-" in told
    after = json.loads(terminal.says("calls", "show", SID, "--json"))["after"]
    assert (after["state"], after["extracted"], "wishes" in after) == ("waiting", {"guests": 4}, False)


def test_a_call_as_json_has_its_turns_functions_and_tokens(terminal: Terminal, two_calls: Data) -> None:
    told = json.loads(terminal.says("calls", "show", SID, "--json"))
    assert (told["call_sid"], told["interruptions"], told["tool_calls"]) == (SID, 2, [])
    assert told["started_at"] == "2026-01-02T03:04:05+00:00"
    assert [turn["latency_ms"] for turn in told["turns"] if turn["latency_ms"]] == [820, 820, 900]
    assert len(told["usage"]) == 4


@pytest.mark.parametrize("sid", [SID, SID[-8:]])
def test_a_call_is_exported_by_its_sid(terminal: Terminal, two_calls: Data, sid: str, tmp_path: Path) -> None:
    assert terminal.says("calls", "export", sid) == f"written to {SID}.zip\n"
    with ZipFile(tmp_path / f"{SID}.zip") as zipped:
        assert f"{SID}/heard.wav" in zipped.namelist()


def test_a_call_that_is_not_filed_yet_is_exported_by_its_sid(
    terminal: Terminal, data: Data, tmp_path: Path
) -> None:
    data.spool()
    terminal.says("calls", "export", SID, "--out", "call")
    assert read(tmp_path / "call").header.call_sid == SID


def test_a_log_is_exported_by_its_path_as_before(terminal: Terminal, data: Data, tmp_path: Path) -> None:
    log = data.spool()
    terminal.says("calls", "export", str(log), "--out", "call")
    assert read(tmp_path / "call").header.call_sid == SID


def test_calls_are_deleted_when_one_says_yes(
    terminal: Terminal, two_calls: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def confirm(question: str, abort: bool) -> None:
        asked.append(question)

    monkeypatch.setattr("typer.confirm", confirm)
    said = terminal.says("calls", "delete", SID[-8:], OTHER)
    assert asked == ["delete these 2 calls for good?"]
    assert f"{SID}: " in said
    assert said.endswith("deleted: 2\n")
    assert list(two_calls.calls_dir.iterdir()) == []
    assert terminal.says("calls", "list") == "no calls yet\n"


def test_without_a_yes_nothing_is_deleted(terminal: Terminal, two_calls: Data) -> None:
    code, _ = terminal.type("calls", "delete", SID)  # there is nobody who could say yes
    assert code == 1
    assert len(json.loads(terminal.says("calls", "list", "--json"))) == 2


def test_a_call_that_is_not_filed_yet_is_deleted(terminal: Terminal, data: Data) -> None:
    log = data.spool()
    assert terminal.says("calls", "delete", SID, "--yes") == "deleted: 1\n"
    assert not log.exists()


@pytest.mark.parametrize("command", [("show",), ("export",), ("delete", "--yes")])
def test_a_call_that_nobody_knows_is_named_in_a_sentence(
    terminal: Terminal, two_calls: Data, command: tuple[str, ...]
) -> None:
    code, said = terminal.type("calls", *command, "CA9")
    assert code == 1
    assert "there is no call CA9: check its CallSid" in " ".join(said.split())


def test_an_ending_of_several_calls_names_none(terminal: Terminal, data: Data) -> None:
    for number in (1, 2):
        data.spool("silent-caller", f"{NAME}{number}", f"CA{number}99999999")
    data.file()
    code, said = terminal.type("calls", "show", "99999999")
    assert code == 1
    assert "several calls end in 99999999: give more of the CallSid" in " ".join(said.split())


def test_what_happened_in_a_call_is_a_timeline_or_lines_of_json(terminal: Terminal, data: Data) -> None:
    data.spool()
    data.file()
    shown = terminal.says("calls", "show", SID[-6:], "--events")
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["0:00.000", "call_start"]
    assert lines[-1].endswith("caller hung up")
    assert any("audio_interrupted" in line for line in lines)
    told = terminal.says("calls", "show", SID[-6:], "--events", "--json")
    events = [json.loads(line) for line in told.splitlines()]
    assert (events[0]["type"], events[-1]) == (
        "call_start",
        {"type": "call_end", "t_ms": events[-1]["t_ms"], "outcome": "caller_hung_up"},
    )
    # A log says the same, wherever it lies.
    assert terminal.says("calls", "show", str(FIXTURE), "--events") == shown
