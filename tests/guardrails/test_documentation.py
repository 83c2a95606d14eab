"""The examples of docs/guardrails.md do what it says."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents import Document

from phonebot.agents.guardrails import Guardrail, problems
from phonebot.agents.numbers import read_tables
from phonebot.agents.toml import parse
from phonebot.agents.tools import Known
from phonebot.rehearsal.phone import Phone
from phonebot.rehearsal.virtual_line import VirtualLine
from phonebot.tools.registry import load_function, load_guardrails

PAGE = Document("guardrails.md")


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    with PAGE.modules(tmp_path, monkeypatch) as names:
        yield names


def test_the_profile_can_be_loaded_and_the_deployment_has_what_it_names(modules: set[str]) -> None:
    assert modules == {"clinic_rails", "test_rails"}
    tables = parse("\n".join(PAGE.blocks("toml")).encode(), PAGE.name)
    (given,) = read_tables(tables, PAGE.name, Path()).values()
    known = Known(guardrails=frozenset(load_guardrails("clinic_rails", ())))
    assert list(problems(given.profile.guardrail_lists(), known)) == []
    assert [len(each) for each in given.profile.guardrail_lists().values()] == [5]


def test_the_test_passes(modules: set[str]) -> None:
    test = load_function("test_rails:test_the_clinic_gives_no_advice", "X")
    phone = Phone(VirtualLine)
    try:
        test(phone)
    finally:
        phone.close()


def test_each_key_is_documented_with_its_default_and_what_is_allowed() -> None:
    rows = PAGE.rows()
    assert {(key, allowed) for key, _, allowed in rows} == {
        (key, info.description) for key, info in Guardrail.model_fields.items()
    }
    for key, info in Guardrail.model_fields.items():
        (default,) = (given for name, given, _ in rows if name == key)
        if info.is_required():
            assert default == "required"
        elif isinstance(info.default, str | int | float):
            assert default == f"`{json.dumps(info.default)}`"
