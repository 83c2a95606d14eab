"""
The console: where its parts meet, and its first pages.

    GET /                  to the first page
    GET /console/numbers   who answers which number        (viewer)
    GET /console/phone     the phone, to try one           (operator)
    GET /console/calls     past calls                      (calls_page.py, call_page.py, call_files.py)
    GET /console/overview  figures of them                 (overview_page.py)
"""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from phonebot.agents.numbers import DEFAULT
from phonebot.agents.profile import Profile
from phonebot.callbook import CallBook
from phonebot.store.annotations import Annotations
from phonebot.store.links import OneTimeLinks
from phonebot.store.numbers import Entry
from phonebot.store.snippets import Snippets
from phonebot.store.store import Store
from phonebot.web.console.call_files import CallFiles
from phonebot.web.console.call_page import CallPage
from phonebot.web.console.calls_page import CallList
from phonebot.web.console.frame import HOME, Frame
from phonebot.web.console.guard import Guard, Visitor
from phonebot.web.console.login import Login
from phonebot.web.console.overview_page import OverviewPage


@dataclass(frozen=True, slots=True)
class Line:
    """A number in the list. `sequence` None: nothing is saved. `for_all`: the newest version answers everyone."""

    number: str
    name: str
    sequence: int | None
    for_all: bool
    greeting: str
    phone: str


class Console:
    """`urls` are those by which the service is reached, the public one first."""

    def __init__(self, store: Store, book: CallBook, secret_key: str, urls: Iterable[str]) -> None:
        urls = tuple(urls)
        links = OneTimeLinks(store.database, secret_key)
        self._numbers = store.numbers
        self.frame = Frame(urls)
        # http is let through by the settings for this machine alone.
        self.guard = Guard(store.sessions, self.frame, secret_key, urls, secure=urls[0].startswith("https://"))
        self._login = Login(store.users, store.sessions, links, self.guard, self.frame)
        self._past_calls = (
            OverviewPage(store.calls, self.guard, self.frame),
            CallList(book, store.calls, Snippets(store.database), self.guard, self.frame),
            CallPage(book, Annotations(store.database), store.numbers, self.guard, self.frame),
            CallFiles(book, self.guard, self.frame),
        )
        self.phone_page = self.guard.require("operator", self._phone)
        """In place of the phone's own page."""

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/", self.guard.require("viewer", self._home), methods=["GET"]),
            Route("/console/numbers", self.guard.require("viewer", self._list), methods=["GET"]),
            *(route for pages in self._past_calls for route in pages.routes()),
            *self._login.routes(),
        ]

    async def _home(self, request: Request, visitor: Visitor) -> Response:
        return self.frame.moved(request, HOME)

    async def _list(self, request: Request, visitor: Visitor) -> Response:
        entries = await self._numbers.entries()
        lines = [_line(entry) for entry in entries]
        if DEFAULT not in {entry.number for entry in entries}:
            lines.insert(0, _built_in())
        return self.frame.page(request, "numbers.html", visitor=visitor, here="numbers", lines=lines)

    async def _phone(self, request: Request, visitor: Visitor) -> Response:
        number = request.query_params.get("number", "")
        return self.frame.page(request, "try.html", visitor=visitor, here="phone", number=number)


def _line(entry: Entry) -> Line:
    profile = entry.newest.profile
    return Line(
        entry.number,
        str(profile.get("name", Profile().name)),
        entry.newest.sequence,
        entry.newest.test_callers is None,
        str(profile.get("greeting", Profile().greeting) or ""),
        _phone_path(entry.number),
    )


def _built_in() -> Line:
    profile = Profile()
    return Line(DEFAULT, profile.name, None, True, profile.greeting or "", _phone_path(DEFAULT))


def _phone_path(number: str) -> str:
    return "console/phone" + ("" if number == DEFAULT else f"?number={quote(number, safe='')}")
