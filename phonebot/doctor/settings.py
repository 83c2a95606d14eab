"""Whether the settings are right: each for itself, together, and for `phonebot serve`."""

import re
from collections.abc import Iterator
from pathlib import Path

from phonebot.checkup.check import Check
from phonebot.errors import SettingsError
from phonebot.settings import PREFIX, SECRET_PREFIX, Survey

NAME = "Settings"
SHORT_KEY = 16  # characters: fewer can be guessed

_ACCOUNT_SID = re.compile(r"AC[0-9a-f]{32}")  # Twilio, "What is a String Identifier (SID)?"
_OF_A_URL = ("MODEL_TOKEN", "MODEL_AUTH", "MODEL_DIALECT")  # settings of PHONEBOT_MODEL_URL


def settings_checks(survey: Survey, dev: bool, env_file: Path) -> list[Check]:
    """What is wrong with them; one check that says so if nothing is. `dev`: the service runs with --dev."""
    found = [
        *(Check.of_problem(NAME, problem) for problem in survey.problems),
        *(Check.of_problem(NAME, problem) for problem in _missing(survey, dev)),
        *_contradictions(survey),
        *_open_file(survey, env_file),
    ]
    if any(check.state == "failed" for check in found):
        return found
    in_file = f", {len(survey.in_file)} of them in {env_file}" if survey.in_file else ""
    told = (
        f"{len(survey.given)} set{in_file}: all are known and valid" if survey.given else "none set: defaults hold"
    )
    return [Check(NAME, "ok", told), *found]


def _missing(survey: Survey, dev: bool) -> Iterator[str]:
    """What `phonebot serve` would stop for, but for what is there and wrong."""
    try:
        survey.settings.check_for_serving(dev)
    except SettingsError as error:
        yield from (problem for problem in error.problems if problem.partition(" ")[0] not in survey.wrong)


def _contradictions(survey: Survey) -> Iterator[Check]:
    yield from _unused(survey)
    settings = survey.settings
    sign_with = settings.alarm_sign_with
    if sign_with is not None and sign_with not in settings.secrets:
        told = f"PHONEBOT_ALARM_SIGN_WITH is {sign_with}, a secret that there is not"
        yield Check(NAME, "failed", told, f"Set {SECRET_PREFIX}{sign_with}, too.")
    if settings.secret_key and len(settings.secret_key.get_secret_value()) < SHORT_KEY:
        told = f"PHONEBOT_SECRET_KEY has fewer than {SHORT_KEY} characters"
        yield Check(NAME, "warning", told, "It can be guessed: make a new one by `openssl rand -hex 32`.")
    account_sid = settings.twilio_account_sid
    if account_sid is not None and not _ACCOUNT_SID.fullmatch(account_sid):
        told = "TWILIO_ACCOUNT_SID is not AC and 32 hex digits"
        yield Check(NAME, "warning", told, "Copy the account SID from Twilio's console; SK... is that of a key.")


def _unused(survey: Survey) -> Iterator[Check]:
    """What is set and has no effect."""
    settings, given = survey.settings, survey.given
    if settings.providers:
        return  # each may be one of those that are asked
    if settings.model_url is None:
        for name in (f"{PREFIX}{each}" for each in _OF_A_URL):
            if name in given:
                yield _without_effect(name, "PHONEBOT_MODEL_URL is not set")
    if settings.azure_openai_endpoint and settings.model_url:
        yield _without_effect("AZURE_OPENAI_ENDPOINT", "PHONEBOT_MODEL_URL is set")
    if settings.openai_api_key and settings.azure_openai_endpoint and not settings.model_url:
        yield _without_effect("OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT is set")


def _without_effect(name: str, why: str) -> Check:
    remedy = f"Unset {name}, or name who is asked for a model in PHONEBOT_MODEL_PROVIDERS."
    return Check(NAME, "warning", f"{name} has no effect, since {why}", remedy)


def _open_file(survey: Survey, env_file: Path) -> Iterator[Check]:
    if survey.in_file and env_file.stat().st_mode & 0o044:
        told = f"others on this machine may read {env_file}, which holds secrets"
        yield Check(NAME, "warning", told, f"Run `chmod 600 {env_file}`.")
