"""
The list of calls, and what is asked of it.

    GET /console/calls?text=&caller=&number=&outcome=&from=&to=&zone=&cursor=    (viewer)

The days of `from` and `to` are those of the time zone `zone`; without one, UTC's. A script of the page fills it in.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from phonebot.callbook import CallBook
from phonebot.errors import StoreError, StoreUnavailable
from phonebot.store.calls import CallStore, Filters
from phonebot.store.search import MAX_QUERY_CHARACTERS
from phonebot.store.snippets import Snippet, Snippets
from phonebot.store.tables import NUMBER_CHARACTERS, CallRow
from phonebot.web.console.frame import Frame
from phonebot.web.console.guard import Guard, Visitor
from phonebot.web.console.outcomes import ENDINGS, Ending, ending
from phonebot.web.console.queries import text_in, with_chosen

PATH = "console/calls"
_MAX_ZONE_CHARACTERS = 50
_MAX_CURSOR_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """What a visitor asked for. `problems` are sentences about what of it could not be used, and was left out."""

    text: str = ""
    caller: str = ""
    number: str = ""
    outcome: str = ""
    first: date | None = None
    last: date | None = None
    zone: str = ""
    cursor: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def is_narrow(self) -> bool:
        """Whether it asks for some calls and not for all."""
        return any((self.text, self.caller, self.number, self.outcome, self.first, self.last))

    def filters(self) -> Filters:
        zone = _zone(self.zone)
        return Filters(
            number=self.number or None,
            caller_part=self.caller or None,
            outcome=self.outcome or None,
            since=_begin(self.first, zone) if self.first else None,
            until=_begin(self.last + timedelta(days=1), zone) if self.last and self.last < date.max else None,
            text=self.text,
        )

    def path(self, cursor: str | None = None) -> str:
        """Where the page is that asks so, or the one that begins at another cursor: "" for the newest."""
        days = (day.isoformat() if day else "" for day in (self.first, self.last))
        names = ("text", "caller", "number", "outcome", "from", "to", "zone", "cursor")
        zone = self.zone if self.first or self.last else ""
        values = (
            *(self.text, self.caller, self.number, self.outcome, *days, zone),
            self.cursor if cursor is None else cursor,
        )
        query = urlencode({name: value for name, value in zip(names, values, strict=True) if value})
        return f"{PATH}?{query}" if query else PATH


@dataclass(frozen=True, slots=True)
class Line:
    """A call in the list. `snippet` is the line of it that has the words which were looked for, if any were."""

    call: CallRow
    ending: Ending
    snippet: Snippet | None


class CallList:
    """Lists the calls that have ended."""

    def __init__(self, book: CallBook, calls: CallStore, snippets: Snippets, guard: Guard, frame: Frame) -> None:
        self._guard = guard
        self._book = book
        self._calls = calls
        self._snippets = snippets
        self._frame = frame

    def routes(self) -> list[BaseRoute]:
        return [Route(f"/{PATH}", self._guard.require("viewer", self._show), methods=["GET"])]

    async def _show(self, request: Request, visitor: Visitor) -> Response:
        asked = asked_by(request.query_params)
        try:
            page = await self._book.page(asked.filters(), asked.cursor or None)
        except StoreUnavailable:
            raise
        except StoreError:  # the cursor is none of ours
            return self._frame.moved(request, asked.path(cursor=""))
        snippets = await self._snippets.of(page.calls, asked.text)
        response = self._frame.page(
            request,
            "calls.html",
            visitor=visitor,
            here="calls",
            asked=asked,
            numbers=with_chosen(await self._calls.numbers(), asked.number),
            endings=_with_outcome(asked.outcome),
            lines=[Line(call, ending(call.outcome), snippets.get(call.id)) for call in page.calls],
            older=asked.path(cursor=page.cursor) if page.cursor else None,
            newest=asked.path(cursor="") if asked.cursor else None,
        )
        # The address is that of what is shown, without the fields that are empty.
        response.headers["hx-replace-url"] = asked.path().removeprefix("console/")
        return response


def asked_by(query: QueryParams) -> Asked:
    """What of a query can be used; the rest is named in `problems`."""
    problems: list[str] = []

    def day(name: str, words: str) -> date | None:
        value = text_in(query, name, 20)
        try:
            return date.fromisoformat(value) if value else None
        except ValueError:
            problems.append(f"{words} is no date: write it as 2026-11-27.")
            return None

    first, last = day("from", "From"), day("to", "To")
    if first and last and last < first:
        problems.append("From is after To, so no call can be found: exchange the two.")
    return Asked(
        text_in(query, "text", MAX_QUERY_CHARACTERS),
        text_in(query, "caller", NUMBER_CHARACTERS),
        text_in(query, "number", NUMBER_CHARACTERS),
        text_in(query, "outcome", 40),
        first,
        last,
        text_in(query, "zone", _MAX_ZONE_CHARACTERS),
        text_in(query, "cursor", _MAX_CURSOR_CHARACTERS),
        problems,
    )


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name) if name else UTC
    except (ValueError, OSError, LookupError):  # what is no name, a folder of zones, a zone this machine lacks
        return UTC


def _begin(day: date, zone: tzinfo) -> datetime:
    try:
        return datetime.combine(day, time(), zone).astimezone(UTC)
    except OverflowError:  # the first day there is, east of Greenwich
        return datetime.combine(day, time(), UTC)


def _with_outcome(outcome: str) -> dict[str, Ending]:
    return ENDINGS | ({outcome: ending(outcome)} if outcome and outcome not in ENDINGS else {})
