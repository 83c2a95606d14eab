"""Versions of a number's profile: list, read, compare, go back, and whom they answer."""

from typing import Annotated

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel, Field

from phonebot.agents.toml import difference
from phonebot.store.numbers import Entry, Saved, Version
from phonebot.web.api.parts import Asker, UsedParts
from phonebot.web.api.route import JSON_BODY, ApiRoute, terms
from phonebot.web.api.values import (
    DESK,
    MAX_SEQUENCE,
    Limit,
    Moment,
    Note,
    NumberInPath,
    Page,
    ProfileTable,
    Sent,
    SequenceInPath,
    TestCallers,
    page_of,
)

router = APIRouter(route_class=ApiRoute, tags=["versions"])

Sequence = Annotated[int, Field(ge=1, description="Counts from 1 per number.", examples=[4])]


class ProfileVersion(BaseModel):
    """A version of a number's profile. Nothing in it changes but `test_callers`."""

    number: str = Field(description="The number, or `default`.", examples=[DESK])
    sequence: Sequence
    version: str = Field(description="A hash of its content, as calls name it.", examples=["5d41402abc4b"])
    profile: ProfileTable
    author: str = Field(
        description="Who saved it: a user, `token` and a token's name, or `file`.", examples=["ada"]
    )
    created_at: Moment
    note: str = Field(description="Why it was changed.")
    test_callers: list[str] | None = Field(description="The only ones it answers; null: it answers everyone.")


class NumberEntry(BaseModel):
    """A number that has a profile."""

    number: str = Field(description="The number, or `default`.", examples=[DESK])
    newest: ProfileVersion
    released: int | None = Field(
        description="The sequence of the version that answers everyone; null: it answers test callers alone.",
        examples=[4],
    )
    created_at: Moment
    retention_days: int | None = Field(
        description="After so many days the content of its calls is deleted; null: it is kept.", examples=[90]
    )


class SavedVersion(BaseModel):
    """The number's newest version, and whether it is new."""

    version: ProfileVersion
    is_new: bool = Field(description="false: it is equal to the one that was the newest before.")


class Compared(BaseModel):
    """What one version has that another has not."""

    number: str
    from_sequence: Sequence
    to_sequence: Sequence
    diff: str = Field(description="A unified diff of both as TOML; empty: they are equal.")
    changed: list[str] = Field(description="The keys that differ, in order.", examples=[["greeting", "voice"]])


class Restoring(Sent):
    """Why one goes back."""

    note: Note = ""


class Limiting(Sent):
    """Whom a version answers."""

    test_callers: TestCallers


@router.get("/numbers/{number}/versions", operation_id="listVersions", **terms("read", 404))
async def list_versions(
    number: NumberInPath,
    parts: UsedParts,
    cursor: Annotated[
        int | None,
        Query(
            ge=1, le=MAX_SEQUENCE, description="`next` of the page before: versions before this one.", examples=[3]
        ),
    ] = None,
    limit: Limit = 20,
) -> Page[ProfileVersion]:
    """The versions of a number's profile, the newest first."""
    found = await parts.store.numbers.versions(number, cursor, limit + 1)
    return page_of(found, "sequence", limit, version_of)


@router.get("/numbers/{number}/versions/{sequence}", operation_id="getVersion", **terms("read", 404))
async def get_version(number: NumberInPath, sequence: SequenceInPath, parts: UsedParts) -> ProfileVersion:
    """A version of a number's profile."""
    return version_of(await parts.store.numbers.get(number, sequence))


@router.get("/numbers/{number}/diff", operation_id="compareVersions", **terms("read", 404))
async def compare_versions(
    number: NumberInPath,
    parts: UsedParts,
    from_sequence: Annotated[
        int, Query(alias="from", ge=1, le=MAX_SEQUENCE, description="The older version.", examples=[1])
    ],
    to_sequence: Annotated[
        int | None,
        Query(
            alias="to", ge=1, le=MAX_SEQUENCE, description="The other one; the newest if left out.", examples=[2]
        ),
    ] = None,
) -> Compared:
    """What changed between two versions of a number's profile."""
    before = await parts.store.numbers.get(number, from_sequence)
    after = await parts.store.numbers.get(number, to_sequence)
    old, new = before.profile, after.profile
    return Compared(
        number=number,
        from_sequence=before.sequence,
        to_sequence=after.sequence,
        diff=difference(old, new, f"version {before.sequence}", f"version {after.sequence}"),
        changed=sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key)),
    )


@router.post(
    "/numbers/{number}/versions/{sequence}/restore",
    operation_id="restoreVersion",
    **terms("operate", 404, body=JSON_BODY),
)
async def restore_version(
    number: NumberInPath,
    sequence: SequenceInPath,
    parts: UsedParts,
    asker: Asker,
    sent: Annotated[Restoring | None, Body()] = None,
) -> SavedVersion:
    """Go back: the old version is saved again as the newest one, and answers everyone."""
    note = sent.note if sent else ""
    return saved_of(await parts.store.numbers.roll_back(number, sequence, asker.actor, note=note))


@router.post(
    "/numbers/{number}/versions/{sequence}/release", operation_id="releaseVersion", **terms("operate", 404)
)
async def release_version(
    number: NumberInPath, sequence: SequenceInPath, parts: UsedParts, asker: Asker
) -> ProfileVersion:
    """Let a version that answered test callers answer everyone."""
    return version_of(await parts.store.numbers.release(number, sequence, asker.actor))


@router.put(
    "/numbers/{number}/versions/{sequence}/test-callers",
    operation_id="limitVersion",
    **terms("operate", 404, body=JSON_BODY),
)
async def limit_version(
    number: NumberInPath, sequence: SequenceInPath, sent: Limiting, parts: UsedParts, asker: Asker
) -> ProfileVersion:
    """Let a version answer these callers alone; from the next call on an older one answers the others."""
    return version_of(await parts.store.numbers.limit(number, sequence, sent.test_callers, asker.actor))


def version_of(version: Version) -> ProfileVersion:
    return ProfileVersion(
        number=version.number,
        sequence=version.sequence,
        version=version.version,
        profile=version.profile,
        author=version.author,
        created_at=version.created_at,
        note=version.note,
        test_callers=None if version.test_callers is None else list(version.test_callers),
    )


def entry_of(entry: Entry) -> NumberEntry:
    return NumberEntry(
        number=entry.number,
        newest=version_of(entry.newest),
        released=entry.released.sequence if entry.released else None,
        created_at=entry.created_at,
        retention_days=entry.retention_days,
    )


def saved_of(saved: Saved) -> SavedVersion:
    return SavedVersion(version=version_of(saved.version), is_new=saved.is_new)
