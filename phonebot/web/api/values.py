"""
What parameters and fields may be, and how they are documented.

No text may hold NUL, which PostgreSQL does not keep; where it is one line, no control character at all.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeAlias, TypeVar

from fastapi import Path, Query
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

S = TypeVar("S")
T = TypeVar("T")

NUMBER_PATTERN = r"^(\+[1-9][0-9]{6,14}|default)$"
CALLER_PATTERN = r"^\+[1-9][0-9]{2,14}$"
LINE_PATTERN = r"^[^\x00-\x1f\x7f]*$"
TEXT_PATTERN = r"^[^\x00]*$"
CALL_SID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
USER_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$"
TITLE_PATTERN = r"^[^\x00-\x20\x7f]([^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?$"
RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:\d\d)")
MAX_SEQUENCE = 2**31 - 1
MAX_ID = 2**53 - 1  # JSON has no larger whole number that every client reads
MAX_PAGE = 200
DESK = "+15550100000"


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies before the year 1 or after 9999 in UTC") from None


def _written(moment: datetime) -> str:
    """RFC 3339, in UTC, to the ms."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Moment: TypeAlias = Annotated[
    AwareDatetime,
    PlainSerializer(_written, return_type=str),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "examples": ["2026-11-27T12:00:00.000Z"]}, mode="serialization"
    ),
]
"""A moment that goes out."""


def _rfc3339(given: object) -> object:
    """pydantic takes numbers, too."""
    if not isinstance(given, str) or not RFC3339.fullmatch(given):
        raise ValueError("is not a moment with its offset from UTC, as in 2026-11-27T12:00:00Z")
    return given


Asked: TypeAlias = Annotated[
    AwareDatetime,
    BeforeValidator(_rfc3339),
    AfterValidator(_in_utc),
    Field(description="RFC 3339, with its offset from UTC.", examples=["2026-11-27T00:00:00Z"]),
]
"""A moment that comes in."""

NumberInPath: TypeAlias = Annotated[
    str,
    Path(
        pattern=NUMBER_PATTERN,
        description="A number in E.164 form, or `default` for numbers that have no profile of their own.",
        examples=[DESK],
    ),
]
SequenceInPath: TypeAlias = Annotated[
    int, Path(ge=1, le=MAX_SEQUENCE, description="Which version: they count from 1 per number.", examples=[1])
]
CallSidInPath: TypeAlias = Annotated[
    str,
    Path(
        pattern=CALL_SID_PATTERN,
        description="The call's CallSid.",
        examples=["CA11111111111111111111111111111111"],
    ),
]
UserInPath: TypeAlias = Annotated[str, Path(pattern=USER_PATTERN, description="The user's name.", examples=["ada"])]
Cursor: TypeAlias = Annotated[
    str | None,
    Query(max_length=100, pattern=LINE_PATTERN, description="`next` of the page before.", examples=[None]),
]
"""Where a page begins, as a store has made it."""
Limit: TypeAlias = Annotated[int, Query(ge=1, le=MAX_PAGE, description="How many at most.", examples=[50])]

Note: TypeAlias = Annotated[
    str,
    Field(
        max_length=1_000,
        pattern=TEXT_PATTERN,
        description="Why it was changed, for those who read the versions.",
        examples=["opening hours of December"],
    ),
]
TestCallers: TypeAlias = Annotated[
    list[Annotated[str, Field(pattern=CALLER_PATTERN)]],
    Field(
        min_length=1,
        max_length=100,
        description="The only callers whom the version answers, in E.164 form.",
        examples=[["+15550100123"]],
    ),
]


PROFILE = {"type": "object", "format": "profile"}
ProfileTable: TypeAlias = Annotated[dict[str, Any], WithJsonSchema(PROFILE)]
"""A profile as a file of profiles has it. `ProfileEditor` checks it; document.py puts its schema in the place."""


class Sent(BaseModel):
    """A body that comes in: what is not known is refused."""

    model_config = ConfigDict(extra="forbid")


class Page(BaseModel, Generic[T]):
    """Some of them, and how to ask for more."""

    items: list[T]
    next: str | None = Field(description="`cursor` of the next page; null: there is none.")


def page_by_name(items: Iterable[S], name: str, after: str | None, limit: int, shown: Callable[[S], T]) -> Page[T]:
    """Of items the first `limit` whose attribute `name`, which no two share, is past `after`."""

    def rank(named: str) -> tuple[bool, str]:
        return named.startswith("+"), named  # `default` comes before all numbers

    ranked = sorted(((rank(getattr(each, name)), each) for each in items), key=lambda pair: pair[0])
    left = [each for place, each in ranked if after is None or place > rank(after)]
    return page_of(left, name, limit, shown)


def page_of(found: Sequence[S], cursor: str, limit: int, shown: Callable[[S], T]) -> Page[T]:
    """
    The first `limit` of what was found. The next page begins behind the attribute `cursor` of the last one, if
    there are more: so ask for `limit + 1`.
    """
    more = str(getattr(found[limit - 1], cursor)) if len(found) > limit else None
    return Page(items=[shown(each) for each in found[:limit]], next=more)
