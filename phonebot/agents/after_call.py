"""
What happens once a call has ended, as the operator writes it.

    summary = true                                      # or { prompt = "...", model = "..." }
    extract = { schema = { type = "object", properties = { topic = { type = "string" } } } }
    after_call = { url = "https://crm.example.com/calls", sign_with = "CRM" }

docs/after-the-call.md explains it to operators.
"""

from collections.abc import Iterator
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field
from pydantic_core import ErrorDetails

from phonebot.agents import faults
from phonebot.agents.destination import Destination
from phonebot.agents.table import Table
from phonebot.agents.tools import Known, check_schema

MAX_WISH_CHARACTERS = 4_000
KEYS = frozenset({"summary", "extract", "after_call"})

_Prompt: TypeAlias = Annotated[
    Annotated[str, Field(min_length=1, max_length=MAX_WISH_CHARACTERS)] | None,
    Field(description=f"text of 1 to {MAX_WISH_CHARACTERS} characters, for the model"),
]
_Model: TypeAlias = Annotated[
    Annotated[str, Field(min_length=1, max_length=128)] | None, Field(description="text of 1 to 128 characters")
]


class Summary(Table):
    """A few sentences about the call. None: `prompt`, a built-in one; `model`, the deployment's for texts."""

    prompt: _Prompt = None
    model: _Model = None


class Extract(Table):
    """Data about the call that fit a JSON schema of type object; otherwise as Summary."""

    wanted: Annotated[
        dict[str, Any],
        AfterValidator(check_schema),
        Field(
            alias="schema",
            description='a JSON schema such as { type = "object", properties = { topic = { type = "string" } } }',
        ),
    ]
    prompt: _Prompt = None
    model: _Model = None


class AfterCall(Destination):
    """Whom to tell of the call. `recording_link_days`: for so long the link to the recording opens it; 0: never."""

    recording_link_days: Annotated[int, Field(ge=0, le=90, description="a whole number of days from 0 to 90")] = 7

    def problems(self, known: Known) -> Iterator[str]:
        """What of it a deployment cannot do, a sentence for each."""
        return self.lacks("after_call", known)


def _summary(value: object) -> object:
    return {} if value is True else None if value is False else value


SummaryWish: TypeAlias = Annotated[
    Summary | None,
    BeforeValidator(_summary),
    Field(description='true or false, or a table such as { prompt = "What did the caller want?" }'),
]
ExtractWish: TypeAlias = Annotated[
    Extract | None,
    Field(description='a table such as { schema = { type = "object", properties = { ... } } }'),
]
AfterCallWish: TypeAlias = Annotated[
    AfterCall | None, Field(description='a table such as { url = "https://crm.example.com/calls" }')
]
TABLES: dict[str, type[BaseModel]] = {"summary": Summary, "extract": Extract, "after_call": AfterCall}


class Wishes(Table):
    """All that a profile wants to be done after its calls."""

    summary: SummaryWish = None
    extract: ExtractWish = None
    after_call: AfterCallWish = None

    def table(self) -> dict[str, Any]:
        """As a profile has them, for JSON; empty: nothing is wanted."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def sentence(loc: tuple[int | str, ...], fault: ErrorDetails) -> str:
    """What is wrong within one of the tables: where, why, what is allowed."""
    name, key = map(str, loc[:2])
    return faults.sentence(name, key, TABLES[name], fault)
