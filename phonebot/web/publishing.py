"""
Lets other processes know of the calls of this one, and takes what their operators want of them.

A task of its own writes about once a second what has changed, in one transaction: nothing of this is in a call's
way. Calls that begin and calls that end are written at once, since another process may be asked about them next.
While the database is away calls go on, and what has changed meanwhile is written when it is back. A process without
calls says every few seconds that it is there, and whether it takes calls.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from itertools import count

import msgspec

from phonebot.errors import ListeningRefused, StoreError, TextRefused
from phonebot.store.live import ENDED_S, Command, LiveCall, LiveStore
from phonebot.web.feed import CallFeed
from phonebot.web.following import Following
from phonebot.web.held import HeldCall, HeldCalls, TextWish
from phonebot.web.outages import Outages

log = logging.getLogger(__name__)

ROUND_S = 0.9
"""From one write to the next: what was said has to be there within a second."""
AT_LEAST_S = 0.1
"""From one write to the next, whatever happens."""
HEARTBEAT_S = 3.0
"""The same of a process without calls."""
TIDY_S = 60.0
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""Of snapshots in one write. The rest waits for the next one, and then goes first."""
MAX_RELAYS = 20
"""Calls of this process that are listened to in others."""
BLOCK_MS = 500


class Publisher:
    """Of one process, whose calls are `held`."""

    def __init__(
        self,
        held: HeldCalls,
        live: LiveStore,
        process: str,
        told: Callable[[Command], str] | None = None,
        takes_calls: Callable[[], bool] = lambda: True,
    ) -> None:
        """
        `told` is given what the carrier told another process of a call held here; it says what came of it.
        `takes_calls`: whether the process takes new ones.
        """
        self._takes_calls = takes_calls
        self._told = told
        self._held = held
        self._live = live
        self._process = process
        self._wanted = asyncio.Event()  # there is something to write that should not wait
        # What was written of each call: its changes then. The one that was written longest ago is first.
        self._written: OrderedDict[str, int] = OrderedDict()
        # Calls that ended, by when their rows go.
        self._leaving: dict[str, float] = {}
        # What came of commands, until it is written.
        self._done: dict[int, str] = {}
        self._relays: dict[str, asyncio.Task[None]] = {}
        self._following = Following(held, live, process)
        self._sequences = count()  # of blocks of sound, of all calls
        self._outages = Outages(
            log,
            "other processes do not learn of the calls of this one",
            "other processes learn of the calls of this one again",
        )
        held.begun = held.over = self.wake

    @property
    def is_away(self) -> bool:
        """The last write did not come about."""
        return self._outages.is_away

    async def run(self) -> None:
        """Until it is cancelled; then `finish`."""
        loop = asyncio.get_running_loop()
        tidied_s, round_s = -TIDY_S, -HEARTBEAT_S
        while True:
            began_s = loop.time()
            if began_s >= tidied_s + TIDY_S:
                tidied_s = began_s
                await self._outages.endure(self._live.tidy())
            self._wanted.clear()
            is_round = began_s >= round_s + ROUND_S
            if is_round:
                round_s = began_s
            await self._outages.endure(self.write(urgent=not is_round))
            await asyncio.sleep(AT_LEAST_S)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(round_s + (ROUND_S if self._is_due else HEARTBEAT_S)):
                    await self._wanted.wait()

    def wake(self) -> None:
        """Write soon: a call has begun or ended, or the process takes no more of them."""
        self._wanted.set()

    async def finish(self) -> None:
        """Write the end of what has ended. Nothing runs afterwards."""
        relays = list(self._relays.values())
        for relay in relays:
            relay.cancel()
        await asyncio.gather(*relays, return_exceptions=True)
        await self._following.close()
        if self._is_due or not self.is_away:
            await self._outages.endure(self.write())

    async def write(self, urgent: bool = False) -> None:
        """One write: of what is `urgent` alone, or of all that has changed. Raises StoreError."""
        now = asyncio.get_running_loop().time()
        ended = list(self._held.ended)
        calls = self._changed(ended, urgent)
        forget = [call_sid for call_sid, until_s in self._leaving.items() if now >= until_s]
        done = dict(self._done)
        known, commands = await self._live.write(self._process, calls, forget, done, self._takes_calls())
        if not known:  # whatever was there has been removed: all that still goes on is written again
            self._written.clear()
        for call in calls:
            self._written[call.call_sid] = call.counter
            self._written.move_to_end(call.call_sid)
        self._let_go(calls, ended, forget, now)
        for command in done:
            self._done.pop(command, None)
        self._obey(commands)

    # ------------------------------------------------------------------------------ what is written

    @property
    def _is_due(self) -> bool:
        return bool(len(self._held) or self._held.ended or self._leaving or self._done)

    def _changed(self, ended: list[CallFeed], urgent: bool) -> list[LiveCall]:
        """
        What has changed since it was written, up to a bound; of a call that ended, how. Urgent are calls that have
        begun or ended.
        """
        told = {feed.call_sid: feed for feed in ended} | {call.call_sid: call.told for call in self._held}
        waiting = [feed for sid, feed in told.items() if self._written.get(sid) != feed.changes or feed.outcome]
        if urgent:
            waiting = [feed for feed in waiting if feed.outcome or feed.call_sid not in self._written]
        order = {sid: place for place, sid in enumerate(self._written)}
        waiting.sort(key=lambda feed: order.get(feed.call_sid, -1))
        calls: list[LiveCall] = []
        room = MAX_BATCH_BYTES
        for feed in waiting:
            if room <= 0:
                break
            calls.append(_live_call(feed))
            room -= len(calls[-1].snapshot)
        return calls

    def _let_go(self, calls: list[LiveCall], ended: list[CallFeed], forgotten: list[str], now: float) -> None:
        for call_sid in forgotten:
            self._leaving.pop(call_sid, None)
        over = {call.call_sid for call in calls if call.outcome}
        for feed in ended:
            if feed.call_sid in over or self._held.get(feed.call_sid):  # or it has come back since
                with suppress(ValueError):
                    self._held.ended.remove(feed)
        for call_sid in over:
            self._written.pop(call_sid, None)
            self._leaving[call_sid] = now + ENDED_S
        for call in self._held:
            self._leaving.pop(call.call_sid, None)

    # ------------------------------------------------------------------------------ what is wanted

    def _obey(self, commands: list[Command]) -> None:
        listened: dict[str, list[int]] = {}
        followed: dict[str, list[int]] = {}
        for command in commands:
            if command.id in self._done:
                continue
            call = self._held.get(command.call_sid)
            if call is None:
                self._done[command.id] = "ended"
            elif command.what == "listen":
                listened.setdefault(command.call_sid, []).append(command.id)
            elif command.what == "follow":
                followed.setdefault(command.call_sid, []).append(command.id)
            else:
                self._done[command.id] = self._do(call, command)
        for call_sid in self._relays.keys() - listened.keys():
            self._relays.pop(call_sid).cancel()
        for call_sid, numbers in listened.items():
            self._keep_relay(call_sid, numbers)
        self._done |= self._following.keep(followed)

    def _do(self, call: HeldCall, command: Command) -> str:
        """Do what is done once; the outcome."""
        match command.what:
            case "hang_up":
                call.hang_up(command.who)
                return "done"
            case "say":
                return _say(call, command)
            case "lost":
                call.lose()
                return "done"
            case "carrier" if self._told:
                return self._told(command)
        return "unknown"

    def _keep_relay(self, call_sid: str, commands: list[int]) -> None:
        relay = self._relays.get(call_sid)
        if relay is None and len(self._relays) < MAX_RELAYS:
            self._relays[call_sid] = asyncio.create_task(self._relay(call_sid), name=f"relay {call_sid}")
        elif relay is None or relay.done():
            self._done |= dict.fromkeys(commands, "refused")

    async def _relay(self, call_sid: str) -> None:
        """Write what is heard of a call for those who listen in other processes, until it ends."""
        call = self._held.get(call_sid)
        if call is None:
            return
        with suppress(ListeningRefused), call.listen(BLOCK_MS) as tap:
            async for sound in tap:
                with suppress(StoreError):  # lost: what is heard late is of no use
                    key = (self._process, call_sid)
                    await self._live.relay.put_audio(key, next(self._sequences), sound.caller + sound.bot)


def _say(call: HeldCall, command: Command) -> str:
    """The outcome."""
    try:
        call.say(msgspec.json.decode(command.wish or "", type=TextWish), command.who)
    except TextRefused as error:
        log.warning("what %.100r typed is lost: %s", command.who, error)
        return "refused"
    except msgspec.DecodeError:  # a process of another version wrote it
        return "unknown"
    return "done"


def _live_call(feed: CallFeed) -> LiveCall:
    snapshot = feed.snapshot()
    return LiveCall(
        snapshot.call_sid,
        snapshot.number or "",
        snapshot.caller or "",
        snapshot.started,
        feed.changes,
        msgspec.json.encode(snapshot).decode(),
        feed.outcome,
        feed.stream,
    )
