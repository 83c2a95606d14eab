"""Functions that run beside a call: what it is told of each, whatever that does."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from phonebot.call.actions import RunTool
from phonebot.call.inputs import MAX_OUTPUT_CHARACTERS, Leave, ToolResult
from phonebot.call.tools import GIVEN_UP
from phonebot.tools import ToolContext, ToolError, tool
from phonebot.tools import toolbox as module
from phonebot.tools.functions import Tool
from phonebot.tools.running import Leaving
from phonebot.tools.threads import Threads
from phonebot.tools.toolbox import Toolbox
from phonebot.tools.wording import Formatter, Wording

FAILED = "It failed, and nobody knows whether it was done. Tell the caller that it did not work."


@tool
async def fetch(what: str) -> str:
    "Fetches."
    return f"Here is {what}."


@tool
async def refuse() -> str:
    "Refuses."
    raise ToolError("There is no table free.")


@tool
async def fail() -> str:
    "Fails."
    raise KeyError("secret")


@tool
def leave() -> str:
    "Wants to end the process."
    raise SystemExit(3)


@tool(timeout_s=0.05)
async def endless() -> str:
    "Never ends."
    await asyncio.Event().wait()
    return ""


@tool(timeout_s=0.05)
async def stubborn() -> str:
    "Does not let itself be cancelled."
    for _ in range(2):
        try:
            await asyncio.sleep(0.2)
        except asyncio.CancelledError:
            continue
    return "too late"


@tool
async def large() -> str:
    "Returns 10 MB."
    return "x" * 10_000_000


@tool
async def cancelled() -> str:
    "Cancels itself."
    raise asyncio.CancelledError


TOOLS: dict[str, Tool] = {
    each.name: each for each in (fetch, refuse, fail, leave, endless, stubborn, large, cancelled)
}


def a_toolbox(formatter: Formatter | None = None) -> Toolbox:
    return Toolbox(TOOLS, ToolContext("CA1"), Wording(formatter), Threads().run)


async def result_of(name: str, arguments: str = "{}", formatter: Formatter | None = None) -> ToolResult:
    toolbox, results = a_toolbox(formatter), asyncio.Queue[ToolResult]()
    toolbox.run(RunTool("call_1", name, arguments), results.put_nowait)
    assert results.empty()  # never before `run` has returned
    async with asyncio.timeout(10):
        result = await results.get()
        await toolbox.close()
    assert results.empty()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return result


async def test_what_a_function_returns_is_its_result() -> None:
    assert await result_of("fetch", '{"what": "soup"}') == ToolResult("call_1", "Here is soup.")


@pytest.mark.parametrize(
    ("name", "output", "problem"),
    [
        ("refuse", "There is no table free.", "it says: There is no table free."),
        ("fail", FAILED, "it failed: KeyError: 'secret'"),
        ("leave", FAILED, "it failed: SystemExit: 3"),
        ("endless", GIVEN_UP, "it took more than 0.05 s"),
        ("stubborn", GIVEN_UP, "it took more than 0.05 s"),
        ("cancelled", FAILED, "it failed: it was cancelled from within"),
        (
            "fetch",
            "Not done: the arguments do not fit. what: Field required. Correct them; ask the caller if need be.",
            "its arguments do not fit: what: Field required",
        ),
    ],
)
async def test_whatever_a_function_does_the_model_is_told_a_sentence_and_the_log_why(
    name: str, output: str, problem: str
) -> None:
    assert await result_of(name) == ToolResult("call_1", output, problem)


async def test_a_result_that_is_too_long_is_cut_and_says_so() -> None:
    result = await result_of("large")
    assert len(result.output) == MAX_OUTPUT_CHARACTERS
    assert result.output.endswith("x [cut: it was longer than can be told]")


async def test_a_deployment_may_word_what_the_model_is_told() -> None:
    seen = []

    def formatter(kind: str, name: str, message: str) -> str | None:
        seen.append((kind, name, message))
        return None if kind == "timeout" else f"{name}: {kind}!"

    outputs = [
        (await result_of(name, formatter=formatter)).output for name in ("refuse", "fail", "endless", "fetch")
    ]
    assert outputs == ["refuse: failed!", "fail: failed!", GIVEN_UP, "fetch: arguments!"]
    assert seen == [
        ("failed", "refuse", "There is no table free."),
        ("failed", "fail", "KeyError: 'secret'"),
        ("timeout", "endless", "it took more than 0.05 s"),
        ("arguments", "fetch", "what: Field required"),
    ]


@pytest.mark.parametrize("formatter", [lambda kind, name, message: 1 / 0, lambda kind, name, message: 3])
async def test_a_formatter_that_fails_changes_nothing(formatter: Callable[..., Any]) -> None:
    assert (await result_of("refuse", formatter=formatter)).output == "There is no table free."


async def test_a_function_that_is_stopped_gives_no_result() -> None:
    toolbox, results = a_toolbox(), list[ToolResult]()
    toolbox.run(RunTool("call_1", "fetch", '{"what": "soup"}'), results.append)
    toolbox.stop("call_1")
    toolbox.stop("call_2")  # of which nobody knows
    await toolbox.close()
    assert results == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_end_of_a_call_waits_for_no_function_that_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "CLOSE_S", 0.01)
    go_on = asyncio.Event()

    @tool
    async def deaf() -> str:
        "Hears no cancellation."
        while not go_on.is_set():
            try:
                await go_on.wait()
            except asyncio.CancelledError:
                continue
        return ""

    toolbox = Toolbox({"deaf": deaf}, ToolContext("CA1"), Wording(), Threads().run)
    toolbox.run(RunTool("call_1", "deaf", "{}"), lambda result: None)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with caplog.at_level(logging.WARNING):
        await toolbox.close()
    assert "tool deaf goes on after the call's end" in caplog.text
    go_on.set()
    while asyncio.all_tasks() != {asyncio.current_task()}:
        await asyncio.sleep(0)


@tool
async def check_pin(pin: str) -> str:
    "Checks."
    if pin == "1111":
        raise ToolError(f"{pin} is out of date.")
    if pin == "2222":
        raise KeyError(pin)
    return f"{pin} is right."


PIN = '{"pin": "{keys}"}'


@pytest.mark.parametrize(
    ("keys", "keyless", "output", "problem"),
    [
        ("2468", (), "{keys} is right.", None),
        ("1111", (), "{keys} is out of date.", "it says: {keys} is out of date."),
        ("2222", (), FAILED, "it failed: KeyError: '{keys}'"),
        ("", (), "{keys} is right.", None),
        ("12", (), "12 is right.", None),  # no secret: texts are full of such numbers
        ("2468", ("check_pin",), "{keys} is right.", None),
    ],
)
async def test_hidden_keys_are_given_to_the_function_and_told_to_nobody(
    keys: str, keyless: tuple[str, ...], output: str, problem: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    context = ToolContext("CA1", hidden_keys=lambda: keys)
    toolbox = Toolbox({"check_pin": check_pin}, context, Wording(None), Threads().run, keyless)
    result = await toolbox.result(RunTool("call_1", "check_pin", PIN))
    assert result == ToolResult("call_1", output, problem)
    assert not keys or len(keys) < 3 or keys not in caplog.text


async def test_hidden_keys_are_not_said_when_the_bot_leaves() -> None:
    @tool
    async def leave(pin: str) -> Leaving:
        "Leaves."
        return Leaving("Said.", Leave(f"Your code is {pin}."))

    context = ToolContext("CA1", hidden_keys=lambda: "2468")
    toolbox = Toolbox({"leave": leave}, context, Wording(None), Threads().run)
    result = await toolbox.result(RunTool("call_1", "leave", PIN))
    assert result.leave == Leave("Your code is {keys}.")


async def test_what_a_function_is_given_are_the_keys() -> None:
    given: list[str] = []

    @tool
    async def take(pin: str, other: str = "") -> str:
        "Takes."
        given.append(pin + other)
        return ""

    for keyless in ((), ("take",)):
        context = ToolContext("CA1", hidden_keys=lambda: "24*8")
        toolbox = Toolbox({"take": take}, context, Wording(None), Threads().run, keyless)
        await toolbox.result(RunTool("call_1", "take", '{"pin": "{keys}", "other": "-{keys}"}'))
    assert given == ["24*8-24*8", "{keys}-{keys}"]
