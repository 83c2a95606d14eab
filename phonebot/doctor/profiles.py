"""Who answers which number, as far as it can be read: in the database, and in the file of profiles."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from phonebot.agents.numbers import DEFAULT
from phonebot.agents.profile import Profile
from phonebot.agents.tools import Known
from phonebot.checkup.check import Check, skipped
from phonebot.errors import ProfileError, StoreError
from phonebot.settings import Settings
from phonebot.store.numbers import NumberStore
from phonebot.web.editing import ProfileEditor, check_file

NAME, FILE = "Profiles", "Profiles file"
UNREADABLE = "none can be read: see Database"
MOST_SHOWN = 10  # problems that each have a line
DEADLINE_S = 5.0


@dataclass(frozen=True, slots=True)
class Answering:
    """The profiles that may answer, by number or `default`; `checks`: what was found on the way."""

    profiles: Mapping[str, Profile] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)

    @property
    def numbers(self) -> list[str]:
        """Those that have a profile of their own."""
        return sorted(self.profiles.keys() - {DEFAULT})


async def answering(settings: Settings, numbers: NumberStore | None, known: Known | None) -> Answering:
    """
    Read and check them. `numbers` None: the database cannot be read. `known`: what profiles may name.

    What is in the file comes before what is in the database, as it will at the next start.
    """
    profiles, checks = dict[str, Profile](), list[Check]()
    if numbers is None:
        checks.append(skipped(NAME, UNREADABLE))
    else:
        checks += await _stored(ProfileEditor(numbers, settings.audio, known), numbers, profiles)
    if settings.profiles:
        checks += _written(settings.profiles, known, profiles)
    return Answering(profiles, checks)


async def _stored(editor: ProfileEditor, numbers: NumberStore, profiles: dict[str, Profile]) -> list[Check]:
    """Puts those of the database into `profiles`."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            _, versions = await numbers.answering()
    except (StoreError, TimeoutError):
        return [skipped(NAME, UNREADABLE)]
    problems = list[str]()
    for number, listed in versions.items():
        for version in reversed(listed):  # everyone's comes last there, and is what counts
            try:
                profile = editor.check(number, version.profile)
            except ProfileError as error:
                problems += [f"{number}, version {version.sequence}: {problem}" for problem in error.problems]
            else:
                profiles.setdefault(number, profile)
    remedy = "Correct it in the console, or by `phonebot numbers set`: until then a part of it is left out."
    if problems:
        return _problems(NAME, problems, remedy)
    if not versions:
        told = "none in the database: the built-in one answers all"
        return [Check(NAME, "ok", told)]
    own = len(versions.keys() - {DEFAULT})
    others = "a default for all others" if DEFAULT in versions else "the built-in one for all others"
    return [Check(NAME, "ok", f"{own} number{'' if own == 1 else 's'} with one, and {others}")]


def _written(path: Path, known: Known | None, profiles: dict[str, Profile]) -> list[Check]:
    """Puts those of the file into `profiles`."""
    try:
        written = check_file(path, known)
    except ProfileError as error:
        remedy = f"Correct {path}: the service does not start with it."
        return _problems(FILE, list(error.problems), remedy)
    profiles |= {number: each.profile for number, each in written.items()}
    return [Check(FILE, "ok", f"{path} has {len(written)} profile{'' if len(written) == 1 else 's'}, all right")]


def _problems(name: str, problems: list[str], remedy: str) -> list[Check]:
    checks = [_problem(name, problem, remedy) for problem in problems[:MOST_SHOWN]]
    if len(problems) > MOST_SHOWN:
        checks.append(Check(name, "failed", f"{len(problems) - MOST_SHOWN} problems more", remedy))
    return checks


def _problem(name: str, problem: str, remedy: str) -> Check:
    told, _, allowed = problem.partition("; it must be ")
    return Check(name, "failed", told, f"It must be {allowed}. {remedy}" if allowed else remedy)
