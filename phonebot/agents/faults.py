"""Sentences about what is wrong in a profile: where, why, and what is allowed."""

import difflib
import json
import re

from pydantic import BaseModel
from pydantic_core import ErrorDetails

MAX_SENTENCE = 600
_SHOWN_CHARACTERS = 40  # of a wrong value: enough to recognise it
_MAX_INT64 = 2**63 - 1  # the range that TOML promises (TOML, Integer)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,40}")


def sentence(path: str, key: str, table: type[BaseModel], fault: ErrorDetails, otherwise: str = "") -> str:
    """
    What is wrong with a key of the table that stands under `path` ("": the profile itself).

    The descriptions of the table's fields say what is allowed, as the end of a sentence. `key` "": it is the table
    itself, which must be `otherwise`.
    """
    fields = {info.alias or name: info for name, info in table.model_fields.items()}
    where = ".".join(filter(None, (path, key if _BARE_KEY.fullmatch(key) or not key else shown(key))))
    match fault["type"]:
        case "value_error":
            return bounded(f"{where} {fault['ctx']['error']}")
        case "extra_forbidden" if key not in fields:
            nearest = difflib.get_close_matches(key, fields, n=1)
            known = f"the nearest is {nearest[0]}" if nearest else f"allowed are {', '.join(fields)}"
            return bounded(f"{where} is not a known key; {known}")
    problem = "is missing" if fault["type"] == "missing" else f"is {shown(fault['input'])}"
    return bounded(f"{where} {problem}; it must be {fields[key].description if key else otherwise}")


def bounded(problem: str) -> str:
    """The sentence, printable and of at most MAX_SENTENCE characters."""
    problem = "".join(each if each.isprintable() else "?" for each in problem)
    return problem if len(problem) <= MAX_SENTENCE else f"{problem[: MAX_SENTENCE - 3]}..."


def shown(value: object) -> str:
    """A value that the operator wrote, for an error: short and on one line."""
    match value:
        case str() | bool():
            return cut(json.dumps(value, ensure_ascii=False))
        case int() if abs(value) > _MAX_INT64:
            return "a number of more than 64 bits"
        case dict():
            return "a table"
        case list():
            return "an array"
        case None:
            return "null"
    return cut(str(value))


def cut(text: str) -> str:
    """The begin of a text, on one line."""
    text = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
