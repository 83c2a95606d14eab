"""`phonebot messages ...`, as one would type them."""

import asyncio
import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from service_driver import is_setting
from terminal_driver import Terminal

from phonebot import receiving
from phonebot.store.database import Database
from phonebot.store.messages import MessageStore
from phonebot.store.tables import MessageRow

IDS = tuple(f"00000000-0000-4000-8000-{nth:012}" for nth in range(1, 4))


@pytest.fixture(autouse=True)
def _clean_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, migrated_sqlite: Path) -> None:
    for name in filter(is_setting, list(os.environ)):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(receiving.console, "width", 80)
    (tmp_path / "data").mkdir()
    shutil.copy(migrated_sqlite, tmp_path / "data/phonebot.db")


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


@pytest.fixture
def kept(tmp_path: Path) -> None:
    async def work() -> None:
        database = Database(f"sqlite:///{tmp_path}/data/phonebot.db")
        for nth, message_id in enumerate(IDS):
            row = MessageRow(
                message_id=message_id,
                call_sid="CA1",
                taken_at=datetime(2026, 11, 27, 12, nth, tzinfo=UTC),
                number="+15550100000",
                from_number="+15550100123",
                name="Ms Haddad",
                call_back="+15550100123" if nth else "",
                for_whom="Rosa",
                urgent=nth == 1,
                text=f"Message {nth}: [red]{'very ' * 20}long",
            )
            wishes = {"message": {"url": "https://crm.invalid/"}} if nth == 2 else None
            await MessageStore(database).keep(row, wishes)
        await database.close()

    asyncio.run(work())


def test_without_messages_the_list_says_so(terminal: Terminal) -> None:
    assert terminal.says("messages", "list") == "no new messages\n"
    assert json.loads(terminal.says("messages", "list", "--json")) == []


def test_the_list_fits_a_terminal_and_shows_what_is_new(terminal: Terminal, kept: None) -> None:
    said = terminal.says("messages", "list")
    assert all(len(line) <= 80 for line in said.splitlines())
    assert [said.index(f"Message {nth}") for nth in (2, 1, 0)] == sorted(
        said.index(f"Message {n}") for n in range(3)
    )
    assert "urgent" in said
    assert "no number" in said
    assert "[red]" in said
    found = json.loads(terminal.says("messages", "list", "--json", "--text", '"message 2"'))
    assert [each["message_id"] for each in found] == [IDS[2]]
    assert "--limit shows more than 1" in terminal.says("messages", "list", "--limit", "1")


def test_a_message_is_shown_by_the_end_of_its_id(terminal: Terminal, kept: None) -> None:
    said = terminal.says("messages", "show", "0003")
    assert "Message 2" in said
    assert "not yet" in said
    shown = json.loads(terminal.says("messages", "show", IDS[2], "--json"))
    assert (shown["for_whom"], shown["told"]["state"]) == ("Rosa", "waiting")
    assert not {"id", "found_by"} & shown.keys()
    code, said = terminal.type("messages", "show", "ffff")
    assert (code, "no message ends in ffff" in said) == (1, True)
    code, said = terminal.type("messages", "show", "8000-00000000000")
    assert code == 1


def test_messages_are_done_together_or_not_at_all_and_reopened(terminal: Terminal, kept: None) -> None:
    code, _ = terminal.type("messages", "done", "0001", "ffff")
    assert code == 1
    assert len(json.loads(terminal.says("messages", "list", "--json"))) == 3
    assert terminal.says("messages", "done", "0001", "0002") == "done: 2\n"
    assert len(json.loads(terminal.says("messages", "list", "--json"))) == 1
    assert "by command line" in terminal.says("messages", "show", "0001")
    assert terminal.says("messages", "done", "0001", "--reopen") == "new again: 1\n"
    assert len(json.loads(terminal.says("messages", "list", "--all", "--json"))) == 3
