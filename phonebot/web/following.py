"""
Follow what happens in a call that another process holds, under the names of the Agents SDK.

    following.keep({call_sid: [command ids]})               # where the call is held: what is wanted, once a second
    key, command = await live.ask(call_sid, "follow", actor, LASTS_S)   # where somebody follows it
    async for event in followed(live, key, command, names): ...

It goes through the database, in parts of half a second, for as long as somebody there renews his wish. Nothing is
written while nobody does. Audio and raw events are not relayed.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

import msgspec

from phonebot.errors import StoreError
from phonebot.hooks.events import USUAL, CallEnd, Dropped, Event, HistoryUpdated
from phonebot.hooks.listeners import CallEvents, Listener
from phonebot.store.live import LiveStore
from phonebot.store.relay import Key
from phonebot.web.held import HeldCalls

log = logging.getLogger(__name__)

PART_S = 0.5
POLL_S = 0.3
RENEW_S = 2.0
LASTS_S = 8.0
"""After so long without being renewed to follow is no longer wanted."""
MAX_RELAYS = 20
"""Calls of a process that are followed in others."""
MAX_PART_BYTES = 256 * 1024

_EVENT = msgspec.json.Decoder(Event)


@dataclass(slots=True)
class _Relay:
    """Of one call, for the followers of these commands."""

    listener: Listener
    events: CallEvents
    task: asyncio.Task[None]
    commands: set[int]


class Following:
    """Writes what happens in calls of this process for those who follow them in others."""

    def __init__(self, held: HeldCalls, live: LiveStore, process: str) -> None:
        self._held = held
        self._live = live
        self._process = process
        self._relays: dict[str, _Relay] = {}
        self._numbers = count()  # of parts, of all calls

    def keep(self, wanted: Mapping[str, list[int]]) -> dict[int, str]:
        """Let these calls be followed, by these commands, and no others; the outcomes of commands that are over."""
        for call_sid in self._relays.keys() - wanted.keys():
            relay = self._relays[call_sid]
            if relay.listener.over:
                del self._relays[call_sid]
            elif self._held.get(call_sid):  # else its last events are on their way
                self._relays.pop(call_sid).task.cancel()
        outcomes: dict[int, str] = {}
        for call_sid, commands in wanted.items():
            if not self._relay(call_sid, commands):
                outcomes |= dict.fromkeys(commands, "refused")
        return outcomes

    async def close(self) -> None:
        relays = list(self._relays.values())
        for relay in relays:
            relay.task.cancel()
        await asyncio.gather(*(relay.task for relay in relays), return_exceptions=True)

    def _relay(self, call_sid: str, commands: Iterable[int]) -> bool:
        relay, call = self._relays.get(call_sid), self._held.get(call_sid)
        if relay:
            if new := set(commands) - relay.commands:
                relay.commands |= new  # who begins to follow is told what there is
                relay.listener.put(HistoryUpdated(t_ms=relay.events.now_ms, history=relay.events.history))
            return True
        if call is None or len(self._relays) >= MAX_RELAYS:
            return False
        events = call.told.events
        listener = events.listen(USUAL)
        task = asyncio.create_task(self._write(call_sid, listener), name=f"relay the events of {call_sid}")
        self._relays[call_sid] = _Relay(listener, events, task, set(commands))
        return True

    async def _write(self, call_sid: str, listener: Listener) -> None:
        key, lost = (self._process, call_sid), 0
        with listener:
            while not listener.over:
                await asyncio.sleep(PART_S)
                events = without_old_histories(listener.take())
                if lost and events:
                    events.insert(0, Dropped(t_ms=events[0].t_ms, count=lost))
                for part in parts(events):
                    try:
                        await self._live.relay.put_events(key, next(self._numbers), part)
                        lost = 0
                    except StoreError:
                        lost += part.count("\n")


def without_old_histories(events: list[Event]) -> list[Event]:
    """
    The events with the newest history alone, which holds all that earlier ones do; and with one that comes first.

    With that who begins to follow learns where he came in.
    """
    newest = next((event for event in reversed(events) if isinstance(event, HistoryUpdated)), None)
    return [
        event
        for place, event in enumerate(events)
        if not place or event is newest or not isinstance(event, HistoryUpdated)
    ]


def parts(events: Iterable[Event]) -> Iterable[str]:
    """The events as lines of JSON, in texts of MAX_PART_BYTES; a longer line is one by itself."""
    lines, size = list[str](), 0
    for event in events:
        line = msgspec.json.encode(event).decode() + "\n"
        if lines and size + len(line) > MAX_PART_BYTES:
            yield "".join(lines)
            lines, size = [], 0
        lines.append(line)
        size += len(line)
    if lines:
        yield "".join(lines)


def _read(part: str) -> Iterable[Event]:
    """The events of a part. What a process of another version wrote and this one cannot read is left out."""
    for line in part.splitlines():
        try:
            yield _EVENT.decode(line)
        except msgspec.DecodeError as error:
            log.debug("an event of another process cannot be read: %s", error)


async def followed(live: LiveStore, key: Key, command: int, names: frozenset[str]) -> AsyncGenerator[Event, None]:
    """
    What happens in a call of another process, which was asked for it by this command; the history comes first.

    Ends with the call, and when its process has too many that are followed. Raises StoreError.
    """
    loop = asyncio.get_running_loop()
    renewed_s, outcome = loop.time(), None
    try:
        newest = await live.relay.newest_events(key)
        while True:
            is_last = outcome is not None
            for number, part in await live.relay.events(key, newest):
                newest = number
                for event in _read(part):
                    if event.type in names or isinstance(event, Dropped):
                        yield event
                    if isinstance(event, CallEnd):
                        return
            if is_last:
                return
            if loop.time() >= renewed_s + RENEW_S:
                renewed_s = loop.time()
                outcome = await live.renew(command, LASTS_S)
                if outcome is None and not await live.is_held(key):
                    outcome = "ended"
                continue
            await asyncio.sleep(POLL_S)
    finally:
        with suppress(StoreError):
            await live.withdraw(command)
