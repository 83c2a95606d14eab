"""
`/console/media`: the phone in the browser.

It speaks Twilio's protocol, and its calls are held like the carrier's. What lets it in is another thing: the
session of a user who is signed in and a page that is ours, both before the socket is accepted, then the token in
the start message. A signature of the carrier's opens nothing here, and nothing of this opens the carrier's door.

Beside the carrier's messages it sends `{"event": "phonebot", "phonebot": {...}}`, what the feed tells of this call.
It goes over the same socket: let in once, in one order with the audio it speaks of, and over when the call is.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

import msgspec
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from phonebot.agents.profile import Profile
from phonebot.bridge import StreamClosed
from phonebot.carrier.messages import StreamReader
from phonebot.errors import CarrierError
from phonebot.web.admission import Arrival, Refused
from phonebot.web.console.access import Authorise, Origins
from phonebot.web.console.trials import Trials
from phonebot.web.feed import Feed
from phonebot.web.live import LiveCalls
from phonebot.web.live_events import Event
from phonebot.web.media import Answer, MediaSocket, await_start
from phonebot.web.subscription import Subscription

log = logging.getLogger(__name__)

LAST_EVENTS_S = 1.0  # for how long the end of a call waits until the page has been told of it


class PhoneSocket(MediaSocket):
    """A bridge's carrier socket that also takes what is told of the call."""

    def __init__(self, receive: Receive, send: Send) -> None:
        super().__init__(receive, send)
        self._telling: asyncio.Task[None] | None = None

    def tell(self, events: Subscription) -> None:
        """Send these from now on. Call it once, and `stop_telling` afterwards."""
        self._telling = asyncio.create_task(self._tell(events))

    async def stop_telling(self) -> None:
        if self._telling:
            self._telling.cancel()
            await asyncio.wait([self._telling])

    async def close(self, code: int) -> None:
        """The last of what is told leaves first: how the call ended."""
        if self._telling:
            await asyncio.wait([self._telling], timeout=LAST_EVENTS_S)
        await super().close(code)

    async def _tell(self, events: Subscription) -> None:
        with suppress(StreamClosed):
            async for event in events:
                await self.send(as_message(event))


def as_message(event: Event) -> str:
    return f'{{"event":"phonebot","phonebot":{msgspec.json.encode(event).decode()}}}'


class PhoneDoor:
    """The endpoint, an ASGI application: it returns when its call has ended."""

    def __init__(
        self,
        authorise: Authorise,
        trials: Trials,
        origins: Origins,
        saved: Callable[[str], Profile],
        live: LiveCalls,
        feed: Feed,
        answer: Answer,
    ) -> None:
        self._authorise = authorise
        self._trials = trials
        self._origins = origins
        self._saved = saved
        self._live = live
        self._feed = feed
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = PhoneSocket(receive, send)
        if self._live.draining:
            log.info("a browser's stream was sent elsewhere: the service is stopping")
            await socket.send_elsewhere()
            return
        try:
            user = await self._user(HTTPConnection(scope))
        except Refused as error:
            log.warning("a browser's stream was refused: %s", error)
            await socket.refuse()
            return
        with self._live.holding(), suppress(StreamClosed):
            await socket.accept(None)
            await self._let_in(socket, user)

    async def _user(self, connection: HTTPConnection) -> str:
        if self._origins.url(connection) is None:
            raise Refused(f"its page's origin is {connection.headers.get('origin', 'not named')[:100]!r}")
        user = await self._authorise(connection)
        if user is None:
            raise Refused("nobody is signed in")
        return user

    async def _let_in(self, socket: PhoneSocket, user: str) -> None:
        reader = StreamReader()
        try:
            start = await await_start(socket, reader)
            trial = self._trials.admit(start, user)
        except (Refused, CarrierError) as error:
            log.warning("a browser's stream was refused: %s", error)
            await socket.close(1008)
            return
        profile = trial.profile or self._saved(trial.number)
        with self._feed.subscribe(start.call_sid) as events:
            socket.tell(events)
            try:
                arrival = Arrival(f"browser:{user}", trial.number, profile, "browser")
                await self._answer(socket, reader, start, arrival)
            finally:
                await socket.stop_telling()
