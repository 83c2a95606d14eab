"""What is said of settings: each that is wrong, what is missing, what contradicts another."""

from pathlib import Path

import pytest

from phonebot.checkup.check import Check
from phonebot.doctor.settings import settings_checks
from phonebot.settings import look_through

WELL = {
    "PHONEBOT_PUBLIC_URL": "https://bot.example.com",
    "PHONEBOT_SECRET_KEY": "0123456789abcdef0123456789abcdef",
    "TWILIO_ACCOUNT_SID": "AC" + "1" * 32,
    "TWILIO_AUTH_TOKEN": "token-of-twilio",
    "OPENAI_API_KEY": "sk-openai",
}


def looked(environ: dict[str, str], env_file: Path | None = None, dev: bool = False) -> list[Check]:
    checks = settings_checks(look_through(environ, env_file), dev, env_file or Path(".env"))
    told = "".join(check.sentence + check.remedy for check in checks)
    assert not any(secret in told for secret in ("0123456789abcdef", "token-of-twilio", "sk-openai"))
    assert all(check.remedy for check in checks if check.state != "ok")
    return checks


def test_settings_that_are_right_are_counted(tmp_path: Path) -> None:
    assert looked(WELL) == [Check("Settings", "ok", "5 set: all are known and valid")]
    file = tmp_path / ".env"
    file.touch(mode=0o600)
    file.write_text("PHONEBOT_PORT=8081\n")
    assert looked(WELL, file)[0].sentence == f"6 set, 1 of them in {file}: all are known and valid"
    assert looked({}, dev=True) == [Check("Settings", "ok", "none set: defaults hold")]


def test_what_serve_needs_is_missing_by_name() -> None:
    assert [check.sentence for check in looked({})] == [
        "PHONEBOT_PUBLIC_URL is missing",
        "PHONEBOT_SECRET_KEY is missing",
        "TWILIO_AUTH_TOKEN is missing",
        "no model is set",
    ]


def test_an_unknown_variable_is_named_with_the_nearest_that_there_is() -> None:
    (check,) = looked(WELL | {"PHONEBOT_PUBLIC_URI": "x"})
    assert check == Check(
        "Settings", "failed", "PHONEBOT_PUBLIC_URI is not a setting", "The nearest is PHONEBOT_PUBLIC_URL."
    )


def test_a_wrong_value_is_told_once_and_not_as_missing() -> None:
    (check,) = looked(WELL | {"PHONEBOT_PUBLIC_URL": "bot.example.com"})
    assert (check.state, check.sentence) == (
        "failed",
        "PHONEBOT_PUBLIC_URL does not begin with https:// or http://",
    )
    assert check.remedy.startswith("It must be https://HOST")
    assert [each.sentence for each in looked(WELL | {"PHONEBOT_PORT": "0", "PHONEBOT_DRAIN_S": "x: y"})] == [
        "PHONEBOT_PORT is '0'",
        "PHONEBOT_DRAIN_S is 'x: y'",
    ]


def test_a_file_that_cannot_be_read_hides_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("this is no line of it\n")
    first, *others = looked({}, file)
    assert (first.state, f"{file}" in first.sentence, len(others)) == ("failed", True, 4)


@pytest.mark.parametrize(
    ("given", "state", "sentence"),
    [
        ({"PHONEBOT_MODEL_TOKEN": "x"}, "warning", "PHONEBOT_MODEL_TOKEN has no effect"),
        ({"PHONEBOT_MODEL_AUTH": "query"}, "warning", "PHONEBOT_MODEL_AUTH has no effect"),
        (
            {"PHONEBOT_MODEL_URL": "wss://m.example.com", "AZURE_OPENAI_ENDPOINT": "https://a.example.com"},
            "warning",
            "AZURE_OPENAI_ENDPOINT has no effect, since PHONEBOT_MODEL_URL is set",
        ),
        (
            {"AZURE_OPENAI_ENDPOINT": "https://a.example.com", "AZURE_OPENAI_API_KEY": "x"},
            "warning",
            "OPENAI_API_KEY has no effect, since AZURE_OPENAI_ENDPOINT is set",
        ),
        ({"PHONEBOT_SECRET_KEY": "short"}, "warning", "PHONEBOT_SECRET_KEY has fewer than 16 characters"),
        ({"TWILIO_ACCOUNT_SID": "SK" + "1" * 32}, "warning", "TWILIO_ACCOUNT_SID is not AC and 32 hex digits"),
        ({"PHONEBOT_ALARM_SIGN_WITH": "BELL"}, "failed", "PHONEBOT_ALARM_SIGN_WITH is BELL, a secret that there"),
        (
            {"AZURE_OPENAI_ENDPOINT": "https://a.example.com"},
            "failed",
            "AZURE_OPENAI_ENDPOINT is set without a key",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_told(given: dict[str, str], state: str, sentence: str) -> None:
    found = [check for check in looked(WELL | given) if check.sentence.startswith(sentence)]
    assert [check.state for check in found] == [state]


def test_settings_of_which_any_may_be_asked_do_not_contradict() -> None:
    several = {"PHONEBOT_MODEL_PROVIDERS": "openai, azure", "AZURE_OPENAI_ENDPOINT": "https://a.example.com"}
    assert [check.state for check in looked(WELL | several)] == ["ok"]


def test_a_file_of_secrets_that_others_may_read_is_warned_of(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("PHONEBOT_PORT=8081\n")
    file.chmod(0o644)
    check = looked(WELL, file)[1]
    assert (check.state, check.remedy) == ("warning", f"Run `chmod 600 {file}`.")


def test_in_development_the_service_must_stay_on_this_machine() -> None:
    (check,) = looked({"PHONEBOT_HOST": "0.0.0.0"}, dev=True)
    assert (check.state, check.sentence.startswith("PHONEBOT_HOST must be localhost")) == ("failed", True)
