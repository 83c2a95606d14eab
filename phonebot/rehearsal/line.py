"""
What is between a person with a phone and phonebot: virtual time, or sockets.

Either way the same caller calls, the embedded model follows the same mind, and `happened` says what came of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from phonebot.agents.numbers import Numbers
from phonebot.replay.reader import Step as Happening
from phonebot.simulator.caller import Event, PromptedCaller
from phonebot.simulator.mind import Call, Context, Mind, Say
from phonebot.tools.functions import Tool
from phonebot.tools.guarding import GuardrailFunction

DEFAULT_NUMBER, DEFAULT_CALLER = "+15550100002", "+15550100001"
SORRY = "Sorry, I did not understand that."


@dataclass
class Dialled:
    """A call to be made: who calls whom, and who is there."""

    numbers: Numbers
    mind: Callable[[], Mind]
    ear: "ToldEar"
    caller: str = DEFAULT_CALLER
    number: str = DEFAULT_NUMBER
    functions: Mapping[str, Tool] = field(default_factory=dict)
    # How long each of them is said to take where time is virtual.
    takes_ms: float = 0
    # By name, the Python functions that its guardrails may name.
    guardrails: Mapping[str, GuardrailFunction] = field(default_factory=dict)


class Line(Protocol):
    """A call under way. `caller` is told what to do; `happened` grows."""

    @property
    def caller(self) -> PromptedCaller: ...

    @property
    def happened(self) -> list[Happening]: ...

    @property
    def over(self) -> bool:
        """Whether the call has ended, and all that comes of it has happened."""
        ...

    def wait(self, is_so: Callable[[], bool], within_ms: float) -> bool:
        """Let time pass until it is so; whether it is, at the latest after `within_ms`."""
        ...

    def close(self) -> list[str]:
        """End the call, if it has not, and all that served it; what the carrier found to be wrong."""
        ...


class ToldEar:
    """An ear that understands what the caller was told to say: a test is about the call, not about recognition."""

    def __init__(self) -> None:
        self._said: list[str] = []

    def note(self, event: Event) -> None:
        """What the caller begins to say is what the ear will understand next."""
        if event.kind == "caller says":
            self._said.append(event.detail)

    async def recognise(self, pcm8k: bytes) -> str:
        text = " ".join(self._said)
        self._said.clear()
        return text


@dataclass
class Answers:
    """
    A mind that answers by what it hears: the first key that is in it, in any case; otherwise it is sorry.

    An answer is said, or a function called.
    """

    answers: Mapping[str, str | Call]
    otherwise: str = SORRY
    heard: list[str] = field(default_factory=list)

    def answer(self, context: Context) -> tuple[Say | Call, ...]:
        heard = (context.heard or "").lower()
        self.heard.append(heard)
        answers = (answer for key, answer in self.answers.items() if key.lower() in heard)
        chosen = next(answers, self.otherwise)
        return (chosen if isinstance(chosen, Call) else Say(chosen),)
