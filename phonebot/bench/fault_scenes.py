"""
The calls of the fault benchmark: what is said in each, and when its model is lost.

Each begins with the greeting and ends with a question and its answer, so that it shows that the call has gone on.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from phonebot.bench.levels import AFTER, ASKED, BEFORE, FIRST, GREETING, LAST, SECOND, spoken_ms
from phonebot.bench.person import Person
from phonebot.simulator.mind import Call, Context, Say
from phonebot.tools import Tool, ToolContext, tool

QUIET_MS = 400
QUESTION_MS = 600
LONG_QUESTION_MS = 1_200
FUNCTION_S = 1.5
PATIENCE_S = 20.0

Role = Literal["caller", "bot"]


class FaultyCall:
    """One call under way: its person, and what its model does. `drop` loses the model's connection."""

    def __init__(self, drop: Callable[[], None]) -> None:
        self.person = Person()
        self.function_runs = asyncio.Event()
        self.dropped_s: float | None = None
        self._drop = drop

    def drop(self) -> None:
        self.person.count_quiet()
        self.dropped_s = time.monotonic()
        self._drop()


@dataclass(frozen=True, slots=True)
class Scene:
    """
    `play` loses the model. `answers` are the model's to each question, `lines` what has to stand in the transcript
    of the whole call, in order.
    """

    name: str
    play: Callable[[FaultyCall], Awaitable[None]]
    answers: Mapping[str, Say | Call]
    lines: tuple[tuple[Role, str], ...] = field(default=())


async def _in_silence(call: FaultyCall) -> None:
    call.drop()
    call.person.ask(ASKED.index(FIRST), QUESTION_MS)


async def _in_mid_answer(call: FaultyCall) -> None:
    call.person.ask(ASKED.index(FIRST), QUESTION_MS)
    await call.person.until_heard(BEFORE, spoken_ms(BEFORE) // 4)
    call.drop()


async def _while_he_speaks(call: FaultyCall) -> None:
    call.person.ask(ASKED.index(FIRST), LONG_QUESTION_MS)
    await asyncio.sleep(LONG_QUESTION_MS / 2 / 1000)
    call.drop()


async def _during_a_function(call: FaultyCall) -> None:
    call.person.ask(ASKED.index(FIRST), QUESTION_MS)
    async with asyncio.timeout(PATIENCE_S):
        await call.function_runs.wait()
    await asyncio.sleep(FUNCTION_S / 5)
    call.drop()


_GREETED: tuple[Role, str] = ("bot", GREETING)
_ANSWERED: tuple[tuple[Role, str], ...] = (("caller", FIRST), ("bot", AFTER), ("caller", SECOND), ("bot", LAST))
LOOKS_UP = "look_it_up"

SCENES = (
    Scene("in silence", _in_silence, {FIRST: Say(AFTER)}, (_GREETED, *_ANSWERED)),
    Scene(
        "in mid-answer",
        _in_mid_answer,
        {FIRST: Say(BEFORE)},
        (_GREETED, ("caller", FIRST), ("bot", BEFORE), ("bot", AFTER), ("caller", SECOND), ("bot", LAST)),
    ),
    Scene("while he speaks", _while_he_speaks, {FIRST: Say(AFTER)}, (_GREETED, *_ANSWERED)),
    Scene("during a function", _during_a_function, {FIRST: Call(LOOKS_UP, {})}, (_GREETED, *_ANSWERED)),
)


class FaultMind:
    """Answers by a scene; whatever else it is asked to say, it goes on."""

    def __init__(self, scene: Scene) -> None:
        self._answers = {**scene.answers, SECOND: Say(LAST)}

    def answer(self, context: Context) -> tuple[Say | Call, ...]:
        return (self._answers.get(context.heard or "", Say(AFTER)),)


def look_up_for(find: Callable[[str], FaultyCall]) -> Tool:
    """The function that is running when its model is lost; `find` knows a call by its caller."""

    @tool(name=LOOKS_UP)
    async def look_it_up(call: ToolContext) -> str:
        """Looks it up."""
        find(call.caller).function_runs.set()
        await asyncio.sleep(FUNCTION_S)
        return "It was found."

    return look_it_up


async def play(scene: Scene, call: FaultyCall) -> None:
    """The whole call, until the person hangs up. Raises TimeoutError when he waits for something in vain."""
    person = call.person
    await person.until_heard(GREETING, spoken_ms(GREETING))
    await person.until_quiet(QUIET_MS)
    await scene.play(call)
    await person.until_heard(AFTER, spoken_ms(AFTER))
    await person.until_quiet(QUIET_MS)
    person.ask(ASKED.index(SECOND), QUESTION_MS)
    await person.until_heard(LAST, spoken_ms(LAST))
    await person.until_quiet(QUIET_MS)
    person.hang_up()
