"""
Which Python functions a deployment has: those of the setting PHONEBOT_TOOLS, and of installed packages.

    PHONEBOT_TOOLS=rosas.bookings,rosas.menu:dish_of_the_day

A package offers its functions by the entry point group `phonebot.tools`, each a function or a module. All of it is
loaded once, before the service starts. Guardrails are found in the same places.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, TypeVar

from phonebot.errors import SettingsError
from phonebot.tools.functions import Tool
from phonebot.tools.guarding import GuardrailFunction

GROUP = "phonebot.tools"
VARIABLE = "PHONEBOT_TOOLS"


Found = TypeVar("Found", Tool, GuardrailFunction)


def load_tools(wanted: str = "", installed: Iterable[EntryPoint] | None = None) -> dict[str, Tool]:
    """
    The functions by name: those of `wanted`, in the form of PHONEBOT_TOOLS, and `installed` (None: all there are).

    Raises SettingsError with a sentence for each that there is not, or that has another one's name.
    """
    return _load(Tool, wanted, installed)


def load_guardrails(
    wanted: str = "", installed: Iterable[EntryPoint] | None = None
) -> dict[str, GuardrailFunction]:
    """The same of guardrails."""
    return _load(GuardrailFunction, wanted, installed)


def _load(kind: type[Found], wanted: str, installed: Iterable[EntryPoint] | None) -> dict[str, Found]:
    found: dict[str, Found] = {}
    problems: list[str] = []
    for source, load in _sources(wanted, entry_points(group=GROUP) if installed is None else installed):
        try:
            loaded = _decorated(load())
        except Exception as error:  # whatever a module raises when it is loaded
            problems.append(f"{source} cannot be loaded: {reason(error)}")
            continue
        problems += [
            f"{source} has a function {each.name}, which another one is called too: rename it by name="
            for each in loaded
            if isinstance(each, kind) and found.setdefault(each.name, each) is not each
        ]
    if problems:
        raise SettingsError(*problems)
    return found


def load_function(path: str, variable: str) -> Callable[..., Any]:
    """What `module:function` names. Raises SettingsError, in the name of the setting `variable`."""
    try:
        function = named(path)
    except Exception as error:
        raise SettingsError(f"{variable}: {path[:80]} cannot be loaded: {reason(error)}") from None
    if not callable(function):
        raise SettingsError(f"{variable}: {path[:80]} is no function; it must be module:function")
    return function


def _sources(wanted: str, installed: Iterable[EntryPoint]) -> Iterator[tuple[str, Callable[[], object]]]:
    for each in filter(None, (item.strip() for item in wanted.split(","))):
        yield f"{VARIABLE}: {each[:80]}", partial(named, each)
    for point in installed:
        yield f"the entry point {point.name} of {GROUP}", point.load


def named(path: str) -> object:
    """What `module` or `module:name` names. Raises whatever the module does when it is loaded."""
    module, _, name = path.partition(":")
    found: object = importlib.import_module(module)
    for part in filter(None, name.split(".")):
        found = getattr(found, part)
    return found


def _decorated(loaded: object) -> list[Tool | GuardrailFunction]:
    if isinstance(loaded, Tool | GuardrailFunction):
        return [loaded]
    if isinstance(loaded, ModuleType):
        # One that has several names there is one.
        found = {id(each): each for each in vars(loaded).values() if isinstance(each, Tool | GuardrailFunction)}
        if found:
            return list(found.values())
        raise TypeError("no function in it is decorated with @tool or @guardrail")
    raise TypeError("it is no function that is decorated with @tool or @guardrail")


def reason(error: Exception) -> str:
    """Why something cannot be loaded, for a sentence."""
    return f"{type(error).__name__}: {error}"[:200] if not isinstance(error, TypeError) else str(error)[:200]
