"""
The console: where its parts meet.

    GET /                  to the first page
    GET /console/phone     the phone, to try a number           (operator)
    /console/live ...      calls in progress                    (live_page.py)
    /console/overview      figures of past calls                (overview_page.py)
    /console/calls ...     past calls                           (calls_page.py, call_page.py, call_files.py)
    /console/messages ...  what callers left               (messages_page.py)
    /console/numbers ...   who answers which number             (numbers.py, editor.py, versions.py, manage.py)
    /console/outbound ...  calls that we make                   (outbound.py, opt_outs.py)
    /console/settings ...  health.py, account.py, tokens.py, people.py, audit.py
"""

from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from phonebot.store.annotations import Annotations
from phonebot.store.audit import AuditStore
from phonebot.store.links import OneTimeLinks
from phonebot.store.snippets import Snippets
from phonebot.web.console.account import AccountPages
from phonebot.web.console.audit import AuditPages
from phonebot.web.console.call_files import CallFiles
from phonebot.web.console.call_page import CallPage
from phonebot.web.console.calls_page import CallList
from phonebot.web.console.editor import EditorPages
from phonebot.web.console.frame import HOME, Frame
from phonebot.web.console.guard import Guard, Visitor
from phonebot.web.console.health import HealthPages
from phonebot.web.console.live_page import LivePages
from phonebot.web.console.login import Login
from phonebot.web.console.manage import ManagePages
from phonebot.web.console.messages_page import MessagePages
from phonebot.web.console.numbers import NumbersPages
from phonebot.web.console.opt_outs import OptOutPages
from phonebot.web.console.outbound import OutboundPages
from phonebot.web.console.overview_page import OverviewPage
from phonebot.web.console.people import PeoplePages
from phonebot.web.console.tokens import TokenPages
from phonebot.web.console.versions import VersionsPages
from phonebot.web.operating import Operating


class Console:
    """`urls` are those by which the service is reached, the public one first."""

    def __init__(self, operating: Operating, urls: Iterable[str]) -> None:
        urls = tuple(urls)
        store, book, editor, board = operating.store, operating.book, operating.editor, operating.board
        links = OneTimeLinks(store.database, operating.secret_key)
        self.frame = frame = Frame(urls)
        # http is let through by the settings for this machine alone.
        secure = urls[0].startswith("https://")
        self.guard = guard = Guard(store.sessions, frame, operating.secret_key, urls, secure=secure)
        self._pages = (
            Login(store.users, store.sessions, links, guard, frame),
            LivePages(board, guard, frame, operating.stopping),
            OverviewPage(store.calls, operating.today, guard, frame),
            CallList(book, store.calls, Snippets(store.database), guard, frame),
            CallPage(book, Annotations(store.database), store.after, store.messages, store.numbers, guard, frame),
            CallFiles(book, guard, frame),
            MessagePages(store.messages, store.after, store.calls, guard, frame),
            NumbersPages(store.numbers, editor, guard, frame),
            EditorPages(store.numbers, editor, guard, frame),
            VersionsPages(store.numbers, guard, frame),
            ManagePages(store.numbers, store.greetings, guard, frame),
            OutboundPages(operating.orders, store.outbound, store.numbers, guard, frame),
            OptOutPages(store.opt_outs, guard, frame),
            HealthPages(operating.checkup, guard, frame),
            AccountPages(store.users, store.sessions, guard, frame),
            TokenPages(store.tokens, guard, frame),
            PeoplePages(store.users, links, guard, frame, urls),
            AuditPages(AuditStore(store.database), guard, frame),
        )
        self.phone_page = guard.require("operator", self._phone)
        """In place of the phone's own page."""

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/", self.guard.require("viewer", self._home), methods=["GET"]),
            *(route for pages in self._pages for route in pages.routes()),
        ]

    async def _home(self, request: Request, visitor: Visitor) -> Response:
        return self.frame.moved(request, HOME)

    async def _phone(self, request: Request, visitor: Visitor) -> Response:
        number = request.query_params.get("number", "")
        return self.frame.page(request, "try.html", visitor=visitor, here="phone", number=number)
