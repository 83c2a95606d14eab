"""Who answers, as the database and the file have it."""

from pathlib import Path

import pytest

from phonebot.agents.tools import Known
from phonebot.checkup.check import Check
from phonebot.doctor.profiles import answering
from phonebot.settings import load
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.numbers import NumberStore

DESK, ADA = "+15550100000", Actor("ada")


@pytest.fixture
def numbers(sqlite: Database) -> NumberStore:
    return NumberStore(sqlite)


async def test_profiles_of_the_database_are_read_and_checked(numbers: NumberStore) -> None:
    none = await answering(load({}, None), numbers, Known())
    assert none.checks == [Check("Profiles", "ok", "none in the database: the built-in one answers all")]
    await numbers.save(DESK, {"greeting": "Hello"}, "1", ADA)
    found = await answering(load({}, None), numbers, Known())
    assert found.checks == [Check("Profiles", "ok", "1 number with one, and the built-in one for all others")]
    assert (found.numbers, found.profiles[DESK].greeting) == ([DESK], "Hello")


async def test_a_profile_that_cannot_be_used_is_told_by_number_and_key(numbers: NumberStore) -> None:
    await numbers.save(DESK, {"tools": ["book_table"], "greeting": "Hello"}, "1", ADA)
    await numbers.save("default", {"prompt": 7}, "1", ADA)
    checks = (await answering(load({}, None), numbers, Known())).checks
    assert [(check.name, check.state) for check in checks] == [("Profiles", "failed")] * 2
    assert checks[0].sentence.startswith(f"{DESK}, version 1: ")
    assert "book_table" in checks[0].sentence
    assert checks[1].sentence.startswith("default, version 1: prompt is 7")
    assert "a part of it is left out" in checks[0].remedy


async def test_many_problems_are_cut(numbers: NumberStore) -> None:
    for n in range(12):
        await numbers.save(f"+1555010{n:04}", {"prompt": 7}, "1", ADA)
    checks = (await answering(load({}, None), numbers, Known())).checks
    assert (len(checks), checks[-1].sentence) == (11, "2 problems more")


async def test_the_file_comes_before_the_database(numbers: NumberStore, tmp_path: Path) -> None:
    await numbers.save(DESK, {"greeting": "Old"}, "1", ADA)
    file = tmp_path / "numbers.toml"
    file.write_text(f'["{DESK}"]\ngreeting = "New"\n')
    found = await answering(load({"PHONEBOT_PROFILES": str(file)}, None), numbers, Known())
    assert (found.profiles[DESK].greeting, found.checks[1].state) == ("New", "ok")


async def test_a_file_that_is_wrong_is_told_though_the_database_is_away(tmp_path: Path) -> None:
    file = tmp_path / "numbers.toml"
    file.write_text(f'["{DESK}"]\ngreting = "Hello"\n')
    found = await answering(load({"PHONEBOT_PROFILES": str(file)}, None), None, Known())
    skipped, wrong = found.checks
    assert skipped == Check("Profiles", "skipped", "none can be read: see Database")
    assert (wrong.name, wrong.state, "greting" in wrong.sentence) == ("Profiles file", "failed", True)
    assert "the service does not start" in wrong.remedy
