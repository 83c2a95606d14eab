"""Where models are found, as the file of profiles says."""

from pathlib import Path
from typing import Any

import pytest

from phonebot.agents.numbers import Numbers, read_providers, read_tables
from phonebot.agents.providers import split
from phonebot.errors import ProfileError

FILE = """
[default]
greeting = "Hello"

[provider.sweden]
kind = "azure"
url = "https://sweden.openai.azure.com"
key = "SWEDEN"
model = "our-rt"
models = { "gpt-realtime-2.1-mini" = "our-mini" }
voices = { marin = "alloy" }

[provider.backup]
kind = "gateway"
url = "wss://gateway.example.com/v1/realtime"
auth = "query"
dialect = "beta"
"""


def test_a_file_of_profiles_holds_providers_beside_them(tmp_path: Path) -> None:
    file = tmp_path / "profiles.toml"
    file.write_text(FILE)
    found = read_providers(file)
    assert list(found) == ["sweden", "backup"]
    assert [found["sweden"].model_for(name) for name in ("gpt-realtime-2.1", "gpt-realtime-2.1-mini")] == [
        "our-rt",
        "our-mini",
    ]
    assert found["backup"].model_for("gpt-realtime-2.1") == "gpt-realtime-2.1"
    numbers = Numbers.load(file)
    assert (numbers.default.greeting, dict(numbers.profiles)) == ("Hello", {})


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"kind": "azur"}, 'provider.x.kind is "azur"; it must be "openai", "azure" or "gateway"'),
        ({}, 'provider.x.kind is missing; it must be "openai", "azure" or "gateway"'),
        ({"kind": "openai", "keys": "A"}, "provider.x.keys is not a known key; the nearest is key"),
        ({"kind": "openai", "key": "sk-secret"}, "provider.x.key must be the NAME of a PHONEBOT_SECRET_NAME"),
        ({"kind": "gateway"}, 'provider.x of the kind "gateway" needs a url'),
        ({"kind": "gateway", "url": "ftp://x"}, "provider.x.url is no URL of a service"),
        ({"kind": "gateway", "url": "wss://me:secret@x"}, "provider.x.url is no URL of a service"),
        ({"kind": "openai", "url": "wss://x"}, 'provider.x of the kind "openai" has no url'),
        ({"kind": "openai", "dialect": "beta"}, 'provider.x of the kind "openai" speaks the dialect "ga" alone'),
        ({"kind": "azure", "dialect": "auto"}, 'provider.x of the kind "azure" has the dialect "ga" or "beta"'),
        ({"kind": "azure", "auth": "query"}, "provider.x has an auth"),
        ({"kind": "openai", "voices": {"marin": 7}}, "provider.x.voices is 7; it must be a table of names"),
        ("openai", 'provider.x is "openai"; it must be a table such as'),
    ],
)
def test_a_provider_that_cannot_be_is_refused_with_the_key_and_what_is_allowed(table: Any, problem: str) -> None:
    with pytest.raises(ProfileError) as refused:
        read_tables({"provider": {"x": table}, "default": {}}, "the file", Path())
    (told,) = refused.value.problems
    assert problem in told
    assert "secret" not in told


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        ({"provider": {"Nord Pol": {"kind": "openai"}}}, "[provider.Nord Pol]: a name has 1 to 40 of a to z"),
        ({"provider": 7}, "[provider] must be at most 8 tables"),
        ({"provider": {f"p{n}": {"kind": "openai"} for n in range(9)}}, "[provider] must be at most 8 tables"),
    ],
)
def test_tables_of_providers_that_cannot_be_are_refused(tables: Any, problem: str) -> None:
    with pytest.raises(ProfileError) as refused:
        split(tables, "the file")
    assert problem in refused.value.problems[0]


def test_problems_of_providers_and_of_profiles_are_told_together() -> None:
    with pytest.raises(ProfileError) as refused:
        read_tables({"provider": {"x": {"kind": "y"}}, "default": {"greetings": "x"}}, "the file", Path())
    assert len(refused.value.problems) == 2
