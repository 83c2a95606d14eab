"""
The flows that people know: function calling as tutorials show it, hand-offs as the OpenAI Agents SDK does.

Each is held in virtual time and by the whole service, over sockets.
"""

from collections.abc import Iterator

import pytest

from phonebot.rehearsal.phone import Phone
from phonebot.rehearsal.service_line import ServiceLine
from phonebot.rehearsal.virtual_line import VirtualLine
from phonebot.simulator.mind import Call
from phonebot.tools import ToolContext, tool

pytestmark = pytest.mark.slow


@tool
def get_weather(location: str) -> dict[str, object]:
    """Tells the weather at a place."""
    return {"location": location, "temperature_c": 21}


@tool
def faq_lookup_tool(question: str) -> str:
    """Answers what passengers often ask."""
    return "You may bring one bag on the plane." if "bag" in question else "I do not know."


@tool
async def update_seat(confirmation_number: str, new_seat: str, call: ToolContext) -> str:
    """Changes a passenger's seat."""
    call.state["seat"] = new_seat
    return f"Seat {new_seat} for {confirmation_number}."


@pytest.fixture(params=[VirtualLine, ServiceLine], ids=["virtual", "sockets"])
def phone(request: pytest.FixtureRequest) -> Iterator[Phone]:
    phone = Phone(request.param)
    yield phone
    phone.close()


def test_the_tutorials_weather(phone: Phone) -> None:
    phone.profile(greeting="Hello.", tools=["get_weather"])
    phone.tools(get_weather)
    phone.model({"weather": Call("get_weather", {"location": "Lisbon"})}, otherwise="It is warm.")
    phone.dial()
    phone.expect_heard("Hello")
    phone.say("What is the weather in Lisbon?")
    phone.expect_called("get_weather", {"location": "Lisbon"})
    phone.expect_heard("It is warm.")
    phone.hang_up()
    assert phone.transcript == ("bot: Hello.", "caller: What is the weather in Lisbon?", "bot: It is warm.")


def test_the_airline_of_the_agents_sdk(phone: Phone) -> None:
    """Its agents: triage, who hands over to those who answer questions and who book seats, and both back."""
    phone.profile(
        greeting="Welcome aboard.",
        prompt="You are a helpful triaging agent.",
        handoffs=["faq", "seat_booking"],
        agents={
            "faq": {
                "description": "A helpful agent that can answer questions about the airline.",
                "prompt": "You are an FAQ agent.",
                "tools": ["faq_lookup_tool"],
                "handoffs": ["main"],
            },
            "seat_booking": {
                "description": "A helpful agent that can update a seat on a flight.",
                "prompt": "You are a seat booking agent.",
                "tools": ["update_seat"],
                "handoffs": ["main"],
            },
        },
    )
    phone.tools(faq_lookup_tool, update_seat)
    phone.model(
        {
            "how many bags": Call("transfer_to_faq", {}),
            "one bag or two": Call("faq_lookup_tool", {"question": "bags"}),
            "something else": Call("transfer_to_main", {}),
            "my seat": Call("transfer_to_seat_booking", {"note": "He wants another seat."}),
            "seat one a": Call("update_seat", {"confirmation_number": "ABC123", "new_seat": "1A"}),
        },
        otherwise="Yes, please?",
    )
    phone.dial()
    phone.expect_heard("Welcome")
    for says, agent in (
        ("How many bags may I bring?", "faq"),
        ("And something else.", "main"),
        ("I want to change my seat.", "seat_booking"),
    ):
        phone.say(says.lower())
        phone.expect_agent(agent)
        phone.expect_heard("Yes, please?")
    phone.say("seat one a")
    phone.expect_called("update_seat", {"new_seat": "1A"})
    phone.expect_heard("Yes, please?")
    phone.hang_up()
