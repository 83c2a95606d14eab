"""
Instructions and greetings, filled with what is known when the call comes in.

`{caller}`, `{number}`, `{now}` and `{language}` are replaced, and what a profile's lookup has found. A brace that
is meant as such is written twice: `{{` or `}}`, as in Python's format strings, of which nothing else is supported.
"""

import re
from collections.abc import Collection, Mapping
from datetime import datetime

PLACEHOLDERS = ("caller", "number", "now", "language")
RESERVED = ("open", "hours", "history", "reason")
"""Placeholders that are there with the profile's key for them."""

MAX_VALUE_CHARACTERS = 64
"""A number has at most 16; a SIP caller may call itself anything."""

UNKNOWN = "unknown"

_PIECE = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]")
_KNOWN = frozenset(f"{{{name}}}" for name in PLACEHOLDERS)
_BRACES = {"{{": "{", "}}": "}"}
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def check(text: str, further: Collection[str] = ()) -> list[str]:
    """
    What stands in braces and is no placeholder, and each brace without its partner, as written; none twice.

    `further` are the names of placeholders beside those that are always known. A text for which this is empty is
    filled completely by `fill`.
    """
    known = _KNOWN | {f"{{{name}}}" for name in further}
    pieces = dict.fromkeys(match.group() for match in _PIECE.finditer(text))
    return [piece for piece in pieces if piece not in known and piece not in _BRACES]


def used(text: str) -> list[str]:
    """The placeholders that a text without faults holds, none twice."""
    return list(dict.fromkeys(match.group() for match in _PIECE.finditer(text) if len(match.group()) > 2))


def fill(
    text: str, *, caller: str, number: str, now: datetime, language: str, further: Mapping[str, str] | None = None
) -> str:
    """
    The text with its placeholders replaced, once: a value that holds braces is not filled again.

    The values come from outside: what cannot be printed is taken out of them, line breaks included, and they are
    cut to `MAX_VALUE_CHARACTERS`; an empty one becomes "unknown". `now` is written with its weekday and its offset
    from UTC, and must know it: ValueError otherwise. `further` is what stands for other placeholders, by name, and
    is not changed. What `check` complains of stays as it is.
    """
    if now.utcoffset() is None:
        raise ValueError("now has no time zone: the caller's day and hour depend on it")
    values = {
        **{f"{{{name}}}": value for name, value in (further or {}).items()},
        **_BRACES,
        "{caller}": _clean(caller),
        "{number}": _clean(number),
        # Not strftime: its names of days follow the process's locale.
        "{now}": f"{_WEEKDAYS[now.weekday()]} {now.isoformat(sep=' ', timespec='minutes')}",
        "{language}": _clean(language),
    }
    return _PIECE.sub(lambda match: values.get(match.group(), match.group()), text)


def _clean(value: str) -> str:
    return "".join(filter(str.isprintable, value))[:MAX_VALUE_CHARACTERS].strip() or UNKNOWN
