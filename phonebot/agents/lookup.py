"""
What is asked about a caller before his call is answered, as the operator writes it.

    lookup = { url = "https://crm.example.com/callers/{caller}", values = { customer = "unknown" } }

The names of `values` are placeholders in the profile's texts. docs/profiles.md explains it to operators.
"""

import json
import re
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field
from pydantic_core import ErrorDetails

from phonebot.agents import faults
from phonebot.agents.prompt import PLACEHOLDERS, RESERVED
from phonebot.agents.table import Table
from phonebot.agents.tools import Headers, check_url, placeholders, secrets_in

MAX_VALUE_CHARACTERS = 2_000
IN_URL = ("caller", "number")

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def _check_url(template: str) -> str:
    check_url(template, "a placeholder", "who calls")
    if unknown := [name for name in placeholders(template) if name not in IN_URL]:
        raise ValueError(f"holds {{{unknown[0][:40]}}}, but only {{caller}} and {{number}} are replaced")
    return template


def _check_values(values: dict[str, "Value"]) -> dict[str, "Value"]:
    for name in values:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"holds {name[:40]!r}, which is no name: 1 to 40 of a to z, 0 to 9 and _, with a letter first"
            )
        if name in (*PLACEHOLDERS, *RESERVED):
            raise ValueError(f"holds {name}, which is replaced already")
    return values


Value: TypeAlias = (
    Annotated[str, Field(max_length=MAX_VALUE_CHARACTERS)]
    | bool
    | int
    | Annotated[float, Field(allow_inf_nan=False)]
)

URL = 'text such as "https://crm.example.com/callers/{caller}"'
VALUES = 'a table of 1 to 20 names with their defaults, such as { customer = "unknown", orders = "none" }'


class Lookup(Table):
    """
    A request, sent as soon as a call comes in; the caller waits for it for `timeout_s` at most.

    The answer is a JSON object, whose members of the names of `values` take the place of these defaults.
    """

    url: Annotated[str, AfterValidator(_check_url), Field(max_length=2_000, description=URL)]
    headers: Headers = {}
    timeout_s: Annotated[float, Field(ge=0.1, le=5, description="a number of seconds from 0.1 to 5")] = 1.0
    values: Annotated[
        dict[str, Value],
        AfterValidator(_check_values),
        Field(min_length=1, max_length=20, description=VALUES),
    ]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the placeholders that it fills."""
        return tuple(self.values)

    @property
    def defaults(self) -> dict[str, str]:
        """As texts."""
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in self.values.items()}

    @property
    def secrets(self) -> set[str]:
        """The names of the secrets that it needs."""
        return secrets_in(self.headers)

    def filled(self, **values: str) -> str:
        """The URL with these in place of its placeholders; they are percent-encoded already."""
        return re.sub(r"\{([a-z]+)\}", lambda match: values[match[1]], self.url)


LOOKUP = 'a table such as { url = "https://crm.example.com/callers/{caller}", values = { customer = "unknown" } }'


def sentence(loc: tuple[int | str, ...], fault: ErrorDetails) -> str:
    """What is wrong with it: where, why, what is allowed. `loc` is the fault's place below `lookup`."""
    key = str(loc[0]) if loc else ""
    if key == "values" and len(loc) > 1 and fault["type"] != "value_error":
        limits = f"text of at most {MAX_VALUE_CHARACTERS} characters, a number, true or false"
        name = faults.shown(str(loc[1])).strip('"')
        return faults.bounded(f"lookup.values.{name} is {faults.shown(fault['input'])}; it must be {limits}")
    return faults.sentence("lookup", key, Lookup, fault, LOOKUP)
