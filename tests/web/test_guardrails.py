"""Guardrails, in whole calls over sockets."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from service_driver import PROFILE, SHORT_ANSWER, SPEECH, Service, StartService, Witness, until
from tool_driver import bot_lines, check_replay, shop

from phonebot.agents.profile import Profile
from phonebot.call.actions import (
    BargeIn,
    Check,
    ClearPlayback,
    Cut,
    Ended,
    GuardrailTripped,
    HandOff,
    Line,
    PlayAudio,
    RunTool,
)
from phonebot.call.guardrails import UNKNOWN
from phonebot.call.inputs import Checked
from phonebot.simulator.caller import HangUp, Pause, Say, WaitForHangUp, WaitForQuiet
from phonebot.simulator.mind import Call, Context
from phonebot.simulator.mind import Say as Speak

pytestmark = pytest.mark.slow

QUESTION = Say(SPEECH, "a question")
QUIET = WaitForQuiet(500)
ADVICE = "Surely that will pass by itself, but if it does not then take two of the blue pills, and two more later."
HARMLESS = "Ask a doctor."
FILLER = "One moment please, I look it up for you."

Answer = tuple[Speak | Call, ...]


class Told:
    """A mind that does what a function of the context says."""

    def __init__(self, answer: Callable[[Context], Answer]) -> None:
        self._answer = answer

    def answer(self, context: Context) -> Answer:
        return self._answer(context)


def advises(context: Context) -> Answer:
    """It gives advice, unless it was told not to."""
    told = any("guardrail" in line.text for line in context.history if line.role == "system")
    return (Speak(SHORT_ANSWER if told else ADVICE),)


def calls(name: str, **arguments: Any) -> Callable[[Context], Answer]:
    """It calls a function when it is asked something, and then says what it was told."""

    def answer(context: Context) -> Answer:
        newest = context.history[-1]
        return (Speak(f"Told: {newest.text[:40]}"),) if newest.role == "tool" else (Call(name, arguments),)

    return answer


async def serve(
    start: StartService, answer: Callable[[Context], Answer], *rails: dict[str, Any], **terms: Any
) -> Service:
    keys = {"tools": terms.pop("tools", []), **terms.pop("profile", {}), "guardrails": list(rails)}
    profile = Profile.from_table(PROFILE.model_dump(exclude_none=True) | keys, "test")
    return await start(profile=profile, minds=lambda: Told(answer), PHONEBOT_TOOLS="call_tools", **terms)


def heard_lines(witness: Witness) -> list[str]:
    """What the caller was told; `bot_lines` are what the model believes that it said."""
    return [line.text for line in witness.saw(Line) if line.role == "bot"]


# ------------------------------------------------------------------------------------------- the bot's words


@pytest.mark.parametrize("dialect", ["ga", "beta"])
async def test_words_stop_the_bot_and_others_are_said(start_service: StartService, dialect: str) -> None:
    rail = {"name": "advice", "words": ["blue pills"], "then": "say", "say": HARMLESS, "debounce_characters": 30}
    service = await serve(start_service, advises, rail, PHONEBOT_MODEL_DIALECT=dialect)
    await service.dial(QUIET, QUESTION, WaitForQuiet(1_000), HangUp())
    (witness,) = service.witnesses
    (tripped,) = witness.saw(GuardrailTripped)
    assert (tripped.guardrail, tripped.then, tripped.why) == ("advice", "say", "blue pills")
    at = witness.history.index(tripped)
    assert any(isinstance(each, ClearPlayback) for each in witness.history[at - 8 : at])
    (cut,) = witness.saw(Cut)
    assert cut.settled == "fence"
    assert witness.saw(BargeIn) == []
    hello, *stopped, harmless = heard_lines(witness)
    assert (hello, harmless) == ("Hi", HARMLESS)
    assert all("blue pills" not in line for line in stopped)
    assert "blue pills" not in " ".join(bot_lines(witness))
    assert witness.troubles == []
    await service.stop()
    check_replay(service.log())


async def test_a_pattern_makes_the_model_correct_itself(start_service: StartService) -> None:
    rail = {"name": "advice", "pattern": r"(?i)blue\s+pills", "debounce_characters": 20}
    service = await serve(start_service, advises, rail)
    await service.dial(QUIET, QUESTION, WaitForQuiet(1_000), HangUp())
    (witness,) = service.witnesses
    assert len(witness.saw(GuardrailTripped)) == 1
    assert heard_lines(witness)[-1] == SHORT_ANSWER
    assert bot_lines(witness)[-1] == SHORT_ANSWER
    await service.stop()
    check_replay(service.log())


async def test_a_guardrail_that_lets_it_go_on_is_noted_and_nothing_is_cut(start_service: StartService) -> None:
    rail = {"name": "advice", "words": ["blue pills"], "then": "go_on"}
    service = await serve(start_service, advises, rail)
    await service.dial(QUIET, QUESTION, WaitForQuiet(1_000), HangUp())
    (witness,) = service.witnesses
    assert len(witness.saw(GuardrailTripped)) == 1
    assert witness.saw(ClearPlayback) == []
    assert heard_lines(witness) == ["Hi", ADVICE]


async def test_what_a_guardrail_does_not_find_out_stops_nobody(start_service: StartService) -> None:
    rails = ({"name": name, "function": name, "timeout_s": 0.1} for name in ("breaks", "never_ends"))
    service = await serve(start_service, advises, *rails, {"name": "gone", "function": "gone"})
    await service.dial(QUIET, QUESTION, WaitForQuiet(1_000), HangUp())
    (witness,) = service.witnesses
    assert heard_lines(witness) == ["Hi", ADVICE]
    failed = [each for each in witness.saw(Checked) if each.problem]
    assert len(failed) > 3
    assert sorted(witness.troubles) == [
        "guardrail breaks: KeyError: 'what only the log may know'",
        'guardrail gone: its function is "gone", a guardrail that this deployment does not have: PHONEBOT_TOOLS'
        " must name it",
        "guardrail never_ends: it took more than 0.1 s",
    ]
    status, metrics = await service.request("GET", "/metrics")
    assert status == 200
    assert f"phonebot_guardrail_checks_failed_total {len(failed)}.0" in metrics
    await service.stop()
    check_replay(service.log())


async def test_a_second_model_answers_whether_the_bot_is_to_be_stopped(start_service: StartService) -> None:
    judged: list[str] = []

    def answers(context: Context) -> Answer:
        if "You judge a text" not in context.instructions:
            return advises(context)
        assert "Does it name pills?" in context.instructions
        judged.append(context.history[-1].text)
        return (Speak("Yes." if "pills" in judged[-1] else "No."),)

    rail = {
        "name": "pills",
        "ask": "Does it name pills?",
        "then": "say",
        "say": HARMLESS,
        "debounce_characters": 20,
    }
    service = await serve(start_service, answers, rail)
    await service.dial(QUIET, QUESTION, WaitForQuiet(1_000), HangUp())
    (witness,) = service.witnesses
    assert [tripped.guardrail for tripped in witness.saw(GuardrailTripped)] == ["pills"]
    assert heard_lines(witness)[-1] == HARMLESS
    assert judged[0] == "Hi"
    assert "pills" in judged[-1]
    assert witness.troubles == []
    await service.stop()
    check_replay(service.log())


# ------------------------------------------------------------------------------------------- the caller's words


async def test_a_function_ends_the_call_with_words_that_are_heard(start_service: StartService) -> None:
    rail = {"name": "rude", "on": "caller", "function": "says_something", "then": "end", "say": "Goodbye then."}
    service = await serve(start_service, advises, rail)
    record = await service.dial(QUIET, QUESTION, WaitForHangUp())
    (witness,) = service.witnesses
    (tripped,) = witness.saw(GuardrailTripped)
    assert (tripped.on, tripped.why) == ("caller", "caller said it")
    assert heard_lines(witness)[-1] == "Goodbye then."
    assert [each.outcome for each in witness.saw(Ended)] == ["guardrail"]
    assert (record.outcome, record.violations) == ("bot hung up", [])
    await service.stop()
    log = service.log()
    assert log.header.outcome == "guardrail"
    check_replay(log)


async def test_a_guardrail_hands_over_to_an_agent(start_service: StartService) -> None:
    def answers(context: Context) -> Answer:
        return (Speak("Billing here." if "BILLING" in context.instructions else ADVICE),)

    rail = {"name": "money", "on": "caller", "words": ["something"], "then": "hand_over", "to": "billing"}
    agents = {"billing": {"description": "Bills.", "prompt": "You are BILLING."}}
    service = await serve(start_service, answers, rail, profile={"agents": agents})
    await service.dial(QUIET, QUESTION, WaitForQuiet(1_000), HangUp())
    (witness,) = service.witnesses
    assert witness.saw(HandOff) == [HandOff("main", "billing")]
    assert heard_lines(witness)[-1] == "Billing here."
    await service.stop()
    check_replay(service.log())


# ------------------------------------------------------------------------------------------- arguments


async def test_a_server_forbids_arguments_and_the_function_does_not_run(start_service: StartService) -> None:
    asked: list[tuple[Any, Any]] = []

    async def forbid(request: web.Request) -> web.Response:
        asked.append((await request.json(), request.headers))
        return web.json_response({"tripped": True, "reason": "closed on that day"})

    async with shop(forbid) as url:
        rail = {"name": "days", "on": "arguments", "url": url, "sign_with": "SHOP", "tools": ["dish_of_the_day"]}
        service = await serve(
            start_service,
            calls("dish_of_the_day", day="Monday"),
            rail,
            tools=["dish_of_the_day"],
            PHONEBOT_TOOL_HOSTS_ALLOWED="127.0.0.1",
            PHONEBOT_SECRET_SHOP="s",
        )
        await service.dial(QUIET, QUESTION, WaitForQuiet(1_000), HangUp(), from_number="+15550100009")
        await service.stop()
    ((body, headers),) = asked
    assert (body["guardrail"], body["on"]) == ("days", "arguments")
    assert (body["tool"], body["arguments"]) == ("dish_of_the_day", {"day": "Monday"})
    assert (body["caller"], body["profile"]) == ("+15550100009", "Front desk")
    assert headers["X-Phonebot-Signature"].startswith("v1=")
    (witness,) = service.witnesses
    assert witness.saw(RunTool) == []
    assert heard_lines(witness)[-1].startswith("Told: Not done: the guardrail days")
    check_replay(service.log())


@pytest.mark.parametrize("answer", ['{"tripped": "perhaps"}', "{", "[]", "500"])
async def test_a_server_that_talks_nonsense_forbids_and_the_call_goes_on(
    start_service: StartService, answer: str
) -> None:
    async def nonsense(request: web.Request) -> web.Response:
        return web.Response(status=500) if answer == "500" else web.Response(text=answer)

    async with shop(nonsense) as url:
        rail = {"name": "days", "on": "arguments", "url": url}
        service = await serve(
            start_service,
            calls("dish_of_the_day", day="Monday"),
            rail,
            tools=["dish_of_the_day"],
            PHONEBOT_TOOL_HOSTS_ALLOWED="127.0.0.1",
        )
        await service.dial(QUIET, QUESTION, WaitForQuiet(1_000), HangUp())
    (witness,) = service.witnesses
    assert witness.saw(RunTool) == []
    assert heard_lines(witness)[-1] == f"Told: {UNKNOWN[:40]}"
    (trouble,) = witness.troubles
    assert trouble.startswith("guardrail days: ")


async def test_while_a_server_thinks_the_bot_says_the_filler_and_then_the_function_runs(
    start_service: StartService,
) -> None:
    gate = asyncio.Event()

    async def allow(request: web.Request) -> web.Response:
        await gate.wait()
        return web.json_response({"tripped": False})

    async with shop(allow) as url:
        rail = {"name": "days", "on": "arguments", "url": url, "timeout_s": 20}
        service = await serve(
            start_service, calls("look_up"), rail, tools=["look_up"], PHONEBOT_TOOL_HOSTS_ALLOWED="127.0.0.1"
        )

        async def open_gate() -> None:
            await until(lambda: any(FILLER in heard_lines(witness) for witness in service.witnesses))
            import call_tools

            call_tools.gate = asyncio.Event()
            call_tools.gate.set()
            gate.set()

        opening = asyncio.create_task(open_gate())
        await service.dial(QUIET, QUESTION, Pause(4_000), WaitForQuiet(1_000), HangUp())
        await opening
    (witness,) = service.witnesses
    kinds = [type(each) for each in witness.history if isinstance(each, Check | Checked | RunTool)]
    assert kinds == [Check, Checked, RunTool]
    assert heard_lines(witness)[-1] == "Told: Found."


async def test_a_caller_who_hangs_up_leaves_no_check_running(start_service: StartService) -> None:
    rail = {"name": "slow", "function": "never_ends", "timeout_s": 20}
    service = await serve(start_service, advises, rail)
    await service.dial(QUIET, QUESTION, Pause(1_000), HangUp())
    (witness,) = service.witnesses
    assert witness.saw(Check) != []
    assert witness.saw(PlayAudio) != []
    await service.stop()  # and the fixture sees that no task is left
