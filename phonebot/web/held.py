"""
The calls that this process holds, and what may be done to them from outside.

A bridge decides nothing, and nobody here does: to hang up or to type are inputs of the call, and in its log.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct

from phonebot.bridge import Bridge
from phonebot.call.inputs import ServiceStops
from phonebot.errors import ListeningRefused
from phonebot.tools.typist import TypedRole, Typist
from phonebot.web.feed import CallFeed
from phonebot.web.sound import Tap

MAX_TAPS = 4
"""Of one call: so many may listen to it at the same time, those of another process counting as one."""
MAX_ENDED = 1_000
"""Calls that ended and are not written yet: the database may be away."""

UNHEARD = "its number's profile says record = false: what is not recorded is not listened to either"
CROWDED = f"{MAX_TAPS} listen to it already: wait until one of them stops"


class TextWish(Struct, frozen=True):
    """What is to be typed into a call: see TypedText."""

    text: str
    role: TypedRole = "user"
    interrupt: bool = False


class HeldCall:
    """A call in progress: what is told of it, its bridge, and who types into it."""

    def __init__(self, told: CallFeed, bridge: Bridge, typist: Typist, audible: bool) -> None:
        self.call_sid = told.call_sid
        self.told = told
        self._bridge = bridge
        self._typist = typist
        self.audible = audible
        self._taps: list[Tap] = []

    def hang_up(self, by: str) -> None:
        """The operator of this name ends the call, at once."""
        self._bridge.hang_up(by)

    def lose(self) -> None:
        """The carrier has given the call's stream up, though its socket does not say so."""
        self._bridge.lose()

    def say(self, wish: TextWish, by: str) -> None:
        """The operator of this name types into the call. Raises TextRefused."""
        self._typist.say(wish.text, by, wish.role, wish.interrupt)

    def stop(self, goes_on: bool) -> None:
        """The process ends: the call goes on in another one, or ends with words."""
        self._bridge.stop(ServiceStops(goes_on))

    @property
    def may_move(self) -> bool:
        """The carrier would bring it to another process."""
        return self.told.kind != "browser"

    @property
    def is_quiet(self) -> bool:
        """Nobody speaks."""
        return self._bridge.is_quiet

    @contextmanager
    def listen(self, block_ms: int) -> Iterator[Tap]:
        """What is heard of the call from now on. It costs the call nothing afterwards. Raises ListeningRefused."""
        if not self.audible:
            raise ListeningRefused(self.call_sid, UNHEARD)
        if len(self._taps) >= MAX_TAPS:
            raise ListeningRefused(self.call_sid, CROWDED)
        tap = Tap(self.told.unplayed.audio(), block_ms, self.told.may_be_heard)
        self._taps.append(tap)
        self._bridge.attach(tap)
        try:
            yield tap
        finally:
            self._bridge.detach(tap)
            self._taps.remove(tap)

    def close(self) -> None:
        """It is over."""
        for tap in self._taps:
            tap.close()


class HeldCalls:
    """All of them. `begun` is told when one begins, `over` as soon as it is known how one has ended."""

    def __init__(self) -> None:
        self.begun: Callable[[], None] = lambda: None
        self.over: Callable[[], None] = lambda: None
        # Those that ended, oldest first, until they are taken.
        self.ended: deque[CallFeed] = deque(maxlen=MAX_ENDED)
        self._calls: dict[str, HeldCall] = {}

    @contextmanager
    def holding(self, call: HeldCall) -> Iterator[None]:
        """The call is in progress while the block runs."""
        self._calls[call.call_sid] = call
        call.told.over = lambda: self.over()
        self.begun()
        try:
            yield
        finally:
            call.close()
            if self._calls.get(call.call_sid) is call:
                del self._calls[call.call_sid]
            self.ended.append(call.told)

    def get(self, call_sid: str) -> HeldCall | None:
        return self._calls.get(call_sid)

    def __iter__(self) -> Iterator[HeldCall]:
        return iter(list(self._calls.values()))

    def __len__(self) -> int:
        return len(self._calls)
