"""
A server that is told of calls, for tests: it answers as it is told to, and keeps what came.

    async with webhook_server(500, 500, 200) as server:
        ...                                  # the profile has after_call = { url = server.url }
        told = await server.told(3)
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

PATIENCE_S = 15.0


@dataclass(frozen=True)
class Told:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body)
        return told


@dataclass(frozen=True)
class Reply:
    """How the server answers."""

    status: int = 200
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class WebhookServer:
    """The last of its answers holds from then on."""

    url: str
    answers: list[Reply]
    requests: list[Told] = field(default_factory=list)
    _came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def told(self, count: int = 1) -> list[Told]:
        """The requests, as soon as so many have come."""
        async with asyncio.timeout(PATIENCE_S), self._came:
            await self._came.wait_for(lambda: len(self.requests) >= count)
        return self.requests

    async def handle(self, request: web.Request) -> web.StreamResponse:
        told = Told(request.path, request.headers.copy(), await request.read())
        async with self._came:
            self.requests.append(told)
            self._came.notify_all()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.Response(status=answer.status, text=answer.text, headers=answer.headers)


@asynccontextmanager
async def webhook_server(*answers: int | Reply) -> AsyncIterator[WebhookServer]:
    """On a free port of this machine. An answer may be a status alone."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    replies = [Reply(each) if isinstance(each, int) else each for each in answers or (200,)]
    server = WebhookServer(f"http://127.0.0.1:{listener.getsockname()[1]}/calls", replies)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    try:
        yield server
    finally:
        await runner.cleanup()
