"""From a typed function to one that a model may call."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from phonebot.call.inputs import MAX_OUTPUT_CHARACTERS
from phonebot.call.plan import Consent, ToolRule
from phonebot.tools import Tool, ToolContext, tool
from phonebot.tools.functions import DONE, as_text
from phonebot.tools.running import GRACE_MS, ToolFault
from phonebot.tools.threads import Threads

CONTEXT = ToolContext("CA1", "+15550100001", "+15550100002", "desk")


async def at_once(function: Callable[[], Any]) -> Any:
    return function()


async def run(made: Tool, arguments: str = "{}", context: ToolContext = CONTEXT) -> str:
    output = await made.run(arguments, context, at_once)
    assert isinstance(output, str)
    return output


class Room(Enum):
    GARDEN = "garden"
    HALL = "hall"


class Guest(BaseModel):
    name: str
    age: int | None = None


@tool
def book(
    day: date,
    guests: Annotated[int, Field(ge=1, le=12, description="how many come")],
    room: Room = Room.HALL,
    who: list[Guest] | None = None,
    copy: Literal["mail", "none"] = "none",
) -> str:
    """
    Books a table.

    Ask for the day first.
    """
    return f"{day:%d.%m.} {guests} {room.name} {[guest.name for guest in who or []]} {copy}"


def test_the_model_sees_the_name_the_docstring_and_the_parameters() -> None:
    assert book.function.name == "book"
    assert book.function.description == "Books a table.\n\nAsk for the day first."
    schema = book.function.parameters
    assert schema["required"] == ["day", "guests"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["guests"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 12,
        "description": "how many come",
    }
    assert schema["properties"]["day"] == {"type": "string", "format": "date"}
    assert "title" not in str(schema)


def test_a_function_without_parameters_has_an_object_of_none() -> None:
    @tool
    def ring() -> None:
        "Rings."

    assert ring.function.parameters == {"type": "object", "properties": {}, "additionalProperties": False}


async def test_arguments_come_as_the_types_say() -> None:
    given = '{"day": "2026-05-01", "guests": 4, "room": "garden", "who": [{"name": "Ada"}]}'
    assert await run(book, given) == "01.05. 4 GARDEN ['Ada'] none"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("{", "Invalid JSON"),
        ("[]", "Input should be an object"),
        ("{}", "day: Field required; guests: Field required"),
        ('{"day": "2026-05-01", "guests": 13}', "guests: Input should be less than or equal to 12"),
        ('{"day": "tomorrow", "guests": 1}', "day: Input should be a valid date"),
        ('{"day": "2026-05-01", "guests": 1, "x": 1}', "x: Extra inputs are not permitted"),
    ],
)
async def test_arguments_that_do_not_fit_are_refused_with_what_is_wrong(arguments: str, problem: str) -> None:
    with pytest.raises(ToolFault) as caught:
        await run(book, arguments)
    assert caught.value.kind == "arguments"
    assert caught.value.message.startswith(problem)


async def test_a_function_gets_the_call_and_shares_its_state_with_the_others() -> None:
    @tool
    async def note(call: ToolContext, text: str) -> str:
        "Notes."
        call.state["note"] = text
        return f"{call.call_sid} {call.caller} {call.number} {call.profile}"

    @tool
    async def read(call: ToolContext) -> str:
        "Reads."
        return str(call.state["note"])

    assert list(note.function.parameters["properties"]) == ["text"]
    context = ToolContext("CA1", "+15550100001", "+15550100002", "desk")
    assert await run(note, '{"text": "milk"}', context) == "CA1 +15550100001 +15550100002 desk"
    assert await run(read, context=context) == "milk"


async def test_a_function_that_blocks_runs_in_a_thread() -> None:
    @tool
    def where() -> str:
        "Tells."
        return threading.current_thread().name

    assert await where.run("{}", CONTEXT, Threads().run) == "phonebot-tool"


async def test_what_a_thread_raises_comes_back() -> None:
    def fails() -> None:
        raise StopIteration

    with pytest.raises(RuntimeError, match="StopIteration"):
        await Threads().run(fails)


async def test_no_more_functions_run_in_threads_than_there_are() -> None:
    threads, first, second = Threads(1), threading.Event(), threading.Event()
    one = asyncio.create_task(threads.run(first.wait))
    other = asyncio.create_task(threads.run(second.is_set))
    second.set()
    first.set()
    assert [await one, await other] == [True, True]


def test_options_become_the_rule_of_the_call() -> None:
    @tool(name="pay", timeout_s=5, fillers=("One moment.",), filler_s=2, confirm_key="1", answers=False)
    def _pay(cents: int) -> None:
        "Pays."

    rule = ToolRule("pay", 5_000 + GRACE_MS, ("One moment.",), 2_000, Consent(key="1"), answers=False)
    assert _pay.rule == rule
    assert _pay.timeout_s == 5
    asks = tool(confirm_words=("yes",))(lambda_with_doc)
    assert asks.rule.consent == Consent(words=("yes",))


def lambda_with_doc() -> None:
    "Does."


def test_a_function_can_still_be_called_as_one() -> None:
    assert book(date(2026, 5, 1), 2) == "01.05. 2 HALL [] none"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("def f(): pass", "f has no docstring"),
        ("def f(x): 'F.'", "f: x has no type"),
        ("def f(*x: int): 'F.'", r"which \*x: int does not take"),
        ("def f(x: int, /): 'F.'", "which x: int does not take"),
        ("def f(x: int = Field(description='n')): 'F.'", "write x: Annotated"),
    ],
)
def test_a_function_that_a_model_cannot_call_is_refused(source: str, problem: str) -> None:
    names: dict[str, Any] = {"Field": Field}
    exec(source, names)
    with pytest.raises(TypeError, match=problem):
        tool(names["f"])


@pytest.mark.parametrize(
    "options",
    [
        {"name": "two words"},
        {"confirm_key": "12"},
        {"confirm_key": "1", "confirm_words": ("yes",)},
        {"timeout_s": 0},
        {"fillers": "One moment."},
    ],
)
def test_options_without_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        tool(**options)(lambda_with_doc)


# ------------------------------------------------------------------------------------------- results


@dataclass
class Dish:
    name: str
    day: date


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("as it is", "as it is"),
        (None, DONE),
        ({"a": [1, None, "ü"]}, '{"a": [1, null, "ü"]}'),
        (Dish("soup", date(2026, 5, 1)), '{"name": "soup", "day": "2026-05-01"}'),
        ([Guest(name="Ada")], '[{"name": "Ada", "age": null}]'),
        (True, "true"),
    ],
)
def test_a_result_becomes_text(result: object, text: str) -> None:
    assert as_text(result) == text


def test_of_a_large_result_not_much_more_is_made_than_can_be_told() -> None:
    made = as_text(["x" * 100] * 1_000_000)
    assert MAX_OUTPUT_CHARACTERS < len(made) < MAX_OUTPUT_CHARACTERS + 1_000


def endless() -> Iterator[int]:
    while True:
        yield 1


@pytest.mark.parametrize("result", [object(), {(1, 2): 3}, endless(), [endless()]])
def test_a_result_that_is_no_json_is_a_fault(result: object) -> None:
    with pytest.raises(ToolFault) as caught:
        as_text(result)
    assert caught.value.message == "its result cannot be told"


def test_a_result_that_holds_itself_is_a_fault() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ToolFault):
        as_text(loop)
