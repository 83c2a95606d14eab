"""Who calls in the fault benchmark: hears which text is played and for how long he hears nothing, and asks."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable

from phonebot.bench.levels import SAID, heard_in, level_of
from phonebot.simulator.caller import Caller, Said
from phonebot.simulator.carrier import FRAME_MS, SILENCE

PATIENCE_S = 30.0


class Person(Caller):
    """A caller without a script. `heard_s` is when he first heard each text, by its place (levels.py)."""

    def __init__(self) -> None:
        super().__init__()
        self.heard_s: dict[int, float] = {}
        self.longest_quiet_ms = 0  # in which nobody spoke, since `count_quiet`
        self._heard_ms: defaultdict[int, int] = defaultdict(int)
        self._quiet_ms = 0
        self._moved = asyncio.Event()  # set with each frame
        self._speech: deque[bytes] = deque()
        self._hangs_up = False
        self._gone = False

    @property
    def left(self) -> bool:
        """He has hung up himself, or is about to."""
        return self._hangs_up

    def call_ended(self) -> None:
        self._gone = True
        self._moved.set()

    def hear(self, frame: bytes) -> Said:
        self.now_ms += FRAME_MS
        place = None if frame == SILENCE else heard_in(frame)
        if place is not None:
            self.heard_s.setdefault(place, time.monotonic())
            self._heard_ms[place] += FRAME_MS
        said = self._speech.popleft() if self._speech else SILENCE
        self._quiet_ms = self._quiet_ms + FRAME_MS if frame == SILENCE and said == SILENCE else 0
        self.longest_quiet_ms = max(self.longest_quiet_ms, self._quiet_ms)
        self._moved.set()
        return Said(said, hangs_up=self._hangs_up)

    def count_quiet(self) -> None:
        """From now on."""
        self._quiet_ms = self.longest_quiet_ms = 0

    async def until_heard(self, text: str, ms: int = FRAME_MS) -> None:
        """Wait until he has heard so much of a text. Raises TimeoutError when he does not, for a long time."""
        place = SAID.index(text)
        await self._until(lambda: self._heard_ms[place] >= ms)

    async def until_quiet(self, ms: int) -> None:
        await self._until(lambda: self._quiet_ms >= ms)

    def ask(self, place: int, ms: int) -> None:
        """Say one of ASKED, from the next frame on."""
        self._speech.extend([level_of(place, FRAME_MS)] * (ms // FRAME_MS))

    async def until_gone(self) -> None:
        """Wait until the other side has ended the call."""
        await self._until(lambda: self._gone)

    def hang_up(self) -> None:
        """With the next frame, unless the other side was first."""
        self._hangs_up = not self._gone

    async def _until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():
                self._moved.clear()
                await self._moved.wait()
