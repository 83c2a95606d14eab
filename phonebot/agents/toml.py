"""
Profiles as TOML text, and back.

What is written is read as the same table, and what is read and written again is the same text: a file that was
exported can be kept in version control. Texts of several lines stand between triple quotes, as one would write
them. Comments are no part of a table: they are lost.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from typing import Any

import re2
import tomlkit

from phonebot.errors import ProfileError

Table = Mapping[str, Any]
"""A profile's table, or one within it."""

MAX_KEY_PARTS = 32
# To read a key takes the square of its parts in time; profiles have three. re2, which takes no such time itself.
_PART = r"(?:[A-Za-z0-9_-]+|\"[^\"\n]*\"|'[^'\n]*')[ \t]*\.[ \t]*"
_LONG_KEY = re2.compile(f"(?:{_PART}){{{MAX_KEY_PARTS}}}")
_UNQUOTED_NUMBER = re.compile(rb"^[ \t]*\[\+[0-9]", re.MULTILINE)
# What a multi-line string must not hold as it is (TOML, String): the backslash, control characters but tab and line
# feed, and three quotes in a row, of which the last is escaped. A quote at the end would be a closing one.
_ESCAPED = re.compile(r'\\|(?<="")"|"\Z|[\x00-\x08\x0b-\x1f\x7f]')


def parse(content: bytes, source: str) -> dict[str, Any]:
    """
    The tables of a TOML text in UTF-8.

    Raises ProfileError with one sentence, which names the line, for what is no TOML. `source`: where it came from.
    """
    try:
        # Windows editors put a byte order mark first, which TOML does not know.
        text = content.decode("utf-8-sig")
        if _LONG_KEY.search(text):
            raise ProfileError(source, f"is not TOML of profiles: a key has more than {MAX_KEY_PARTS} parts")
        return tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ProfileError(source, f"is not UTF-8 in line {line}") from None
    except RecursionError:
        raise ProfileError(source, "is not TOML: arrays or tables are nested too deeply") from None
    except ValueError as error:
        # TOMLDecodeError, which names the line; or what Python itself refuses: a number of thousands of digits.
        quotes = '; write headings in quotes: ["+15550100000"]' if _UNQUOTED_NUMBER.search(content) else ""
        raise ProfileError(source, f"is not TOML: {error}{quotes}") from None


def text_of(profile: Table) -> str:
    """A profile's keys, one to a line (but for texts of several lines), without a heading."""
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in profile.items())


def text_of_numbers(profiles: Mapping[str, Table]) -> str:
    """A file of profiles: a table for each number, in the order given."""
    return "\n".join(f"[{_key(number)}]\n{text_of(profile)}" for number, profile in profiles.items())


def text_of_providers(providers: Mapping[str, Table]) -> str:
    """The tables of providers, by name, as they stand in a file of profiles."""
    return "\n".join(f"[provider.{_key(name)}]\n{text_of(table)}" for name, table in providers.items())


def difference(before: Table, after: Table, before_name: str, after_name: str) -> str:
    """What `after` has that `before` has not and the reverse, as a unified diff of their texts; "" if nothing."""
    old, new = (text_of(table).splitlines(keepends=True) for table in (before, after))
    return "".join(difflib.unified_diff(old, new, before_name, after_name))


def _key(key: str) -> str:
    return tomlkit.key(key).as_string()


def _value(value: Any) -> str:
    match value:
        case str() if "\n" in value:
            return _lines(value)
        case Mapping():
            # On one line, as a table in a table is usually written: { type = "local" }.
            pairs = ", ".join(f"{_key(key)} = {_inline(each)}" for key, each in value.items())
            return f"{{ {pairs} }}" if pairs else "{}"
        case list() if any(isinstance(each, Mapping) for each in value):
            return f"[\n{''.join(f'  {_inline(each)},{chr(10)}' for each in value)}]"
        case list():
            return f"[{', '.join(map(_inline, value))}]"
    return tomlkit.item(value).as_string()


def _inline(value: Any) -> str:
    """A value within another, where line breaks do not belong."""
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    return tomlkit.item(value).as_string() if isinstance(value, str) else _value(value)


def _lines(text: str) -> str:
    # A line break right after the opening quotes is not part of the text (TOML, String).
    return f'"""\n{_ESCAPED.sub(_escape, text)}"""'


def _escape(found: re.Match[str]) -> str:
    character = found.group()
    return f"\\{character}" if character in '\\"' else f"\\u{ord(character):04x}"
