"""
The phone in the browser: its page, what the page asks for, and its door.

    GET  /console/phone     a page with nothing but the phone    (others include templates/_phone.html)
    POST /console/try       a token for one call                  (try_it.py)
    WS   /console/media     the call                              (door.py)
    GET  /console/static/   what the pages load: open to all
"""

from collections.abc import Awaitable, Callable, Iterable

from jinja2 import Environment, FileSystemLoader
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from phonebot.agents.profile import Profile
from phonebot.web.console import STATIC, TEMPLATES
from phonebot.web.console.access import Authorise, AuthoriseTry, Origins, or_401
from phonebot.web.console.door import PhoneDoor
from phonebot.web.console.problems import problems
from phonebot.web.console.trials import Trials
from phonebot.web.console.try_it import TryIt
from phonebot.web.feed import Feed
from phonebot.web.live import LiveCalls
from phonebot.web.media import Answer

PAGE_PATH = "/console/phone"
TRY_PATH = "/console/try"
MEDIA_PATH = "/console/media"
STATIC_PATH = "/console/static"
# As the page names them: a proxy may have put a prefix before it all.
STATIC_FROM_PAGE, TRY_FROM_PAGE = "static", "try"

# Nothing inline, nothing from elsewhere. connect-src names the sockets: not every browser counts them to 'self'.
PAGE_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
        "connect-src 'self'{sockets}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}

templates = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True)


class ConsolePhone:
    """
    Where the parts of the phone meet.

    `unknown`: what a profile names that the deployment does not have, in sentences. `urls` are those by which the
    service is reached (access.Origins).
    """

    def __init__(
        self,
        trials: Trials,
        answer: Answer,
        live: LiveCalls,
        feed: Feed,
        saved: Callable[[str], Profile],
        unknown: Callable[[Profile], Iterable[str]],
        urls: Iterable[str],
    ) -> None:
        self._trials = trials
        self._unknown = unknown
        self._answer = answer
        self._live = live
        self._feed = feed
        self._saved = saved
        self._urls = tuple(urls)
        self._origins = Origins(self._urls)

    def routes(
        self,
        authorise: Authorise,
        own_page: Callable[[Request], Awaitable[Response]] | None = None,
        authorise_try: AuthoriseTry | None = None,
    ) -> list[BaseRoute]:
        """
        All of it. `authorise` says who may call, and `authorise_try` who may ask to: by default the same.

        `own_page` is shown in place of the plain page.
        """
        headers = page_headers(self._urls)

        async def page(request: Request) -> Response:
            if await authorise(request) is None:
                return problems(401, "you are not signed in")
            number = request.query_params.get("number", "")
            text = templates.get_template("phone.html").render(
                static=STATIC_FROM_PAGE, try_url=TRY_FROM_PAGE, number=number
            )
            return HTMLResponse(text, headers=headers)

        trying = TryIt(
            authorise_try or or_401(authorise), self._trials, self._origins, self._saved, self._unknown, MEDIA_PATH
        )
        door = PhoneDoor(authorise, self._trials, self._origins, self._saved, self._live, self._feed, self._answer)
        return [
            Route(PAGE_PATH, own_page or page),
            Route(TRY_PATH, trying.answer, methods=["POST"]),
            WebSocketRoute(MEDIA_PATH, door),
            Mount(STATIC_PATH, StaticFiles(directory=STATIC)),
        ]


def page_headers(urls: Iterable[str]) -> dict[str, str]:
    """The headers of every page of the console, which is reached by these URLs."""
    origins = ("/".join(url.split("/", 3)[:3]) for url in urls)
    sockets = "".join(f" ws{origin.removeprefix('http')}" for origin in origins)
    policy = PAGE_HEADERS["content-security-policy"].format(sockets=sockets)
    return PAGE_HEADERS | {"content-security-policy": policy}
