"""The command, as one types it."""

import json
import os
from pathlib import Path

import pytest
from service_driver import is_setting
from terminal_driver import Terminal


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Terminal:
    """In an empty folder, with no setting from outside."""
    for name in filter(is_setting, list(os.environ)):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PHONEBOT_PORT", "1")
    return Terminal(capsys)


def test_what_is_missing_ends_with_exit_code_1_and_changes_nothing(terminal: Terminal, tmp_path: Path) -> None:
    code, said = terminal.type("doctor")
    assert (code, "FAILED" in said, "PHONEBOT_PUBLIC_URL is missing" in said) == (1, True, True)
    assert max(map(len, said.splitlines())) <= 80
    assert list(tmp_path.iterdir()) == []


def test_in_development_an_empty_folder_is_enough(terminal: Terminal) -> None:
    code, said = terminal.type("doctor", "--dev")
    assert (code, "failed" in said) == (0, False)


def test_a_script_gets_json_alone(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHONEBOT_PROT", "8080")
    code, said = terminal.type("doctor", "--json", "--dev")
    told = json.loads(said)
    assert (code, told["well"]) == (1, False)
    failed = [check for check in told["checks"] if check["state"] == "failed"]
    assert [check["sentence"] for check in failed] == ["PHONEBOT_PROT is not a setting"]
