"""What a guardrail looks at, and how it says what it has found."""

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from phonebot.agents.guardrails import On
from phonebot.tools.running import ToolContext

MAX_WHY_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Seen:
    """A text that was said, or the arguments of the function `tool`, JSON text, and the call in which that was."""

    on: On
    text: str
    call: ToolContext
    tool: str = ""

    @classmethod
    def arguments(cls, tool: str, arguments: str, call: ToolContext) -> "Seen":
        """Arguments as the model wrote them: each character as it is, however it was written there."""
        with suppress(ValueError, RecursionError):  # what is no JSON is looked at as it is
            arguments = json.dumps(json.loads(arguments or "{}"), ensure_ascii=False)
        return cls("arguments", arguments, call, tool)


Finds: TypeAlias = Callable[[Seen], str | None]
"""What has tripped a guardrail, "" for no words for it; None: nothing. Takes no time to speak of."""

Looks: TypeAlias = Callable[[Seen], Awaitable[str | None]]
"""The same, which takes its time. Raises NotFoundOut, and whatever a function raises."""


class NotFoundOut(Exception):
    """It could not be found out whether a guardrail is tripped: a sentence."""


def shortened(why: str) -> str:
    """What somebody else says of it, on one line."""
    return " ".join(why.split())[:MAX_WHY_CHARACTERS]
