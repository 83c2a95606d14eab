"""
How much of a long call the model goes on knowing, as the operator writes it.

    truncation = { post_instructions = 8000 }       # so many tokens of what was said; then the oldest goes
    truncation = { type = "disabled" }

Each answer is charged for the whole conversation before it. The model's service forgets; the keys are those of its
session (Realtime API, session: truncation). docs/cost.md explains it to operators.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import ErrorDetails

from phonebot.agents import faults
from phonebot.agents.table import Table

TRUNCATION = "a table such as { retention_ratio = 0.8, post_instructions = 8000 }"


class Truncation(Table):
    """
    "auto": once the conversation is too long for the model, its oldest items go, one by one; "disabled": then the
    model answers no more. "retention_ratio": once it has more than `post_instructions` tokens, instructions and
    functions not counted (None: than the model takes), it is cut down to the share `retention_ratio` at once, so
    that what is left can be cached again.
    """

    type: Annotated[
        Literal["retention_ratio", "auto", "disabled"], Field(description='"retention_ratio", "auto" or "disabled"')
    ] = "retention_ratio"
    retention_ratio: Annotated[float, Field(ge=0, le=1, description="a number from 0 to 1")] = 0.8
    post_instructions: Annotated[
        Annotated[int, Field(ge=500, le=128_000)] | None,
        Field(description="a whole number of tokens from 500 to 128000"),
    ] = None

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        """What would be told to nobody is refused."""
        idle = sorted({"retention_ratio", "post_instructions"} & self.model_fields_set)
        if self.type != "retention_ratio" and idle:
            raise ValueError(f'truncation.{idle[0]} needs truncation.type = "retention_ratio"')
        return self

    def as_sent(self) -> str | dict[str, Any]:
        """As the session of a model has it."""
        if self.type != "retention_ratio":
            return self.type
        limits = {"token_limits": {"post_instructions": self.post_instructions}} if self.post_instructions else {}
        return {"type": "retention_ratio", "retention_ratio": self.retention_ratio, **limits}


def sentence(loc: tuple[int | str, ...], fault: ErrorDetails) -> str:
    """What is wrong with it: where, why, what is allowed. `loc` is the fault's place below `truncation`."""
    if not loc and fault["type"] == "value_error":
        return faults.bounded(str(fault["ctx"]["error"]))
    return faults.sentence("truncation", str(loc[0]) if loc else "", Truncation, fault, TRUNCATION)
