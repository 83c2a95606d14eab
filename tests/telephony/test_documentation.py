"""The examples of docs/telephony.md do what it says, and it says what may stand in a profile."""

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from documents import Document
from pydantic import BaseModel

from phonebot.after.payload import message_body
from phonebot.agents.answering import answer, with_history
from phonebot.agents.history import History
from phonebot.agents.hours import Closed, Hours
from phonebot.agents.keypad import Keys
from phonebot.agents.manners import Limits, NoInput
from phonebot.agents.messages import Messages
from phonebot.agents.outbound import Outbound
from phonebot.agents.transfers import Destination, Transfer, chain
from phonebot.call.limits import NoInput as NoInputPlan
from phonebot.call.limits import Words
from phonebot.call.planning import plan_for
from phonebot.caps.bell import body_of as alarm_body
from phonebot.caps.watch import CapAlarm
from phonebot.deployment import workshop_for
from phonebot.messages.note import Note
from phonebot.messages.taking import TakeMessage
from phonebot.realtime.prices import LISTED
from phonebot.settings import load
from phonebot.tools.running import ToolContext

PAGE = Document("telephony.md")
TABLES: dict[str, type[BaseModel]] = {
    "transfer": Transfer,
    "destinations.NAME": Destination,
    "messages": Messages,
    "history": History,
    "hours": Hours,
    "hours.closed": Closed,
    "outbound": Outbound,
    "limits": Limits,
    "no_input": NoInput,
    "keys": Keys,
}
profiles = PAGE.profiles


@pytest.mark.parametrize("prefix", TABLES)
def test_each_key_is_documented_with_its_default_and_what_is_allowed(prefix: str) -> None:
    rows = re.findall(rf"^\| `{re.escape(prefix)}\.([a-z_]+)` \| .*\| (.+) \| (.+) \|$", PAGE.text, re.MULTILINE)
    fields = TABLES[prefix].model_fields
    assert {(key, allowed) for key, _, allowed in rows} == {(key, info.description) for key, info in fields.items()}
    for key, default, _ in rows:
        assert (default == "required") == fields[key].is_required()
        if isinstance(fields[key].default, str | int | float):
            assert default == f"`{json.dumps(fields[key].default)}`"


def test_the_examples_of_transfers_reach_whom_it_says() -> None:
    put_through, asked_first = profiles("Transfers").values()
    reached = {name: [other for other, _ in chain(put_through.reachable, name)] for name in put_through.reachable}
    assert reached == {"default": ["default"], "kitchen": ["kitchen", "default"], "parties": ["parties"]}
    assert asked_first.transfer.warm
    assert list(asked_first.reachable) == ["default"]


@pytest.mark.parametrize(
    ("section", "functions"),
    [
        ("Hanging up", ["end_call"]),
        ("Keys at the other end", ["press_keys", "end_call"]),
        ("Languages", ["set_language"]),
    ],
)
def test_the_examples_of_functions_have_them(section: str, functions: list[str]) -> None:
    (profile,) = profiles(section).values()
    offer = workshop_for(load({}, env_file=None)).equip(profile).offers["main"]
    assert ([rule.name for rule in offer.rules], offer.problems) == (functions, ())


def test_the_example_of_languages_offers_those_that_it_names() -> None:
    (profile,) = profiles("Languages").values()
    (function,) = workshop_for(load({}, env_file=None)).equip(profile).offers["main"].functions
    assert function.parameters["properties"]["language"]["enum"] == ["en-US", "de-DE", "es-MX"]


def told_at_edges() -> Iterator[tuple[str, str]]:
    yield "2026-11-27T00:30-05:00", "closed until 12:00"
    yield "2026-11-27T22:00-05:00", "open until Saturday 28 November, 01:00"
    yield "2026-11-29T12:00-05:00", "closed until Tuesday 1 December, 17:00"
    yield "2026-12-24T17:00-05:00", "closed until Tuesday 29 December, 17:00"


@pytest.mark.parametrize(("at", "told"), list(told_at_edges()))
def test_the_example_of_hours_is_answered_by_them(at: str, told: str) -> None:
    profile = profiles("Hours")["+15550100000"]
    answered = answer(profile, datetime.fromisoformat(at).astimezone(ZoneInfo("UTC")))
    assert answered.values["open"] == told
    assert (answered.profile.greeting != profile.greeting) == told.startswith("closed")
    assert answered.profile.prompt.endswith("book nothing.") == told.startswith("closed")


def test_the_examples_without_the_bot_are_as_it_says() -> None:
    examples = profiles("Hours")
    sunday = datetime(2026, 11, 29, 12, tzinfo=ZoneInfo("UTC"))
    then = {number: closed.then for number, each in examples.items() if (closed := answer(each, sunday).closed)}
    assert then == {"+15550100000": "talk", "+15550100001": "say", "+15550100002": "transfer"}


def test_the_example_of_messages_is_taken_and_told_as_it_says() -> None:
    (profile,) = profiles("Messages").values()
    notes: list[Note] = []

    async def take(note: Note) -> None:
        notes.append(note)

    function = TakeMessage(take, lambda: datetime(2026, 11, 27, 12, tzinfo=ZoneInfo("UTC"))).made_for(profile)
    assert not isinstance(function, str)
    block = next(each for each in PAGE.blocks("json") if "message_id" in each)
    documented = json.loads(block)
    call = ToolContext(documented["call_sid"], documented["from"], documented["to"], documented["profile"])
    said = {"message": documented["message"], "name": documented["name"], "for_whom": documented["for"]}

    async def blocking(work: object) -> object:
        raise AssertionError("nothing of it blocks")

    asyncio.run(function.run(json.dumps(said), call, blocking))
    (note,) = notes
    assert note.tell is not None
    assert (note.tell["url"], note.tell["sign_with"]) == ("https://crm.example.com/messages", "CRM")
    row = note.row()
    row.message_id = documented["message_id"]
    assert json.loads(message_body(row, page_url=documented["page_url"])) == documented


def test_the_example_of_history_has_its_place_in_the_prompt() -> None:
    (profile,) = profiles("History").values()
    assert with_history(profile, "He called.") is profile
    assert answer(profile, datetime(2026, 11, 27, tzinfo=ZoneInfo("UTC"))).values == {
        "history": "none that is known"
    }


def test_the_example_of_silence_asks_and_leaves_as_it_says() -> None:
    (profile,) = profiles("Silence").values()
    plan = plan_for(profile, caller="", number="", now=datetime.now(ZoneInfo("UTC")))
    assert plan.no_input == NoInputPlan(
        6_000, 2, Words("Are you still there?"), Words("Then I hang up now. Please call again.")
    )


def test_the_example_of_limits_watches_time_and_money() -> None:
    profile = profiles("Limits")["+15550100004"]
    plan = plan_for(profile, caller="", number="", now=datetime.now(ZoneInfo("UTC")), model="gpt-realtime-2.1")
    assert plan.max_call_ms == 600_000
    assert plan.limits.most_usd == 2.5
    assert plan.tariff == LISTED.tariff("gpt-realtime-2.1", "gpt-4o-mini-transcribe")
    assert plan.limits.goodbye.text.startswith("I have to end this call now.")
    assert plan.problems == ()


def test_the_example_of_a_days_cap_and_its_alarm_are_as_it_says() -> None:
    profile = profiles("Limits")["+15550100005"]
    assert (profile.max_cost_per_day_usd, profile.transfer_to) == (20, "+15550100009")
    block = next(each for each in PAGE.blocks("json") if "spending_cap" in each)
    alarm = CapAlarm(date(2026, 11, 27), "number_day", "reached", "+15550100005", 20.013, 20.0)
    assert json.loads(alarm_body(alarm)) == json.loads(block)
