"""
The calls in progress, of all processes: who asks of them, watches them, and acts on them.

    async with board.watch() as events:                 # or watch(call_sid)
        async for event in events: ...                  # first a Snapshot of each call in progress
    await board.hang_up(call_sid, actor)
    await board.say(call_sid, TextWish("The table is free.", "system"), actor)
    async with board.follow(call_sid, names, actor) as events:
        async for event in events: ...                  # hooks/events.py
    board.hear(listener)                                # what the carrier tells of a call that is held here
    await board.tell(call_sid, wish)                    # where it told another process than the one that holds it
    async with board.listen(call_sid, actor) as sounds:
        async for sound in sounds: ...                  # sound.py

What happens in calls of this process is told as it happens; calls of others are seen through the database, about a
second late (publishing.py writes, others.py reads). Without a database there is this process alone.
"""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress

import msgspec

from phonebot.errors import ListeningRefused, NotStored, StoreError
from phonebot.hooks.events import ON_REQUEST
from phonebot.hooks.events import Event as SessionEvent
from phonebot.store.audit import Actor
from phonebot.store.live import CARRIER, Command, LiveStore, What
from phonebot.store.relay import Key
from phonebot.tools.typist import check_text
from phonebot.web.feed import Feed
from phonebot.web.following import LASTS_S as FOLLOW_S
from phonebot.web.following import followed
from phonebot.web.held import UNHEARD, HeldCalls, TextWish
from phonebot.web.live_events import Snapshot
from phonebot.web.others import OtherCalls
from phonebot.web.publishing import Publisher
from phonebot.web.sound import Sound
from phonebot.web.subscription import Subscription

log = logging.getLogger(__name__)

OWN_BLOCK_MS = 100
POLL_AUDIO_S = 0.3
OTHERS_S = 2.0
"""How long a caller, or who stops the process, waits to learn whether others take calls."""
RENEW_S = 2.0
LISTEN_S = 8.0
"""After so long without being renewed to listen is no longer wanted."""
NOTHING_HEARD_S = 10.0
"""Then the process that should relay a call is taken for dead."""
ELSEWHERE = "the process {process} holds it, and audio and raw events are told there alone: leave them out"
CROWDED = "too many calls of its process are listened to, or this one by too many: wait until somebody stops"


def process_name() -> str:
    """A name for this run of the process, which no other has: `host/pid-random`."""
    return f"{socket.gethostname()[:100]}/{os.getpid()}-{secrets.token_hex(3)}"


class Board:
    """
    `feed` and `held` are the calls of this process, which takes new ones while `takes_calls` says so. `live` None:
    there is no database. `has_ended`: whether another process is known to be dead; None: of none.
    """

    def __init__(
        self,
        feed: Feed,
        held: HeldCalls,
        live: LiveStore | None = None,
        takes_calls: Callable[[], bool] = lambda: True,
        has_ended: Callable[[str], Awaitable[bool]] | None = None,
    ) -> None:
        self._has_ended = has_ended
        self._takes_calls = takes_calls
        self._publisher: Publisher | None = None  # it runs only where there is a database, and for a time
        self._feed = feed
        self._held = held
        self._live = live
        self._hearing: list[Callable[[str, str], bool]] = []
        self._others = OtherCalls(live, feed) if live else None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Lets other processes know of the calls held here, while the block runs."""
        if self._live is None:
            yield
            return
        publisher = self._publisher = Publisher(
            self._held, self._live, self._feed.process, self._told_elsewhere, self._takes_calls
        )
        task = asyncio.create_task(publisher.run(), name="publish the calls in progress")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await publisher.finish()

    # ------------------------------------------------------------------------------ other processes

    @property
    def is_cut_off(self) -> bool:
        """The database is away: neither side learns of the other's calls."""
        return self._publisher is not None and self._publisher.is_away

    def stops_taking(self) -> None:
        """Let the others know that this process takes no new calls."""
        if self._publisher:
            self._publisher.wake()

    async def others_take_calls(self) -> bool:
        """Whether another process would take a call that leaves this one, as far as is known."""
        if self._live is None:
            return False
        try:
            async with asyncio.timeout(OTHERS_S):
                others = await self._live.taking_calls(self._feed.process)
        except (StoreError, TimeoutError):
            return False
        # One after another: the first that is alive will do.
        for process in others:
            if self._has_ended is None or not await self._has_ended(process):
                return True
        return False

    def lose(self, call_sid: str) -> None:
        """The carrier says that a call's stream has ended. If it is held here, it has not been noticed yet."""
        if call := self._held.get(call_sid):
            call.lose()

    # ------------------------------------------------------------------------------ what there is

    async def calls(self) -> list[Snapshot]:
        """The calls in progress, the oldest first. Raises StoreError."""
        calls = list(self._feed.calls())
        if self._others:
            calls += await self._others.calls()
        return sorted(calls, key=lambda call: call.started)

    async def call(self, call_sid: str) -> Snapshot | None:
        """A call in progress; None when there is none of that name. Raises StoreError."""
        own = self._feed.call(call_sid)
        if own or self._others is None:
            return own
        return next(iter(await self._others.calls(call_sid)), None)

    @asynccontextmanager
    async def watch(self, call_sid: str | None = None) -> AsyncIterator[Subscription]:
        """
        Watch a call that is in progress or will come; None: all calls.

        What can be read at once is a Snapshot of each call that is in progress.
        """
        with self._feed.subscribe(call_sid) as events:
            if self._others is None:
                yield events
                return
            try:  # who leaves while he waits for the first calls has to leave there, too
                await self._others.watch(events)
                yield events
            finally:
                await self._others.leave(events)

    # ------------------------------------------------------------------------------ what is done

    async def hang_up(self, call_sid: str, actor: Actor) -> None:
        """
        End a call: one of this process at once, else within about a second. Audited.

        A call of this process is ended, too, when that cannot be audited now: the call log has the name. Raises
        NotStored when there is no such call, else StoreError.
        """
        call = self._held.get(call_sid)
        if call is None:
            await self._elsewhere(call_sid).ask(call_sid, "hang_up", actor)
            return
        call.hang_up(actor.name)
        log.info("call %.40r is ended by %.100r", call_sid, actor.name)
        await self._note("hang_up", call_sid, actor)

    async def say(self, call_sid: str, wish: TextWish, actor: Actor) -> None:
        """
        Type into a call: into one of this process at once, else within about a second. Audited, without the text.

        Raises TextRefused, NotStored when there is no such call, else StoreError. That more was typed than may be
        is told of calls of this process alone.
        """
        check_text(call_sid, wish.text)
        call = self._held.get(call_sid)
        if call is None:
            live = self._elsewhere(call_sid)
            await live.ask(call_sid, "say", actor, wish=msgspec.json.encode(wish).decode())
            return
        call.say(wish, actor.name)
        await self._note("say", call_sid, actor)

    async def _note(self, what: What, call_sid: str, actor: Actor) -> None:
        """What was done already is audited if it can be."""
        if self._live is None:
            return
        try:
            await self._live.note(what, call_sid, actor)
        except StoreError as error:
            log.error("%s of call %.40r by %.100r is not audited: %s", what, call_sid, actor.name, error)

    def hear(self, listener: Callable[[str, str], bool]) -> None:
        """
        Let it know what the carrier tells of calls that are held here, as `tell` was given it.

        It says whether that meant anything to it; if not, the next listener is asked.
        """
        self._hearing.append(listener)

    async def tell(self, call_sid: str, wish: str) -> bool:
        """
        Let the process that holds a call know what the carrier told this one: another within about a second.

        `wish` is JSON. False: no call of that name is in progress, or what was told meant nothing to its process.
        Raises StoreError.
        """
        if self._held.get(call_sid):
            return self._told(call_sid, wish)
        if self._live is None:
            return False
        try:
            await self._live.ask(call_sid, "carrier", CARRIER, wish=wish)
        except NotStored:
            return False
        return True

    def _told_elsewhere(self, command: Command) -> str:
        return "done" if self._told(command.call_sid, command.wish or "") else "unknown"

    def _told(self, call_sid: str, wish: str) -> bool:
        return any(listener(call_sid, wish) for listener in self._hearing)

    @asynccontextmanager
    async def follow(
        self, call_sid: str, names: frozenset[str], actor: Actor
    ) -> AsyncIterator[AsyncIterator[SessionEvent]]:
        """
        What happens in a call from now on, under the names of the Agents SDK; the history comes first.

        With audio it is as to listen: audited, and refused where that is. Audio and raw events come from the
        process that holds the call alone. Raises NotStored when there is no such call, ListeningRefused, and
        StoreError.
        """
        call, wants_audio = self._held.get(call_sid), "audio" in names
        if call is None:
            live = self._elsewhere(call_sid)
            snapshot = await self.call(call_sid)
            if snapshot and names & ON_REQUEST:
                raise ListeningRefused(call_sid, ELSEWHERE.format(process=snapshot.process))
            key, command = await live.ask(call_sid, "follow", actor, FOLLOW_S)
            async with aclosing(followed(live, key, command, names)) as following:
                yield following
            return
        if wants_audio and not call.audible:
            raise ListeningRefused(call_sid, UNHEARD)
        if wants_audio and self._live:
            await self._live.note("listen", call_sid, actor)
        with call.told.events.listen(names) as heard:
            yield heard

    @asynccontextmanager
    async def listen(self, call_sid: str, actor: Actor) -> AsyncIterator[AsyncIterator[Sound]]:
        """
        What is heard of a call from now on, until it ends; of another process's, one to two seconds later. Audited.

        Raises NotStored when there is no such call, ListeningRefused when nobody may listen to it or too many do,
        StoreError when it cannot be audited.
        """
        call = self._held.get(call_sid)
        if call:
            with call.listen(OWN_BLOCK_MS) as tap:
                if self._live:
                    await self._live.note("listen", call_sid, actor)
                yield tap
            return
        live, snapshot = self._elsewhere(call_sid), await self.call(call_sid)
        if snapshot and not snapshot.audible:
            raise ListeningRefused(call_sid, UNHEARD)
        key, command = await live.ask(call_sid, "listen", actor, LISTEN_S)
        async with aclosing(self._relayed(live, key, command)) as sounds:
            yield sounds

    def _elsewhere(self, call_sid: str) -> LiveStore:
        """By which other processes are asked of a call. Raises NotStored where there are none."""
        if self._live is None:
            raise NotStored(f"there is no call {call_sid[:64]} in progress: it may have ended just now")
        return self._live

    async def _relayed(self, live: LiveStore, key: Key, command: int) -> AsyncGenerator[Sound, None]:
        """The sound of a call as its process writes it to the database."""
        loop = asyncio.get_running_loop()
        newest: int | None = None
        heard_s = renewed_s = loop.time()
        try:
            while loop.time() < heard_s + NOTHING_HEARD_S:
                for sequence, sound in await live.relay.audio(key, newest):
                    newest, heard_s = sequence, loop.time()
                    half = len(sound) // 2
                    yield Sound(sound[:half], sound[half:])
                if loop.time() >= renewed_s + RENEW_S:
                    renewed_s = loop.time()
                    outcome = await live.renew(command, LISTEN_S)
                    if outcome == "refused":
                        raise ListeningRefused(key[1], CROWDED)
                    if outcome:
                        return
                await asyncio.sleep(POLL_AUDIO_S)
        finally:
            with suppress(StoreError):
                await live.withdraw(command)
