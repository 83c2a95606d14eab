"""
Requests that a profile has sent, by whatever key: to nobody in the network where phonebot runs.

How addresses are looked at, and names that change their mind, is in tests/tools/test_addresses.py.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, get_args
from urllib.parse import urlsplit

import pytest
from pydantic import BaseModel
from service_driver import PATIENCE_S, PROFILE, SPEECH, StartService, until
from sqlalchemy import select

from phonebot.agents.profile import Profile
from phonebot.agents.tools import HttpTool
from phonebot.simulator.caller import HangUp, Say, WaitForQuiet
from phonebot.simulator.mind import Call, Context
from phonebot.simulator.mind import Say as Speak
from phonebot.store.store import Store
from phonebot.store.tables import AfterRow
from phonebot.tools.addresses import Hosts
from phonebot.tools.client import Answer, HttpClient, Request
from phonebot.tools.http import HttpFunction
from phonebot.tools.lookup import look_up
from phonebot.tools.running import ToolContext, ToolFault

QUIET = WaitForQuiet(300)
INSIDE = ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]")

# Each key of a profile that holds an address, and by which of the ways below it is asked.
ASKED = {
    "tools.url": "by a function",
    "lookup.url": "before the call",
    "guardrails.url": "by a guardrail",
    "after_call.url": "after the call",
    "messages.url": "of a message",
    "tools.server_url": "by the model's service, not by us",
}


def addresses(model: type[BaseModel], path: str = "") -> Iterator[str]:
    """The keys of a profile, and of the tables within it, that hold an address. Agents have the same ones."""
    for name, field in model.model_fields.items():
        if name in ("agents", "outbound"):
            continue
        key = f"{path}.{name}" if path else name
        if name.endswith("url"):
            yield key
        for table in _tables(field.annotation):
            yield from addresses(table, key)


def _tables(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from _tables(each)


def test_each_key_that_holds_an_address_is_tried_here() -> None:
    assert set(addresses(Profile)) == ASKED.keys()


class Clerk:
    """Calls each function once, then speaks."""

    def __init__(self) -> None:
        self._calls = [(Call("ask", {"what": "x"}),), (Call("take_message", {"message": "Call me"}),)]

    def answer(self, context: Context) -> tuple[Speak | Call, ...]:
        return self._calls.pop(0) if self._calls and not context.in_writing else (Speak("Well"),)


@asynccontextmanager
async def listener() -> AsyncIterator[tuple[int, list[object]]]:
    """The port of somebody inside, and who has connected to it."""
    came: list[object] = []

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(writer.get_extra_info("peername"))
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], came


def asking(url: str) -> Profile:
    """A profile that has a request sent there in every way that there is."""
    ask = {
        "url": f"{url}/tool/{{what}}",
        "name": "ask",
        "description": "Asks.",
        "parameters": {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]},
    }
    table = PROFILE.model_dump(exclude_none=True) | {
        "tools": [ask, "take_message"],
        "lookup": {"url": f"{url}/lookup/{{caller}}", "values": {"customer": "unknown"}},
        "guardrails": [{"name": "asks", "on": "bot", "url": f"{url}/guardrail", "then": "go_on"}],
        "after_call": {"url": f"{url}/after"},
        "messages": {"url": f"{url}/message"},
        "prompt": "{customer}",
    }
    return Profile.from_table(table, "test")


@pytest.mark.parametrize("host", INSIDE)
async def test_nobody_inside_is_asked_in_any_way_and_the_call_goes_on(
    start_service: StartService, store: Store, host: str
) -> None:
    async with listener() as (port, came):
        service = await start_service(store=store, profile=asking(f"https://{host}:{port}"), minds=Clerk)
        record = await service.dial(QUIET, Say(SPEECH), QUIET, HangUp())
        assert record.passed, record
        await until(lambda: not service.live)
        await _told_of(store)
        assert came == []


async def test_who_is_allowed_is_asked_in_every_way(start_service: StartService, store: Store) -> None:
    """So it is not for another reason that nobody was."""
    async with listener() as (port, came):
        profile = asking(f"https://127.0.0.1:{port}")
        service = await start_service(
            store=store, profile=profile, minds=Clerk, PHONEBOT_TOOL_HOSTS_ALLOWED="127.0.0.1"
        )
        await service.dial(QUIET, Say(SPEECH), QUIET, HangUp())
        await until(lambda: len(came) >= len(ASKED) - 1)


async def _told_of(store: Store) -> None:
    """Wait until it was tried to tell of the call, and of its message; it must have been refused as not public."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with store.database.read() as session:
                rows = (await session.scalars(select(AfterRow))).all()
            if len(rows) == 2 and all(row.problem for row in rows):
                break
            await asyncio.sleep(0.05)
    assert all("not a public address" in str(row.problem) or "is not public" in str(row.problem) for row in rows)


# ---------------------------------------------------------------------------------- what others put into an address

EVIL = (
    *("x@evil.example", "//evil.example", "/../../admin", "..", ".", "x?y=1", "x#y", "%2e%2e", "%2e%2e%2fadmin"),
    *("a\r\nHost: evil.example", "x\\y", "\0", ":8080", "\u202e", "{number}"),
)


def check_still_there(url: str, place: str) -> None:
    """It is for the host and within the path that the profile says, in one segment."""
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("https", "shop.example", "", "")
    assert url.isascii()
    assert url.isprintable()
    before, _, after = place.partition("*")
    assert parts.path.startswith(before)
    assert parts.path.endswith(after)
    segment = parts.path.removeprefix(before).removesuffix(after)
    assert "/" not in segment
    assert segment not in (".", "..")


def test_what_the_model_says_does_not_change_whom_a_request_is_sent_to() -> None:
    (entry,) = asking("https://shop.example").tools[:1]
    assert isinstance(entry, HttpTool)
    function, context = HttpFunction(entry, {}, HttpClient(Hosts())), ToolContext("CA1", "", "")
    refused = 0
    for value in EVIL:
        try:
            request = function.request(json.dumps({"what": value}), context)
        except ToolFault:
            refused += 1
        else:
            check_still_there(request.url, "/tool/*")
    assert refused == 2  # . and ..


async def test_what_a_caller_is_called_does_not_change_whom_a_lookup_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody can call from any address: SIP has no rules for it."""
    asked: list[str] = []

    async def exchange(_: HttpClient, request: Request) -> Answer:
        asked.append(request.url)
        return Answer(404, "")

    monkeypatch.setattr(HttpClient, "exchange", exchange)
    entry = asking("https://shop.example").lookup
    assert entry is not None
    for value in EVIL:
        await look_up(entry, {}, HttpClient(Hosts()), caller=value, number="", call_sid="CA1")
    assert len(asked) >= len(EVIL) - 2
    for url in asked:
        check_still_there(url, "/lookup/*")
