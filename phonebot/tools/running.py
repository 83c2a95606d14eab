"""What a function is given when it runs, and how it says that it could not do what was asked."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from phonebot.call.inputs import Leave
from phonebot.call.plan import Clip, ToolRule
from phonebot.errors import TextRefused
from phonebot.realtime.events import FunctionTool
from phonebot.tools.typist import TypedRole, Typist

Kind: TypeAlias = Literal["arguments", "failed", "timeout"]
"""What went wrong: the arguments do not fit, the function failed, or it took too long."""

Blocking: TypeAlias = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a function that blocks, and gives back what it returns."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """
    The call in which a function runs.

    `caller` and `number` are in E.164 form, "" where the carrier does not tell; `profile` is the profile's name.
    `state` is shared by all functions of the call and its hooks, and gone with it. `function` is the name of the
    one that runs. `typist` and `play`, which plays a clip to the caller, are None where nobody holds a call, as in
    a test; so is `hidden_keys`, which gives what the caller keyed in last where it is hidden ("": nothing).
    """

    call_sid: str
    caller: str = ""
    number: str = ""
    profile: str = ""
    state: dict[str, Any] = field(default_factory=dict)
    function: str = ""
    typist: Typist | None = None
    play: Callable[[Clip], object] | None = None
    hidden_keys: Callable[[], str] | None = None

    def say(self, text: str, *, role: TypedRole = "user", interrupt: bool = False) -> None:
        """
        Type into the call: as if the caller had said it, or with role "system" an instruction to the model.

        It is answered once nobody speaks; `interrupt`: at once. Raises TextRefused, see Typist.
        """
        if self.typist is None:
            raise TextRefused(self.call_sid, "nobody holds a call here")
        self.typist.say(text, self.function or "a function", role, interrupt)


@dataclass(frozen=True, slots=True)
class Leaving:
    """What comes of a function by which the bot leaves the call. `output`: what the model is told, if it stays."""

    output: str
    leave: Leave


@dataclass(frozen=True, slots=True)
class Speaking:
    """What comes of a function by which the bot speaks another language (a BCP 47 tag)."""

    output: str
    language: str


class ToolError(Exception):
    """Raised by a function that cannot do what was asked: a sentence, which the model is told as it is."""


class ToolFault(Exception):
    """
    A function did not run as it should.

    `message` says why, and may be told to the model; `detail`, for the log, may hold what it must not know.
    """

    def __init__(self, kind: Kind, message: str, detail: str = "") -> None:
        super().__init__(kind, message, detail)
        self.kind, self.message, self.detail = kind, message, detail or message


class Runnable(Protocol):
    """A function that the model may call, however it is made."""

    @property
    def function(self) -> FunctionTool:
        """As the model sees it."""
        ...

    @property
    def rule(self) -> ToolRule:
        """As the call runs it. The call gives it up a little later than `timeout_s`."""
        ...

    @property
    def timeout_s(self) -> float: ...

    async def run(self, arguments: str, context: ToolContext, blocking: Blocking) -> "str | Leaving | Speaking":
        """
        Run it with arguments as the model wrote them, JSON text; what the model is told.

        Raises ToolError, ToolFault, and whatever a function raises.
        """
        ...


FILLER_S, OWN_FILLER_S = 1.5, 3.0  # with words for it, and without
GRACE_MS = 2_000
"""So much later than a function's own time-out the call gives it up by itself."""


def rule_timeout_ms(timeout_s: float) -> int:
    return int(timeout_s * 1000) + GRACE_MS


def filler_ms(fillers: Sequence[str] | None, filler_s: float | None) -> int:
    """After how long a bot says that it waits: if nobody has said so, sooner where there are words for it."""
    if filler_s is None:
        filler_s = FILLER_S if fillers else OWN_FILLER_S
    return int(filler_s * 1000)
