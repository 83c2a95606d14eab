"""
All checks of a deployment, in the order in which one would mend what they find.

    report = await examine(look_through(), dev=False)
"""

import asyncio
import platform
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from phonebot.checkup import keeping, machine
from phonebot.checkup.account import twilio
from phonebot.checkup.address import Address, public_url
from phonebot.checkup.check import Check, Probe, known, run, skipped
from phonebot.doctor import models
from phonebot.doctor.parts import Parts, parts_of
from phonebot.doctor.profiles import Answering, answering
from phonebot.doctor.service import service
from phonebot.doctor.settings import settings_checks
from phonebot.errors import StoreError
from phonebot.settings import Settings, Survey
from phonebot.store.database import Database
from phonebot.store.examination import Facts
from phonebot.store.numbers import NumberStore
from phonebot.store.recordings import Recordings

ENV_FILE = Path(".env")

# Of each part, the settings without which nothing can be said of it.
_DATABASE = ("PHONEBOT_DATABASE_URL", "PHONEBOT_DATA_DIR")
_STORAGE = ("PHONEBOT_STORAGE_URL", "PHONEBOT_DATA_DIR")
_FOLDER = ("PHONEBOT_DATA_DIR",)
_URL = ("PHONEBOT_PUBLIC_URL",)
_ACCOUNT = ("TWILIO_API_URL", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN")


@dataclass(frozen=True, slots=True)
class Section:
    """Checks that belong together."""

    title: str
    checks: Sequence[Check]


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, and how long it took."""

    sections: Sequence[Section]
    took_s: float

    @property
    def checks(self) -> list[Check]:
        return [check for section in self.sections for check in section.checks]

    @property
    def is_well(self) -> bool:
        """Whether nothing failed."""
        return all(check.state != "failed" for check in self.checks)


async def examine(survey: Survey, dev: bool, env_file: Path = ENV_FILE) -> Report:
    """
    Look at everything. `dev`: as `phonebot serve --dev` would need it. Takes half a minute at most, raises nothing.

    Nothing is changed: what is written to storage and to the data folder is deleted again.
    """
    started = time.monotonic()
    settings = survey.settings
    async with AsyncExitStack() as resources:
        facts = list[Facts]()
        database, in_database = _database(survey, resources, facts.append)
        found_database = await run([in_database])
        parts = parts_of(settings)
        # Only where the tables are this version's. Whoever reads what was never made, makes it: an empty file.
        has_tables = bool(facts) and facts[0].revision == facts[0].newest
        numbers = NumberStore(database) if database is not None and has_tables else None
        profiles = await answering(settings, numbers, parts.known)
        here = await resources.enter_async_context(service(settings, stand_in=_is_away(settings, dev)))
        kept, account, url, sessions = await _sections(
            [
                _kept(survey, resources),
                [_account(survey, profiles)],
                [_public_url(survey, dev)],
                _sessions(settings, dev, profiles, parts),
            ]
        )
    sections = [
        Section("This machine", _machine(settings, dev)),
        Section("Settings", [*settings_checks(survey, dev, env_file), *parts.checks, *profiles.checks]),
        Section("What is kept", [*found_database, *kept]),
        Section("Service", [here, *url]),
        Section("Twilio", account),
        Section("Models", [*sessions, *_prices(settings, profiles, parts)]),
    ]
    return Report(sections, time.monotonic() - started)


async def _sections(groups: Sequence[Sequence[Probe]]) -> list[list[Check]]:
    """What the probes of each group find; all look at the same time."""
    return list(await asyncio.gather(*map(run, groups)))


def _machine(settings: Settings, dev: bool) -> list[Check]:
    return [
        machine.python(sys.version_info[:3], f"Python {platform.python_version()}"),
        machine.libraries(machine.requirements()),
        machine.demo_extra(needed=dev and not settings.has_model),
    ]


def _is_away(settings: Settings, dev: bool) -> bool:
    """Whether the service is reached by a URL that leads over other machines, which is to be tried."""
    return not dev and settings.public_url is not None


def _database(
    survey: Survey, resources: AsyncExitStack, learnt: Callable[[Facts], None]
) -> tuple[Database | None, Probe]:
    """What is to be looked at, and how. None: nothing can be."""
    if probe := _wrong(survey, "Database", _DATABASE):
        return None, probe
    try:
        database = Database(survey.settings.database)
    except StoreError as error:
        return None, known(Check.of_problem("Database", error.problem))
    resources.push_async_callback(database.close)
    return database, keeping.database(database, learnt)


def _kept(survey: Survey, resources: AsyncExitStack) -> list[Probe]:
    folder, shown = survey.settings.data_dir, str(survey.settings.data_dir)
    storage = _wrong(survey, "Storage of calls", _STORAGE)
    if storage is None:
        try:
            recordings = Recordings(survey.settings.storage)
        except StoreError as error:
            storage = known(Check.of_problem("Storage of calls", error.problem))
        else:
            resources.callback(recordings.close)
            storage = keeping.storage(recordings)
    wrong = _wrong(survey, "Data folder", _FOLDER)
    return [storage, wrong] if wrong else [storage, keeping.data_folder(folder, shown), keeping.disk(folder)]


def _account(survey: Survey, profiles: Answering) -> Probe:
    settings = survey.settings

    async def ours() -> list[str]:
        return profiles.numbers

    return _wrong(survey, "Twilio account", _ACCOUNT) or twilio(
        settings.twilio_account_sid,
        settings.twilio_auth_token.get_secret_value() if settings.twilio_auth_token else None,
        settings.twilio_api_url,
        settings.public_url,
        ours,
    )


def _public_url(survey: Survey, dev: bool) -> Probe:
    settings, name = survey.settings, "Public URL"
    if probe := _wrong(survey, name, _URL):
        return probe
    if settings.public_url is None:
        remedy = "" if dev else "Set PHONEBOT_PUBLIC_URL to the https:// address where Twilio reaches this service."
        return known(skipped(name, "not set up: PHONEBOT_PUBLIC_URL is not set", remedy))
    key = settings.secret_key
    token = None if dev else settings.twilio_auth_token
    address = Address(
        settings.public_url,
        key.get_secret_value() if key else None,
        token.get_secret_value() if token else None,
    )
    return public_url(address)


def _sessions(settings: Settings, dev: bool, profiles: Answering, parts: Parts) -> list[Probe]:
    if not settings.has_model:
        if dev:
            return [known(Check("Model", "ok", "the embedded one answers, since no other is set"))]
        remedy = "Set OPENAI_API_KEY, AZURE_OPENAI_ENDPOINT or PHONEBOT_MODEL_URL."
        return [known(skipped("Model", "not set up: no model is set", remedy))]
    if not parts.providers:
        return [known(skipped("Model", "not tried: see Providers"))]
    return [
        *models.session_probes(settings, profiles.profiles, parts.providers),
        *models.text_probes(settings, profiles.profiles, parts.providers),
    ]


def _prices(settings: Settings, profiles: Answering, parts: Parts) -> list[Check]:
    if not settings.has_model:
        return []
    return [models.prices(settings, profiles.profiles, parts.providers, parts.prices)]


def _wrong(survey: Survey, name: str, variables: tuple[str, ...]) -> Probe | None:
    """For a part whose settings are wrong: nothing is said of what would hold without them."""
    wrong = [variable for variable in variables if variable in survey.wrong]
    return known(skipped(name, f"not looked at: {wrong[0]} is wrong")) if wrong else None
