"""The function take_message: what the model sees of it, what is kept, and what the model is told."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from phonebot.agents.profile import Profile
from phonebot.messages.inbox import MessageLost
from phonebot.messages.note import Note
from phonebot.messages.taking import LOST, MAX_OF_CALL, NOTED, NOTED_ALREADY, TakeMessage
from phonebot.tools.running import Runnable, ToolContext, ToolError, ToolFault

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
CALL = ("CA1", "+15550100123", "+15550100000", "Front desk")
MESSAGE = "He wants to move the table to Sunday."


class Desk:
    """Keeps what it is given, unless it is away."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self.is_away = False

    async def take(self, note: Note) -> None:
        if self.is_away:
            raise MessageLost("no database, no disk")
        self.notes.append(note)

    def function(self, **messages: Any) -> Runnable:
        made = TakeMessage(self.take, lambda: NOW).made_for(Profile.from_table({"messages": messages}, "test"))
        assert not isinstance(made, str)
        return made


async def blocking(work: Any) -> Any:
    raise AssertionError("nothing of it blocks")


async def said(function: Runnable, call: ToolContext | None = None, **arguments: Any) -> object:
    return await function.run(json.dumps({"message": MESSAGE} | arguments), call or ToolContext(*CALL), blocking)


async def test_all_that_the_caller_said_is_kept() -> None:
    desk = Desk()
    function = desk.function(url="https://crm.example.com/", sign_with="CRM", people=["Rosa"])
    assert await said(function, name="Ada", number="030 1234", for_whom="Rosa", urgent=True) == NOTED
    (note,) = desk.notes
    assert note == Note(
        message_id=note.message_id,
        call_sid="CA1",
        taken_at=NOW,
        number="+15550100000",
        profile_name="Front desk",
        from_number="+15550100123",
        text=MESSAGE,
        name="Ada",
        call_back="030 1234",
        for_whom="Rosa",
        urgent=True,
        tell={"url": "https://crm.example.com/", "headers": {}, "sign_with": "CRM", "timeout_s": 10.0},
    )


@pytest.mark.parametrize(
    ("caller", "call_back"), [("+15550100123", "+15550100123"), ("anonymous", ""), ("", ""), ("sip:x@y.z", "")]
)
async def test_without_a_number_he_is_called_back_where_he_calls_from(caller: str, call_back: str) -> None:
    desk = Desk()
    await said(desk.function(), ToolContext("CA1", caller))
    assert (desk.notes[0].call_back, desk.notes[0].from_number) == (call_back, caller or "unknown")


def test_the_model_is_told_for_whom_messages_may_be() -> None:
    properties = Desk().function(people=["Rosa", "the kitchen"]).function.parameters["properties"]
    assert properties["for_whom"]["enum"] == ["Rosa", "the kitchen"]
    assert "call" not in properties
    assert "enum" not in Desk().function().function.parameters["properties"]["for_whom"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"for_whom": "Nobody"}, "must be one of Rosa, the kitchen, or left out"),
        ({"message": ""}, "message: String should have at least 1 character"),
        ({"message": "x" * 4001}, "message: String should have at most 4000 characters"),
        ({"number": "1" * 41}, "number: String should have at most 40 characters"),
        ({"to": "+15550100666"}, "to: Extra inputs are not permitted"),
    ],
)
async def test_what_does_not_fit_is_told_to_the_model_and_not_kept(arguments: dict[str, Any], problem: str) -> None:
    desk = Desk()
    with pytest.raises(ToolFault) as fault:
        await said(desk.function(people=["Rosa", "the kitchen"]), **arguments)
    assert problem in fault.value.message
    assert desk.notes == []


async def test_what_controls_terminals_and_pages_is_taken_out_and_lines_stay() -> None:
    desk = Desk()
    await said(desk.function(), message="One\x1b[2J\ntwo\x00", name="A\nB")
    assert (desk.notes[0].text, desk.notes[0].name) == ("One [2J\ntwo", "A B")
    with pytest.raises(ToolError, match="The message is empty"):
        await said(desk.function(), message=" \x00\n")


async def test_the_same_message_is_taken_once_in_a_call() -> None:
    desk, call = Desk(), ToolContext(*CALL)
    function = desk.function()
    assert await said(function, call) == NOTED
    assert await said(function, call) == NOTED_ALREADY
    assert await said(function, call, urgent=True, name="Ada") == NOTED
    assert await said(function) == NOTED
    assert len({note.message_id for note in desk.notes}) == len(desk.notes) == 3


async def test_a_call_leaves_only_so_many() -> None:
    desk, call = Desk(), ToolContext(*CALL)
    function = desk.function()
    for nth in range(MAX_OF_CALL):
        await said(function, call, message=f"Message {nth}")
    with pytest.raises(ToolError, match="has left 10 messages already"):
        await said(function, call)
    assert len(desk.notes) == MAX_OF_CALL


async def test_one_that_could_not_be_noted_is_not_said_to_be_and_may_be_given_again() -> None:
    desk, call = Desk(), ToolContext(*CALL)
    function, desk.is_away = desk.function(), True
    with pytest.raises(ToolError) as error:
        await said(function, call)
    assert str(error.value) == LOST
    desk.is_away = False
    assert await said(function, call) == NOTED


def test_without_a_place_for_messages_the_function_is_left_out() -> None:
    made = TakeMessage(None).made_for(Profile())
    assert made == "without a database messages cannot be kept"
