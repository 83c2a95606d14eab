"""Who may use the console's phone: a user who is signed in, from a page that is ours."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request

Authorise: TypeAlias = Callable[[HTTPConnection], Awaitable[str | None]]
"""The user's name, by the session cookie of a request or of a WebSocket's request; None: nobody who may."""

AuthoriseTry: TypeAlias = Callable[[Request], Awaitable[str]]
"""The name of the user who may call from a page. Raises HTTPException 401 or 403, with a sentence as its detail."""

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def or_401(authorise: Authorise) -> AuthoriseTry:
    """For a page that has no token for its forms."""

    async def authorise_try(request: Request) -> str:
        user = await authorise(request)
        if user is None:
            raise HTTPException(401, "you are not signed in: sign in and try again")
        return user

    return authorise_try


class Origins:
    """
    Where pages of ours come from.

    With a WebSocket request of any page a browser sends our cookies, and names that page's origin (RFC 6455, 10.2).
    So whoever lets a cookie open a socket has to look at the origin.
    """

    def __init__(self, urls: Iterable[str]) -> None:
        """`urls` are those by which the service is reached, without a slash at the end."""
        self._urls = {_origin(url): url for url in reversed(list(urls))}

    def url(self, connection: HTTPConnection) -> str | None:
        """By which of the service's URLs the page was loaded that asks; None: it is not ours, or not named."""
        return self._urls.get(connection.headers.get("origin", ""))

    def socket_url(self, connection: HTTPConnection, path: str) -> str | None:
        """The URL of a WebSocket of ours as that page reaches it."""
        url = self.url(connection)
        return url and f"ws{url.removeprefix('http')}{path}"


def _origin(url: str) -> str:
    """As a browser writes it (RFC 6454, 6.2): no path, in lower case, no port that goes without saying."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}".removesuffix(_DEFAULT_PORTS.get(parts.scheme, " "))
