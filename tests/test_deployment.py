"""What the settings make of a deployment."""

from pathlib import Path

import pytest

from phonebot.deployment import clips_of, prices_of, providers_of, text_endpoint, text_model
from phonebot.errors import ProfileError, SettingsError
from phonebot.realtime.prices import LISTED, Price, Rates
from phonebot.settings import Settings, load

AT_OPENAI = {"OPENAI_API_KEY": "sk-openai"}
AT_AZURE = {"AZURE_OPENAI_ENDPOINT": "https://own.openai.azure.com", "AZURE_OPENAI_API_KEY": "own-key"}
PROVIDERS = """
[provider.sweden]
kind = "azure"
url = "https://sweden.openai.azure.com"
key = "SWEDEN"
model = "our-rt"
models = { "gpt-realtime-2.1-mini" = "our-mini" }
dialect = "beta"

[provider.own]
kind = "azure"

[provider.gateway]
kind = "gateway"
url = "wss://gateway.example.com"
key = "GATEWAY"
auth = "api-key"

[provider.us]
kind = "openai"
key = "US"
"""


def settings(folder: Path, names: str, **further: str) -> Settings:
    (folder / "profiles.toml").write_text(PROVIDERS)
    return load(
        {
            "PHONEBOT_PROFILES": str(folder / "profiles.toml"),
            "PHONEBOT_MODEL_PROVIDERS": names,
            "PHONEBOT_SECRET_SWEDEN": "key-of-sweden",
            "PHONEBOT_SECRET_GATEWAY": "key-of-gateway",
            "PHONEBOT_SECRET_US": "sk-us",
            **further,
        },
        env_file=None,
    )


def test_providers_are_asked_in_the_order_of_the_settings_each_with_its_key_and_names(tmp_path: Path) -> None:
    found = providers_of(settings(tmp_path, "gateway, sweden, us, openai, own", **AT_OPENAI, **AT_AZURE))
    endpoints = [each.endpoint_for("gpt-realtime-2.1") for each in found]
    assert [(each.name, each.url.partition("?")[0], each.secret, each.dialect) for each in endpoints] == [
        ("gateway", "wss://gateway.example.com/realtime", "key-of-gateway", "auto"),
        ("sweden", "wss://sweden.openai.azure.com/openai/realtime", "key-of-sweden", "beta"),
        ("us", "wss://api.openai.com/v1/realtime", "sk-us", "ga"),
        ("openai", "wss://api.openai.com/v1/realtime", "sk-openai", "ga"),
        ("own", "wss://own.openai.azure.com/openai/v1/realtime", "own-key", "ga"),
    ]
    assert "deployment=our-rt" in endpoints[1].url
    assert "deployment=our-mini" in found[1].endpoint_for("gpt-realtime-2.1-mini").url
    assert "key-of" not in repr(endpoints)


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        (AT_OPENAI, "openai"),
        (AT_OPENAI | AT_AZURE, "azure"),
        (AT_OPENAI | AT_AZURE | {"PHONEBOT_MODEL_URL": "ws://127.0.0.1:9"}, "gateway"),
    ],
)
def test_without_a_list_the_one_of_the_settings_is_asked(variables: dict[str, str], name: str) -> None:
    (provider,) = providers_of(load(variables, env_file=None))
    assert (provider.name, provider.endpoint_for("any").name) == (name, name)


def test_without_any_model_a_call_is_told_so() -> None:
    (provider,) = providers_of(load({}, env_file=None))
    with pytest.raises(SettingsError, match="the OpenAI key is empty"):
        provider.endpoint_for("any")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"names": "sweden,p7"}, r"names p7: write a table \[provider.p7\]"),
        ({"PHONEBOT_SECRET_SWEDEN": ""}, "model provider sweden: its key is SWEDEN: set PHONEBOT_SECRET_SWEDEN"),
        ({"names": "openai"}, "model provider openai: the OpenAI key is empty"),
        ({"names": "own"}, "model provider own: it has no url"),
        ({"names": "azure"}, "model provider azure: it has no url"),
        ({"names": "gateway", "PHONEBOT_PROFILES": ""}, "PHONEBOT_MODEL_URL is not set"),
        ({"names": "sweden,sweden"}, "names one twice"),
        ({"names": "P 0"}, "names something that cannot be a provider"),
    ],
)
def test_providers_that_cannot_be_asked_are_refused(tmp_path: Path, changes: dict[str, str], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        providers_of(settings(tmp_path, **({"names": "sweden"} | changes)))


def test_all_problems_of_providers_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        providers_of(settings(tmp_path, "p7,sweden,openai", PHONEBOT_SECRET_SWEDEN=""))
    assert len(refused.value.problems) == 3


def test_a_file_whose_providers_are_wrong_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text('[provider.x]\nkind = "y"')
    with pytest.raises(ProfileError, match=r"provider\.x\.kind"):
        providers_of(settings(tmp_path, "x", PHONEBOT_PROFILES=str(file)))


@pytest.mark.parametrize(
    ("names", "further", "model"),
    [
        ("us", {}, "gpt-realtime-2.1-mini"),
        ("sweden", {}, "our-rt"),
        ("sweden", {"PHONEBOT_TEXT_MODEL": "gpt-realtime-2.1-mini"}, "our-mini"),
        ("gateway", {"PHONEBOT_MODEL": "theirs"}, "theirs"),
    ],
)
def test_texts_are_written_by_the_cheapest_model_where_its_name_is_known(
    tmp_path: Path, names: str, further: dict[str, str], model: str
) -> None:
    deployment = settings(tmp_path, names, **further)
    (provider,) = providers_of(deployment)
    assert text_endpoint(deployment, provider).url.endswith(f"={model}")
    assert text_endpoint(deployment, provider, "gpt-realtime-2.1-mini") == provider.endpoint_for(
        "gpt-realtime-2.1-mini"
    )
    assert text_model(deployment, provider)


def test_clips_that_cannot_be_played_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"PHONEBOT_CLIPS: /nowhere/words\.toml: cannot be read"):
        clips_of(load({"PHONEBOT_CLIPS": "/nowhere"}, env_file=None))


OWN_PRICES = """
as_of = 2026-12-01

[models."our-rt"]
text = { input = 1, output = 2 }
audio = { input = 3, output = 4 }
"""


def test_prices_of_the_deployments_own_stand_beside_the_listed_ones(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(OWN_PRICES)
    assert prices_of(load({}, env_file=None)) == LISTED
    prices = prices_of(load({"PHONEBOT_PRICES": str(tmp_path / "own.toml")}, env_file=None))
    assert prices.tariff("our-rt").model == Price(Rates(1, 1, 2), Rates(3, 3, 4))
    assert prices.tariff("gpt-realtime-2.1") == LISTED.tariff("gpt-realtime-2.1")


@pytest.mark.parametrize(("content", "problem"), [(b"models = {}", "`as_of`"), (b"\xff", "cannot be read")])
def test_prices_that_cannot_be_used_are_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "own.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=f"PHONEBOT_PRICES: .*{problem}"):
        prices_of(load({"PHONEBOT_PRICES": str(tmp_path / "own.toml")}, env_file=None))
    with pytest.raises(SettingsError, match=r"PHONEBOT_PRICES: .*cannot be read"):
        prices_of(load({"PHONEBOT_PRICES": str(tmp_path / "none.toml")}, env_file=None))
