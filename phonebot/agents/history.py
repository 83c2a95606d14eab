"""
What a number's bot is told of the caller's earlier calls, as the operator writes it.

    history = { calls = 3, days = 90 }

`{history}` is a placeholder in the profile's texts; where none holds it, it stands behind the prompt.
docs/telephony.md explains it to operators.
"""

from typing import Annotated

from pydantic import Field
from pydantic_core import ErrorDetails

from phonebot.agents import faults
from phonebot.agents.table import Table

PLACEHOLDER = "history"
NOTHING = "none that is known"


class History(Table):
    """Of at most `calls` calls of the last `days` days. The caller waits for it for `timeout_s` at most."""

    calls: Annotated[int, Field(ge=1, le=10, description="a whole number from 1 to 10")] = 3
    days: Annotated[int, Field(ge=1, le=730, description="a whole number of days from 1 to 730")] = 90
    timeout_s: Annotated[float, Field(ge=0.1, le=2, description="a number of seconds from 0.1 to 2")] = 0.5


HISTORY = "a table such as { calls = 3, days = 90 }"


def sentence(loc: tuple[int | str, ...], fault: ErrorDetails) -> str:
    """What is wrong with it: where, why, what is allowed. `loc` is the fault's place below `history`."""
    return faults.sentence("history", str(loc[0]) if loc else "", History, fault, HISTORY)
