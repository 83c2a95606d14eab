"""
Which profile answers, for a process that takes calls: a snapshot of the store, which follows it.

A change applies to the next call on every process within about a second, and never to a call in progress, which has
its profile. With the database away the snapshot goes on being used.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from phonebot.agents.numbers import DEFAULT, Numbers, Trial, read_table
from phonebot.agents.profile import Profile
from phonebot.errors import ProfileError
from phonebot.store.numbers import NumberStore, Version
from phonebot.web.outages import Outages

POLL_S = 1.0

log = logging.getLogger(__name__)


class Answering(Protocol):
    """Knows who answers: `Numbers`, or a snapshot that changes."""

    def profile_for(self, number: str, caller: str = "") -> Profile:
        """The profile that answers `caller` at `number`."""
        ...


class StoredProfiles:
    """
    The profiles of the store as they were when it was last asked; before that the built-in one answers.

    `recordings` is the folder of the recordings that stored profiles name.
    """

    def __init__(self, numbers: NumberStore, recordings: Path) -> None:
        self._numbers = numbers
        self._recordings = recordings
        self._held = Numbers()
        # What was read, by number and version: a change of one number must not make the calls wait for all others.
        self._profiles: dict[tuple[str, int, str], Profile] = {}
        self._changes: int | None = None  # of the snapshot; None: nothing was read yet
        self._outages = Outages(log, "profiles stay as they are", "profiles are followed again")

    def profile_for(self, number: str, caller: str = "") -> Profile:
        return self._held.profile_for(number, caller)

    async def refresh(self) -> bool:
        """Read the profiles if any has changed; whether they did. Raises StoreError."""
        if self._changes is not None and await self._numbers.changes() == self._changes:
            return False
        changes, versions = await self._numbers.answering()
        # In a thread, for their recordings may lie on a network file system.
        profiles = await asyncio.to_thread(self._read, versions, self._profiles)
        self._changes, self._profiles, self._held = changes, profiles, _numbers(versions, profiles)
        return True

    def _read(
        self, versions: Mapping[str, list[Version]], known: Mapping[tuple[str, int, str], Profile]
    ) -> dict[tuple[str, int, str], Profile]:
        return {
            _key(version): known.get(_key(version)) or read(version, self._recordings)
            for listed in versions.values()
            for version in listed
        }

    @asynccontextmanager
    async def following(self, poll_s: float = POLL_S) -> AsyncIterator["StoredProfiles"]:
        """Follow the store while the block runs. Raises StoreError if it cannot be read at the start."""
        await self.refresh()
        task = asyncio.create_task(self._follow(poll_s), name="follow the profiles")
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _follow(self, poll_s: float) -> None:
        while True:
            await asyncio.sleep(poll_s)
            await self._outages.endure(self._look())

    async def _look(self) -> None:
        if await self.refresh():
            log.info("profiles have changed: they apply to the next call")


def read(version: Version, recordings: Path) -> Profile:
    """
    A stored profile, known by its version.

    It was right when it was saved, but its recording may be missing here, or a later version of phonebot may have
    saved it. Then as much of it as can be understood answers, since a call has to be answered, and it is logged.
    """
    source = f"{version.number}, version {version.sequence}"
    try:
        return read_table(version.profile, source, recordings).with_version(version.version)
    except ProfileError as error:
        log.error("part of a profile is left out: %s", error)
    profile, understood = Profile(), dict[str, Any]()
    for key, value in version.profile.items():
        if key != "greeting_audio":
            with suppress(ProfileError):
                profile = Profile.from_table(understood | {key: value}, source)
                understood[key] = value
    return profile.with_version(version.version)


def _key(version: Version) -> tuple[str, int, str]:
    # A number that was deleted and made anew counts its versions from 1 again.
    return version.number, version.sequence, version.version


def _numbers(versions: Mapping[str, list[Version]], profiles: Mapping[tuple[str, int, str], Profile]) -> Numbers:
    """Who answers: of each number come versions for test callers, then perhaps one for everyone."""
    answering: dict[str, Profile] = {}
    trials: dict[str, tuple[Trial, ...]] = {}
    for number, listed in versions.items():
        for version in listed:
            profile = profiles[_key(version)]
            if version.test_callers is None:
                answering[number] = profile
            else:
                trials[number] = (*trials.get(number, ()), Trial(frozenset(version.test_callers), profile))
    return Numbers(default=answering.pop(DEFAULT, Profile()), profiles=answering, trials=trials)
