"""
What a call sounds like while it lasts, for whoever listens in.

    bridge -> Tap.happened -> blocks of both sides, in step        (only while somebody listens)

The caller's frames are the clock. With each of them as much leaves the queue of what was sent to be played: that is
how the carrier plays it. What was sent before somebody listened is known from `Unplayed`.
"""

import asyncio
from binascii import a2b_base64
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from phonebot.audio.g711 import BYTES_PER_MS, ULAW_SILENCE
from phonebot.call.actions import Action, ClearPlayback, PlayAudio, SendMark, StartRecording
from phonebot.call.inputs import Input
from phonebot.carrier.messages import Mark, Media

SILENCE = bytes([ULAW_SILENCE])
MAX_WAITING_MS = 5_000
"""Of a call's sound, for one listener; of more, the oldest is left out."""
MAX_PLAYING_MS = 60_000
"""Sent and not played: twice what a call sends ahead."""
MAX_GAP_MS = 1_000
MAX_UNPLAYED = 1_000
"""Pieces and marks: each is 180 ms at most."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Some ms of a call: mu-law at 8 kHz of the caller, and of the bot as it was played; as much of either."""

    caller: bytes
    bot: bytes


class Unplayed:
    """What was sent to the carrier of which it has not said that it was played."""

    def __init__(self) -> None:
        self._sent: deque[Action] = deque(maxlen=MAX_UNPLAYED)

    def happened(self, received: Input, actions: Iterable[Action]) -> None:
        if isinstance(received, Mark):
            self._played(received.name)
        for action in actions:
            if isinstance(action, PlayAudio | SendMark):
                self._sent.append(action)
            elif isinstance(action, ClearPlayback):
                self._sent.clear()

    def audio(self) -> bytes:
        """mu-law, in the order in which it is played."""
        return b"".join(_bytes(action.payload) for action in self._sent if isinstance(action, PlayAudio))

    def _played(self, mark: str) -> None:
        if SendMark(mark) in self._sent:
            while self._sent.popleft() != SendMark(mark):
                pass


class Tap:
    """
    A bridge's journal that gives what is heard of its call: iterate over it.

    It ends when it is closed. `block_ms`: how much comes at a time. Not `may_be_heard`: it is silence until the
    caller has heard the notice that he is recorded.
    """

    def __init__(self, unplayed: bytes, block_ms: int, may_be_heard: bool = True) -> None:
        self._may_be_heard = may_be_heard
        self._playing = bytearray(unplayed if may_be_heard else b"")
        self._block_bytes = block_ms * BYTES_PER_MS
        self._max_blocks = MAX_WAITING_MS // block_ms
        self._caller, self._bot = bytearray(), bytearray()
        self._next_ms: int | None = None  # the timestamp that follows the newest frame; None: none has come
        self._blocks: deque[Sound] = deque()
        self._filled = asyncio.Event()
        self._over = False

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        if isinstance(received, Media):
            self._hear(received)
        for action in actions:
            if isinstance(action, StartRecording):
                self._may_be_heard = True
            elif isinstance(action, PlayAudio) and self._may_be_heard:
                self._playing += _bytes(action.payload)
                del self._playing[MAX_PLAYING_MS * BYTES_PER_MS :]
            elif isinstance(action, ClearPlayback):
                self._playing.clear()

    def passed_on(self, now: int, received: Input, actions: list[Action]) -> None:
        self.happened(now, received, actions)

    def close(self) -> None:
        """Nothing more comes. What waits can still be read."""
        self._over = True
        self._filled.set()

    def __aiter__(self) -> "Tap":
        return self

    async def __anext__(self) -> Sound:
        while not self._blocks:
            if self._over:
                raise StopAsyncIteration
            self._filled.clear()
            await self._filled.wait()
        return self._blocks.popleft()

    def _hear(self, media: Media) -> None:
        audio = _bytes(media.payload)
        if not self._may_be_heard:
            audio = SILENCE * len(audio)
        if self._next_ms is not None:
            gap_ms = media.timestamp_ms - self._next_ms
            if 0 < gap_ms <= MAX_GAP_MS:  # frames were lost, and the bot was heard meanwhile
                self._caller += SILENCE * (gap_ms * BYTES_PER_MS)
        self._next_ms = media.timestamp_ms + len(audio) // BYTES_PER_MS
        self._caller += audio
        length = len(self._caller) - len(self._bot)
        played = self._playing[:length]
        del self._playing[:length]
        self._bot += played.ljust(length, SILENCE)
        if len(self._caller) >= self._block_bytes:
            self._blocks.append(Sound(bytes(self._caller), bytes(self._bot)))
            self._caller.clear()
            self._bot.clear()
            if len(self._blocks) > self._max_blocks:
                self._blocks.popleft()
            self._filled.set()


def _bytes(text: str) -> bytes:
    """What base64 text stands for; nothing, if it is none."""
    try:
        return a2b_base64(text)
    except ValueError:
        return b""
