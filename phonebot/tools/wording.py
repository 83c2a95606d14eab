"""What the model is told of a function that did not run as it should."""

import logging
from collections.abc import Callable
from typing import TypeAlias

from phonebot.call.tools import GIVEN_UP
from phonebot.tools.running import Kind

Formatter: TypeAlias = Callable[[Kind, str, str], str | None]
"""
What the model is told when the function `tool` went wrong so; None: what it is told without a formatter.

    def formatter(kind, tool, message): ...

`message` is the sentence of a ToolError, or what does not fit of the arguments, or what else is known of it.
"""

MAX_CHARACTERS = 2_000

log = logging.getLogger(__name__)


def default_wording(kind: Kind, message: str, *, is_sentence: bool = False) -> str:
    """`is_sentence`: the function itself says it to the model."""
    if is_sentence:
        return message
    match kind:
        case "arguments":
            return f"Not done: the arguments do not fit. {message}. Correct them; ask the caller if need be."
        case "timeout":
            return GIVEN_UP
    return "It failed, and nobody knows whether it was done. Tell the caller that it did not work."


class Wording:
    """Words for what went wrong: the deployment's, where it has any."""

    def __init__(self, formatter: Formatter | None = None) -> None:
        self._formatter = formatter

    def of(self, kind: Kind, tool: str, message: str, *, is_sentence: bool = False) -> str:
        text: object = None
        if self._formatter:
            try:
                text = self._formatter(kind, tool, message)
            except Exception:
                log.exception("the formatter of tool errors failed for %s", tool)
        if isinstance(text, str) and text.strip():
            return text[:MAX_CHARACTERS]
        return default_wording(kind, message, is_sentence=is_sentence)[:MAX_CHARACTERS]
