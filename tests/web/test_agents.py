"""Agents that hand the call over, in whole calls over sockets."""

import pytest
from service_driver import PROFILE, SPEECH, StartService

from phonebot.agents.profile import Profile
from phonebot.call.actions import HandOff, Line, RunTool, Trouble
from phonebot.call.agents import MAX_IN_A_ROW
from phonebot.call.call import Call as Core
from phonebot.replay.reader import agrees
from phonebot.simulator.caller import HangUp, Say, WaitForQuiet
from phonebot.simulator.mind import Call, Context
from phonebot.simulator.mind import Say as Speak

pytestmark = pytest.mark.slow

QUESTION = Say(SPEECH, "a question")
QUIET = WaitForQuiet(300)

BILLING = {
    "description": "Knows about bills.",
    "prompt": "You know about bills, {caller}.",
    "tools": ["dish_of_the_day"],
    "handoffs": ["main"],
}


def a_profile(**billing: object) -> Profile:
    keys = {"agents": {"billing": BILLING | billing}, "handoffs": ["billing"], "tools": ["look_up"]}
    return Profile.from_table(PROFILE.model_dump(exclude_none=True) | keys, "test")


class Handing:
    """A mind that hands over when it is asked something, and then says who it is and what it may call."""

    def __init__(self) -> None:
        self.known: list[int] = []  # how many lines it knew, at each answer

    def answer(self, context: Context) -> tuple[Speak | Call, ...]:
        self.known.append(len(context.history))
        if context.heard is not None and "transfer_to_billing" in context.tools:
            return (Speak("I hand you over."), Call("transfer_to_billing", {"note": "He has a bill."}))
        if "bills" in context.instructions and context.history[-1].role == "tool":
            return (Speak(f"{context.instructions} {' '.join(sorted(context.tools))}"),)
        return (Speak("Hello"),)


class Circling:
    """A mind that hands over to whoever there is."""

    def answer(self, context: Context) -> tuple[Speak | Call, ...]:
        if context.history and "were 3 hand-offs" in context.history[-1].text:
            return (Speak("I am here"),)
        targets = [name for name in context.tools if name.startswith("transfer_to_")]
        return (Call(targets[0], {}),)


@pytest.mark.parametrize("dialect", ["ga", "beta"])
async def test_the_model_hands_over_and_is_the_other_agent_from_then_on(
    start_service: StartService, dialect: str
) -> None:
    service = await start_service(
        profile=a_profile(), minds=Handing, PHONEBOT_TOOLS="call_tools", PHONEBOT_MODEL_DIALECT=dialect
    )
    await service.dial(QUIET, QUESTION, QUIET, HangUp(), from_number="+15550100009")
    await service.stop()
    log = service.log()
    actions = [action for step in log.steps for action in step.actions]
    assert [each for each in actions if isinstance(each, HandOff)] == [HandOff("main", "billing", "He has a bill.")]
    said = [each.text for each in actions if isinstance(each, Line) and each.role == "bot"]
    assert said[-2:] == ["I hand you over.", "You know about bills, +15550100009. dish_of_the_day transfer_to_main"]
    core = Core(log.plan)
    for step in log.steps:
        again = core.receive(step.input, step.now_ms)
        assert all(agrees(kept, action) for kept, action in zip(step.actions, again, strict=True))


async def test_an_agent_that_is_to_know_nothing_is_told_the_note_alone(start_service: StartService) -> None:
    minds: list[Handing] = []

    def mind() -> Handing:
        minds.append(Handing())
        return minds[-1]

    service = await start_service(profile=a_profile(keep_turns=0), minds=mind, PHONEBOT_TOOLS="call_tools")
    await service.dial(QUIET, QUESTION, QUIET, HangUp())
    await service.stop()
    # The greeting and the question are forgotten; what it has just said may still be heard.
    assert minds[0].known[-1] <= minds[0].known[-2] + 1


async def test_agents_that_hand_over_in_circles_are_stopped_and_the_caller_is_answered(
    start_service: StartService,
) -> None:
    service = await start_service(profile=a_profile(), minds=Circling, PHONEBOT_TOOLS="call_tools")
    await service.dial(QUIET, QUESTION, QUIET, HangUp())
    await service.stop()
    actions = [action for step in service.log().steps for action in step.actions]
    assert sum(isinstance(each, HandOff) for each in actions) == MAX_IN_A_ROW
    assert any("hand-offs in a row" in each.problem for each in actions if isinstance(each, Trouble))
    assert [each.text for each in actions if isinstance(each, Line) and each.role == "bot"][-1] == "I am here"


async def test_a_function_that_runs_during_a_hand_off_is_told_to_who_has_the_call_then(
    start_service: StartService,
) -> None:
    class Both:
        def answer(self, context: Context) -> tuple[Speak | Call, ...]:
            if context.heard is not None and "dish_of_the_day" in context.tools:
                return (Speak("again"),)
            if context.heard is not None:
                return (Call("fail", {}), Call("transfer_to_billing", {}))
            results = [line.text for line in context.history if line.role == "tool"]
            return (Speak(f"bills: {len(results)}" if "bills" in context.instructions else "Hello"),)

    keys = {"agents": {"billing": BILLING}, "handoffs": ["billing"], "tools": ["fail"]}
    profile = Profile.from_table(PROFILE.model_dump(exclude_none=True) | keys, "test")
    service = await start_service(profile=profile, minds=Both, PHONEBOT_TOOLS="call_tools")
    await service.dial(QUIET, QUESTION, QUIET, HangUp())
    await service.stop()
    actions = [action for step in service.log().steps for action in step.actions]
    assert [each.name for each in actions if isinstance(each, RunTool)] == ["fail"]
    assert [each.text for each in actions if isinstance(each, Line) and each.role == "bot"][-1] == "bills: 2"
