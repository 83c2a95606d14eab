"""
The frame of the console's pages: their headers, and how they name each other.

Pages name each other by relative URLs: a proxy may have put a prefix before it all.
"""

import logging
import re
from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from phonebot.web.console.figures import FILTERS
from phonebot.web.console.phone import page_headers, templates
from phonebot.web.console.row_id import register

templates.filters.update(FILTERS)
register()  # here, since each page has a frame before it has a route

HOME = "console/overview"
# It stays with us: a path of the console's, and no second slash or backslash with which a host could begin.
_LOCAL = re.compile(r"/(console(?:/[A-Za-z0-9_+-]+)+(\?[A-Za-z0-9_.~%=&+-]*)?)")
_MAX_NEXT_CHARACTERS = 500

log = logging.getLogger(__name__)


class Frame:
    """Makes the responses. `urls` are those by which the service is reached."""

    def __init__(self, urls: Iterable[str]) -> None:
        self._headers = page_headers(urls) | {"cache-control": "no-store"}

    def page(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        """`template`, which extends base.html; `values` may hold `visitor`, who is signed in."""
        text = templates.get_template(template).render(root=root(request), **values)
        return HTMLResponse(text, status, headers=self._headers)

    def refused(self, request: Request, status: int, title: str, sentence: str, **values: Any) -> Response:
        """A page that says what is not done, and what to do."""
        return self.page(request, "refused.html", status, title=title, sentence=sentence, **values)

    def moved(self, request: Request, to: str) -> Response:
        """See another page of ours: `to` is its path without a slash before it."""
        return RedirectResponse(root(request) + to, 303, headers={"cache-control": "no-store"})

    async def store_away(self, request: Request, error: Exception) -> Response:
        """The page for a StoreError that nobody else has taken."""
        log.error("a page of the console cannot be shown: %s", error)
        sentence = "The database cannot be used right now. Calls go on. Try again in a moment."
        return self.refused(request, 503, "Not available", sentence)


def sentence(problem: object) -> str:
    """What an error says, as a sentence of a page."""
    said = str(problem)
    return f"{said[:1].upper()}{said[1:]}."


def root(request: Request) -> str:
    """How a page of this request names the top of the service."""
    return "../" * (request.scope["path"].count("/") - 1) or "./"


def local_path(wanted: str) -> str:
    """A path of ours, without a slash before it, for `Frame.moved`: the wanted one or, if it is none, HOME."""
    found = _LOCAL.fullmatch(wanted) if len(wanted) <= _MAX_NEXT_CHARACTERS else None
    return found[1] if found else HOME
