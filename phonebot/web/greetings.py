"""
The greetings that the model has spoken, to be played to later callers at once.

    spoken = Spoken.of(profile, "openai", "gpt-realtime-2.1")    # None: its greeting is none to keep
    greetings.of(spoken)                                         # base64 of mu-law; "": there is none yet
    greetings.keep(spoken, audio)                                # from the next call on there is

No call waits for the database: a process holds them all, up to a bound, and follows what others keep and drop.
"""

import asyncio
import hashlib
import logging
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, astuple, dataclass
from datetime import UTC, datetime
from typing import Self

import msgspec

from phonebot.agents.profile import Profile
from phonebot.agents.prompt import used
from phonebot.store.greetings import GreetingStore, Kept
from phonebot.web.outages import Outages

log = logging.getLogger(__name__)

POLL_S = 1.0
MOST_HELD = 64 * 1024 * 1024  # characters of base64, in a process: some 2,000 greetings of 4 s
MOST_UNWRITTEN = 100


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a greeting depends on: who speaks which words, and how. `voice` None: the model's own."""

    version: str
    provider: str
    model: str
    voice: str | None
    text: str

    @classmethod
    def of(cls, profile: Profile, provider: str, model: str) -> Self | None:
        """
        That of a profile which answers. None where it is none to keep: there is none, a recording has it, the
        profile says so, or it holds what differs from call to call.
        """
        text = profile.greeting
        if not text or not profile.greeting_cache or profile.greeting_clip or used(text):
            return None
        return cls(profile.version, provider, profile.model or model, profile.voice, text)

    @property
    def key(self) -> str:
        return hashlib.sha256(msgspec.json.encode(astuple(self))).hexdigest()


class Greetings:
    """Those of a deployment, as this process knows them. `store` None: they are those of this process alone."""

    def __init__(self, store: GreetingStore | None = None) -> None:
        self._store = store
        self._held: dict[str, str] = {}  # by key, base64; the oldest first
        self._unwritten: dict[str, tuple[Spoken, str]] = {}
        self._more = asyncio.Event()  # there is something to write
        self._changes: int | None = None  # of the store, when it was last read; None: it was not yet
        self._outages = Outages(
            log, "greetings are not kept for other processes", "greetings are kept for other processes again"
        )

    def of(self, spoken: Spoken) -> str:
        """Its audio, base64 of raw mu-law at 8 kHz; "": there is none."""
        return self._held.get(spoken.key, "")

    def keep(self, spoken: Spoken, audio: str) -> None:
        """It was spoken so. It is written soon; should that be impossible, it is known to this process alone."""
        key = spoken.key
        if key in self._held:
            return
        self._hold(key, audio)
        if self._store and len(self._unwritten) < MOST_UNWRITTEN:
            self._unwritten[key] = spoken, audio
            self._more.set()

    def _hold(self, key: str, audio: str) -> None:
        self._held[key] = audio
        size = sum(map(len, self._held.values()))
        while size > MOST_HELD:
            size -= len(self._held.pop(next(iter(self._held))))

    @asynccontextmanager
    async def running(self, poll_s: float = POLL_S) -> AsyncIterator[Self]:
        """Follow the store while the block runs, and write what was kept. A store that is away is asked again."""
        store = self._store
        if store is None:
            yield self
            return
        await self._outages.endure(self._work(store))
        task = asyncio.create_task(self._follow(store, poll_s), name="follow the greetings")
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await self._outages.endure(self._work(store))  # those of the last calls

    async def _follow(self, store: GreetingStore, poll_s: float) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(poll_s):
                    await self._more.wait()
            self._more.clear()
            if not await self._outages.endure(self._work(store)):
                await asyncio.sleep(poll_s)  # else what waits to be written would ask again at once

    async def _work(self, store: GreetingStore) -> None:
        await self._write(store)
        await self._read(store)

    async def _write(self, store: GreetingStore) -> None:
        for key, (spoken, audio) in tuple(self._unwritten.items()):
            made = Kept(key, **asdict(spoken), audio=b64decode(audio), created_at=datetime.now(UTC))
            await store.keep(made)
            self._unwritten.pop(key, None)

    async def _read(self, store: GreetingStore) -> None:
        changes = await store.changes()
        if changes == self._changes:
            return
        keys = await store.keys()
        for key in self._held.keys() - set(keys) - self._unwritten.keys():
            self._held.pop(key, None)
        size = sum(map(len, self._held.values()))
        for key in keys:
            if key not in self._held and size < MOST_HELD:
                audio = b64encode(await store.audio(key) or b"").decode()
                size += len(audio)
                self._held[key] = audio
        self._changes = changes
