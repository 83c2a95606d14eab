"""Looking at what is said and done in a call, whatever it is that looks."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import pytest

from phonebot.agents.profile import Profile
from phonebot.call.actions import Check
from phonebot.call.inputs import Checked
from phonebot.errors import ModelUnreachable
from phonebot.guardrails import guard as module
from phonebot.guardrails.guard import MAX_RUNNING, Guard
from phonebot.guardrails.guardroom import Guardroom
from phonebot.tools import GuardrailContext, ToolContext, guardrail
from phonebot.tools.guarding import GuardrailFunction
from phonebot.tools.workshop import Workshop

CALL = ToolContext("CA1", "+15550100001", "+15550100002", "Front desk")


@dataclass
class Written:
    text: str


class Model:
    """Writes what it is given to write."""

    def __init__(self, text: str) -> None:
        self.text, self.asked, self.left = text, list[tuple[str, str]](), False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.left = True

    async def ask(self, instructions: str, text: str, *, timeout_s: float, max_tokens: int) -> Written:
        if self.text == "nothing":
            raise ModelUnreachable("it gave no answer")
        self.asked.append((instructions, text))
        return Written(self.text)


def guard_of(
    *entries: dict[str, Any], functions: tuple[GuardrailFunction, ...] = (), model: Model | None = None
) -> Guard:
    profile = Profile.from_table({"guardrails": list(entries)}, "test")
    workshop = Workshop(guardrails={each.name: each for each in functions})
    guard = Guardroom(workshop).guard(profile, CALL, (lambda: model) if model else None)
    assert guard is not None
    return guard


async def looked(guard: Guard, wanted: Check) -> list[Checked]:
    """All that comes of a check, through the tasks of a call."""
    results: list[Checked] = []
    guard.check(wanted, results.append)
    assert results == []
    async with asyncio.timeout(5):
        while len(results) < len(wanted.guardrails):
            await asyncio.sleep(0.001)
    await guard.close()
    return results


def check(*names: str, text: str = "Take two pills.") -> Check:
    return Check("check-1", names, "item_1", text)


def function(code: Callable[..., Any]) -> GuardrailFunction:
    return guardrail(name="rail")(code)


async def by(code: Callable[..., Any], timeout_s: float = 3) -> Checked:
    """What comes of a guardrail that is this function."""
    entry = {"name": "rail", "function": "rail", "timeout_s": timeout_s}
    (result,) = await looked(guard_of(entry, functions=(function(code),)), check("rail"))
    return result


def test_without_guardrails_nobody_looks() -> None:
    assert Guardroom(Workshop()).guard(Profile(), CALL) is None


async def test_what_is_found_at_once_is_answered_in_the_next_turn_of_the_loop() -> None:
    guard = guard_of({"name": "pills", "words": ["pills"]}, {"name": "prices", "pattern": "[$]"})
    results: list[Checked] = []
    guard.check(check("pills", "prices"), results.append)
    assert results == []
    await asyncio.sleep(0)
    assert results == [Checked("check-1", "pills", True, "pills"), Checked("check-1", "prices", False)]
    await guard.close()


@pytest.mark.parametrize(
    ("answer", "tripped", "why"),
    [
        (True, True, ""),
        (False, False, ""),
        (None, False, ""),
        ("", False, ""),
        (" it is\nrude ", True, "it is rude"),
    ],
)
async def test_a_function_says_whether_it_is_tripped_and_why(answer: object, tripped: bool, why: str) -> None:
    async def later(text: str) -> object:
        return answer

    assert await by(later) == Checked("check-1", "rail", tripped, why)
    assert await by(lambda text: answer) == Checked("check-1", "rail", tripped, why)


async def test_a_function_is_given_the_text_and_the_call() -> None:
    given: list[tuple[str, GuardrailContext]] = []

    def look(text: str, call: GuardrailContext) -> bool:
        given.append((text, call))
        return False

    entry = {"name": "rail", "on": "arguments", "function": "rail"}
    wanted = Check("check-1", ("rail",), tool="book", arguments='{"day": 1}')
    await looked(guard_of(entry, functions=(function(look),)), wanted)
    ((text, call),) = given
    assert (text, call.on, call.tool) == ('{"day": 1}', "arguments", "book")
    assert (call.call_sid, call.caller, call.number, call.profile) == (
        "CA1",
        "+15550100001",
        "+15550100002",
        "Front desk",
    )
    assert call.state is CALL.state


async def test_whatever_a_function_does_is_a_sentence() -> None:
    def leaves(text: str) -> bool:
        raise SystemExit(3)

    async def cancels(text: str) -> bool:
        raise asyncio.CancelledError

    async def number(text: str) -> object:
        return 1

    async def endless(text: str) -> bool:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return True

    problems = {
        (await by(leaves)).problem,
        (await by(cancels)).problem,
        (await by(number)).problem,
        (await by(endless, timeout_s=0.1)).problem,
    }
    assert problems == {
        "SystemExit: 3",
        "it was cancelled from within",
        "TypeError: it returned int; it must be True, False, or a text that says why",
        "it took more than 0.1 s",
    }


@pytest.mark.parametrize(("text", "tripped"), [("Yes.", True), ("no", False), ("**YES**", True)])
async def test_a_second_model_answers_yes_or_no(text: str, tripped: bool) -> None:
    model = Model(text)
    entry = {"name": "rail", "ask": "Is it rude?"}
    assert await looked(guard_of(entry, model=model), check("rail")) == [Checked("check-1", "rail", tripped)]
    ((instructions, asked),) = model.asked
    assert "Is it rude?" in instructions
    assert asked == "Take two pills."
    assert model.left


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Perhaps", 'the model\'s answer is neither yes nor no: "Perhaps"'),
        ("nothing", "it gave no answer"),
    ],
)
async def test_a_second_model_that_does_not_is_a_sentence(text: str, problem: str) -> None:
    entry = {"name": "rail", "ask": "Is it rude?"}
    (result,) = await looked(guard_of(entry, model=Model(text)), check("rail"))
    assert result == Checked("check-1", "rail", False, problem=problem)


async def test_what_the_deployment_lacks_is_a_sentence() -> None:
    guard = guard_of({"name": "rail", "function": "rail"}, {"name": "pills", "words": ["pills"]})
    rail, pills = await looked(guard, check("rail", "pills"))
    assert (rail.problem or "").startswith('its function is "rail", a guardrail that this deployment does not have')
    assert pills.tripped


async def test_more_looks_than_may_run_are_answered_at_once() -> None:
    async def endless(text: str) -> bool:
        await asyncio.Event().wait()
        return True

    guard = guard_of({"name": "rail", "function": "rail"}, functions=(function(endless),))
    results: list[Checked] = []
    for _ in range(MAX_RUNNING + 1):
        guard.check(check("rail"), results.append)
    await asyncio.sleep(0)
    assert [result.problem for result in results] == ["32 checks are running already"]
    await guard.close()


async def test_nothing_is_answered_once_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSE_S", 0.05)
    gate = asyncio.Event()

    async def stubborn(text: str) -> bool:
        while not gate.is_set():
            with suppress(asyncio.CancelledError):
                await gate.wait()
        return True

    guard = guard_of(
        {"name": "rail", "function": "rail"}, {"name": "pills", "words": ["pills"]}, functions=(function(stubborn),)
    )
    results: list[Checked] = []
    guard.check(check("rail", "pills"), results.append)
    await guard.close()
    gate.set()
    await asyncio.sleep(0.01)
    assert results == []


async def test_a_look_can_be_had_without_tasks() -> None:
    guard = guard_of(
        {"name": "rail", "function": "rail"},
        {"name": "pills", "words": ["pills"]},
        functions=(function(lambda text: "rude"),),
    )
    assert await guard.results(check("rail", "pills")) == [
        Checked("check-1", "rail", True, "rude"),
        Checked("check-1", "pills", True, "pills"),
    ]
