"""
What may not be said or done in a call, as the operator writes it.

    guardrails = [
      { name = "no_diagnosis", words = ["diagnosis", "you have cancer"], then = "say", say = "Ask a doctor." },
      { name = "threats", on = "caller", pattern = '(?i)\\bbomb\\b', then = "end", say = "Goodbye." },
      { name = "prices", on = "arguments", tools = ["quote"], url = "https://shop.example.com/check" },
    ]

docs/guardrails.md explains it to operators.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Annotated, Literal, Self, TypeAlias
from urllib.parse import urlsplit

import re2
from pydantic import AfterValidator, Field, model_validator
from pydantic_core import ErrorDetails

from phonebot.agents import faults
from phonebot.agents.table import Table
from phonebot.agents.tools import NAMED, Headers, Known, SecretName, check_whole_url, secrets_in

COMMON = "guardrails"
"""The key of a profile's guardrails, which hold for all its agents."""

MAX_GUARDRAILS = 20
MAX_PATTERN_BYTES = 1 << 20
"""Memory that a compiled pattern may take: a search costs time in proportion to it."""

On: TypeAlias = Literal["bot", "caller", "arguments"]
"""What is looked at: the bot's words, the caller's, the arguments of a function that the model calls."""

Then: TypeAlias = Literal["interrupt", "say", "go_on", "hand_over", "end"]
"""What is done when it trips."""

Unknown: TypeAlias = Literal["pass", "trip"]

WAYS = ("words", "pattern", "function", "url", "ask")
"""How a text is looked at; a guardrail has one of these keys."""
LISTED_WAYS = f"{', '.join(WAYS[:-1])} and {WAYS[-1]}"

_NAME = r"^[A-Za-z0-9_-]{1,64}$"
_NAMES = "1 to 64 letters, digits, _ or -"


def compiled(pattern: str) -> "re2._Regexp":
    """A regular expression of RE2, which takes time in proportion to the text. Raises ValueError."""
    options = re2.Options()
    options.log_errors, options.max_mem = False, MAX_PATTERN_BYTES
    try:
        return re2.compile(pattern, options=options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if error.args else "it cannot be read"
        raise ValueError(f"is no regular expression of RE2: {reason[:200]}") from None


def _check_pattern(pattern: str) -> str:
    if compiled(pattern).search("") is not None:
        raise ValueError("finds something in an empty text: it would always trip")
    return pattern


class Guardrail(Table):
    """
    One thing that may not be said or done. Exactly one of `WAYS` says how that is noticed.

    `tools` None: the arguments of all functions. `if_unknown` None: "trip" for arguments, "pass" for words.
    """

    name: Annotated[str, Field(pattern=_NAME, description=_NAMES)]
    on: Annotated[On, Field(description='"bot", "caller" or "arguments"')] = "bot"
    tools: Annotated[
        Annotated[list[Annotated[str, Field(pattern=_NAME)]], Field(min_length=1, max_length=64)] | None,
        Field(description='1 to 64 names of functions such as ["book_table"]'),
    ] = None
    words: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=100)]],
        Field(max_length=200, description='at most 200 texts of 1 to 100 characters such as ["diagnosis"]'),
    ] = []
    pattern: Annotated[
        Annotated[str, AfterValidator(_check_pattern), Field(min_length=1, max_length=1_000)] | None,
        Field(description="a regular expression of RE2, of 1 to 1000 characters"),
    ] = None
    function: Annotated[Annotated[str, Field(pattern=_NAME)] | None, Field(description=_NAMES)] = None
    url: Annotated[
        Annotated[str, AfterValidator(check_whole_url), Field(max_length=2_000)] | None,
        Field(description='text such as "https://shop.example.com/check"'),
    ] = None
    headers: Headers = {}
    sign_with: Annotated[SecretName | None, Field(description=NAMED)] = None
    ask: Annotated[
        Annotated[str, Field(min_length=1, max_length=2_000)] | None,
        Field(description="a question of 1 to 2000 characters that is answered with yes or no"),
    ] = None
    then: Annotated[Then, Field(description='"interrupt", "say", "go_on", "hand_over" or "end"')] = "interrupt"
    say: Annotated[
        Annotated[str, Field(min_length=1, max_length=500)] | None, Field(description="text of 1 to 500 characters")
    ] = None
    to: Annotated[Annotated[str, Field(pattern=_NAME)] | None, Field(description="the name of an agent")] = None
    debounce_characters: Annotated[
        int, Field(ge=10, le=2_000, description="a whole number of characters from 10 to 2000")
    ] = 100
    timeout_s: Annotated[float, Field(ge=0.1, le=20, description="a number of seconds from 0.1 to 20")] = 3
    if_unknown: Annotated[Unknown | None, Field(description='"pass" or "trip"')] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        """What would have no effect is refused: a guardrail promises nothing that is not done."""
        given = [way for way in WAYS if getattr(self, way)]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of {LISTED_WAYS}")
        if wordless := next((each for each in self.words if not any(map(str.isalnum, each))), None):
            raise ValueError(f"has the entry {wordless!r} in words, which is no word")
        if self.tools is not None and self.on != "arguments":
            raise ValueError('needs on = "arguments" for tools')
        if (self.headers or self.sign_with) and self.url is None:
            raise ValueError("needs url for headers and sign_with")
        if self.then == "say" and self.say is None:
            raise ValueError('needs say, the words that then = "say" says')
        if self.say is not None and self.then in ("go_on", "hand_over"):
            raise ValueError(f'says nothing with then = "{self.then}": leave out say')
        if (self.then == "hand_over") != (self.to is not None):
            raise ValueError('needs both then = "hand_over" and to, the agent who takes over, or neither')
        return self

    @property
    def passes_unknown(self) -> bool:
        """Whether what could not be looked at counts as allowed."""
        return (self.if_unknown or ("trip" if self.on == "arguments" else "pass")) == "pass"


def _check_names(entries: list[Guardrail]) -> list[Guardrail]:
    names = [entry.name for entry in entries]
    if doubled := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"holds {doubled} twice")
    return entries


GUARDRAILS = f"an array of at most {MAX_GUARDRAILS} tables"
Guardrails: TypeAlias = Annotated[
    list[Guardrail],
    AfterValidator(_check_names),
    Field(max_length=MAX_GUARDRAILS, description=GUARDRAILS),
]
"""The key `guardrails` of a profile, and of an agent."""


def conflicts(lists: Mapping[str, list[Guardrail]], agents: Collection[str], transcribed: bool) -> Iterator[str]:
    """
    What does not go together in a profile: its guardrails and its agents' own, by the key under which they stand.

    `transcribed`: the caller's words are written down. A name stands for one guardrail: its check is known by it.
    """
    seen: dict[str, Guardrail] = {}
    for where, entries in lists.items():
        for place, entry in enumerate(entries):
            path = f"{where}[{place}]"
            if entry.on == "caller" and not transcribed:
                yield f'{path}.on is "caller", which needs transcription'
            if entry.to is not None and entry.to not in agents:
                yield f'{path}.to is "{entry.to}"; the agents are {", ".join(agents)}'
            if seen.setdefault(entry.name, entry) != entry:
                yield f"{path}.name is {entry.name}, as another guardrail is that is not the same: rename one"
            elif where != COMMON and any(entry.name == each.name for each in lists.get(COMMON, ())):
                yield f"{path}.name is {entry.name}, which holds for all agents already: leave it out here"


def problems(lists: Mapping[str, Iterable[Guardrail]], known: Known) -> Iterator[str]:
    """A sentence for each thing that a deployment does not have and these name."""
    for where, entries in lists.items():
        for place, entry in enumerate(entries):
            for key, problem in lacks(entry, known):
                yield f"{where}[{place}].{key} {problem}"


def lacks(entry: Guardrail, known: Known) -> Iterator[tuple[str, str]]:
    """What a deployment does not have and this one names: the key, and what is wrong with it."""
    if entry.function is not None and entry.function not in known.guardrails:
        yield (
            "function",
            f'is "{entry.function}", a guardrail that this deployment does not have: PHONEBOT_TOOLS must name it',
        )
    for key, secrets in (("headers", secrets_in(entry.headers)), ("sign_with", {entry.sign_with} - {None})):
        for secret in sorted(filter(None, secrets - known.secrets)):
            yield key, f"needs the secret {secret}: set PHONEBOT_SECRET_{secret} where phonebot runs"
    host = urlsplit(entry.url or "").hostname
    if entry.url and entry.url.startswith("http://") and host not in known.hosts:
        yield "url", f"is http://: it must be https://, or PHONEBOT_TOOL_HOSTS_ALLOWED must name {host}"


def sentence(loc: tuple[int | str, ...], fault: ErrorDetails, within: str = COMMON) -> str:
    """What is wrong with an entry: where, why, what is allowed. `loc` is the fault's place below `within`."""
    key = str(loc[1]) if len(loc) > 1 else ""
    table = f"a table with name and one of {LISTED_WAYS}"
    return faults.sentence(f"{within}[{loc[0]}]", key, Guardrail, fault, table)
