"""Rehearsals: `pytest` holds these calls in virtual time, with the profile of numbers.toml."""

import sqlite3
from pathlib import Path

import pytest
from survey import note_answer

from phonebot.rehearsal.phone import Phone


@pytest.fixture
def results(phone: Phone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of results of a phone that reaches the survey, as somebody who calls back."""
    monkeypatch.setenv("SURVEY_DB", str(tmp_path / "survey.db"))
    phone.tools(note_answer)
    phone.model(Path(__file__).with_name("script.toml"))
    phone.dial(number="+15550100003", caller="+15550100011")
    phone.expect_heard("three short questions")
    return tmp_path / "survey.db"


def answers(results: Path) -> list[tuple[str, int, str]]:
    with sqlite3.connect(results) as rows:
        found = rows.execute("SELECT person, question, answer FROM answers ORDER BY question").fetchall()
    rows.close()
    return found


def test_three_answers_are_noted(phone: Phone, results: Path) -> None:
    phone.say("Yes, please.")
    phone.expect_heard("on time")
    phone.say("No, it was not.")
    phone.expect_heard("From one to five")
    phone.press("4")
    phone.expect_heard("travel with us again")
    phone.say("Yes, of course.")
    phone.expect_heard("That was all")
    assert answers(results) == [("+15550100011", 1, "no"), ("+15550100011", 2, "4"), ("+15550100011", 3, "yes")]


def test_who_has_no_time_is_let_go(phone: Phone, results: Path) -> None:
    phone.say("No, thank you.")
    phone.expect_heard("I will not keep you")
    phone.expect_hung_up("bot_hung_up")
    assert phone.functions == (("end_call", {}),)


def test_who_wants_no_calls_has_opted_out(phone: Phone, results: Path) -> None:
    phone.say("Please do not call me again.")
    phone.expect_called("opt_out")
    phone.expect_heard("You will not be called again")
