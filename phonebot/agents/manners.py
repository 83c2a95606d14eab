"""
What a bot does about a caller who says nothing, and how it ends a call that has reached a limit.

    no_input = { after_s = 8, times = 2, say = "Are you still there?", goodbye = "Goodbye, then." }
    limits = { goodbye = "I have to go now. Please call again." }

phonebot/call/manners.py and winding_up.py do it. docs/telephony.md explains it to operators.
"""

from collections.abc import Iterator
from typing import Annotated, TypeAlias

from pydantic import Field
from pydantic_core import ErrorDetails

from phonebot.agents import faults
from phonebot.agents.table import NONE_IF_BLANK, Table

MAX_COST_USD = 10_000


_Said: TypeAlias = Annotated[
    Annotated[str, Field(max_length=500)] | None,
    NONE_IF_BLANK,
    Field(description="text of at most 500 characters"),
]
Usd: TypeAlias = Annotated[
    Annotated[float, Field(gt=0, le=MAX_COST_USD)] | None,
    Field(description=f"a number of US dollars above 0, at most {MAX_COST_USD}"),
]


class NoInput(Table):
    """
    After `after_s` of silence the bot asks whether somebody is there, at most `times` in a row; then it hangs up.

    `say` and `goodbye` None: what phonebot has for it, in the profile's language.
    """

    after_s: Annotated[
        float,
        Field(ge=2, le=120, description="a number of seconds from 2 to 120"),
    ] = 8.0
    times: Annotated[int, Field(ge=0, le=10, description="a whole number from 0 to 10")] = 2
    say: _Said = None
    goodbye: _Said = None


class Limits(Table):
    """
    `warn` is what the model is told when the call nears a limit; `goodbye` is what the bot says at it.

    `sorry` is what the carrier's voice says to who calls when a cap of the day is spent. None: what phonebot has
    for it, `goodbye` in the profile's language.
    """

    warn: _Said = None
    goodbye: _Said = None
    sorry: _Said = None


NO_INPUT = 'a table such as { after_s = 8, times = 2, say = "Are you still there?" }'
LIMITS = 'a table such as { goodbye = "I have to go now. Please call again." }'


def texts(no_input: NoInput | None, limits: Limits) -> Iterator[tuple[str, str]]:
    """What may hold placeholders, by its key."""
    if no_input:
        yield "no_input.say", no_input.say or ""
        yield "no_input.goodbye", no_input.goodbye or ""
    yield "limits.warn", limits.warn or ""
    yield "limits.goodbye", limits.goodbye or ""


def sentence_of_no_input(loc: tuple[int | str, ...], fault: ErrorDetails) -> str:
    """What is wrong with it: where, why, what is allowed. `loc` is the fault's place below `no_input`."""
    return faults.sentence("no_input", str(loc[0]) if loc else "", NoInput, fault, NO_INPUT)


def sentence_of_limits(loc: tuple[int | str, ...], fault: ErrorDetails) -> str:
    """The same below `limits`."""
    return faults.sentence("limits", str(loc[0]) if loc else "", Limits, fault, LIMITS)
