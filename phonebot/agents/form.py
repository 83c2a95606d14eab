"""
A profile as a form has it, and back.

    values = values_of(table)            # {"max_call_s": "600", "barge_in.keys": "true"}: what the form shows
    table = table_of(values)             # what it says, to be checked by Profile.from_table

An empty field is a key that is left out. What cannot be what its key wants (a word for a number) stands in the
table as the text that was typed: the profile's own check then says what is allowed.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from phonebot.agents.form_fields import FIELDS
from phonebot.agents.form_parts import TURNS, Field, shown
from phonebot.agents.profile import Profile
from phonebot.errors import ProfileError

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,18}\.[0-9]{1,18}")


def values_of(table: Mapping[str, Any]) -> dict[str, str]:
    """What the form shows of a profile's table; keys that it has no field for are not in it."""
    values = {}
    for field in FIELDS:
        found = _at(table, field.key)
        if found is None or isinstance(found, Mapping) != (field.kind == "table"):
            continue
        if field.key == TURNS and found == "server_vad":
            continue  # the default, which the form leaves out
        values[field.key] = _written(found)
    return values


def table_of(values: Mapping[str, str]) -> dict[str, Any]:
    """The table that a form says, in the order of the form; fields without a meaning as they are do not count."""
    table: dict[str, Any] = {}
    for field in FIELDS:
        text = values.get(field.key, "").replace("\r\n", "\n")
        if not text.strip() or not field.has_meaning(values):
            continue
        *path, name = field.key.split(".")
        within = table
        for key in path:
            within = within.setdefault(key, {})
        within[name] = _read(field, text)
    return table


def shows_all(table: Mapping[str, Any]) -> bool:
    """Whether the form shows the whole profile: one that is right, and has no key of a later version."""
    try:
        return Profile.from_table(table, "") == Profile.from_table(table_of(values_of(table)), "")
    except ProfileError:
        return False


def by_field(problems: Iterable[str], values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each problem of a ProfileError with the key of its field, or "" if no field that counts has it."""
    known = {field.key for field in FIELDS if field.has_meaning(values)}
    for problem in problems:
        key = re.split(r"[ :\[]", problem, maxsplit=1)[0]
        yield key if key in known else "", problem


def _at(table: Mapping[str, Any], key: str) -> Any:
    found: Any = table
    for name in key.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _written(value: Any) -> str:
    match value:
        case list():
            return ", ".join(map(str, value))
        case Mapping():
            return "\n".join(f"{key} = {meaning}" for key, meaning in value.items())
    return shown(value)


def _entry(line: str) -> tuple[str, str]:
    key, _, meaning = line.partition("=")
    return key.strip(), meaning.strip()


def _read(field: Field, text: str) -> Any:
    match field.kind:
        case "long text":
            return text
        case "words":
            return [word.strip() for word in re.split(r"[,\n]", text) if word.strip()]
        case "table":
            return dict(_entry(line) for line in text.splitlines() if line.strip())
        case "number" if _INTEGER.fullmatch(text.strip()):
            return int(text)
        case "number" if _DECIMAL.fullmatch(text.strip()):
            return float(text)
    text = text.strip()
    is_switch = any(value in ("true", "false") for value, _ in field.choices)
    return text == "true" if is_switch and text in ("true", "false") else text
