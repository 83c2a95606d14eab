"""The examples of docs/agents.md do what it says."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from documents import Document

from phonebot.agents.agent import Agent
from phonebot.agents.numbers import read_tables
from phonebot.agents.toml import parse
from phonebot.rehearsal.phone import Phone
from phonebot.rehearsal.virtual_line import VirtualLine
from phonebot.tools.registry import load_function, load_tools
from phonebot.tools.workshop import Workshop

PAGE = Document("agents.md")


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    with PAGE.modules(tmp_path, monkeypatch) as names:
        yield names


def test_the_profile_can_be_loaded_and_each_agent_has_its_functions(modules: set[str]) -> None:
    assert modules == {"clinic_tools", "test_clinic"}
    tables = parse("\n".join(PAGE.blocks("toml")).encode(), PAGE.name)
    (given,) = read_tables(tables, PAGE.name, Path()).values()
    offers = Workshop(load_tools("clinic_tools", ())).equip(given.profile).offers
    assert {name: [rule.name for rule in offer.rules] for name, offer in offers.items()} == {
        "main": ["book_visit"],
        "billing": ["look_up_bill"],
    }
    assert not any(offer.problems for offer in offers.values())


def test_the_test_passes(modules: set[str]) -> None:
    test = load_function("test_clinic:test_a_question_about_a_bill_goes_to_billing", "X")
    phone = Phone(VirtualLine)
    try:
        test(phone)
    finally:
        phone.close()


def test_each_key_is_documented_with_what_is_allowed() -> None:
    documented = {(key, allowed) for key, _, allowed in PAGE.rows()}
    assert documented == {(key, info.description) for key, info in Agent.model_fields.items()}
