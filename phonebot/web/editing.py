"""
Profiles are checked before they are saved: by whoever edits them, in the console, the API or a terminal.

    editor = ProfileEditor(store.numbers, data_dir / "audio")
    saved = await editor.save("+15550100000", {"greeting": "Hello"}, Actor("ada"))

Recordings that a stored profile names are in one folder, under names made of their content: another recording of
the same name cannot take their place.
"""

import asyncio
import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from phonebot.agents import guardrails
from phonebot.agents.faults import shown
from phonebot.agents.numbers import MAX_FILE_BYTES, Written, is_number, read_file, read_table, read_tables
from phonebot.agents.profile import Profile
from phonebot.agents.toml import parse, text_of_numbers
from phonebot.agents.tools import Known
from phonebot.audio.recordings import read_recording
from phonebot.errors import AudioError, ProfileError
from phonebot.private_folders import make_private
from phonebot.store.audit import Actor
from phonebot.store.numbers import Imported, NumberStore, Saved, Version

MAX_PROFILES = 1_000
"""In a text that is sent here. Each takes a transaction."""
HASH_CHARACTERS = 16  # of a recording's SHA-256, in its name

_KEPT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")  # no folder, no name that leads out of this one


class ProfileEditor:
    """
    Saves profiles that are right, and refuses others with a ProfileError: a sentence for each problem.

    `recordings` is the folder of the recordings that stored profiles name. `known` is what the deployment has for
    them to name; None: that is not known here, and not looked at.
    """

    def __init__(self, numbers: NumberStore, recordings: Path, known: Known | None = None) -> None:
        self._numbers = numbers
        self._recordings = recordings
        self._known = known

    def check(self, number: str, table: Mapping[str, Any]) -> Profile:
        """What the table of a number means. Raises ProfileError with a sentence for each key that is wrong."""
        if not is_number(number):
            raise ProfileError(
                shown(number), 'is not a number in E.164 form, "+" and 7 to 15 digits, nor the word default'
            )
        self._check_recording(number, table)
        profile = read_table(table, number, self._recordings)
        if problems := lacking(profile, self._known):
            raise ProfileError(number, *problems)
        return profile

    def _check_recording(self, source: str, table: Mapping[str, Any]) -> None:
        """A stored profile names a recording of the folder: whoever edits it may read no other file."""
        name = table.get("greeting_audio")
        if isinstance(name, str) and not (_KEPT.fullmatch(name) and (self._recordings / name).is_file()):
            raise ProfileError(source, f"greeting_audio is {shown(name)}; it must be a recording that is kept here")

    async def save(
        self,
        number: str,
        table: Mapping[str, Any],
        actor: Actor,
        *,
        note: str = "",
        test_callers: Iterable[str] | None = None,
        expected: int | None = None,
    ) -> Saved:
        """
        Check a profile and save it, see `NumberStore.save`. Raises ProfileError, and what that raises.

        What is None in it, as forms and JSON may have it, is as good as left out.
        """
        table = without_none(table)
        return await self._numbers.save(
            number,
            table,
            self.check(number, table).version,
            actor,
            note=note,
            test_callers=test_callers,
            expected=expected,
        )

    async def import_text(self, content: bytes, source: str, actor: Actor) -> list[Saved]:
        """
        Save all profiles of a TOML text, or none if one is wrong; `source` is its name in a ProfileError.

        Recordings that it names are those that were kept before.
        """
        # In a thread: it takes longer than calls in progress can wait for their next frame.
        written = await asyncio.to_thread(self._read_text, content, source)
        return [
            await self._numbers.save(number, each.table, each.profile.version, actor)
            for number, each in written.items()
        ]

    def _read_text(self, content: bytes, source: str) -> Mapping[str, Written]:
        if len(content) > MAX_FILE_BYTES:
            raise ProfileError(source, f"has more than {MAX_FILE_BYTES} bytes")
        tables = parse(content, source)
        if len(tables) > MAX_PROFILES:
            raise ProfileError(source, f"has more than {MAX_PROFILES} profiles: import them in several files")
        for table in tables.values():
            if isinstance(table, dict):
                self._check_recording(source, table)
        return _checked(read_tables(tables, source, self._recordings), source, self._known)

    async def import_file(self, path: Path, actor: Actor) -> list[Saved]:
        """Save all profiles of a TOML file, or none if one is wrong; recordings that it names are copied."""
        return [
            await self._numbers.save(number, each.table, each.profile.version, actor)
            for number, each in self._read(path).items()
        ]

    async def follow_file(self, path: Path) -> list[Version]:
        """Take over what changed in a TOML file since it was last read so; the new versions."""
        written = self._read(path)
        return await self._numbers.import_file(
            {number: Imported(each.table, each.profile.version) for number, each in written.items()}
        )

    async def export(self, numbers: Iterable[str] = ()) -> str:
        """The newest profiles of these numbers, or of all there are, as a TOML text. Raises NotStored."""
        chosen = [await self._numbers.get(number) for number in numbers]
        versions = chosen or [entry.newest for entry in await self._numbers.entries()]
        return text_of_numbers({version.number: version.profile for version in versions})

    async def export_to(self, path: Path, numbers: Iterable[str] = (), behind: str = "") -> str:
        """Write what `export` gives to a file, `behind` after it, and beside it the recordings that it names."""
        text = await self.export(numbers) + behind
        await asyncio.to_thread(self._write, path, text)
        return text

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text, encoding="utf-8")
        for profile in parse(text.encode(), str(path)).values():
            recording = self._recordings / profile.get("greeting_audio", "")
            if recording.is_file():
                shutil.copy(recording, path.parent)

    def _read(self, path: Path) -> dict[str, Written]:
        """The profiles of a file, naming recordings of our folder in place of those that lie beside the file."""
        written = check_file(path, self._known)
        return {number: self._with_own_recording(each, path) for number, each in written.items()}

    def _with_own_recording(self, written: Written, path: Path) -> Written:
        if written.profile.greeting_audio is None:
            return written
        name = self.keep_recording(path.parent / written.profile.greeting_audio)
        table = written.table | {"greeting_audio": name}
        return Written(table, read_table(table, str(path), self._recordings))

    def add_recording(self, content: bytes) -> str:
        """Keep a recording that was sent here; the name by which a profile may call it. Raises AudioError."""
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            file.write(content)
            file.flush()
            path = Path(file.name)
            try:
                read_recording(path)
            except AudioError as error:
                raise AudioError(str(error).removeprefix(f"{path}: ")) from None
            return self.keep_recording(path)

    def keep_recording(self, file: Path) -> str:
        """Copy a recording into the folder; the name by which a profile may call it."""
        name = f"{hashlib.sha256(file.read_bytes()).hexdigest()[:HASH_CHARACTERS]}.wav"
        if not (self._recordings / name).exists():
            make_private(self._recordings)
            # Under another name first: nobody may find half of it.
            with tempfile.NamedTemporaryFile(dir=self._recordings, delete=False) as copy:
                copy.write(file.read_bytes())
            Path(copy.name).rename(self._recordings / name)
        return name


def check_file(path: Path, known: Known | None) -> Mapping[str, Written]:
    """
    The profiles of a TOML file, by number or `default`.

    `known`: what the deployment has for them to name; None: that is not looked at.

    Raises ProfileError with a sentence for each problem in it.
    """
    return _checked(read_file(path), str(path), known)


def lacking(profile: Profile, known: Known | None) -> list[str]:
    """What the profile names that the deployment does not have; nothing where that is not known."""
    if known is None:
        return []
    problems = [
        *known.lacks(profile.tool_lists()),
        *guardrails.problems(profile.guardrail_lists(), known),
    ]
    if lookup := profile.lookup:
        problems += known.lacking("lookup", lookup.secrets, lookup.url)
    if destination := profile.messages.destination:
        problems += destination.lacks("messages", known)
    return problems + (list(profile.after_call.problems(known)) if profile.after_call else [])


def _checked(written: Mapping[str, Written], source: str, known: Known | None) -> Mapping[str, Written]:
    """Raises ProfileError for `source` where a profile names what the deployment does not have."""
    if problems := [
        f"[{number}] {problem}" for number, each in written.items() for problem in lacking(each.profile, known)
    ]:
        raise ProfileError(source, *problems)
    return written


def without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    """The table without what is None in it: TOML has no word for that."""
    return {
        key: without_none(value) if isinstance(value, Mapping) else value
        for key, value in table.items()
        if value is not None
    }
