"""
Says what a JSON value must look like, and names the first place where it doesn't.

A check is called with a value and its path ("session.audio.input.format") and returns nothing or raises `Refused`
with the service's error code: `missing_required_parameter`, `unknown_parameter`, `invalid_type`, `invalid_value`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from phonebot.errors import PhonebotError

Check: TypeAlias = Callable[[Any, str], None]


class Refused(PhonebotError):
    """
    A client's event is refused and has no effect.

    `code` and `param` are those of the `error` event that answers it (Realtime, server events, error).
    """

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(code, message, param)
        self.code, self.message, self.param = code, message, param

    def __str__(self) -> str:
        return self.message


def _wrong_type(path: str, wanted: str, value: Any) -> Refused:
    return Refused("invalid_type", f"Invalid type for '{path}': expected {wanted}, got {_json_type(value)}.", path)


def invalid(path: str, problem: str) -> Refused:
    return Refused("invalid_value", f"Invalid value for '{path}': {problem}.", path)


def _json_type(value: Any) -> str:
    names = {bool: "a boolean", int: "an integer", float: "a number", str: "a string", list: "an array"}
    return "null" if value is None else names.get(type(value), "an object")


def boolean(value: Any, path: str) -> None:
    if not isinstance(value, bool):
        raise _wrong_type(path, "a boolean", value)


def text(max_length: int | None = None) -> Check:
    """A string of at most so many characters."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, str):
            raise _wrong_type(path, "a string", value)
        if max_length is not None and len(value) > max_length:
            raise invalid(path, f"at most {max_length} characters are allowed, not {len(value)}")

    return check


def integer(low: int, high: int | None = None) -> Check:
    """A whole number of this range, both ends included."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _wrong_type(path, "an integer", value)
        _within(value, low, high, path)

    return check


def number(low: float, high: float) -> Check:
    """A number of this range, both ends included."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise _wrong_type(path, "a number", value)
        _within(value, low, high, path)

    return check


def _within(value: float, low: float, high: float | None, path: str) -> None:
    if value < low:
        raise invalid(path, f"{value} is below the minimum {low}")
    if high is not None and value > high:
        raise invalid(path, f"{value} is above the maximum {high}")


def choice(*values: str) -> Check:
    """One of these strings."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, str):
            raise _wrong_type(path, "a string", value)
        if value not in values:
            raise invalid(path, f"'{value[:100]}' is none of " + ", ".join(f"'{each}'" for each in values))

    return check


def nullable(check: Check) -> Check:
    """The same, or null."""

    def check_unless_null(value: Any, path: str) -> None:
        if value is not None:
            check(value, path)

    return check_unless_null


def array(element: Check, max_length: int | None = None) -> Check:
    """An array of such elements."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, list):
            raise _wrong_type(path, "an array", value)
        if max_length is not None and len(value) > max_length:
            raise invalid(path, f"at most {max_length} elements are allowed, not {len(value)}")
        for index, each in enumerate(value):
            element(each, f"{path}[{index}]")

    return check


def mapping(value: Any, path: str) -> None:
    """An object with any keys."""
    if not isinstance(value, dict):
        raise _wrong_type(path, "an object", value)


def by_type(wanted: str, **checks: Check) -> Check:
    """The check that belongs to the value's JSON type (keys: str, int, dict); `wanted` names them to the reader."""

    def check(value: Any, path: str) -> None:
        chosen = checks.get(type(value).__name__)
        if chosen is None:
            raise _wrong_type(path, wanted, value)
        chosen(value, path)

    return check


@dataclass(frozen=True, slots=True)
class Record:
    """An object with these keys and no others; required ones are looked for first, as the service does."""

    keys: Mapping[str, Check]
    required: Sequence[str] = ()

    def __call__(self, value: Any, path: str) -> None:
        mapping(value, path)
        for key in self.required:
            if key not in value:
                where = _join(path, key)
                raise Refused("missing_required_parameter", f"Missing required parameter: '{where}'.", where)
        for key, each in value.items():
            check, where = self.keys.get(key), _join(path, key[:100])
            if check is None:
                raise Refused("unknown_parameter", f"Unknown parameter: '{where}'.", where)
            check(each, where)


@dataclass(frozen=True, slots=True)
class Tagged:
    """An object whose value of `tag` says which check applies."""

    tag: str
    checks: Mapping[str, Check]

    def __call__(self, value: Any, path: str) -> None:
        mapping(value, path)
        if self.tag not in value:
            where = _join(path, self.tag)
            raise Refused("missing_required_parameter", f"Missing required parameter: '{where}'.", where)
        choice(*self.checks)(value[self.tag], _join(path, self.tag))
        self.checks[value[self.tag]](value, path)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
