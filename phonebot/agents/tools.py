"""
The functions that a profile lets the model call, as the operator writes them.

    tools = [
      "book_table",                                                       # a Python function of the deployment
      { name = "order", description = "...", url = "https://shop.example.com/orders/{id}", parameters = {...} },
      { mcp = "docs", server_url = "https://docs.example.com/mcp", allowed_tools = ["search"] },
    ]

A profile never says where Python code is: who may edit a profile in a browser must not be able to load modules.
docs/tools.md explains it to operators.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from pydantic import AfterValidator, BaseModel, Discriminator, Field, Tag, model_validator
from pydantic_core import ErrorDetails

from phonebot.agents import faults
from phonebot.agents.table import Switch, Table

MAX_TOOLS = 64
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What a model may call a function (Realtime API reference, session.tools)."""

MAX_RESPONSE_BYTES = 1_048_576
MAX_SCHEMA_CHARACTERS = 16_384  # as JSON; all functions together must fit beside the instructions
METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")  # token (RFC 9110, 5.6.2)
# What the client writes itself, or signs with.
_OWN_HEADERS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_OWN_PREFIX = "x-phonebot-"
_URL_CHARACTERS = re.compile(r"[!-~]+")

_NAMES = "1 to 64 letters, digits, _ or -"
_Name: TypeAlias = Annotated[str, Field(pattern=rf"^{NAME.pattern}$", description=_NAMES)]


def _check_secret(name: str) -> str:
    if name == "KEY":
        raise ValueError("names the secret KEY, but PHONEBOT_SECRET_KEY is phonebot's own: choose another name")
    return name


NAMED = "1 to 64 capitals, digits or _: of the variable PHONEBOT_SECRET_NAME what stands for NAME"
SecretName: TypeAlias = Annotated[
    str,
    AfterValidator(_check_secret),
    Field(
        pattern=r"^[A-Z0-9_]{1,64}$",
        description=NAMED,
    ),
]


def placeholders(template: str) -> list[str]:
    """The arguments that a URL's template names, in order."""
    return _PLACEHOLDER.findall(template)


def check_url(template: str, gap: str = "an argument", who: str = "the model") -> str:
    """
    The template, if it is that of a URL with `gap`s, which `who` fills, in its path or query alone.

    Raises ValueError with what is wrong, as the end of a sentence.
    """
    if not _URL_CHARACTERS.fullmatch(template):
        raise ValueError("holds a space or a character that a URL cannot hold")
    try:
        parts = urlsplit(template)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("has a host or a port that cannot be read") from None
    if parts.scheme not in ("https", "http") or not host or port == 0:
        raise ValueError("is not https://HOST/PATH")
    if "@" in parts.netloc:
        raise ValueError("holds a user or a password: put them into headers")
    if "{" in parts.netloc or "}" in parts.netloc:
        raise ValueError(f"has {gap} in its host: {who} must not choose whom to ask")
    if "#" in template:
        raise ValueError("has a fragment, which is never sent")
    rest = _PLACEHOLDER.sub("", template)
    if "{" in rest or "}" in rest or "" in placeholders(template):
        raise ValueError(f"has a brace without {gap}: {{name}} stands for one")
    return template


def _check_tool_url(template: str) -> str:
    return check_url(template)


def check_whole_url(url: str) -> str:
    """A URL in which nothing stands for an argument. Raises ValueError."""
    if placeholders(check_url(url)):
        raise ValueError("is not https://HOST/PATH")
    return url


def _check_server_url(url: str) -> str:
    if not check_whole_url(url).startswith("https://"):
        raise ValueError("is not https://HOST/PATH")
    return url


def check_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema of an object, which a model may be given. Raises ValueError."""
    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError) as error:
        reason = error.message if isinstance(error, SchemaError) else "it is nested too deeply"
        raise ValueError(f"is no JSON schema: {reason[:200]}") from None
    try:
        size = len(json.dumps(schema, allow_nan=False))
    except (TypeError, ValueError):
        raise ValueError("holds what JSON has no word for, such as a date") from None
    if size > MAX_SCHEMA_CHARACTERS:
        raise ValueError(f"has {size} characters as JSON; at most {MAX_SCHEMA_CHARACTERS} are allowed")
    if schema.get("type") != "object":
        raise ValueError('must have type = "object": a function has named arguments')
    if reference := _foreign_reference(schema):
        raise ValueError(f"refers to {reference[:100]}, outside itself: nothing is fetched")
    return schema


def _foreign_reference(schema: object) -> str | None:
    """A reference in a schema that leads out of it."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef") and isinstance(value, str) and not value.startswith("#"):
                return value
        inner: Iterable[object] = schema.values()
    else:
        inner = schema if isinstance(schema, list) else ()
    return next((found for each in inner if (found := _foreign_reference(each))), None)


class Secret(Table):
    """A value that is not in the profile but in the environment, in the variable PHONEBOT_SECRET_`secret`."""

    secret: SecretName


HeaderValue: TypeAlias = Annotated[
    Annotated[str, Field(max_length=2_000, pattern=r"^[ -~]*$"), Tag("text")] | Annotated[Secret, Tag("secret")],
    Discriminator(lambda value: "text" if isinstance(value, str) else "secret"),
]


def _check_headers(headers: dict[str, HeaderValue]) -> dict[str, HeaderValue]:
    for name in headers:
        if not _HEADER.fullmatch(name):
            raise ValueError(f"holds {name[:40]!r}, which cannot be the name of a header")
        if name.lower() in _OWN_HEADERS or name.lower().startswith(_OWN_PREFIX):
            raise ValueError(f"holds {name}, which phonebot sets itself")
    return headers


_HEADERS = 'a table such as { Authorization = { secret = "SHOP" }, Accept = "text/plain" }'
Headers: TypeAlias = Annotated[
    dict[str, HeaderValue],
    AfterValidator(_check_headers),
    Field(max_length=20, description=_HEADERS),
]


class Confirm(Table):
    """The caller agrees before the function runs, by a key or by words, `within_s` of the model's asking."""

    key: Annotated[
        Annotated[str, Field(pattern=r"^[0-9*#]$")] | None, Field(description="one of the keys 0 to 9, * and #")
    ] = None
    words: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=40)]],
        Field(max_length=20, description='at most 20 texts of 1 to 40 characters such as ["yes", "go ahead"]'),
    ] = []
    within_s: Annotated[int, Field(ge=5, le=600, description="a whole number of seconds from 5 to 600")] = 60

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.key is None) == (not self.words):
            raise ValueError("needs either key or words, by which the caller agrees")
        return self


class HttpTool(Table):
    """
    A function that is a request. `parameters` is a JSON schema of its arguments.

    Arguments that `url` names stand there; the others are the query, or the body (JSON) of a method that has one.
    `sign_with` names the secret of the request's signature. A redirect is not followed.
    """

    name: _Name
    description: Annotated[
        str, Field(min_length=1, max_length=2_000, description="text of 1 to 2000 characters, for the model")
    ]
    url: Annotated[
        str,
        AfterValidator(_check_tool_url),
        Field(max_length=2_000, description='text such as "https://shop.example.com/orders/{id}"'),
    ]
    method: Annotated[
        Literal["GET", "POST", "PUT", "PATCH", "DELETE"],
        Field(description='"GET", "POST", "PUT", "PATCH" or "DELETE"'),
    ] = "POST"
    headers: Headers = {}
    parameters: Annotated[
        dict[str, Any],
        AfterValidator(check_schema),
        Field(description='a JSON schema such as { type = "object", properties = { id = { type = "string" } } }'),
    ] = {"type": "object", "properties": {}}
    timeout_s: Annotated[float, Field(ge=0.5, le=120, description="a number of seconds from 0.5 to 120")] = 10
    sign_with: Annotated[SecretName | None, Field(description=NAMED)] = None
    max_response_bytes: Annotated[
        int,
        Field(ge=1, le=MAX_RESPONSE_BYTES, description=f"a whole number of bytes from 1 to {MAX_RESPONSE_BYTES}"),
    ] = 65_536
    fillers: Annotated[
        Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=10)] | None,
        Field(description='at most 10 texts of 1 to 200 characters such as ["One moment."]'),
    ] = None
    filler_s: Annotated[
        Annotated[float, Field(ge=0.5, le=60)] | None, Field(description="a number of seconds from 0.5 to 60")
    ] = None
    confirm: Annotated[
        Confirm | None, Field(description='a table such as { key = "1" } or { words = ["yes"] }')
    ] = None
    answers: Switch = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        required = self.parameters.get("required", [])
        for argument in placeholders(self.url):
            if argument not in self.parameters.get("properties", {}) or argument not in required:
                raise ValueError(f"needs {argument} in parameters.properties and .required, for url names it")
        if self.sign_with and self.method not in METHODS_WITH_BODY:
            raise ValueError("needs a method with a body for sign_with, which signs that: POST, PUT or PATCH")
        return self

    @property
    def secrets(self) -> set[str]:
        """The names of the secrets that it needs."""
        return secrets_in(self.headers) | ({self.sign_with} if self.sign_with else set())


class McpServer(Table):
    """
    A server of the Model Context Protocol, whose functions the model's service calls itself (GA dialect only).

    phonebot sees nothing of these calls. `allowed_tools` None: all that it has.
    """

    mcp: _Name
    server_url: Annotated[
        str,
        AfterValidator(_check_server_url),
        Field(max_length=2_000, description='text such as "https://docs.example.com/mcp"'),
    ]
    description: Annotated[
        Annotated[str, Field(max_length=2_000)] | None, Field(description="text of at most 2000 characters")
    ] = None
    allowed_tools: Annotated[
        Annotated[list[Annotated[str, Field(min_length=1, max_length=128)]], Field(max_length=100)] | None,
        Field(description='at most 100 texts such as ["search"]'),
    ] = None
    headers: Headers = {}

    @property
    def secrets(self) -> set[str]:
        """The names of the secrets that it needs."""
        return secrets_in(self.headers)


def secrets_in(headers: Mapping[str, HeaderValue]) -> set[str]:
    """The names of the secrets that headers need."""
    return {value.secret for value in headers.values() if isinstance(value, Secret)}


def _kind(value: object) -> str | None:
    if isinstance(value, str):
        return "name"
    if isinstance(value, McpServer) or (isinstance(value, Mapping) and "mcp" in value):
        return "mcp"
    return "http" if isinstance(value, Mapping | HttpTool) else None


ToolEntry: TypeAlias = Annotated[
    Annotated[_Name, Tag("name")] | Annotated[HttpTool, Tag("http")] | Annotated[McpServer, Tag("mcp")],
    Discriminator(_kind),
]


def name_of(entry: ToolEntry) -> str:
    """A function's name, or a server's."""
    match entry:
        case HttpTool():
            return entry.name
        case McpServer():
            return entry.mcp
    return entry


@dataclass(frozen=True, slots=True)
class Known:
    """
    What a deployment has for profiles to name: Python functions, secrets, hosts that are let off the rules, Python
    guardrails.
    """

    functions: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    guardrails: frozenset[str] = frozenset()

    def lacks(self, lists: Mapping[str, Iterable[ToolEntry]]) -> list[str]:
        """The sentences of `problems`."""
        return [problem for _, problem in self.problems(lists)]

    def problems(self, lists: Mapping[str, Iterable[ToolEntry]]) -> Iterator[tuple[str, str]]:
        """
        What of a profile's entries a deployment cannot do: the entry's name, and a sentence about its key.

        `lists`: the entries of each agent, by the key under which they stand in the profile.
        """
        for where, entries in lists.items():
            for place, entry in enumerate(entries):
                for problem in self._problems(entry, f"{where}[{place}]"):
                    yield name_of(entry), problem

    def _problems(self, entry: ToolEntry, path: str) -> Iterator[str]:
        if isinstance(entry, str):
            if entry not in self.functions:
                there_are = (
                    f"there are {_listed(self.functions)}" if self.functions else "PHONEBOT_TOOLS names none"
                )
                yield f'{path} is "{entry}", a function that this deployment does not have; {there_are}'
            return
        yield from self.lacking(path, entry.secrets, entry.url if isinstance(entry, HttpTool) else entry.server_url)

    def lacking(self, path: str, secrets: set[str], url: str) -> Iterator[str]:
        """What a deployment lacks for a request with these secrets to this URL, which a profile has at `path`."""
        for secret in sorted(secrets - self.secrets):
            yield f"{path} needs the secret {secret}: set PHONEBOT_SECRET_{secret} where phonebot runs"
        parts = urlsplit(url)
        if parts.scheme == "http" and parts.hostname not in self.hosts:
            remedy = f"PHONEBOT_TOOL_HOSTS_ALLOWED must name {parts.hostname}"
            yield f"{path}.url is http://: it must be https://, or {remedy}"


TOOLS = f"an array of at most {MAX_TOOLS} functions and tables"
ENTRY = f"a function's name ({_NAMES}), or a table with name and url, or with mcp and server_url"
_TABLES: dict[str, type[Table]] = {"http": HttpTool, "mcp": McpServer}


def sentence(loc: tuple[int | str, ...], fault: ErrorDetails, where: str = "tools") -> str:
    """What is wrong with an entry: where, why, what is allowed. `loc` is the fault's place below `where`."""
    if not loc or not isinstance(loc[0], int):
        return f"{where} is {faults.shown(fault['input'])}; it must be {TOOLS}"
    path = f"{where}[{loc[0]}]"
    kind, key, deeper = [*map(str, loc[1:]), "", "", ""][:3]
    table: type[BaseModel] = _TABLES.get(kind, HttpTool)
    if kind not in _TABLES:
        key = ""
    if key == "confirm" and deeper:
        path, table, key = f"{path}.confirm", Confirm, deeper
    return faults.sentence(path, key, table, fault, ENTRY)


def _listed(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join([*listed[:20], *(["..."] if len(listed) > 20 else [])])
