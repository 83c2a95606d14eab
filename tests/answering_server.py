"""
A server that answers the emulated carrier as a test tells it to.

    async with serving(Bot()) as bot:
        bot.answers["/voice"] = "<Response><Hangup/></Response>"
        record = await bot.dialled(WaitForHangUp())
        bot.form("/voice")                              # what it was asked with
"""

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from aiohttp import WSMsgType, web

from phonebot.simulator.caller import Caller
from phonebot.simulator.phone import dial
from phonebot.simulator.record import CallRecord
from phonebot.simulator.signing import Fields

SPEECH = b"\x90"
HANGUP = "<Response><Hangup/></Response>"


Answer: TypeAlias = str | web.Response | Callable[[dict[str, str]], str]


class Stream:
    """The bot's end of one media stream."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.socket, self.request = socket, request
        self.received: list[dict[str, Any]] = []
        self.sid = ""

    async def receive(self) -> dict[str, Any] | None:
        """The next message; None when the carrier has closed."""
        message = await self.socket.receive()
        if message.type != WSMsgType.TEXT:
            return None
        fields: dict[str, Any] = json.loads(message.data)
        self.received.append(fields)
        self.sid = fields.get("streamSid", self.sid)
        return fields

    async def until(self, event: str) -> None:
        while (fields := await self.receive()) is not None and fields["event"] != event:
            pass

    async def until_closed(self) -> None:
        while await self.receive() is not None:
            pass

    async def send(self, event: str, **body: str) -> None:
        fields: dict[str, Any] = {"event": event, "streamSid": self.sid}
        await self.socket.send_json(fields | {event: body} if body else fields)

    async def play(self, ms: int) -> None:
        await self.send("media", payload=base64.b64encode(SPEECH * 8 * ms).decode())


class Bot:
    """
    A server to be dialled: `answers` holds TwiML, a whole response, or what makes TwiML of the form, by path.

    `talk` runs each stream.
    """

    def __init__(self, talk: Callable[[Stream], Awaitable[None]] = Stream.until_closed) -> None:
        self.answers: dict[str, Answer] = {}
        self.talk = talk
        self.origin = ""
        self.asked: list[tuple[str, web.Request, Fields]] = []  # path and form of each request
        self.streams: list[Stream] = []

    def connects(self, inner: str = "", attributes: str = "", after: str = "") -> None:
        url = f"{self.origin.replace('http', 'ws')}/media"
        stream = f'<Stream url="{url}">{inner}</Stream>'
        self.answers["/voice"] = f"<Response><Connect {attributes}>{stream}</Connect>{after}</Response>"

    async def dialled(self, *steps: Any, **options: Any) -> CallRecord:
        return await dial(f"{self.origin}/voice", Caller(*steps), **options)

    def form(self, path: str) -> dict[str, str]:
        """The fields of the last request of this path."""
        return self.forms(path)[-1]

    def forms(self, path: str) -> list[dict[str, str]]:
        """The fields of each request of this path, in the order in which they came."""
        return [dict(form) for asked, _, form in self.asked if asked == path]

    @property
    def paths(self) -> list[str]:
        return [path for path, _, _ in self.asked]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/media" and "/media" not in self.answers:
            socket = web.WebSocketResponse(compress=False)
            await socket.prepare(request)
            self.streams.append(Stream(socket, request))
            await self.talk(self.streams[-1])
            return socket
        form = parse_qsl((await request.read()).decode(), keep_blank_values=True)
        self.asked.append((request.path, request, form))
        answer = self.answers.get(request.path, web.Response(status=404))
        if callable(answer):
            answer = answer(dict(form))
        return web.Response(text=answer, content_type="text/xml") if isinstance(answer, str) else answer


@asynccontextmanager
async def serving(bot: Bot) -> AsyncIterator[Bot]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", bot.answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    bot.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    bot.connects()
    try:
        yield bot
    finally:
        await runner.cleanup()
