"""What `load` accepts and refuses, what `serve` asks for, and that the documentation is that of the code."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from phonebot.errors import SettingsError
from phonebot.settings import Settings, load, settings_page, settings_table

SERVABLE = {
    "PHONEBOT_PUBLIC_URL": "https://bot.example.com",
    "PHONEBOT_SECRET_KEY": "k",
    "TWILIO_AUTH_TOKEN": "t",
    "OPENAI_API_KEY": "o",
}

SECRETS = (
    "PHONEBOT_SECRET_KEY",
    "TWILIO_AUTH_TOKEN",
    "OPENAI_API_KEY",
    "AZURE_OPENAI_API_KEY",
    "AZURE_OPENAI_AD_TOKEN",
    "PHONEBOT_MODEL_TOKEN",
)

# No NUL: an environment cannot hold it.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


def settings_of(**environ: str) -> Settings:
    return load(environ, env_file=None)


def problems_of(**environ: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        settings_of(**environ)
    return caught.value.problems


def problems_in_serving(environ: Mapping[str, str], *, dev: bool = False) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        settings_of(**environ).check_for_serving(dev)
    return caught.value.problems


def secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()


# ------------------------------------------------------------------------------------------- values


def test_settings_of_an_empty_environment_are_the_defaults() -> None:
    settings = settings_of()
    assert (settings.host, settings.port, settings.data_dir) == ("127.0.0.1", 8080, Path("data"))
    assert (settings.model, settings.model_auth, settings.model_dialect) == ("gpt-realtime-2.1", "bearer", "auto")
    assert (settings.public_url, settings.profiles, settings.twilio_account_sid) == (None, None, None)
    assert (settings.secret_key, settings.model_token) == (None, None)
    assert settings.twilio_api_url == "https://api.twilio.com"


def test_without_urls_the_database_and_the_recordings_are_in_the_data_folder() -> None:
    settings = settings_of(PHONEBOT_DATA_DIR="/var/lib/phone bot")
    assert settings.database == "sqlite:////var/lib/phone bot/phonebot.db"
    assert settings.storage == "file:///var/lib/phone%20bot/calls"
    assert Path(settings_of().database.removeprefix("sqlite:///")) == Path.cwd() / "data" / "phonebot.db"


def test_the_urls_of_database_and_storage_are_passed_on() -> None:
    settings = settings_of(
        PHONEBOT_DATABASE_URL="postgresql://phonebot:hidden@db/calls", PHONEBOT_STORAGE_URL="s3://calls/x?region=a"
    )
    assert settings.database == "postgresql://phonebot:hidden@db/calls"
    assert settings.storage == "s3://calls/x?region=a"
    assert "hidden" not in repr(settings)


def test_urls_of_another_kind_are_refused_without_showing_them() -> None:
    assert problems_of(PHONEBOT_DATABASE_URL="mysql://hidden@db", PHONEBOT_STORAGE_URL="/hidden") == (
        "PHONEBOT_DATABASE_URL is no address of a database; it must be sqlite:///PATH or "
        "postgresql://USER:PASSWORD@HOST:PORT/NAME (secret)",
        "PHONEBOT_STORAGE_URL is no address of a storage; it must be file:///PATH or "
        "s3://BUCKET[/PREFIX][?region=REGION&endpoint=URL]",
    )


def test_settings_of_a_full_environment_hold_its_values() -> None:
    settings = settings_of(
        **SERVABLE,
        PHONEBOT_HOST="::",
        PHONEBOT_PORT="65535",
        PHONEBOT_PROFILES="/etc/phonebot/numbers.toml",
        PHONEBOT_DATA_DIR="var",
        TWILIO_ACCOUNT_SID="AC1",
        PHONEBOT_CARRIER_START_BUFFER_MS="120",
        PHONEBOT_CARRIER_MARK_LAG_MS="2000",
        PHONEBOT_CARRIER_MARK_SPREAD_MS="0",
        AZURE_OPENAI_ENDPOINT="https://res.openai.azure.com/",
        AZURE_OPENAI_API_KEY="a",
        AZURE_OPENAI_AD_TOKEN="e",
        PHONEBOT_MODEL_URL="ws://my_gateway:3000/v1/realtime?model=m",
        PHONEBOT_MODEL_TOKEN="g",
        PHONEBOT_MODEL_AUTH="api-key",
        PHONEBOT_MODEL_DIALECT="beta",
        PHONEBOT_MODEL="gpt-realtime-2.1-mini",
    )
    assert (settings.host, settings.port) == ("::", 65535)
    assert (settings.profiles, settings.data_dir) == (Path("/etc/phonebot/numbers.toml"), Path("var"))
    assert (secret(settings.secret_key), secret(settings.twilio_auth_token)) == ("k", "t")
    assert (settings.twilio_account_sid, secret(settings.openai_api_key)) == ("AC1", "o")
    assert settings.azure_openai_endpoint == "https://res.openai.azure.com/"
    assert (secret(settings.azure_openai_api_key), secret(settings.azure_openai_ad_token)) == ("a", "e")
    assert settings.model_url == "ws://my_gateway:3000/v1/realtime?model=m"
    assert (secret(settings.model_token), settings.model_auth) == ("g", "api-key")
    assert (settings.model_dialect, settings.model) == ("beta", "gpt-realtime-2.1-mini")
    traits = (settings.carrier_start_buffer_ms, settings.carrier_mark_lag_ms, settings.carrier_mark_spread_ms)
    assert traits == (120, 2000, 0)


def test_settings_that_are_loaded_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        settings_of().port = 1


@pytest.mark.parametrize("name", [row.name for row in settings_table()])
def test_an_empty_variable_is_as_good_as_none(name: str) -> None:
    assert settings_of(**{name: ""}) == settings_of()


@given(name=st.sampled_from(SECRETS), value=texts)
def test_a_secret_is_kept_as_it_is(name: str, value: str) -> None:
    field = name.removeprefix("PHONEBOT_").lower()
    assert secret(getattr(settings_of(**{name: value}), field)) == value


def test_a_secret_that_is_not_utf_8_is_kept_too() -> None:
    assert secret(settings_of(OPENAI_API_KEY="key\udcff").openai_api_key) == "key\udcff"


def test_no_secret_shows_in_the_repr() -> None:
    values = {name: f"hidden-{number}" for number, name in enumerate(SECRETS)}
    assert "hidden" not in repr(settings_of(**values, PHONEBOT_MODEL_URL="wss://g/v1/realtime?token=hidden"))


def test_the_token_of_a_model_url_is_the_openai_key_unless_it_has_one() -> None:
    assert secret(settings_of(OPENAI_API_KEY="o").model_token) == "o"
    assert secret(settings_of(OPENAI_API_KEY="o", PHONEBOT_MODEL_TOKEN="g").model_token) == "g"
    assert secret(settings_of(OPENAI_API_KEY="o", PHONEBOT_MODEL_TOKEN="").model_token) == "o"


@pytest.mark.parametrize(
    ("given_url", "kept"),
    [
        ("https://bot.example.com", "https://bot.example.com"),
        ("https://bot.example.com/", "https://bot.example.com"),
        ("HTTPS://Bot.Example.COM:8443/Phone/", "https://bot.example.com:8443/Phone"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_a_public_url_is_kept_without_its_last_slash(given_url: str, kept: str) -> None:
    assert settings_of(PHONEBOT_PUBLIC_URL=given_url).public_url == kept


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("bot.example.com", "does not begin with https:// or http://"),
        ("wss://bot.example.com", "does not begin with https:// or http://"),
        ("http://bot.example.com", "is http:// to a host other than this machine"),
        ("http://localhost.example.com", "is http:// to a host other than this machine"),
        ("https://", "has a host or a port that cannot be read"),
        ("https:///twilio", "has a host or a port that cannot be read"),
        ("https://bot.example.com:99999", "has a host or a port that cannot be read"),
        ("https://bot.example.com:0", "has a host or a port that cannot be read"),
        ("https://[::1", "has a host or a port that cannot be read"),
        ("https://-bot-/", "has a host or a port that cannot be read"),
        ("https://me:pw@bot.example.com", "holds a user or a password"),
        ("https://@bot.example.com", "holds a user or a password"),
        ("https://bot.example.com?", "has a query"),
        ("https://bot.example.com/#", "has a fragment"),
        ("https://bot.example.com/a//b", "has a path that cannot be a prefix"),
        ('https://bot.example.com/"', "has a path that cannot be a prefix"),
        ("https://bot.example.com/a b", "holds a space or a character that cannot be printed"),
        ("https://bot.exa\nmple.com", "holds a space or a character that cannot be printed"),
    ],
)
def test_a_public_url_that_twilio_could_not_use_is_refused_with_the_reason(url: str, reason: str) -> None:
    (problem,) = problems_of(PHONEBOT_PUBLIC_URL=url)
    assert problem.startswith(f"PHONEBOT_PUBLIC_URL {reason}; it must be https://HOST")


@given(texts)
def test_any_text_as_a_url_is_accepted_or_refused_with_a_sentence(url: str) -> None:
    for name in ("PHONEBOT_PUBLIC_URL", "AZURE_OPENAI_ENDPOINT", "PHONEBOT_MODEL_URL"):
        problems: tuple[str, ...] = ()
        try:
            settings_of(**{name: f"https://{url}"})
        except SettingsError as error:
            problems = error.problems
        assert all(problem.startswith(name) for problem in problems)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("PHONEBOT_PORT", "0", "is '0'; it must be a whole number from 1 to 65535"),
        ("PHONEBOT_PORT", "65536", "is '65536'; it must be a whole number from 1 to 65535"),
        ("PHONEBOT_PORT", "http", "is 'http'; it must be a whole number from 1 to 65535"),
        ("PHONEBOT_CARRIER_START_BUFFER_MS", "-1", "is '-1'; it must be a whole number from 0 to 2000"),
        ("PHONEBOT_CARRIER_MARK_LAG_MS", "2001", "is '2001'; it must be a whole number from 0 to 2000"),
        ("PHONEBOT_CARRIER_MARK_SPREAD_MS", "0.5", "is '0.5'; it must be a whole number from 0 to 2000"),
        (
            "PHONEBOT_HOST",
            "[::1]",
            "is neither a host name nor an address; it must be a host name or an IP address",
        ),
        (
            "PHONEBOT_HOST",
            "http://a",
            "is neither a host name nor an address; it must be a host name or an IP address",
        ),
        ("PHONEBOT_MODEL_AUTH", "basic", "is 'basic'; it must be bearer, api-key, query or subprotocol"),
        ("PHONEBOT_MODEL_DIALECT", "GA", "is 'GA'; it must be ga, beta or auto"),
        ("PHONEBOT_MODEL_AUTH", "x" * 99, f"is '{'x' * 24}...'; it must be bearer, api-key, query or subprotocol"),
        (
            "PHONEBOT_DATA_DIR",
            "~/data",
            "begins with ~, which only a shell replaces; "
            "it must be a path, relative to the working directory or absolute",
        ),
        (
            "AZURE_OPENAI_ENDPOINT",
            "http://res.openai.azure.com",
            "is http:// to a host other than this machine; "
            "it must be https://HOST; http:// only for localhost, 127.0.0.1 or [::1]",
        ),
        (
            "PHONEBOT_MODEL_URL",
            "gateway:3000",
            "does not begin with wss:// or ws:// or https:// or http://; "
            "it must be wss://HOST[:PORT][/PATH][?QUERY], or the same with ws://, https:// or http://",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_allowed(name: str, value: str, problem: str) -> None:
    assert problems_of(**{name: value}) == (f"{name} {problem}",)


def test_a_wrong_url_is_not_shown_since_it_may_hold_a_secret() -> None:
    (problem,) = problems_of(PHONEBOT_MODEL_URL="wss://user:hidden@gateway/v1?token=hidden")
    assert "hidden" not in problem


def test_settings_made_without_load_show_no_value_in_their_error() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"OPENAI_API_KEY": ["hidden"]})
    assert "hidden" not in str(caught.value)


def test_each_problem_has_its_sentence() -> None:
    problems = problems_of(PHONEBOT_PORT="x", PHONEBOT_HOST="/", PHONEBOT_PROT="8080", PHONEBOT_MODEL_AUTH="x")
    assert [problem.split()[0] for problem in problems] == [
        "PHONEBOT_PROT",
        "PHONEBOT_HOST",
        "PHONEBOT_PORT",
        "PHONEBOT_MODEL_AUTH",
    ]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("PHONEBOT_PROT", "is not a setting: the nearest is PHONEBOT_PORT"),
        ("PHONEBOT_PUBLIC_URI", "is not a setting: the nearest is PHONEBOT_PUBLIC_URL"),
        ("phonebot_port", "is not a setting: the nearest is PHONEBOT_PORT"),
        ("PHONEBOT_XYZZY", "is not a setting: `python -m phonebot.settings` lists them all"),
        (
            "PHONEBOT_SERVICE_PORT",
            "is not a setting but a link to a Kubernetes service: set enableServiceLinks to false for the pod",
        ),
    ],
)
def test_an_unknown_variable_with_our_prefix_is_refused_with_the_nearest(name: str, problem: str) -> None:
    assert problems_of(**{name: "8080"}) == (f"{name} {problem}",)


def test_variables_of_other_programs_are_ignored() -> None:
    assert settings_of(PATH="/bin", HOST="example.com", TWILIO_API_KEY="SK1") == settings_of()


# ------------------------------------------------------------------------------------------- the file


def test_the_environment_wins_over_the_file_unless_it_is_empty(tmp_path: Path) -> None:
    file = tmp_path / "production.env"
    file.write_text("PHONEBOT_PORT=1\nPHONEBOT_HOST=0.0.0.0\nPHONEBOT_MODEL=from-file\n")
    settings = load({"PHONEBOT_PORT": "2", "PHONEBOT_MODEL": ""}, file)
    assert (settings.port, settings.host, settings.model) == (2, "0.0.0.0", "from-file")


def test_a_file_that_is_not_there_sets_nothing(tmp_path: Path) -> None:
    assert load({}, tmp_path / ".env") == settings_of()


def test_dotenv_in_the_working_directory_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("PHONEBOT_PORT=1\n")
    monkeypatch.chdir(tmp_path)
    assert load({}).port == 1


def test_without_a_mapping_the_environment_of_the_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHONEBOT_PORT", "4321")
    assert load(env_file=None).port == 4321


def test_a_secret_in_the_file_keeps_its_dollars_and_spaces(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("\ufeff# comment\nexport OPENAI_API_KEY=${HOME}$x\nPHONEBOT_SECRET_KEY=' a b '\n", "utf-8")
    settings = load({}, file)
    assert secret(settings.openai_api_key) == "${HOME}$x"
    assert secret(settings.secret_key) == " a b "


def test_a_line_that_cannot_be_read_is_named_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("PHONEBOT_PORT=1\n\n\nOPENAI_API_KEY hidden\n")
    with pytest.raises(SettingsError) as caught:
        load({}, file)
    assert caught.value.problems == (f"{file}: line 4 cannot be read; it must be NAME=value",)


def test_an_unknown_variable_in_the_file_is_refused_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("PHONEBOT_PROT=1\nOTHER=2\nPHONEBOT_EMPTY=\n")
    with pytest.raises(SettingsError) as caught:
        load({}, file)
    assert caught.value.problems == (f"PHONEBOT_PROT is not a setting ({file}): the nearest is PHONEBOT_PORT",)


def test_a_file_that_cannot_be_read_is_refused_with_the_reason(tmp_path: Path) -> None:
    latin1 = tmp_path / ".env"
    latin1.write_bytes(b"OPENAI_API_KEY=\xe9")
    with pytest.raises(SettingsError, match=r"\.env cannot be read: it is not UTF-8$"):
        load({}, latin1)
    with pytest.raises(SettingsError, match=r"cannot be read: Is a directory$"):
        load({}, tmp_path)


# ------------------------------------------------------------------------------------------- serving


@pytest.mark.parametrize(
    "model",
    [
        {"OPENAI_API_KEY": "o"},
        {"PHONEBOT_MODEL_URL": "ws://127.0.0.1:9000"},
        {"PHONEBOT_MODEL_URL": "ws://127.0.0.1:9000", "AZURE_OPENAI_ENDPOINT": "https://res.openai.azure.com"},
        {"AZURE_OPENAI_ENDPOINT": "https://res.openai.azure.com", "AZURE_OPENAI_API_KEY": "a"},
        {"AZURE_OPENAI_ENDPOINT": "https://res.openai.azure.com", "AZURE_OPENAI_AD_TOKEN": "e"},
    ],
)
def test_serving_starts_with_a_public_url_the_secrets_and_any_model(model: dict[str, str]) -> None:
    settings_of(**{**SERVABLE, "OPENAI_API_KEY": "", **model}).check_for_serving(dev=False)


def test_serving_names_each_setting_that_is_missing() -> None:
    problems = problems_in_serving({})
    assert [problem.partition(":")[0] for problem in problems] == [
        "PHONEBOT_PUBLIC_URL is missing",
        "PHONEBOT_SECRET_KEY is missing",
        "TWILIO_AUTH_TOKEN is missing",
        "no model is set",
    ]


@pytest.mark.parametrize("missing", SERVABLE)
def test_serving_is_refused_with_one_setting_missing(missing: str) -> None:
    (problem,) = problems_in_serving({**SERVABLE, missing: ""})
    assert missing in problem


@pytest.mark.parametrize("dev", [True, False])
def test_serving_is_refused_with_an_azure_endpoint_that_has_no_key_or_two(dev: bool) -> None:
    azure = {**SERVABLE, "AZURE_OPENAI_ENDPOINT": "https://res.openai.azure.com"}
    assert problems_in_serving(azure, dev=dev) == (
        "AZURE_OPENAI_ENDPOINT is set without a key: "
        "set AZURE_OPENAI_API_KEY or AZURE_OPENAI_AD_TOKEN, or unset the endpoint",
    )
    assert problems_in_serving({**azure, "AZURE_OPENAI_API_KEY": "a", "AZURE_OPENAI_AD_TOKEN": "e"}, dev=dev) == (
        "AZURE_OPENAI_API_KEY and AZURE_OPENAI_AD_TOKEN are both set: unset one of them",
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "Localhost"])
def test_development_needs_nothing_on_a_loopback_host(host: str) -> None:
    settings_of(PHONEBOT_HOST=host).check_for_serving(dev=True)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.com"])
def test_development_is_refused_where_others_can_reach_it(host: str) -> None:
    (problem,) = problems_in_serving({**SERVABLE, "PHONEBOT_HOST": host}, dev=True)
    assert problem.startswith("PHONEBOT_HOST must be localhost, 127.0.0.1 or ::1 with --dev")


# ------------------------------------------------------------------------------------------- documentation


def test_the_page_in_docs_is_the_one_made_of_the_fields() -> None:
    page = Path(__file__).parents[1] / "docs" / "settings.md"
    assert page.read_text("utf-8") == settings_page()


def test_the_module_prints_the_page() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "phonebot.settings"], capture_output=True, check=True, encoding="utf-8"
    )
    assert printed.stdout == settings_page()


def test_each_row_of_the_table_says_what_is_allowed_and_what_it_means() -> None:
    rows = settings_table()
    assert len(rows) == len(Settings.model_fields)
    assert all(row.allowed and row.meaning.endswith(".") for row in rows)
    assert {row.name: row.default for row in rows if row.default} == {
        "PHONEBOT_HOST": "127.0.0.1",
        "PHONEBOT_PORT": "8080",
        "PHONEBOT_DRAIN_S": "300",
        "PHONEBOT_DATA_DIR": "data",
        "TWILIO_API_URL": "https://api.twilio.com",
        "PHONEBOT_CARRIER_MARK_LAG_MS": "0",
        "PHONEBOT_CARRIER_MARK_SPREAD_MS": "0",
        "PHONEBOT_MODEL_AUTH": "bearer",
        "PHONEBOT_LOG_LEVEL": "info",
        "PHONEBOT_LOG_FORMAT": "text",
        "PHONEBOT_LOG_PERSONAL_DATA": "False",
        "PHONEBOT_MODEL_PATIENCE_S": "8",
        "PHONEBOT_MAX_CALLS": "1000",
        "PHONEBOT_MODEL_DIALECT": "auto",
        "PHONEBOT_MODEL": "gpt-realtime-2.1",
    }


def test_no_cell_of_the_page_breaks_its_table() -> None:
    for row in settings_table():
        assert not set("|\n") & set("".join(row))


# ------------------------------------------------------------------------------------------- functions


def test_secrets_for_profiles_are_kept_by_what_follows_their_prefix() -> None:
    settings = settings_of(PHONEBOT_SECRET_SHOP="s$ ", PHONEBOT_SECRET_KEY="k", PHONEBOT_SECRET_A_1="a")
    assert settings.secrets == {"SHOP": "s$ ", "A_1": "a"}
    assert settings.model_copy(update={"port": 1}).secrets == settings.secrets
    assert "s$" not in repr(settings)


def test_a_secret_for_profiles_may_stand_in_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PHONEBOT_SECRET_SHOP=s\n")
    assert load({}, tmp_path / ".env").secrets == {"SHOP": "s"}


def test_a_secret_in_lower_case_is_no_setting() -> None:
    with pytest.raises(SettingsError, match="PHONEBOT_SECRET_shop is not a setting"):
        settings_of(PHONEBOT_SECRET_shop="s")


def test_hosts_and_functions_are_listed_with_commas() -> None:
    settings = settings_of(PHONEBOT_TOOL_HOSTS_ALLOWED=" shop.internal, 10.0.0.1,", PHONEBOT_TOOLS="a.b, c:d")
    assert (settings.tool_hosts, settings.tools) == (["shop.internal", "10.0.0.1"], "a.b, c:d")
    for name, value in [
        ("PHONEBOT_TOOL_HOSTS_ALLOWED", "https://shop"),
        ("PHONEBOT_TOOLS", "a/b.py"),
        ("PHONEBOT_TOOL_ERROR_FORMATTER", "a b"),
    ]:
        with pytest.raises(SettingsError, match=f"^{name} "):
            settings_of(**{name: value})
