"""The functions that a profile names: what is taken, and the sentence for what is not."""

from typing import Any

import pytest

from phonebot.agents.profile import Profile
from phonebot.agents.toml import parse, text_of
from phonebot.agents.tools import HttpTool, Known, McpServer
from phonebot.errors import ProfileError

ORDER: dict[str, Any] = {
    "name": "order",
    "description": "Finds an order.",
    "url": "https://shop.example.com/orders/{id}",
    "method": "GET",
    "headers": {"Authorization": {"secret": "SHOP"}, "Accept": "text/plain"},
    "parameters": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
}
DOCS: dict[str, Any] = {"mcp": "docs", "server_url": "https://docs.example.com/mcp", "allowed_tools": ["search"]}


def profile_of(*tools: object, **keys: Any) -> Profile:
    return Profile.from_table({"tools": list(tools), **keys}, "test")


def problem_of(*tools: object, **keys: Any) -> str:
    with pytest.raises(ProfileError) as caught:
        profile_of(*tools, **keys)
    (problem,) = caught.value.problems
    return problem


def test_a_profile_may_name_functions_and_describe_requests_and_servers() -> None:
    name, order, docs = profile_of("book", ORDER, DOCS).tools
    assert name == "book"
    assert isinstance(order, HttpTool)
    assert (order.method, order.timeout_s, order.max_response_bytes) == ("GET", 10, 65_536)
    assert order.secrets == {"SHOP"}
    assert isinstance(docs, McpServer)
    assert (docs.mcp, docs.allowed_tools) == ("docs", ["search"])


def test_a_profile_with_functions_survives_its_text() -> None:
    table = {"name": "desk", "tools": ["book", ORDER, DOCS]}
    text = text_of(table)
    assert parse(text.encode(), "test") == table
    assert [line[:12] for line in text.splitlines()] == [
        'name = "desk',
        "tools = [",
        '  "book",',
        '  { name = "',
        '  { mcp = "d',
        "]",
    ]


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (3, "tools[0] is 3; it must be a function's name"),
        ("two words", 'tools[0] is "two words"; it must be a function\'s name'),
        (
            {"name": "x", "url": "https://example.com"},
            "tools[0].description is missing; it must be text of 1 to 2000 characters, for the model",
        ),
        (ORDER | {"metod": "GET"}, "tools[0].metod is not a known key; the nearest is method"),
        (ORDER | {"method": "FETCH"}, 'tools[0].method is "FETCH"; it must be "GET", "POST", "PUT", "PATCH" or'),
        (ORDER | {"url": "ftp://x.example.com"}, "tools[0].url is not https://HOST/PATH"),
        (ORDER | {"url": "https://{id}.example.com/"}, "tools[0].url has an argument in its host"),
        (ORDER | {"url": "https://u:p@example.com/{id}"}, "tools[0].url holds a user or a password"),
        (ORDER | {"url": "https://example.com/{no}"}, "tools[0] needs no in parameters.properties and .required"),
        (ORDER | {"url": "https://example.com/{id"}, "tools[0].url has a brace without an argument"),
        (ORDER | {"url": "https://example.com/a b"}, "tools[0].url holds a space"),
        (ORDER | {"headers": {"Host": "x"}}, "tools[0].headers holds Host, which phonebot sets itself"),
        (ORDER | {"headers": {"X-Phonebot-Call": "x"}}, "tools[0].headers holds X-Phonebot-Call"),
        (ORDER | {"headers": {"A b": "x"}}, "tools[0].headers holds 'A b', which cannot be the name of a header"),
        (ORDER | {"headers": {"A": "x\r\nB: y"}}, "tools[0].headers is"),
        (ORDER | {"headers": {"A": {"secret": "lower"}}}, "tools[0].headers is"),
        (ORDER | {"headers": {"A": {"secret": "KEY"}}}, "tools[0].headers names the secret KEY, but"),
        (ORDER | {"method": "POST", "sign_with": "KEY"}, "tools[0].sign_with names the secret KEY, but"),
        (ORDER | {"parameters": {"type": "wrong"}}, "tools[0].parameters is no JSON schema"),
        (ORDER | {"parameters": {"type": "array"}}, 'tools[0].parameters must have type = "object"'),
        (
            ORDER | {"parameters": {"type": "object", "properties": {"id": {"$ref": "http://x/"}}}},
            "tools[0].parameters refers to http://x/, outside itself",
        ),
        (ORDER | {"sign_with": "SHOP"}, "tools[0] needs a method with a body for sign_with"),
        (ORDER | {"confirm": {}}, "tools[0].confirm needs either key or words"),
        (ORDER | {"confirm": {"key": "yes"}}, 'tools[0].confirm.key is "yes"; it must be one of the keys'),
        (ORDER | {"timeout_s": 0}, "tools[0].timeout_s is 0; it must be a number of seconds from 0.5 to 120"),
        (DOCS | {"server_url": "http://docs.example.com"}, "tools[0].server_url is not https://HOST/PATH"),
    ],
)
def test_a_wrong_entry_is_refused_with_where_and_why(entry: object, problem: str) -> None:
    assert problem_of(entry).startswith(problem)


def test_two_functions_of_one_name_are_refused() -> None:
    assert problem_of("order", ORDER) == "tools holds order twice"


def test_more_functions_than_a_model_takes_are_refused() -> None:
    assert problem_of(*(f"f{n}" for n in range(65))).endswith("an array of at most 64 functions and tables")


def test_words_that_confirm_need_transcription() -> None:
    asks = ORDER | {"confirm": {"words": ["yes"]}}
    assert problem_of(asks, transcription=False).startswith("tools[0].confirm.words needs transcription")
    profile_of(asks)


def test_what_a_deployment_does_not_have_is_named() -> None:
    tools = profile_of("book", "fly", ORDER | {"url": "http://Shop.internal/{id}"}, DOCS).tools
    known = Known(frozenset({"book"}), frozenset({"SHOP"}), frozenset({"shop.internal"}))
    assert dict(known.problems({"tools": tools})) == {
        "fly": 'tools[1] is "fly", a function that this deployment does not have; there are book'
    }
    assert dict(Known().problems({"tools": tools})).keys() == {"book", "fly", "order"}
    assert [problem for _, problem in Known().problems({"tools": tools[2:]})] == [
        "tools[0] needs the secret SHOP: set PHONEBOT_SECRET_SHOP where phonebot runs",
        "tools[0].url is http://: it must be https://, or PHONEBOT_TOOL_HOSTS_ALLOWED must name shop.internal",
    ]
