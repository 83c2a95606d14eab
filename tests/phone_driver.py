"""A browser's phone without a browser: what a page does, with all that a test may do wrong."""

from typing import Any

import aiohttp
from service_driver import RawStream, Service
from starlette.requests import HTTPConnection
from websockets.asyncio.client import connect


async def by_cookie(connection: HTTPConnection) -> str | None:
    """Who is signed in: his cookie says it."""
    return connection.cookies.get("session")


class Page:
    """A page of `origin`, in a browser in which `user` is signed in (None: nobody)."""

    def __init__(self, service: Service, user: str | None = "ada", origin: str | None = None) -> None:
        self._service = service
        self._headers = {"Origin": service.url if origin is None else origin}
        if user is not None:
            self._headers["Cookie"] = f"session={user}"

    async def post(self, body: Any, **headers: str) -> tuple[int, Any]:
        """Ask to try something: bytes as they are, anything else as JSON. Status and JSON of the answer."""
        terms = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with (
            aiohttp.ClientSession(headers=self._headers | headers) as http,
            http.post(f"{self._service.url}/console/try", **terms) as response,
        ):
            return response.status, await response.json()

    async def ticket(self, **wanted: Any) -> dict[str, str]:
        status, answer = await self.post(wanted)
        assert status == 200, answer
        return dict(answer)

    async def open(self, path: str = "/console/media", **headers: str) -> RawStream:
        """Open the socket. Raises InvalidStatus when it is refused."""
        url = f"ws{self._service.url.removeprefix('http')}{path}"
        socket = await connect(
            url, additional_headers=self._headers | headers, compression=None, max_size=None, proxy=None
        )
        return RawStream(socket)

    async def call(self, ticket: dict[str, str]) -> RawStream:
        """Open the socket and say which call it is for."""
        stream = await self.open()
        await stream.connected()
        await stream.start(ticket["token"], ticket["call_sid"])
        return stream
