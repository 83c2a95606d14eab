"""
What a script says of what functions returned: `{result.when}` in a text stands for a value of their output.

    {result}                    what the function that was just called returned
    {result.when}               of that, if it is a JSON object, the value of the key `when`
    {find_times.free.0.at}      of what `find_times` returned last, the first of `free`, and of that `at`
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from phonebot.simulator.mind import Line

RESULT = "result"
PLACEHOLDER = re.compile(r"\{([A-Za-z_][\w-]*)((?:\.[\w-]+)*)\}")

_MISSING = object()


def names_in(text: str) -> list[str]:
    """What the placeholders of a text refer to: functions, or `RESULT`."""
    return [found[1] for found in PLACEHOLDER.finditer(text)]


def results_in(history: Iterable[Line]) -> dict[str, str]:
    """What each function returned last."""
    return {line.function: line.text for line in history if line.role == "tool" and line.function}


def filled(text: str, results: Mapping[str, str]) -> str | None:
    """The text with the values of its placeholders; None: one of them has none."""
    values = {found.group(): _value(found, results) for found in PLACEHOLDER.finditer(text)}
    if _MISSING in values.values():
        return None
    return PLACEHOLDER.sub(lambda found: _as_text(values[found.group()], found, results), text)


def filled_arguments(arguments: Mapping[str, Any], results: Mapping[str, str]) -> dict[str, Any] | None:
    """
    Arguments of a function, likewise; None: a value is missing.

    An argument that is nothing but a placeholder is the value itself, so that a number stays one.
    """
    values = {name: _argument(argument, results) for name, argument in arguments.items()}
    return None if _MISSING in values.values() else values


def _argument(argument: Any, results: Mapping[str, str]) -> Any:
    if not isinstance(argument, str):
        return argument
    if whole := PLACEHOLDER.fullmatch(argument):
        return _value(whole, results)
    text = filled(argument, results)
    return _MISSING if text is None else text


def _value(found: re.Match[str], results: Mapping[str, str]) -> Any:
    if found[1] not in results:
        return _MISSING
    output = results[found[1]]
    try:
        value = json.loads(output)
    except ValueError:
        value = output
    for key in found[2].split(".")[1:]:
        value = _inside(value, key)
    return value


def _as_text(value: Any, found: re.Match[str], results: Mapping[str, str]) -> str:
    if isinstance(value, str):
        return value
    # All of an output is said as it was written: JSON may write the same number otherwise.
    return json.dumps(value) if found[2] else results[found[1]]


def _inside(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return value.get(key, _MISSING)
    if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
        return value[int(key)]
    return _MISSING
