"""The examples of docs/tools.md do what it says."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from documents import Document
from pydantic import BaseModel

from phonebot.agents.numbers import read_tables
from phonebot.agents.profile import Profile
from phonebot.agents.toml import parse
from phonebot.agents.tools import Confirm, HttpTool, Known, McpServer
from phonebot.rehearsal.phone import Phone
from phonebot.rehearsal.virtual_line import VirtualLine
from phonebot.tools import ToolContext
from phonebot.tools.addresses import Hosts
from phonebot.tools.client import HttpClient
from phonebot.tools.http import HttpFunction
from phonebot.tools.registry import load_function, load_tools
from phonebot.tools.workshop import Workshop

PAGE = Document("tools.md")


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """The Python files of the document can be imported; their modules' names."""
    with PAGE.modules(tmp_path, monkeypatch) as names:
        yield names


def profiles() -> dict[str, Profile]:
    tables = parse("\n".join(PAGE.blocks("toml")).encode(), PAGE.name)
    return {number: each.profile for number, each in read_tables(tables, PAGE.name, Path()).items()}


async def test_the_profiles_name_what_the_deployments_have(examples: set[str]) -> None:
    functions = load_tools("bookings", ())
    known = Known(frozenset(functions), frozenset({"SHOP", "SHOP_SIGNING"}))
    assert [problem for each in profiles().values() for problem in known.problems(each.tool_lists())] == []
    workshop = Workshop(functions, {"SHOP": "Bearer x", "SHOP_SIGNING": "s"})
    offered = [len(workshop.equip(each).offers["main"].rules) for each in profiles().values()]
    assert offered == [2, 2, 0]


def test_the_signature_is_checked_as_it_is_made(examples: set[str]) -> None:
    is_from_phonebot = load_function("checking:is_from_phonebot", "X")
    entry = profiles()["+15550100001"].tools[1]
    assert isinstance(entry, HttpTool)
    function = HttpFunction(entry, {"SHOP_SIGNING": "s"}, HttpClient(Hosts()), unix_s=time.time)
    request = function.request('{"about": "my order"}', ToolContext("CA1"))
    stamp, signature = (request.headers[f"X-Phonebot-{name}"] for name in ("Timestamp", "Signature"))
    assert is_from_phonebot("s", stamp, signature, request.body)
    assert not is_from_phonebot("s", stamp, signature, b"other")
    assert not is_from_phonebot("other", stamp, signature, request.body)
    assert not is_from_phonebot("s", str(int(stamp) - 301), signature, request.body)


def test_the_formatter_words_what_took_too_long(examples: set[str]) -> None:
    formatter = load_function("wording:formatter", "X")
    assert formatter("timeout", "book_table", "it took") == (
        "book_table did not answer. Say that a colleague will call back."
    )
    assert formatter("failed", "book_table", "it broke") is None


def test_the_test_passes(examples: set[str]) -> None:
    test = load_function("test_bookings:test_a_caller_books_a_table", "X")
    phone = Phone(VirtualLine)
    try:
        test(phone)
    finally:
        phone.close()


def test_the_examples_are_all_known(examples: set[str]) -> None:
    assert examples == {"bookings", "checking", "wording", "test_bookings"}


@pytest.mark.parametrize(
    ("section", "tables"),
    [("A request", (("", HttpTool), ("confirm.", Confirm))), ("An MCP server", (("", McpServer),))],
)
def test_each_key_is_documented_with_its_default_and_what_is_allowed(
    section: str, tables: tuple[tuple[str, type[BaseModel]], ...]
) -> None:
    fields = [(prefix + name, info) for prefix, table in tables for name, info in table.model_fields.items()]
    rows = PAGE.rows(section)
    assert {(key, allowed) for key, _, allowed in rows} == {(key, info.description) for key, info in fields}
    for key, info in fields:
        (default,) = (given for name, given, _ in rows if name == key)
        if info.is_required():
            assert default == "required"
        elif isinstance(info.default, str | int | float):
            assert default == f"`{json.dumps(info.default)}`"
