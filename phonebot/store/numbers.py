"""
Numbers and the versions of their profiles.

    numbers = NumberStore(database)
    version, _ = await numbers.save("+15550100000", {"name": "Front desk"}, profile.version, Actor("ada"))

A profile comes in and goes out as the table that the operator wrote. Nothing here knows what may stand in it: it is
checked before it is saved (agents.profile).

A version may be for test callers alone. Who answers a caller is then: the newest version that is meant for him, or
else the newest that is meant for everyone.
"""

import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, Subquery, and_, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from phonebot.errors import NotStored, StoreError
from phonebot.store import audit
from phonebot.store.audit import FILE, Actor
from phonebot.store.database import Database
from phonebot.store.greetings import forget_strays
from phonebot.store.tables import DEFAULT, Counter, NumberRow, ProfileVersion

COUNTER = "profiles"
FOR_EVERYONE = ProfileVersion.test_callers.is_(None)

Profile = Mapping[str, Any]
"""A profile's table."""


@dataclass(frozen=True, slots=True)
class Version:
    """
    A version of a number's profile. `sequence` counts from 1 per number; `version` is a hash of its content.

    `test_callers`: the only ones it answers; None: it answers everyone.
    """

    number: str
    sequence: int
    version: str
    profile: dict[str, Any]
    author: str
    created_at: datetime
    note: str
    test_callers: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Entry:
    """
    A number in the list. `released` is what answers everyone, and None as long as nothing does.

    `retention_days`: after so many days the content of its calls is deleted; None: it is kept.
    """

    number: str
    newest: Version
    released: Version | None
    created_at: datetime
    retention_days: int | None

    @property
    def answering(self) -> list[str]:
        """The versions that answer somebody: who tests, or everyone."""
        return [version.version for version in (self.newest, self.released) if version]


class Saved(NamedTuple):
    """The number's newest version, and whether it is a new one: it is not when nothing changed."""

    version: Version
    is_new: bool


class Imported(NamedTuple):
    """What a file gives for a number: the table, and the version of its profile."""

    profile: Profile
    version: str


class ChangedMeanwhile(StoreError):
    """Somebody else saved the number since it was read. `newest` is what he saved."""

    def __init__(self, newest: Version) -> None:
        super().__init__(
            f"{newest.author} has saved version {newest.sequence} of {newest.number} meanwhile: "
            "look at what it changed, and save again"
        )
        self.newest = newest


class NumberStore:
    """
    What is kept of numbers. Each change writes the audit and counts in `changes`, in one transaction.

    All methods raise StoreUnavailable when the database is away, and NotStored for a number or version that there
    is not.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def changes(self) -> int:
        """A number that grows with each change of any profile: cheap to ask for once a second."""
        async with self._database.read() as session:
            return await _changes(session)

    async def entries(self) -> list[Entry]:
        """All numbers; `default` comes first, since it is no number."""
        async with self._database.read() as session:
            rows = (await session.scalars(select(NumberRow))).all()
            newest = await _versions_of(session, _newest_of_each())
            released = await _versions_of(session, _newest_of_each(FOR_EVERYONE))
        found = [
            Entry(
                row.number,
                newest=_version(newest[row.id], row.number),
                released=_version(released[row.id], row.number) if row.id in released else None,
                created_at=row.created_at,
                retention_days=row.retention_days,
            )
            for row in rows
        ]
        return sorted(found, key=lambda entry: (entry.number.startswith("+"), entry.number))

    async def entry(self, number: str) -> Entry:
        """One number as `entries` has it."""
        async with self._database.read() as session:
            row = await _number(session, number)
            released = await _newest(session, row, FOR_EVERYONE)
            return Entry(
                number,
                newest=_version(await _find(session, number, None), number),
                released=_version(released, number) if released else None,
                created_at=row.created_at,
                retention_days=row.retention_days,
            )

    async def answering(self) -> tuple[int, dict[str, list[Version]]]:
        """
        `changes`, and for each number what may answer: versions for test callers, newest first, then everyone's.

        What changed while they were read makes `changes` differ the next time.
        """
        async with self._database.read() as session:
            changes = await _changes(session)
            released = _newest_of_each(FOR_EVERYONE)
            rows = await session.execute(
                select(ProfileVersion, NumberRow.number)
                .join(ProfileVersion.number)
                .outerjoin(released, released.c.number_id == ProfileVersion.number_id)
                .where(ProfileVersion.sequence >= func.coalesce(released.c.sequence, 0))
                .order_by(NumberRow.number, ProfileVersion.sequence.desc())
            )
            found: dict[str, list[Version]] = {}
            for row, number in rows:
                found.setdefault(number, []).append(_version(row, number))
        return changes, found

    async def get(self, number: str, sequence: int | None = None) -> Version:
        """A version of the number's profile; the newest unless `sequence` says which."""
        async with self._database.read() as session:
            return _version(await _find(session, number, sequence), number)

    async def versions(self, number: str, before: int | None = None, limit: int | None = None) -> list[Version]:
        """All versions, the newest first; those before a sequence; at most so many."""
        async with self._database.read() as session:
            row = await _number(session, number)
            of_number = select(ProfileVersion).where(ProfileVersion.number_id == row.id)
            if before is not None:
                of_number = of_number.where(ProfileVersion.sequence < before)
            rows = await session.scalars(of_number.order_by(ProfileVersion.sequence.desc()).limit(limit))
            return [_version(version, number) for version in rows]

    async def profile(self, number: str, version: str) -> Profile | None:
        """The profile of a version, this number's or else `default`'s; None: it is neither's, or not any more."""
        async with self._database.read() as session:
            found: Profile | None = await session.scalar(_newest_of(number, version, ProfileVersion.profile))
        return found

    async def which(self, number: str, version: str) -> tuple[str, int] | None:
        """
        Of which number, this one or `default`, a profile of this version is, and its newest sequence there.

        None: it is neither's, or not any more.
        """
        wanted = _newest_of(number, version, NumberRow.number, ProfileVersion.sequence)
        async with self._database.read() as session:
            found = (await session.execute(wanted)).one_or_none()
        return None if found is None else (found.number, found.sequence)

    async def save(
        self,
        number: str,
        profile: Profile,
        version: str,
        actor: Actor,
        *,
        note: str = "",
        test_callers: Iterable[str] | None = None,
        expected: int | None = None,
    ) -> Saved:
        """
        Save a checked profile, whose hash is `version`, as the newest of the number, which need not exist yet.

        `expected`: the sequence that the editor began with, 0 for none. Raises ChangedMeanwhile if there is another
        one by now, NotStored if there is none any more.
        """
        draft = _Draft(profile, version, note, _sorted(test_callers))
        async with _change(self._database) as session:
            row = await _number_or_new(session, number)
            newest = await _newest(session, row)
            if newest is not None and expected not in (None, newest.sequence):
                raise ChangedMeanwhile(_version(newest, number))
            if newest is None and expected:
                raise NotStored(f"{number} was deleted meanwhile: save it again as a new number")
            return await _add(session, row, draft, actor, "profile.save")

    async def roll_back(self, number: str, sequence: int, actor: Actor, *, note: str = "") -> Saved:
        """Make an old version the newest again, for everyone: as a new version, which is equal to it."""
        async with _change(self._database) as session:
            old = await _find(session, number, sequence)
            draft = _Draft(old.profile, old.version, note or f"back to version {sequence}", None)
            return await _add(session, await _number(session, number), draft, actor, "profile.roll_back")

    async def limit(self, number: str, sequence: int, test_callers: Iterable[str], actor: Actor) -> Version:
        """Let a version answer these callers only: from the next call on an older one answers the others."""
        return await self._set_callers(number, sequence, _sorted(test_callers), actor, "profile.limit")

    async def release(self, number: str, sequence: int, actor: Actor) -> Version:
        """Let a version answer everyone."""
        return await self._set_callers(number, sequence, None, actor, "profile.release")

    async def _set_callers(
        self, number: str, sequence: int, callers: list[str] | None, actor: Actor, what: str
    ) -> Version:
        async with _change(self._database) as session:
            row = await _find(session, number, sequence)
            before, row.test_callers = row.test_callers, callers
            if before != callers:
                told = [{"sequence": sequence, "test_callers": each} for each in (before, callers)]
                audit.note(session, actor, what, number, before=told[0], after=told[1])
                await _count(session)
            return _version(row, number)

    async def set_retention(self, number: str, days: int | None, actor: Actor) -> None:
        """How long the content of the number's calls is kept; None: until somebody deletes it."""
        async with _change(self._database) as session:
            row = await _number(session, number)
            before, row.retention_days = row.retention_days, days
            if before != days:
                told = [{"retention_days": each} for each in (before, days)]
                audit.note(session, actor, "number.retention", number, before=told[0], after=told[1])

    async def delete(self, number: str, actor: Actor) -> None:
        """Forget a number with its versions and their greetings; calls are kept. The audit has the newest one."""
        async with _change(self._database) as session:
            newest = await _find(session, number, None)
            audit.note(session, actor, "number.delete", number, before=newest.profile)
            await session.delete(await _number(session, number))
            await session.flush()
            await forget_strays(session)
            await _count(session)

    async def import_file(self, tables: Mapping[str, Imported]) -> list[Version]:
        """
        Take over what a file says of its numbers, where that differs from what a file said last.

        What comes back are the new versions. What was edited here since stays as long as the file says the same. A
        number that the file no longer has is kept.
        """
        added = []
        async with _change(self._database) as session:
            for number, (profile, version) in tables.items():
                row, content = await _number_or_new(session, number), content_hash(profile)
                if row.imported_hash != content:
                    row.imported_hash = content
                    saved = await _add(session, row, _Draft(profile, version, "", None), FILE, "profile.import")
                    added += [saved.version] if saved.is_new else []
        return added


@dataclass(frozen=True, slots=True)
class _Draft:
    """What is to become a version."""

    profile: Profile
    version: str
    note: str
    test_callers: list[str] | None

    def equals(self, row: ProfileVersion) -> bool:
        """Whether it would answer the same callers in the same way."""
        return content_hash(self.profile) == content_hash(row.profile) and self.test_callers == row.test_callers


def content_hash(profile: Profile) -> str:
    """Of the table as it is written, whatever the order of its keys: the same in every version of phonebot."""
    return hashlib.sha256(json.dumps(profile, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


async def _changes(session: AsyncSession) -> int:
    return await session.scalar(select(Counter.value).where(Counter.name == COUNTER)) or 0


@asynccontextmanager
async def _change(database: Database) -> AsyncIterator[AsyncSession]:
    """A transaction that changes profiles: one at a time, so that each builds on what the one before has done."""
    async with database.begin() as session:
        await session.execute(select(Counter).where(Counter.name == COUNTER).with_for_update())
        yield session


async def _count(session: AsyncSession) -> None:
    await session.execute(update(Counter).where(Counter.name == COUNTER).values(value=Counter.value + 1))


async def _number(session: AsyncSession, number: str) -> NumberRow:
    row = await session.scalar(select(NumberRow).where(NumberRow.number == number))
    if row is None:
        raise NotStored(f"there is no number {number}: `phonebot numbers list` shows which there are")
    return row


async def _number_or_new(session: AsyncSession, number: str) -> NumberRow:
    row = await session.scalar(select(NumberRow).where(NumberRow.number == number))
    if row is None:
        row = NumberRow(number=number, created_at=datetime.now(UTC))
        session.add(row)
        await session.flush()
    return row


async def _find(session: AsyncSession, number: str, sequence: int | None) -> ProfileVersion:
    row = await _number(session, number)
    if sequence is None:
        newest = await _newest(session, row)
        assert newest is not None  # a number is made with its first version
        return newest
    of_number = select(ProfileVersion).where(ProfileVersion.number_id == row.id)
    found = await session.scalar(of_number.where(ProfileVersion.sequence == sequence))
    if found is None:
        raise NotStored(f"{number} has no version {sequence}: `phonebot numbers show {number}` shows the newest")
    return found


async def _newest(session: AsyncSession, row: NumberRow, *conditions: ColumnElement[bool]) -> ProfileVersion | None:
    of_number = select(ProfileVersion).where(ProfileVersion.number_id == row.id, *conditions)
    found: ProfileVersion | None = await session.scalar(of_number.order_by(ProfileVersion.sequence.desc()).limit(1))
    return found


def _newest_of(number: str, version: str, *columns: InstrumentedAttribute[Any]) -> Select[Any]:
    """These columns of the newest row of a version: this number's, or else `default`'s."""
    return (
        select(*columns)
        .select_from(ProfileVersion)
        .join(NumberRow, NumberRow.id == ProfileVersion.number_id)
        .where(ProfileVersion.version == version, NumberRow.number.in_((number, DEFAULT)))
        .order_by(NumberRow.number == DEFAULT, ProfileVersion.sequence.desc())
        .limit(1)
    )


def _newest_of_each(*conditions: ColumnElement[bool]) -> Subquery:
    """The id of each number, and the sequence of its newest version for which the conditions hold."""
    return (
        select(ProfileVersion.number_id, func.max(ProfileVersion.sequence).label("sequence"))
        .where(*conditions)
        .group_by(ProfileVersion.number_id)
        .subquery()
    )


async def _versions_of(session: AsyncSession, wanted: Subquery) -> dict[int, ProfileVersion]:
    rows = await session.scalars(
        select(ProfileVersion).join(
            wanted,
            and_(ProfileVersion.number_id == wanted.c.number_id, ProfileVersion.sequence == wanted.c.sequence),
        )
    )
    return {row.number_id: row for row in rows}


async def _add(session: AsyncSession, row: NumberRow, draft: _Draft, actor: Actor, what: str) -> Saved:
    """Save a version unless it is equal to the newest one."""
    newest = await _newest(session, row)
    if newest is not None and draft.equals(newest):
        return Saved(_version(newest, row.number), is_new=False)
    added = ProfileVersion(
        number_id=row.id,
        sequence=1 if newest is None else newest.sequence + 1,
        version=draft.version,
        profile=dict(draft.profile),
        author=actor.name,
        created_at=datetime.now(UTC),
        note=draft.note,
        test_callers=draft.test_callers,
    )
    session.add(added)
    before = None if newest is None else newest.profile
    audit.note(session, actor, what, row.number, before=before, after=draft.profile)
    await _count(session)
    return Saved(_version(added, row.number), is_new=True)


def _sorted(callers: Iterable[str] | None) -> list[str] | None:
    return None if callers is None else sorted(set(callers))


def _version(row: ProfileVersion, number: str) -> Version:
    return Version(
        number=number,
        sequence=row.sequence,
        version=row.version,
        profile=row.profile,
        author=row.author,
        created_at=row.created_at,
        note=row.note,
        test_callers=None if row.test_callers is None else tuple(row.test_callers),
    )
