"""
How a call goes on once it has left its media stream: to whom it is put through, or that it comes back to the bot,
and what was said until then.

The carrier asks how to go on (`/twilio/after`) whichever process its request reaches, so it is kept in memory and
in the database. While that is away the process which held the call still knows.
"""

import logging
from collections import OrderedDict

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from phonebot.agents.agent import MAIN
from phonebot.call.actions import LineRole
from phonebot.errors import StoreError
from phonebot.store.continuations import ContinuationStore

MAX_KEPT = 1_000
MAX_LINES = 200
"""Of a call's transcript, that are kept: the newest."""
MAX_LINE_CHARACTERS = 2_000

log = logging.getLogger(__name__)


class Standing(Struct, frozen=True, omit_defaults=True):
    """
    How far a call had come when it left a stream.

    `lines` were said, and heard. `agent` had the call, and spoke `language`, a tag; "": as its instructions say.
    `resumed`: so often the call had come back to the bot since its connection broke off, not counting when its
    process was told to stop. `saying`: what the bot was about to say, of which it is not known how much was heard.
    """

    lines: tuple[tuple[LineRole, str], ...] = ()
    agent: str = MAIN
    language: str = ""
    resumed: int = 0
    saying: str = ""

    def cut(self) -> "Standing":
        """The same, as much of it as is kept."""
        lines = tuple((role, text[:MAX_LINE_CHARACTERS]) for role, text in self.lines[-MAX_LINES:])
        return replace(self, lines=lines, saying=self.saying[:MAX_LINE_CHARACTERS])


class Continuation(Struct, frozen=True, omit_defaults=True):
    """
    `to` is the destination's name in the profile; "": the call comes back to the bot, since its connection broke
    off. `room` is where the two meet; "": the destination is rung.

    `leg` is the CallSid of the colleague who waits there. `summary` is what he is told. `since_s`: when the call
    was sent back to the bot, in seconds since 1970; 0: it was not. `is_new`: it has yet to be with the bot.
    """

    to: str
    summary: str = ""
    room: str = ""
    leg: str = ""
    standing: Standing = Standing()
    since_s: float = 0.0
    is_new: bool = False


_DECODER = msgspec.json.Decoder(Continuation)


class Continuations:
    """Of all calls. `store` None: of those of this process."""

    def __init__(self, store: ContinuationStore | None) -> None:
        self._store = store
        self._kept: OrderedDict[str, Continuation] = OrderedDict()
        # Of those: what the database was not told.
        self._untold: set[str] = set()

    async def keep(self, call_sid: str, continuation: Continuation) -> None:
        """In place of what was kept of the call. It waits for the database for two seconds at most."""
        self._kept[call_sid] = continuation
        self._kept.move_to_end(call_sid)
        while len(self._kept) > MAX_KEPT:
            self._untold.discard(self._kept.popitem(last=False)[0])
        self._untold.add(call_sid)
        if self._store:
            try:
                await self._store.put(call_sid, msgspec.json.encode(continuation).decode())
            except StoreError as error:
                log.warning("how call %.40r goes on is known to this process alone: %s", call_sid, error)
            else:
                self._untold.discard(call_sid)

    def expected_here(self, call_sid: str) -> bool:
        """Whether this process was the one that said so."""
        return call_sid in self._kept

    async def of(self, call_sid: str) -> Continuation | None:
        """None: nothing is known of it. What other processes said since counts."""
        own = self._kept.get(call_sid)
        if self._store is None or call_sid in self._untold:
            return own
        try:
            text = await self._store.get(call_sid)
            return None if text is None else _DECODER.decode(text)
        except (StoreError, msgspec.DecodeError) as error:
            log.warning("how call %.40r goes on is known by memory alone: %s", call_sid, error)
            return own

    async def add(self, call_sid: str, standing: Standing) -> None:
        """How far a call had come that has left its stream, if it is to go on."""
        if call_sid not in self._kept:
            return
        current = await self.of(call_sid)
        if current:
            await self.keep(call_sid, replace(current, standing=standing.cut()))

    async def forget(self, call_sid: str) -> None:
        """It does not go on any more."""
        self._kept.pop(call_sid, None)
        self._untold.discard(call_sid)
        if self._store:
            try:
                await self._store.remove(call_sid)
            except StoreError as error:
                log.warning("how call %.40r went on is kept for an hour: %s", call_sid, error)
