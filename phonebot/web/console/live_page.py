"""
The page Live: the calls in progress of all processes, seen, listened to, typed into and ended.

    GET  /console/live                       the page                               (viewer)
    GET  /console/live/events?open=SID       what happens, as Server-Sent Events    (viewer)
    POST /console/live/SID/listen            what is heard, as it is heard          (operator)
    POST /console/live/SID/text              type into the call                     (operator)
    POST /console/live/SID/hang-up           end the call                           (operator)

The events are those of live_events.py, one `data:` each; of calls that are not open the page is told their last
lines and who speaks. The first one says which calls there are, and what time it is here:

    {"type": "calls", "call_sids": ["CA..."], "now": "2026-01-02T03:04:05Z"}

The sound is mu-law at 8 kHz in two channels, a byte of the caller and one of the bot in turn.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from phonebot.audio.wav import interleave
from phonebot.errors import ListeningRefused, NotStored, StoreError, TextRefused
from phonebot.store.users import Role
from phonebot.tools.typist import TypedRole
from phonebot.web.board import Board
from phonebot.web.console.frame import Frame, sentence
from phonebot.web.console.guard import Guard, Visitor
from phonebot.web.console.outcomes import ENDINGS
from phonebot.web.console.problems import problems
from phonebot.web.held import TextWish
from phonebot.web.live_events import CallEnded, Event, LineSettled, Lost, Snapshot, TurnTaken
from phonebot.web.sound import Sound
from phonebot.web.streamed import EVENTS, Streamed
from phonebot.web.subscription import Subscription

LAST_LINES = 2  # that a call shows while it is not open
PING_S = 15.0
"""After so long a silence a comment is sent; and so often it is asked whether the visitor is still signed in."""
MAX_STREAMS = 100
"""Of this process, of both kinds together."""


class LivePages:
    """`stopping` is set when the service stops."""

    def __init__(self, board: Board, guard: Guard, frame: Frame, stopping: asyncio.Event) -> None:
        self._board = board
        self._guard = guard
        self._frame = frame
        self._stopping = stopping
        self._streams = 0

    def routes(self) -> list[BaseRoute]:
        require = self._guard.require
        return [
            Route("/console/live", require("viewer", self._page), methods=["GET"]),
            Route("/console/live/events", require("viewer", self._events), methods=["GET"]),
            Route("/console/live/{call_sid}/listen", require("operator", self._listen), methods=["POST"]),
            Route("/console/live/{call_sid}/text", require("operator", self._text), methods=["POST"]),
            Route("/console/live/{call_sid}/hang-up", require("operator", self._hang_up), methods=["POST"]),
        ]

    async def _page(self, request: Request, visitor: Visitor) -> Response:
        outcomes = {name: asdict(ending) for name, ending in ENDINGS.items()}
        return self._frame.page(request, "live.html", visitor=visitor, here="live", outcomes=outcomes)

    async def _events(self, request: Request, visitor: Visitor) -> Response:
        if self._streams >= MAX_STREAMS:
            return problems(503, "Too many pages follow calls in this process: close some, then reload this one.")
        held = AsyncExitStack()
        held.enter_context(self._counted())
        parts = self._happenings(request, request.query_params.get("open", ""))
        return Streamed(parts, EVENTS, self._stopping, held)

    async def _listen(self, request: Request, visitor: Visitor) -> Response:
        if self._streams >= MAX_STREAMS:
            return problems(503, "Too many calls are followed in this process: try again in a moment.")
        listening = self._board.listen(request.path_params["call_sid"], visitor.actor)
        try:
            async with AsyncExitStack() as entered:
                entered.enter_context(self._counted())
                sounds = await entered.enter_async_context(listening)
                held = entered.pop_all()
        except NotStored:
            return problems(404, "The call has ended.")
        except ListeningRefused as error:
            return problems(409, sentence(error.why))
        except StoreError:
            return problems(503, "The database cannot be used, and who listens has to be noted there.")
        return Streamed(self._heard(request, sounds), "application/octet-stream", self._stopping, held)

    async def _text(self, request: Request, visitor: Visitor) -> Response:
        form = visitor.form
        role: TypedRole = "system" if form.get("role") == "system" else "user"
        wish = TextWish(form.get("text", "").strip(), role, form.get("interrupt") == "on")
        try:
            await self._board.say(request.path_params["call_sid"], wish, visitor.actor)
        except TextRefused as error:
            return problems(429 if error.too_many else 422, f"Nothing was sent: {error.why}.")
        except NotStored:
            return problems(404, "The call has ended.")
        except StoreError:
            return problems(503, "Another process holds the call, and the database cannot be used to tell it.")
        return JSONResponse({})

    async def _hang_up(self, request: Request, visitor: Visitor) -> Response:
        try:
            await self._board.hang_up(request.path_params["call_sid"], visitor.actor)
        except NotStored:
            return problems(404, "The call has ended already.")
        except StoreError:
            return problems(503, "Another process holds the call, and the database cannot be used to tell it.")
        return JSONResponse({})

    # ------------------------------------------------------------------------------ what goes on and on

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    async def _happenings(self, request: Request, opened: str) -> AsyncGenerator[bytes, None]:
        async with self._board.watch() as events:
            yield b"retry: 1000\n\n" + _data(_calls_in(events))
            async for event in self._with_pings(request, events):
                if event is None:
                    yield b": here\n\n"
                elif isinstance(event, Lost):
                    return  # the page asks again, and has all of it anew
                elif shown := as_shown(event, opened):
                    yield _data(shown)

    async def _with_pings(self, request: Request, events: Subscription) -> AsyncIterator[Event | None]:
        """The events; None when none has come for a while. They end when the visitor is no longer signed in."""
        loop = asyncio.get_running_loop()
        asked_s = loop.time()
        while True:
            event: Event | None = None
            try:
                async with asyncio.timeout(PING_S):
                    event = await anext(events)
            except StopAsyncIteration:
                return
            except TimeoutError:
                pass
            if loop.time() >= asked_s + PING_S:
                asked_s = loop.time()
                if not await self._may(request, "viewer"):
                    return
            yield event

    async def _heard(self, request: Request, sounds: AsyncIterator[Sound]) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        asked_s = loop.time()
        with suppress(ListeningRefused, StoreError):
            async for sound in sounds:
                yield interleave(sound.caller, sound.bot)
                if loop.time() >= asked_s + PING_S:
                    asked_s = loop.time()
                    if not await self._may(request, "operator"):
                        return

    async def _may(self, request: Request, role: Role) -> bool:
        """Whether who began this is still signed in, and may do it. While the database is away he is."""
        try:
            user = await self._guard.user(request)
        except StoreError:
            return True
        return user is not None and user.may(role)


def as_shown(event: Event, opened: str) -> Event | None:
    """An event as the page needs it, whose call `opened` is open; None: it does not."""
    if isinstance(event, Lost) or event.call_sid == opened:
        return event
    if isinstance(event, Snapshot):
        return replace(event, lines=event.lines[-LAST_LINES:], texts={})
    return event if isinstance(event, TurnTaken | LineSettled | CallEnded) else None


def _calls_in(events: Subscription) -> dict[str, object]:
    call_sids = [event.call_sid for event in events.waiting if isinstance(event, Snapshot)]
    return {"type": "calls", "call_sids": call_sids, "now": datetime.now(UTC)}


def _data(value: object) -> bytes:
    """JSON has no line breaks, so it is one `data:`."""
    return b"data: %s\n\n" % msgspec.json.encode(value)
