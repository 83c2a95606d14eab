"""
Which Python functions a deployment has: those of the setting PHONEBOT_TOOLS, and of installed packages.

    PHONEBOT_TOOLS=rosas.bookings,rosas.menu:dish_of_the_day

A package offers its functions by the entry point group `phonebot.tools`, each a function or a module. All of it is
loaded once, before the service starts.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from phonebot.errors import SettingsError
from phonebot.tools.functions import Tool, tools_in

GROUP = "phonebot.tools"
VARIABLE = "PHONEBOT_TOOLS"


def load_tools(wanted: str = "", installed: Iterable[EntryPoint] | None = None) -> dict[str, Tool]:
    """
    The functions by name: those of `wanted`, in the form of PHONEBOT_TOOLS, and `installed` (None: all there are).

    Raises SettingsError with a sentence for each that there is not, or that has another one's name.
    """
    found: dict[str, Tool] = {}
    problems: list[str] = []
    for source, load in _sources(wanted, entry_points(group=GROUP) if installed is None else installed):
        try:
            tools = _tools(load())
        except Exception as error:  # whatever a module raises when it is loaded
            problems.append(f"{source} cannot be loaded: {reason(error)}")
            continue
        problems += [
            f"{source} has a function {each.name}, which another one is called too: rename it by name="
            for each in tools
            if found.setdefault(each.name, each) is not each
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


def _tools(loaded: object) -> list[Tool]:
    if isinstance(loaded, Tool):
        return [loaded]
    if isinstance(loaded, ModuleType):
        if tools := tools_in(vars(loaded)):
            return list(tools.values())
        raise TypeError("no function in it is decorated with @tool")
    raise TypeError("it is no function that is decorated with @tool")


def reason(error: Exception) -> str:
    """Why something cannot be loaded, for a sentence."""
    return f"{type(error).__name__}: {error}"[:200] if not isinstance(error, TypeError) else str(error)[:200]
