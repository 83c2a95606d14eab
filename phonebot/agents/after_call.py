"""
What happens once a call has ended, as the operator writes it.

    summary = true                                      # or { prompt = "...", model = "..." }
    extract = { schema = { type = "object", properties = { topic = { type = "string" } } } }
    after_call = { url = "https://crm.example.com/calls", sign_with = "CRM" }

docs/after-the-call.md explains it to operators.
"""

from collections.abc import Iterator
from typing import Annotated, Any, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import ErrorDetails

from phonebot.agents import faults
from phonebot.agents.tools import (
    NAMED,
    Headers,
    Known,
    SecretName,
    check_schema,
    check_whole_url,
    secrets_in,
)

MAX_WISH_CHARACTERS = 4_000
KEYS = frozenset({"summary", "extract", "after_call"})

_Prompt: TypeAlias = Annotated[
    Annotated[str, Field(min_length=1, max_length=MAX_WISH_CHARACTERS)] | None,
    Field(description=f"text of 1 to {MAX_WISH_CHARACTERS} characters, for the model"),
]
_Model: TypeAlias = Annotated[
    Annotated[str, Field(min_length=1, max_length=128)] | None, Field(description="text of 1 to 128 characters")
]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Summary(_Table):
    """A few sentences about the call. None: `prompt`, a built-in one; `model`, the deployment's for texts."""

    prompt: _Prompt = None
    model: _Model = None


class Extract(_Table):
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


class AfterCall(_Table):
    """
    Whom to tell of the call. `sign_with` names the secret of the signature; None: it is not signed.

    `recording_link_days`: for so long the link to the recording opens it; 0: there is none.
    """

    url: Annotated[
        str,
        AfterValidator(check_whole_url),
        Field(max_length=2_000, description='text such as "https://crm.example.com/calls"'),
    ]
    headers: Headers = {}
    sign_with: Annotated[SecretName | None, Field(description=NAMED)] = None
    timeout_s: Annotated[float, Field(ge=0.5, le=30, description="a number of seconds from 0.5 to 30")] = 10
    recording_link_days: Annotated[int, Field(ge=0, le=90, description="a whole number of days from 0 to 90")] = 7

    @property
    def secrets(self) -> set[str]:
        """The names of the secrets that it needs."""
        return secrets_in(self.headers) | ({self.sign_with} if self.sign_with else set())

    def problems(self, known: Known) -> Iterator[str]:
        """What of it a deployment cannot do, a sentence for each."""
        for secret in sorted(self.secrets - known.secrets):
            yield f"after_call needs the secret {secret}: set PHONEBOT_SECRET_{secret} where phonebot runs"
        parts = urlsplit(self.url)
        if parts.scheme == "http" and parts.hostname not in known.hosts:
            remedy = f"PHONEBOT_TOOL_HOSTS_ALLOWED must name {parts.hostname}"
            yield f"after_call.url is http://: it must be https://, or {remedy}"


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
TABLES: dict[str, type[_Table]] = {"summary": Summary, "extract": Extract, "after_call": AfterCall}


class Wishes(_Table):
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
