"""
Who answers which number.

A TOML file holds a table for each number, keyed by the number in E.164 form, and perhaps one called `default` for
all others:

    [default]
    prompt = "You answer for Rosa's Trattoria."

    ["+15550100000"]
    greeting = "Hello, Rosa's Trattoria, how can I help?"
    greeting_audio = "greeting.wav"

Files that a profile names lie beside it: their paths are relative to its folder.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from phonebot.agents.profile import Profile, shown
from phonebot.agents.recordings import read_recording
from phonebot.errors import AudioError, ProfileError

DEFAULT = "default"
MAX_FILE_BYTES = 1_000_000

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")  # ITU-T E.164: at most 15 digits, and no country code begins with 0
_UNQUOTED_NUMBER = re.compile(rb"^[ \t]*\[\+[0-9]", re.MULTILINE)
_HEADINGS = 'the heading of a table is a number with "+" and 7 to 15 digits, such as ["+15550100000"], or [default]'


@dataclass(frozen=True, slots=True)
class Numbers:
    """The profile of each number that has its own, by number, and the one of all others."""

    profiles: Mapping[str, Profile] = field(default_factory=dict)
    default: Profile = field(default_factory=Profile)

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
        source = str(path)
        profiles: dict[str, Profile] = {}
        problems: list[str] = []
        for number, table in _parse(_read(Path(path)), source).items():
            if not isinstance(table, dict):
                problems.append(f"{shown(number)} stands outside a table; {_HEADINGS}")
            elif number != DEFAULT and not _E164.fullmatch(number):
                problems.append(f"[{shown(number)}] is not a number in E.164 form; {_HEADINGS}")
            else:
                try:
                    profiles[number] = _with_recordings(Profile.from_table(table, source), Path(path))
                except ProfileError as error:
                    problems.extend(f"[{_heading(number)}] {problem}" for problem in error.problems)
        if problems:
            raise ProfileError(source, *problems)
        return cls(default=profiles.pop(DEFAULT, Profile()), profiles=profiles)

    def profile_for(self, number: str) -> Profile:
        """The profile that answers `number`: its own, else the default."""
        return self.profiles.get(number, self.default)


def _with_recordings(profile: Profile, file: Path) -> Profile:
    if profile.greeting_audio is None:
        return profile
    try:
        return profile.with_greeting_clip(read_recording(file.parent / profile.greeting_audio))
    except (AudioError, ValueError) as error:  # the latter: a name that no file can have
        raise ProfileError(str(file), f"greeting_audio: {error}") from None


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


def _parse(content: bytes, source: str) -> dict[str, object]:
    try:
        # Windows editors put a byte order mark first, which TOML does not know.
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ProfileError(source, f"is not UTF-8 in line {line}") from None
    except RecursionError:
        raise ProfileError(source, "is not TOML: arrays or tables are nested too deeply") from None
    except ValueError as error:
        # TOMLDecodeError, which names the line; or what Python itself refuses: a number of thousands of digits.
        quotes = '; write headings in quotes: ["+15550100000"]' if _UNQUOTED_NUMBER.search(content) else ""
        raise ProfileError(source, f"is not TOML: {error}{quotes}") from None


def _heading(number: str) -> str:
    return number if number == DEFAULT else f'"{number}"'
