"""
A Python function that is told what happens in calls, and may act on them.

    @hook(events=("tool_end", "handoff"))
    async def on_event(event: Event, call: LiveCall) -> None: ...
"""

import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeAlias, overload

from phonebot.hooks.events import KINDS, USUAL, Event, HistoryItem
from phonebot.hooks.listeners import CallEvents
from phonebot.tools.running import ToolContext
from phonebot.tools.typist import TypedRole, Typist


class LiveCall:
    """The call of an event, as a hook of the name `by` sees it and acts on it."""

    def __init__(
        self,
        context: ToolContext,
        by: str,
        events: CallEvents,
        typist: Typist,
        hang_up: Callable[[str], object],
    ) -> None:
        self.context = context
        """Who calls whom, and `state`, which the functions of the call share with its hooks."""
        self._by = by
        self._events = events
        self._typist = typist
        self._hang_up = hang_up

    @property
    def call_sid(self) -> str:
        return self.context.call_sid

    @property
    def history(self) -> tuple[HistoryItem, ...]:
        """What was said and done so far; events on their way to the hook are in it already."""
        return self._events.history

    def say(self, text: str, *, role: TypedRole = "user", interrupt: bool = False) -> None:
        """
        Type into the call: as if the caller had said it, or with role "system" an instruction to the model.

        It is answered once nobody speaks; `interrupt`: at once. Raises TextRefused, see Typist.
        """
        self._typist.say(text, self._by, role, interrupt)

    def hang_up(self) -> None:
        """End the call, at once."""
        self._hang_up(self._by)


Code: TypeAlias = Callable[[Event, LiveCall], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Hook:
    """A function made by `hook`. `events` are the names of those that it is told. Called, it is the function."""

    name: str
    events: frozenset[str]
    code: Code

    def __call__(self, event: Event, call: LiveCall) -> Awaitable[object]:
        return self.code(event, call)


@overload
def hook(function: Code, /) -> Hook: ...


@overload
def hook(*, events: Iterable[str] = ...) -> Callable[[Code], Hook]: ...


def hook(function: Code | None = None, /, *, events: Iterable[str] = USUAL) -> Any:
    """
    Make an `async def` of two parameters, the event and the call, a hook.

    `events` names those that it is told: by default all but `audio` and `raw_model_event`. Raises TypeError for
    what cannot be one, ValueError for a name that no event has.
    """
    if isinstance(events, str):
        raise TypeError(f"events is a sequence of names, not a text: write events=({events!r},)")
    names = frozenset(events)
    if unknown := sorted(names - KINDS.keys()):
        nearest = get_close_matches(unknown[0], KINDS, n=1)
        known = f"the nearest is {nearest[0]}" if nearest else f"there are {', '.join(KINDS)}"
        raise ValueError(f"there is no event {unknown[0]!r}: {known}")
    return _made(function, names) if function is not None else lambda each: _made(each, names)


def _made(code: Code, events: frozenset[str]) -> Hook:
    name = getattr(code, "__name__", type(code).__name__)
    if not inspect.iscoroutinefunction(code):
        raise TypeError(f"{name} is no async def: a hook runs in the event loop that serves all calls")
    try:
        inspect.signature(code).bind(None, None)
    except TypeError:
        raise TypeError(f"{name} must take two parameters: the event and the call") from None
    return Hook(name, events, code)


def hooks_in(module: dict[str, Any]) -> list[Hook]:
    """The hooks among a module's names."""
    return list(dict.fromkeys(each for each in module.values() if isinstance(each, Hook)))
