"""
Where models are found, as the operator writes it in the file of profiles.

    [provider.sweden]
    kind = "azure"
    url = "https://sweden.openai.azure.com"
    key = "AZURE_SWEDEN"                # of PHONEBOT_SECRET_AZURE_SWEDEN
    model = "our-deployment"

docs/profiles.md explains it to operators.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, ValidationError, model_validator

from phonebot.agents import faults
from phonebot.agents.table import Table
from phonebot.errors import ProfileError

TABLES = "provider"
"""The heading under which they stand, each by its name."""
MAX_PROVIDERS = 8
OWN = ("openai", "azure", "gateway")
"""Names that stand for what the settings say, where no table has them."""

NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_URL = re.compile(r"(wss|ws|https|http)://[^\s/?#@]+([/?][^\s#]*)?")
_SECRET_NAME = re.compile(r"[A-Z0-9_]{1,64}")

_PROVIDER = 'a table such as { kind = "azure", url = "https://NAME.openai.azure.com", key = "NAME" }'
_NAMES = 'a table of names such as { "gpt-realtime-2.1" = "our-deployment" }'
_Word: TypeAlias = Annotated[str, Field(min_length=1, max_length=128)]


def _check_url(url: str) -> str:
    if not _URL.fullmatch(url):
        raise ValueError("is no URL of a service: wss://, ws://, https:// or http://, a host, no user, no fragment")
    return url


def _check_key(name: str) -> str:
    if not _SECRET_NAME.fullmatch(name):  # it may be the key itself: it is not shown
        raise ValueError("must be the NAME of a PHONEBOT_SECRET_NAME: capitals, digits and _")
    return name


class Provider(Table):
    """
    One place where a model is found.

    `key` names the secret that holds its key; None: that of the settings for "openai" and "azure", none for a
    "gateway". `url` None: that of the settings, for "azure". `model` is asked for whatever a profile names, unless
    `models` says another for what it names; None: what it names. `voices` likewise are its names for voices.
    """

    kind: Annotated[Literal["openai", "azure", "gateway"], Field(description='"openai", "azure" or "gateway"')]
    url: Annotated[
        Annotated[str, AfterValidator(_check_url), Field(max_length=2_000)] | None,
        Field(description='text such as "https://NAME.openai.azure.com" or "wss://HOST/v1/realtime"'),
    ] = None
    key: Annotated[
        Annotated[str, AfterValidator(_check_key)] | None,
        Field(description="the NAME of a PHONEBOT_SECRET_NAME: capitals, digits and _"),
    ] = None
    auth: Annotated[
        Literal["bearer", "api-key", "query", "subprotocol"] | None,
        Field(description='"bearer", "api-key", "query" or "subprotocol"'),
    ] = None
    dialect: Annotated[Literal["ga", "beta", "auto"] | None, Field(description='"ga", "beta" or "auto"')] = None
    model: Annotated[_Word | None, Field(description="text of 1 to 128 characters")] = None
    models: Annotated[dict[_Word, _Word], Field(max_length=20, description=_NAMES)] = {}
    voices: Annotated[
        dict[_Word, _Word], Field(max_length=20, description='a table of names such as { marin = "alloy" }')
    ] = {}

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.kind == "gateway" and self.url is None:
            raise ValueError('of the kind "gateway" needs a url')
        if self.kind == "openai" and self.url is not None:
            raise ValueError('of the kind "openai" has no url: another address is of the kind "gateway"')
        if self.kind != "gateway" and self.auth is not None:
            raise ValueError('has an auth, which only the kind "gateway" lets one choose')
        if self.kind == "openai" and self.dialect not in (None, "ga"):
            raise ValueError('of the kind "openai" speaks the dialect "ga" alone')
        if self.kind == "azure" and self.dialect == "auto":
            raise ValueError('of the kind "azure" has the dialect "ga" or "beta"')
        return self

    def model_for(self, name: str) -> str:
        """What the model is called there that a profile or the settings call `name`."""
        return self.models.get(name) or self.model or name


def split(tables: Mapping[str, Any], source: str) -> tuple[dict[str, Any], dict[str, Provider]]:
    """
    What a file holds beside its providers, and these, by name.

    Raises ProfileError for `source` with a sentence for each problem of a provider.
    """
    others = {heading: table for heading, table in tables.items() if heading != TABLES}
    written = tables.get(TABLES, {})
    if not isinstance(written, dict) or len(written) > MAX_PROVIDERS:
        raise ProfileError(source, f"[{TABLES}] must be at most {MAX_PROVIDERS} tables, such as [{TABLES}.openai]")
    problems, found = list[str](), dict[str, Provider]()
    for name, table in written.items():
        if not NAME.fullmatch(name):
            problems.append(f"[{TABLES}.{faults.cut(name)}]: a name has 1 to 40 of a to z, 0 to 9, _ and -")
            continue
        try:
            found[name] = Provider.model_validate(table)
        except ValidationError as error:
            sentences = (_sentence(name, fault["loc"], fault) for fault in error.errors())
            problems.extend(dict.fromkeys(sentences))
    if problems:
        raise ProfileError(source, *problems)
    return others, found


def _sentence(name: str, loc: tuple[int | str, ...], fault: Any) -> str:
    return faults.sentence(f"{TABLES}.{name}", str(loc[0]) if loc else "", Provider, fault, _PROVIDER)
