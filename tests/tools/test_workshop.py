"""What of a profile's functions a deployment has, as a call is offered it."""

from typing import Any

import call_tools

from phonebot.agents.profile import Profile
from phonebot.realtime.events import McpTool
from phonebot.tools.functions import Tool
from phonebot.tools.registry import load_tools
from phonebot.tools.workshop import NEEDS_GA, Workshop

DOCS: dict[str, Any] = {
    "mcp": "docs",
    "server_url": "https://docs.example.com/mcp",
    "description": "Our handbook.",
    "allowed_tools": ["search"],
    "headers": {"Authorization": {"secret": "DOCS"}},
}
ORDER: dict[str, Any] = {
    "name": "order",
    "description": "Orders.",
    "url": "https://shop.example.com/orders",
    "timeout_s": 5,
    "fillers": ["One moment."],
    "confirm": {"words": ["yes"], "within_s": 30},
}


def a_workshop(**terms: Any) -> Workshop:
    functions: dict[str, Tool] = load_tools("call_tools", ())
    return Workshop(functions, {"DOCS": "Bearer x"}, **terms)


def profile_of(*tools: object, **keys: Any) -> Profile:
    return Profile.from_table({"tools": list(tools), **keys}, "test")


async def test_a_call_is_offered_what_its_profile_names_in_this_order() -> None:
    offer = a_workshop().equip(profile_of(DOCS, "pay", ORDER)).offers["main"]
    assert [each.name for each in offer.functions] == ["pay", "order"]
    assert offer.functions[0] == call_tools.pay.function
    pay, order = offer.rules
    assert pay == call_tools.pay.rule
    assert (order.name, order.fillers, order.consent and order.consent.within_ms) == (
        "order",
        ("One moment.",),
        30_000,
    )
    assert order.timeout_ms > 6_000  # the function's own limits come first, and say more
    config = {
        "server_url": "https://docs.example.com/mcp",
        "server_description": "Our handbook.",
        "allowed_tools": ["search"],
        "require_approval": "never",
        "headers": {"Authorization": "Bearer x"},
    }
    assert offer.servers == (McpTool("docs", config),)
    assert offer.problems == ()


async def test_what_the_deployment_does_not_have_is_left_out_with_a_sentence() -> None:
    shop = ORDER | {"headers": {"X": {"secret": "SHOP"}}}
    offer = a_workshop().equip(profile_of("fly", shop, "fail")).offers["main"]
    assert [each.name for each in offer.functions] == ["fail"]
    assert [problem.partition(";")[0] for problem in offer.problems] == [
        'tools[0] is "fly", a function that this deployment does not have',
        "tools[1] needs the secret SHOP: set PHONEBOT_SECRET_SHOP where phonebot runs",
    ]


async def test_a_service_that_cannot_call_servers_has_none() -> None:
    offer = a_workshop().equip(profile_of(DOCS), calls_servers=False).offers["main"]
    assert (offer.servers, offer.problems) == ((), (f"the MCP server docs is left out: {NEEDS_GA}",))


async def test_a_function_that_waits_for_words_is_left_out_where_none_are_written_down() -> None:
    offer = a_workshop().equip(profile_of("pay_by_word", "pay", transcription=False)).offers["main"]
    assert [each.name for each in offer.functions] == ["pay"]
    assert offer.problems == (
        "pay_by_word is left out: it waits for words of the caller, which needs transcription",
    )
