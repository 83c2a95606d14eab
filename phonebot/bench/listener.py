"""The person in a measured call: hears to the frame what is played, and speaks when he is told to."""

import asyncio
from collections import defaultdict

from phonebot.bench.tones import LEVELS, sounding_ms
from phonebot.simulator.caller import Caller, Said
from phonebot.simulator.carrier import FRAME_BYTES, FRAME_MS, SILENCE

SPEECH = b"\x30" * FRAME_BYTES  # loud; what he says does not matter
PATIENCE_S = 30.0


class Listener(Caller):
    """A caller without a script: `until_heard`, `speak` and `hang_up` direct him."""

    def __init__(self) -> None:
        super().__init__()
        self._heard_ms: defaultdict[int, float] = defaultdict(float)
        self._heard_more = asyncio.Event()
        self._speaks_ms = 0  # so much longer
        self._hangs_up = False

    def hear(self, frame: bytes) -> Said:
        self.now_ms += FRAME_MS
        if frame != SILENCE:
            for item, ms in enumerate(sounding_ms([frame], len(LEVELS))):
                self._heard_ms[item] += ms
            self._heard_more.set()
        said = SPEECH if self._speaks_ms > 0 else SILENCE
        self._speaks_ms -= FRAME_MS
        return Said(said, hangs_up=self._hangs_up)

    async def until_heard(self, item: int, ms: float) -> None:
        """Wait until he has heard `ms` of an item. Raises TimeoutError when he does not, for a long time."""
        async with asyncio.timeout(PATIENCE_S):
            while self._heard_ms[item] < ms:
                self._heard_more.clear()
                await self._heard_more.wait()

    def speak(self, ms: int) -> None:
        """Speak from the next frame on."""
        self._speaks_ms = ms

    def hang_up(self) -> None:
        """Hang up with the next frame."""
        self._hangs_up = True
