"""Numbers and their profiles: list, read, check, save, delete, and how long their calls are kept."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field, StrictInt

from phonebot.errors import ProfileError
from phonebot.web.api.key_problems import KeyProblem
from phonebot.web.api.parts import Asker, UsedParts
from phonebot.web.api.problems import MAX_PROBLEMS, key_problems
from phonebot.web.api.route import JSON_BODY, ApiRoute, terms
from phonebot.web.api.values import (
    MAX_SEQUENCE,
    NUMBER_PATTERN,
    Limit,
    Note,
    NumberInPath,
    Page,
    ProfileTable,
    Sent,
    TestCallers,
    page_by_name,
)
from phonebot.web.api.versions import NumberEntry, SavedVersion, entry_of, saved_of
from phonebot.web.editing import without_none

router = APIRouter(route_class=ApiRoute, tags=["numbers"])

RetentionDays = Annotated[
    Annotated[int, Field(ge=1, le=36_500, strict=True)] | None,
    Field(
        description="After so many days the content of the number's calls is deleted; null: it is kept until "
        "somebody deletes it.",
        examples=[90],
    ),
]


class ProfileToSave(Sent):
    """A profile, and how it is to be saved."""

    profile: ProfileTable
    note: Note = ""
    test_callers: TestCallers | None = None
    expected: StrictInt | None = Field(
        default=None,
        ge=0,
        le=MAX_SEQUENCE,
        description="The sequence of the version that you began with, 0 for a new number: if another one is the "
        "newest by now, nothing is saved. null: whatever it is.",
        examples=[3],
    )


class ProfileToCheck(Sent):
    """A profile that is not to be saved."""

    profile: dict[str, Any] = Field(
        description="A Profile; it need not be right.", examples=[{"temperature": 9}], max_length=1_000
    )


class Checked(Sent):
    """What is wrong with a profile; if nothing is, it could be saved."""

    problems: list[KeyProblem] = Field(max_length=MAX_PROBLEMS)


class Retention(Sent):
    """How long calls are kept."""

    retention_days: RetentionDays


@router.get("/numbers", operation_id="listNumbers", **terms("read"))
async def list_numbers(
    parts: UsedParts,
    cursor: Annotated[
        str | None, Query(pattern=NUMBER_PATTERN, description="`next` of the page before.", examples=["default"])
    ] = None,
    limit: Limit = 50,
) -> Page[NumberEntry]:
    """
    All numbers that have a profile, `default` first, then in order.

    Numbers that are not in the list are answered by `default`, and without it by the built-in profile.
    """
    return page_by_name(await parts.store.numbers.entries(), "number", cursor, limit, entry_of)


@router.get("/numbers/{number}", operation_id="getNumber", **terms("read", 404))
async def get_number(number: NumberInPath, parts: UsedParts) -> NumberEntry:
    """A number with its newest profile, and which version answers everyone."""
    return entry_of(await parts.store.numbers.entry(number))


@router.put("/numbers/{number}", operation_id="saveProfile", **terms("operate", 404, 409, body=JSON_BODY))
async def save_profile(number: NumberInPath, sent: ProfileToSave, parts: UsedParts, asker: Asker) -> SavedVersion:
    """
    Save a profile as the number's newest version; the number need not exist yet.

    It answers from the next call on, on each process within about a second. With `test_callers` it answers them
    alone, and everyone else is answered as before. A profile that is equal to the newest one makes no new version.
    """
    saved = await parts.editor.save(
        number,
        sent.profile,
        asker.actor,
        note=sent.note,
        test_callers=sent.test_callers,
        expected=sent.expected,
    )
    return saved_of(saved)


@router.delete("/numbers/{number}", operation_id="deleteNumber", status_code=204, **terms("operate", 404))
async def delete_number(number: NumberInPath, parts: UsedParts, asker: Asker) -> Response:
    """
    Forget a number with all versions of its profile; from the next call on `default` answers it.

    Its calls are kept. The audit keeps the newest version.
    """
    await parts.store.numbers.delete(number, asker.actor)
    return Response(status_code=204)


@router.post("/numbers/{number}/check", operation_id="checkProfile", **terms("read", body=JSON_BODY))
async def check_profile(number: NumberInPath, sent: ProfileToCheck, parts: UsedParts) -> Checked:
    """Whether a profile could be saved: what is wrong with it, key by key. Nothing is saved."""
    try:
        parts.editor.check(number, without_none(sent.profile))
    except ProfileError as error:
        return Checked(problems=key_problems(error.problems))
    return Checked(problems=[])


@router.put("/numbers/{number}/retention", operation_id="setRetention", **terms("operate", 404, body=JSON_BODY))
async def set_retention(number: NumberInPath, sent: Retention, parts: UsedParts, asker: Asker) -> NumberEntry:
    """How long the content of the number's calls is kept: what was said, the log and the recordings."""
    await parts.store.numbers.set_retention(number, sent.retention_days, asker.actor)
    return entry_of(await parts.store.numbers.entry(number))
