"""
Python functions that look at what is said and done in a call: guardrails.

    @guardrail
    async def shouting(text: str, call: GuardrailContext) -> str | None:
        return "it is all capitals" if text.isupper() else None

The first parameter gets the text; one of the type GuardrailContext gets the call. What is no `async def` runs in a
thread.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_type_hints, overload

from phonebot.agents.guardrails import On
from phonebot.agents.tools import NAME
from phonebot.tools.running import Blocking


@dataclass(frozen=True, slots=True)
class GuardrailContext:
    """
    What is looked at, and in which call.

    `on` says whose words the text is; with "arguments" it is those of the function `tool`, as JSON. The rest is
    that of ToolContext: `state` is shared by all functions of the call, and gone with it.
    """

    call_sid: str
    on: On = "bot"
    tool: str = ""
    caller: str = ""
    number: str = ""
    profile: str = ""
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GuardrailFunction:
    """A Python function made by `guardrail`. `context` is the parameter that gets the call; None: it wants none."""

    name: str
    code: Callable[..., Any]
    context: str | None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.code(*args, **kwargs)

    async def look(self, text: str, context: GuardrailContext, blocking: Blocking) -> str | None:
        """
        What has tripped it, "" if it does not say; None: nothing has.

        Raises whatever the function raises, and TypeError where it gives back no answer.
        """
        given = {self.context: context} if self.context else {}
        if inspect.iscoroutinefunction(self.code):
            answer = await self.code(text, **given)
        else:
            answer = await blocking(lambda: self.code(text, **given))
        if isinstance(answer, str):
            return answer or None
        if answer is None or isinstance(answer, bool):
            return "" if answer else None
        raise TypeError(f"it returned {type(answer).__name__}; it must be True, False, or a text that says why")


@overload
def guardrail(function: Callable[..., Any], /) -> GuardrailFunction: ...


@overload
def guardrail(*, name: str | None = None) -> Callable[[Callable[..., Any]], GuardrailFunction]: ...


def guardrail(function: Callable[..., Any] | None = None, /, *, name: str | None = None) -> Any:
    """
    Make a function one that profiles may name as a guardrail, by `name` (None: its own).

    It is given a text, and returns whether that trips it: True or False, or in place of True a text that says why.
    Raises TypeError or ValueError for what cannot be called so.
    """
    return _made(function, name) if function is not None else lambda each: _made(each, name)


def _made(code: Callable[..., Any], name: str | None) -> GuardrailFunction:
    name = name or code.__name__
    if not NAME.fullmatch(name):
        raise ValueError(f"a guardrail cannot be called {name!r}: letters, digits, _ and -, at most 64")
    hints = get_type_hints(code)
    parameters = list(inspect.signature(code).parameters.values())
    contexts = [each.name for each in parameters if hints.get(each.name) is GuardrailContext]
    others = [each for each in parameters if each.name not in contexts]
    wanted = [each for each in others if each.default is each.empty]
    takes_text = bool(others) and others[0].kind in (others[0].POSITIONAL_ONLY, others[0].POSITIONAL_OR_KEYWORD)
    if not takes_text or parameters[0] is not others[0] or len(wanted) > 1 or len(contexts) > 1:
        raise TypeError(f"{name} must take a text first, and at most one GuardrailContext beside it")
    return GuardrailFunction(name, code, contexts[0] if contexts else None)
