"""A browser without a browser: it keeps cookies, follows nothing by itself, and fills in forms."""

import re
import ssl
from dataclasses import dataclass
from html import unescape
from types import TracebackType
from typing import Protocol, Self

import aiohttp
from sign_in import PASSWORD


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: dict[str, str]
    cookies: tuple[str, ...]

    @property
    def to(self) -> str:
        """Where it leads."""
        return self.headers["location"]

    def field(self, name: str) -> str:
        """The value of a form's field."""
        found = re.search(rf'name="{name}" value="([^"]*)"', self.text)
        assert found, f"no field {name} in {self.text}"
        return unescape(found[1])


class Site(Protocol):
    """What can be visited."""

    url: str


class Visit:
    """
    A browser that visits a service. `origin` is what its pages believe to be that of the service; None: its URL.
    `trusted` knows the certificate, True: of those that the system knows.
    """

    def __init__(self, service: Site, origin: str | None = None, trusted: ssl.SSLContext | bool = True) -> None:
        self._service = service
        self._origin = origin
        self.url = service.url
        self.http = aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True), connector=aiohttp.TCPConnector(ssl=trusted)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.close()

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.ask("GET", path, headers=headers)

    async def post(self, path: str, fields: dict[str, str], origin: str | None = "ours", **headers: str) -> Answer:
        """`origin` None: the browser names none."""
        if origin is not None:
            headers["Origin"] = (self._origin or self._service.url) if origin == "ours" else origin
        return await self.ask("POST", path, data=fields, headers=headers)

    async def ask(self, method: str, path: str, **terms: object) -> Answer:
        url = self._service.url + path
        async with self.http.request(method, url, allow_redirects=False, **terms) as response:  # type: ignore[arg-type]
            headers = {name.lower(): value for name, value in response.headers.items()}
            cookies = tuple(response.headers.getall("set-cookie", []))
            return Answer(response.status, await response.text(), headers, cookies)

    async def send(self, page: str, path: str, fields: dict[str, str] | None = None, **files: bytes) -> Answer:
        """Send a form of a page with the page's token: to `path`, with files if there are any."""
        fields = {"csrf": (await self.get(page)).field("csrf"), **(fields or {})}
        if not files:
            return await self.post(path, fields)
        form = aiohttp.FormData(fields)
        for name, content in files.items():
            form.add_field(name, content, filename=name)
        return await self.ask("POST", path, data=form, headers={"Origin": self.url})

    async def sign_in(self, name: str, password: str = PASSWORD, wanted: str = "") -> Answer:
        """As a person would: the page is loaded, and its form sent."""
        page = await self.get("/login")
        return await self.post(
            "/login", {"csrf": page.field("csrf"), "name": name, "password": password, "next": wanted}
        )
