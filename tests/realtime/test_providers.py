from typing import Any

import pytest

from phonebot.errors import SettingsError
from phonebot.realtime.providers import Endpoint, azure, gateway, masked, openai

KEY = "sk-Secret/42+"


def test_openai_endpoint_is_ga_and_sends_no_beta_header() -> None:
    endpoint = openai("gpt-realtime-2.1", KEY)
    assert endpoint.url == "wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1"
    assert endpoint.headers == (("Authorization", f"Bearer {KEY}"),)
    assert (endpoint.dialect, endpoint.subprotocols) == ("ga", ())
    assert endpoint.capabilities.session_limit_s == 3600


@pytest.mark.parametrize("address", ["https://res.openai.azure.com", "https://res.openai.azure.com/openai/v1/"])
def test_azure_endpoint_names_the_deployment_as_model(address: str) -> None:
    endpoint = azure(address, "voice-1", key=KEY)
    assert endpoint.url == "wss://res.openai.azure.com/openai/v1/realtime?model=voice-1"
    assert endpoint.headers == (("api-key", KEY),)
    assert endpoint.dialect == "ga"


def test_azure_preview_endpoint_names_the_deployment_and_the_version() -> None:
    endpoint = azure("https://res.openai.azure.com/", "voice-1", token=KEY, dialect="beta")
    path = "/openai/realtime?api-version=2025-04-01-preview&deployment=voice-1"
    assert endpoint.url == f"wss://res.openai.azure.com{path}"
    assert endpoint.headers == (("Authorization", f"Bearer {KEY}"), ("OpenAI-Beta", "realtime=v1"))


@pytest.mark.parametrize("secrets", [{}, {"key": KEY, "token": KEY}])
def test_azure_endpoint_needs_one_secret(secrets: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="either a key or an Entra ID token"):
        azure("https://res.openai.azure.com", "voice-1", **secrets)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "dialled"),
    [
        ("https://gw.example/v1", "wss://gw.example/v1/realtime?model=m"),
        ("https://gw.example/v1/", "wss://gw.example/v1/realtime?model=m"),
        ("http://127.0.0.1:8081/v1/realtime", "ws://127.0.0.1:8081/v1/realtime?model=m"),
        ("ws://[::1]:8081/v1/realtime/", "ws://[::1]:8081/v1/realtime?model=m"),
        ("wss://gw.example/v1/realtime?model=own", "wss://gw.example/v1/realtime?model=own"),
        ("wss://gw.example/v1?a=%20b&c", "wss://gw.example/v1/realtime?a=%20b&c&model=m"),
        (
            "https://res.openai.azure.com/openai/realtime?api-version=2024-10-01-preview",
            "wss://res.openai.azure.com/openai/realtime?api-version=2024-10-01-preview&deployment=m",
        ),
        (
            "https://res.openai.azure.com/openai/realtime?api-version=v&deployment=own",
            "wss://res.openai.azure.com/openai/realtime?api-version=v&deployment=own",
        ),
        ("https://res.openai.azure.com/openai/v1", "wss://res.openai.azure.com/openai/v1/realtime?model=m"),
    ],
)
def test_gateway_url_is_completed_and_otherwise_kept(given: str, dialled: str) -> None:
    assert gateway(given, "m").url == dialled


def test_gateway_without_a_model_names_none() -> None:
    assert gateway("ws://localhost:1/v1", "").url == "ws://localhost:1/v1/realtime"


@pytest.mark.parametrize(
    ("auth", "headers"),
    [("bearer", (("Authorization", "Bearer t0k"),)), ("api-key", (("api-key", "t0k"),)), ("query", ())],
)
def test_gateway_token_goes_where_it_is_wanted(auth: Any, headers: Any) -> None:
    endpoint = gateway("wss://gw.example/v1", "m", "t0k", auth)
    assert endpoint.headers == headers
    assert endpoint.url.endswith("&token=t0k") == (auth == "query")
    assert endpoint.subprotocols == ()


def test_gateway_token_as_subprotocol_follows_the_one_the_service_selects() -> None:
    endpoint = gateway("wss://gw.example/v1", "m", "t0k", "subprotocol")
    assert endpoint.subprotocols == ("realtime", "openai-insecure-api-key.t0k")
    assert endpoint.headers == ()
    beta = gateway("wss://gw.example/v1", "m", "t0k", "subprotocol", "beta")
    assert beta.subprotocols == ("realtime", "openai-insecure-api-key.t0k", "openai-beta.realtime-v1")


@pytest.mark.parametrize(("dialect", "announced"), [("beta", True), ("ga", False), ("auto", False)])
def test_beta_header_is_sent_in_the_beta_dialect_alone(dialect: Any, announced: bool) -> None:
    endpoint = gateway("wss://gw.example/v1", "m", "t0k", dialect=dialect)
    assert (("OpenAI-Beta", "realtime=v1") in endpoint.headers) == announced


def test_gateway_without_a_token_sends_none() -> None:
    assert gateway("ws://localhost:1/v1", "m", "", "subprotocol") == gateway("ws://localhost:1/v1", "m")


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "caf\xe9", "t0k\x00"])
def test_token_that_cannot_stand_in_a_header_is_refused_unseen(token: str) -> None:
    with pytest.raises(SettingsError) as refused:
        gateway("wss://gw.example/v1", "m", token)
    assert token not in str(refused.value)


def test_token_that_cannot_be_a_subprotocol_is_refused_unseen() -> None:
    with pytest.raises(SettingsError, match="use bearer or api-key") as refused:
        gateway("wss://gw.example/v1", "m", KEY, "subprotocol")
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["", "gw.example/v1", "ftp://gw.example", "wss://", "wss://gw.example:port/", "wss://[::1/v1"]
)
def test_url_that_cannot_be_dialled_is_refused_with_the_form_it_should_have(url: str) -> None:
    with pytest.raises(SettingsError, match="wss://"):
        gateway(url, "m")


def test_url_with_a_password_is_refused_unseen() -> None:
    with pytest.raises(SettingsError, match="model token") as refused:
        gateway("wss://me:pa55@gw.example/v1", "m")
    assert "pa55" not in str(refused.value)


@pytest.mark.parametrize(
    "endpoint",
    [
        openai("m", "t0ken"),
        azure("https://res.openai.azure.com", "d", key="t0ken"),
        *(
            gateway("wss://gw.example/v1", "m", "t0ken", auth)
            for auth in ("bearer", "api-key", "query", "subprotocol")
        ),
    ],
)
def test_endpoint_shows_no_secret(endpoint: Endpoint) -> None:
    assert "t0ken" not in f"{endpoint!r} {endpoint!s} {[endpoint]}"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("wss://gw.example/v1?model=m&token=t0k&x=1", "wss://gw.example/v1?model=m&token=***&x=1"),
        ("wss://gw.example/v1?API-KEY=t0k", "wss://gw.example/v1?API-KEY=***"),
        ("wss://me:pa55@gw.example/v1", "wss://***@gw.example/v1"),
        ("wss://gw.example/v1?model=a%20b", "wss://gw.example/v1?model=a%20b"),
        ("wss://[::1", "(unreadable URL)"),
    ],
)
def test_masked_url_keeps_everything_but_secrets(url: str, shown: str) -> None:
    assert masked(url) == shown


def test_words_from_outside_lose_the_key_in_either_spelling() -> None:
    endpoint = openai("m", KEY)
    assert endpoint.scrubbed(f"bad key {KEY}, sent as sk-Secret%2F42%2B") == "bad key ***, sent as ***"
