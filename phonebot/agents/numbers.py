"""
Who answers which number.

A TOML file holds a table for each number, keyed by the number in E.164 form, and perhaps one called `default` for
all others:

    [default]
    prompt = "You answer for Rosa's Trattoria."

    ["+15550100000"]
    greeting = "Hello, Rosa's Trattoria, how can I help?"
    greeting_audio = "greeting.wav"

Tables `[provider.NAME]` are no profiles: they say where models are found (providers.py).

Files that a profile names lie beside it: their paths are relative to its folder.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from phonebot.agents import providers
from phonebot.agents.faults import shown
from phonebot.agents.profile import Profile
from phonebot.agents.providers import Provider
from phonebot.agents.toml import parse
from phonebot.audio.recordings import read_recording
from phonebot.errors import AudioError, ProfileError

DEFAULT = "default"
MAX_FILE_BYTES = 1_000_000

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")  # ITU-T E.164: at most 15 digits, and no country code begins with 0
_HEADINGS = 'the heading of a table is a number with "+" and 7 to 15 digits, such as ["+15550100000"], or [default]'


@dataclass(frozen=True, slots=True)
class Trial:
    """A profile that answers some callers only: those who try it out."""

    callers: Collection[str]
    profile: Profile


@dataclass(frozen=True, slots=True)
class Numbers:
    """
    The profile of each number that has its own, by number, and the one of all others.

    `trials` come first for the callers whom they name; by number, or under `default` for numbers that have nothing
    of their own for such a caller.
    """

    profiles: Mapping[str, Profile] = field(default_factory=dict)
    default: Profile = field(default_factory=Profile)
    trials: Mapping[str, tuple[Trial, ...]] = field(default_factory=dict)

    @classmethod
    def single(cls, profile: Profile) -> "Numbers":
        """One profile for all numbers."""
        return cls(default=profile)

    @classmethod
    def load(cls, path: Path | str) -> "Numbers":
        """
        The profiles of a TOML file of at most 1 MB.

        Raises ProfileError for the file with a sentence for each problem in it: the number, the key, what is wrong
        and what is allowed; or one sentence with the line when the file is no TOML. The recordings that profiles
        name are read too, and are part of them from then on.
        """
        profiles = {number: written.profile for number, written in read_file(Path(path)).items()}
        return cls(default=profiles.pop(DEFAULT, Profile()), profiles=profiles)

    def profile_for(self, number: str, caller: str = "") -> Profile:
        """The profile that answers `caller` at `number`: a trial's, else the number's own, else the default."""
        own = self._trial(number, caller) or self.profiles.get(number)
        return own or self._trial(DEFAULT, caller) or self.default

    def _trial(self, number: str, caller: str) -> Profile | None:
        trials = self.trials.get(number, ())
        return next((trial.profile for trial in trials if caller in trial.callers), None)


class Written(NamedTuple):
    """A profile as it was written, and what it means."""

    table: dict[str, Any]
    profile: Profile


def read_file(path: Path) -> dict[str, Written]:
    """What a file of profiles holds, by number or `default`. Raises ProfileError as `Numbers.load` does."""
    return read_tables(parse(_read(path), str(path)), str(path), path.parent)


def read_providers(path: Path) -> dict[str, Provider]:
    """Where models are found, as a file of profiles says, by name. Raises ProfileError as `Numbers.load` does."""
    return providers.split(parse(_read(path), str(path)), str(path))[1]


def read_tables(tables: Mapping[str, Any], source: str, recordings: Path) -> dict[str, Written]:
    """
    Check the tables of profiles, by number or `default`; `recordings` is the folder of the files that they name.
    Tables of providers are checked, too, and left out.

    Raises ProfileError for `source` with a sentence for each problem in any of them.
    """
    written: dict[str, Written] = {}
    problems: list[str] = []
    try:
        tables, _ = providers.split(tables, source)
    except ProfileError as error:
        problems.extend(error.problems)
        tables = {heading: table for heading, table in tables.items() if heading != providers.TABLES}
    for number, table in tables.items():
        if not isinstance(table, dict):
            problems.append(f"{shown(number)} stands outside a table; {_HEADINGS}")
        elif not is_number(number):
            problems.append(f"[{shown(number)}] is not a number in E.164 form; {_HEADINGS}")
        else:
            try:
                written[number] = Written(table, read_table(table, source, recordings))
            except ProfileError as error:
                problems.extend(f"[{_heading(number)}] {problem}" for problem in error.problems)
    if problems:
        raise ProfileError(source, *problems)
    return written


def read_table(table: Mapping[str, Any], source: str, recordings: Path) -> Profile:
    """Check one profile, and read the recording that it names, which is in the folder `recordings`."""
    profile = Profile.from_table(table, source)
    if profile.greeting_audio is None:
        return profile
    try:
        return profile.with_greeting_clip(read_recording(recordings / profile.greeting_audio))
    except (AudioError, ValueError) as error:  # the latter: a name that no file can have
        raise ProfileError(source, f"greeting_audio: {error}") from None


def is_number(number: str) -> bool:
    """Whether a profile can be for it: in E.164 form, or `default`."""
    return number == DEFAULT or bool(_E164.fullmatch(number))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ProfileError(str(path), "there is no such file") from None
    except OSError as error:
        raise ProfileError(str(path), f"cannot be read: {error.strerror}") from None
    if len(content) > MAX_FILE_BYTES:
        raise ProfileError(str(path), f"has more than {MAX_FILE_BYTES} bytes")
    return content


def _heading(number: str) -> str:
    return number if number == DEFAULT else f'"{number}"'
