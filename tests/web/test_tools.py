"""The functions that the model calls, in whole calls over sockets."""

import asyncio
import json
from typing import Any

import call_tools
import pytest
from aiohttp import web
from service_driver import PROFILE, SHORT_ANSWER, SPEECH, Service, StartService, until
from tool_driver import Waiter, bot_lines, check_replay, shop

from phonebot.agents.profile import Profile
from phonebot.call.actions import BargeIn, Line, RunTool, StopTool
from phonebot.call.inputs import MAX_OUTPUT_CHARACTERS, ToolResult
from phonebot.call.tools import GIVEN_UP
from phonebot.simulator.caller import HangUp, Interrupt, Pause, Press, Say, WaitForQuiet
from phonebot.simulator.mind import Call, Context
from phonebot.simulator.mind import Say as Speak

QUESTION = Say(SPEECH, "a question")
QUIET = WaitForQuiet(300)
FILLER = "One moment please, I look it up for you."


def answered_by(*tools: object) -> Profile:
    return Profile.from_table(PROFILE.model_dump(exclude_none=True) | {"tools": list(tools)}, "test")


async def serve(start: StartService, *calls: Call, tools: tuple[object, ...], **terms: Any) -> Service:
    profile = answered_by(*tools)
    return await start(profile=profile, minds=lambda: Waiter(*calls), PHONEBOT_TOOLS="call_tools", **terms)


@pytest.mark.parametrize("dialect", ["ga", "beta"])
async def test_the_model_calls_a_function_and_speaks_of_what_it_returns(
    start_service: StartService, dialect: str
) -> None:
    service = await serve(
        start_service,
        Call("dish_of_the_day", {"day": "Monday"}),
        tools=("dish_of_the_day",),
        PHONEBOT_MODEL_DIALECT=dialect,
    )
    await service.dial(QUIET, QUESTION, QUIET, HangUp(), from_number="+15550100009")
    (witness,) = service.witnesses
    (result,) = witness.saw(ToolResult)
    assert json.loads(result.output) == {"dish": "lentil soup", "for": "+15550100009"}
    assert bot_lines(witness) == ["Hi", 'Told {"dish": "lentil soup", "for":']
    assert witness.troubles == []
    await service.stop()
    check_replay(service.log())


async def test_a_function_may_be_a_request_to_a_host_that_is_allowed(start_service: StartService) -> None:
    asked = []

    async def handle(request: web.Request) -> web.Response:
        asked.append((request.method, request.raw_path, request.headers, await request.json()))
        return web.Response(text="It is on its way.")

    async with shop(handle) as url:
        service = await serve(
            start_service,
            Call("order", {"id": "a/b", "note": "quick"}),
            tools=(
                {
                    "name": "order",
                    "description": "Asks for an order.",
                    "url": f"{url}/orders/{{id}}",
                    "headers": {"Authorization": {"secret": "SHOP"}},
                    "sign_with": "SHOP",
                    "parameters": {
                        "type": "object",
                        "properties": {"id": {"type": "string"}, "note": {"type": "string"}},
                        "required": ["id"],
                    },
                },
            ),
            PHONEBOT_TOOL_HOSTS_ALLOWED="127.0.0.1",
            PHONEBOT_SECRET_SHOP="Bearer x",
        )
        await service.dial(QUIET, QUESTION, QUIET, HangUp())
        await service.stop()
    ((method, path, headers, body),) = asked
    assert (method, path, body) == ("POST", "/orders/a%2Fb", {"note": "quick"})
    assert headers["Authorization"] == "Bearer x"
    assert headers["X-Phonebot-Signature"].startswith("v1=")
    (witness,) = service.witnesses
    assert bot_lines(witness) == ["Hi", "Told It is on its way."]
    assert "Bearer" not in (next(service.calls_dir.iterdir()) / "events.jsonl").read_text()


async def test_while_a_slow_function_runs_the_bot_says_so_and_may_be_interrupted(
    start_service: StartService,
) -> None:
    call_tools.gate = asyncio.Event()
    service = await serve(start_service, Call("look_up", {}), tools=("look_up",))

    def is_answered() -> bool:
        lines = [line.text for witness in service.witnesses for line in witness.saw(Line)]
        return SHORT_ANSWER in lines

    async def open_gate() -> None:
        await until(is_answered)  # nobody waits for the function any more
        call_tools.gate.set()

    opening = asyncio.create_task(open_gate())
    await service.dial(QUIET, QUESTION, Interrupt(400, SPEECH, "never mind"), WaitForQuiet(1_500), HangUp())
    await opening
    (witness,) = service.witnesses
    hello, cut, *others = bot_lines(witness)
    # Whether it is said again before the function ends is a matter of moments.
    assert (hello, [line for line in others if line != FILLER]) == ("Hi", [SHORT_ANSWER, "Told Found."])
    assert FILLER.startswith(cut)
    assert cut != FILLER
    assert [type(each) for each in witness.history if isinstance(each, RunTool | BargeIn | ToolResult)] == [
        RunTool,
        BargeIn,
        ToolResult,
    ]
    await service.stop()
    check_replay(service.log())


async def test_whatever_a_function_does_the_call_goes_on_and_the_model_is_told(start_service: StartService) -> None:
    calls = (
        Call("fail", {}),
        Call("large", {}),
        Call("endless", {}),
        Call("fly", {}),
        Call("dish_of_the_day", {"days": 3}),
        Call("metadata", {}),
        Call("inside", {}),
    )
    asks = {"description": "Asks.", "method": "GET"}
    service = await serve(
        start_service,
        *calls,
        tools=(
            *("fail", "large", "endless", "dish_of_the_day"),
            asks | {"name": "metadata", "url": "https://169.254.169.254/latest"},
            asks | {"name": "inside", "url": "https://localhost:1/"},
        ),
    )
    await service.dial(QUIET, QUESTION, QUIET, QUESTION, QUIET, HangUp())
    (witness,) = service.witnesses
    assert witness.session is not None
    outputs = {
        item.call_id: item.output for item in witness.session.conversation if item.type == "function_call_output"
    }
    names = {item.call_id: item.name for item in witness.session.conversation if item.type == "function_call"}
    told = {names[call_id]: output for call_id, output in outputs.items()}
    failed = "It failed, and nobody knows whether it was done. Tell the caller that it did not work."
    assert told["fail"] == told["metadata"] == told["inside"] == failed
    assert len(told["large"]) == MAX_OUTPUT_CHARACTERS
    assert told["endless"] == GIVEN_UP
    assert told["fly"] == "There is no function fly."
    assert told["dish_of_the_day"].startswith("Not done: the arguments do not fit. day: Field required")
    assert sorted(witness.troubles) == [
        "dish_of_the_day: its arguments do not fit: day: Field required; days: Extra inputs are not permitted",
        "endless: it took more than 0.3 s",
        "fail: it failed: KeyError: 'what only the log may know'",
        "inside: it failed: localhost has the address 127.0.0.1, which is not public",
        "metadata: it failed: 169.254.169.254 is not a public address",
        "the model called a function 'fly' that there is not",
    ]
    assert bot_lines(witness)[-1] == SHORT_ANSWER  # the call went on


@pytest.mark.parametrize(("name", "agrees_by"), [("pay", Press("1")), ("pay_by_word", QUESTION)])
async def test_a_function_that_needs_consent_runs_once_the_caller_has_agreed(
    start_service: StartService, name: str, agrees_by: Any
) -> None:
    class Cashier(Waiter):
        def answer(self, context: Context) -> tuple[Speak | Call, ...]:
            asked = any("Not done yet" in line.text for line in context.history)
            return self._calls if asked and context.heard else super().answer(context)

    service = await start_service(
        profile=answered_by(name), minds=lambda: Cashier(Call(name, {"cents": 500})), PHONEBOT_TOOLS="call_tools"
    )
    await service.dial(QUIET, QUESTION, QUIET, agrees_by, QUIET, HangUp())
    (witness,) = service.witnesses
    assert [result.output for result in witness.saw(ToolResult)] == ["Paid 500."]
    hello, asks, told = bot_lines(witness)
    assert (hello, told) == ("Hi", "Told Paid 500.")
    assert asks.startswith("Told Not done yet")


async def test_a_function_that_runs_when_the_caller_hangs_up_is_stopped(start_service: StartService) -> None:
    call_tools.gate = asyncio.Event()
    service = await serve(start_service, Call("look_up", {}), tools=("look_up",))
    await service.dial(QUIET, QUESTION, Pause(500), HangUp())
    (witness,) = service.witnesses
    assert len(witness.saw(RunTool)) == 1
    assert witness.saw(ToolResult) == []
    assert witness.saw(StopTool) == []
    await service.stop()  # and the fixture sees that no task is left


async def test_what_of_a_profile_the_deployment_does_not_have_is_told_in_the_log(
    start_service: StartService,
) -> None:
    docs = {"mcp": "docs", "server_url": "https://docs.example.com/mcp"}
    service = await serve(start_service, Call("fly", {}), tools=("fly", docs), PHONEBOT_MODEL_DIALECT="beta")
    await service.dial(QUIET, HangUp())
    (witness,) = service.witnesses
    assert [problem.partition(";")[0] for problem in witness.troubles] == [
        'tools[0] is "fly", a function that this deployment does not have',
        "the MCP server docs is left out: the model's service speaks the beta dialect, in which it cannot call MCP"
        " servers",
    ]
