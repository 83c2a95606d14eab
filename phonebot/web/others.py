"""
The calls of other processes, as their rows in the database tell of them.

The database is asked about once a second, and only while somebody watches. What changed is told in the words of
live_events.py: a Snapshot when a call begins or has changed, CallEnded when it is over.
"""

import asyncio
import logging
from contextlib import suppress
from typing import cast

import msgspec
from msgspec.structs import replace

from phonebot.call.actions import Outcome
from phonebot.store.live import Listed, LiveStore
from phonebot.web.feed import Feed
from phonebot.web.live_events import CallEnded, Snapshot
from phonebot.web.outages import Outages
from phonebot.web.subscription import Subscription

log = logging.getLogger(__name__)

POLL_S = 0.9
FIRST_POLL_S = 2.0
"""How long who begins to watch waits for the database; then for the time being he sees the calls held here."""

_SNAPSHOT = msgspec.json.Decoder(Snapshot)


class OtherCalls:
    """`feed` has the calls of this process, which are told of elsewhere."""

    def __init__(self, live: LiveStore, feed: Feed) -> None:
        self._live = live
        self._feed = feed
        # What was told last, by CallSid, with the row it was made of.
        self._known: dict[str, tuple[Listed, Snapshot]] = {}
        self._watching: list[Subscription] = []
        self._task: asyncio.Task[None] | None = None  # None: nobody watches
        self._turn = asyncio.Lock()
        self._outages = Outages(
            log, "the calls of other processes cannot be seen", "the calls of other processes are seen again"
        )

    async def calls(self, call_sid: str | None = None) -> list[Snapshot]:
        """Those in progress, the oldest first, or of them the one of this name. Raises StoreError."""
        rows = await self._live.listed(self._feed.process, call_sid)
        listed = [each for each in self._newest(rows) if not each.outcome]
        texts = await self._live.snapshots(each.key for each in listed)
        read = [_read(texts.get(each.key), each) for each in listed]
        return [snapshot for snapshot in read if snapshot]

    async def watch(self, subscription: Subscription) -> None:
        """Tell it of them from now on: first of each that is in progress. Call `leave` afterwards."""
        self._watching.append(subscription)
        if self._task is None:
            self._known.clear()
            self._task = asyncio.create_task(self._follow(), name="follow the calls of other processes")
            with suppress(TimeoutError):
                async with asyncio.timeout(FIRST_POLL_S):
                    await self._outages.endure(self._poll())
            return
        for _, snapshot in self._known.values():
            _tell(subscription, snapshot)

    async def leave(self, subscription: Subscription) -> None:
        self._watching.remove(subscription)
        if self._task and not self._watching:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            await self._outages.endure(self._poll())

    async def _poll(self) -> None:
        async with self._turn:
            listed = self._newest(await self._live.listed(self._feed.process))
            changed = [each for each in listed if self._is_news(each)]
            texts = await self._live.snapshots(each.key for each in changed)
            for each in changed:
                snapshot = _read(texts.get(each.key), each)
                if snapshot:
                    self._take(each, snapshot)
            for call_sid in self._known.keys() - {each.key[1] for each in listed}:
                self._end(call_sid, "stream_lost")

    def _newest(self, listed: list[Listed]) -> list[Listed]:
        """One row for each call: a call that came back is held by the process that was heard of last."""
        newest: dict[str, Listed] = {}
        for each in listed:
            if _age(each) <= _age(newest.setdefault(each.key[1], each)):
                newest[each.key[1]] = each
        return [each for sid, each in newest.items() if self._feed.call(sid) is None]

    def _is_news(self, listed: Listed) -> bool:
        known = self._known.get(listed.key[1])
        if known is None:
            return listed.outcome is None
        before = known[0]
        return (before.key, before.counter, before.is_stale, before.outcome) != (
            listed.key,
            listed.counter,
            listed.is_stale,
            listed.outcome,
        )

    def _take(self, listed: Listed, snapshot: Snapshot) -> None:
        self._known[snapshot.call_sid] = (listed, snapshot)
        self._tell(snapshot)
        if listed.outcome:
            self._end(snapshot.call_sid, listed.outcome)

    def _end(self, call_sid: str, outcome: str) -> None:
        _, snapshot = self._known.pop(call_sid)
        if self._feed.call(call_sid) is None:  # else it goes on here
            # A process of a newer version may know one that this one does not: it is passed on as it is.
            self._tell(CallEnded(call_sid=call_sid, at_ms=snapshot.at_ms, outcome=cast(Outcome, outcome)))

    def _tell(self, event: Snapshot | CallEnded) -> None:
        for subscription in self._watching:
            _tell(subscription, event)


def _age(listed: Listed) -> tuple[bool, float]:
    return listed.outcome is not None, listed.silent_s


def _tell(subscription: Subscription, event: Snapshot | CallEnded) -> None:
    if subscription.call_sid in (None, event.call_sid):
        subscription.put(event)


def _read(text: str | None, listed: Listed) -> Snapshot | None:
    """None: it has gone meanwhile, or a process of another version wrote it, which this one cannot read."""
    if text is None:
        return None
    try:
        snapshot = _SNAPSHOT.decode(text)
    except msgspec.DecodeError as error:
        log.debug("the call %s of another process cannot be read: %s", listed.key[1], error)
        return None
    return replace(snapshot, stale=listed.is_stale)
