"""
A person at a phone: what he hears and does outside media streams, and what is noted of him.

In a stream the stream drives him. Between streams time passes for him while he is `on_line`, by the carrier's
clock, and not while the server is asked for TwiML.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from phonebot.simulator.caller import Caller, Event, Said
from phonebot.simulator.carrier import KEYS, SILENCE, Violation
from phonebot.simulator.handset import Handset
from phonebot.simulator.record import CallRecord
from phonebot.simulator.terms import Over, Replaced, Terms


class Keys:
    """Keys that a person has pressed, until they are taken."""

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self._pressed: deque[str] = deque()
        self._come = asyncio.Event()

    def put(self, key: str) -> None:
        if key in self._wanted:
            self._pressed.append(key)
            self._come.set()

    async def come(self) -> None:
        """Until there is one."""
        await self._come.wait()

    def take(self) -> str:
        """The first of them; there must be one."""
        key = self._pressed.popleft()
        if not self._pressed:
            self._come.clear()
        return key


class Station:
    """One person for one leg; `record` is all that is known of it."""

    def __init__(self, party: Caller, terms: Terms, record: CallRecord, limit_s: float) -> None:
        self.terms, self.record = terms, record
        self.handset = Handset(party)
        self.limit_ms = limit_s * 1000  # of the time he is on the line
        self.observers: list[Callable[[Event], None]] = []  # told each event
        self.zero_s = time.monotonic()
        self._sources: list[Callable[[], bytes]] = []  # what he hears outside streams is the last one's
        self._keys: list[Keys] = []  # where his keys go is to the last one

    def interrupt(self, cause: Over | Replaced) -> None:
        """Give up what he is in."""
        raise NotImplementedError

    # ------------------------------------------------------------------ on the line, outside streams

    @contextmanager
    def on_line(self, source: Callable[[], bytes] = lambda: SILENCE) -> Iterator[None]:
        """
        While the block runs the person listens, to the innermost source, and may speak, press keys and hang up.
        """
        entry = partial(source)  # one that is like no other: they need not end in the order in which they began
        self._sources.append(entry)
        if len(self._sources) == 1:
            self.terms.clock.add(self)
        try:
            yield
        finally:
            self._sources.remove(entry)
            if not self._sources:
                self.terms.clock.remove(self)

    @contextmanager
    def taking_keys(self, wanted: str = KEYS) -> Iterator["Keys"]:
        """While the block runs the keys of these that the person presses outside streams can be taken."""
        keys = Keys(wanted)
        self._keys.append(keys)
        try:
            yield keys
        finally:
            self._keys.remove(keys)

    async def rest(self, ms: float) -> None:
        """The person hears nothing new for a while of the carrier's time."""
        with self.on_line(self._sources[-1] if self._sources else lambda: SILENCE):
            await self.terms.clock.sleep(ms)

    def frame(self) -> bytes:
        """What the person is to hear next."""
        return self._sources[-1]()

    def hear(self, frame: bytes) -> None:
        """The person hears a frame outside streams."""
        said = self.handset.hear(frame)
        self.record.line_heard += frame
        self.record.line_said += said.audio
        self._publish_of(said)
        if said.key and self._keys:
            self._keys[-1].put(said.key)
        if said.hangs_up:
            self.interrupt(Over("caller hung up"))
        elif self.handset.now_ms >= self.limit_ms:
            self.interrupt(Over("timed out", "the call reached its time limit"))

    def _publish_of(self, said: Said) -> None:
        for event in said.events:
            ago_ms = (self.handset.now_ms - event.at_ms) / self.terms.clock.speed
            self.publish(Event(self.now_ms() - ago_ms, event.kind, event.detail))

    # ------------------------------------------------------------------ the record

    def now_ms(self) -> float:
        """Real time since the leg was dialled."""
        return (time.monotonic() - self.zero_s) * 1000

    def violation(self, code: int | None, reason: str) -> None:
        self.record.violations.append(Violation(self.now_ms(), code, reason))

    def tell(self, kind: str, detail: str = "") -> None:
        """Something happened on this leg now."""
        self.publish(Event(self.now_ms(), kind, detail))

    def publish(self, event: Event) -> None:
        self.record.events.append(event)
        for observer in self.observers:
            observer(event)
