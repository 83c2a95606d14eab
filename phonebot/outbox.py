"""
What waits to be sent, while the other side takes nothing: one box for the carrier, one for the model.

Each has one reader. Putting never waits, so each has a bound, and a rule for what happens there.
"""

import asyncio
import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from phonebot.audio.base64 import base64_length
from phonebot.realtime.events import BYTES_PER_MS, AppendAudio, AudioFormat, Command

MAX_CARRIER_CHARACTERS = 4 * 1024 * 1024  # the 30 s of a call's lead are a tenth of it: who lets more wait is gone
MAX_CALLER_MS = 2_000  # older speech than this is of no use to a model that has to answer now
MAX_COMMANDS = 1_000  # a turn needs a handful


class CarrierOutbox:
    """
    Messages waiting for the carrier, in order.

    A clear throws away the audio that waits before it, which need not be sent any more; the marks among it still go
    out, since each of them is waited for. Beyond MAX_CARRIER_CHARACTERS the box is `overfull` for good: it forgets
    what it holds and takes nothing but `close`.
    """

    def __init__(self) -> None:
        # Its reader has sent all there was and waits for more.
        self.idle = False
        self.overfull = False
        # With which code to close the socket once all has been sent; None: not yet.
        self._close_code: int | None = None
        # Each message, and whether it is audio.
        self._waiting: deque[tuple[str, bool]] = deque()
        self._characters = 0
        self._changed = asyncio.Event()

    def put(self, message: str) -> None:
        self._append(message, is_audio=False)

    def put_audio(self, message: str) -> None:
        self._append(message, is_audio=True)

    def put_clear(self, message: str) -> None:
        self._waiting = deque(waiting for waiting in self._waiting if not waiting[1])
        self._characters = sum(len(text) for text, _ in self._waiting)
        self.put(message)

    def close(self, code: int) -> None:
        """Close the socket behind what waits. The first code counts."""
        if self._close_code is None:
            self._close_code = code
        self.idle = False
        self._changed.set()

    async def filled(self) -> None:
        """Wait until `take` has something."""
        while not self._waiting and self._close_code is None:
            self._changed.clear()
            self.idle = True
            await self._changed.wait()
        self.idle = False

    def take(self) -> str | int | None:
        """The next message; once all have been taken, the code to close with; None: there is nothing now."""
        if not self._waiting:
            return self._close_code
        message, _ = self._waiting.popleft()
        self._characters -= len(message)
        return message

    def _append(self, message: str, is_audio: bool) -> None:
        if self.overfull:
            return
        self.idle = False
        self._waiting.append((message, is_audio))
        self._characters += len(message)
        if self._characters > MAX_CARRIER_CHARACTERS:
            self.overfull = True
            self._waiting.clear()
        self._changed.set()


class ModelOutbox:
    """
    Commands waiting for the model, in order; `input_format` is that of its session.

    Of caller audio the newest MAX_CALLER_MS may wait, or the newest command if that alone is longer: the oldest is
    dropped. With MAX_COMMANDS others waiting, one more makes the box `overfull`: the session can't be kept then.
    """

    def __init__(self, input_format: AudioFormat = "pcmu") -> None:
        # Its reader has sent all there was and waits for more.
        self.idle = False
        # How many pieces of caller audio were dropped since `take_dropped`.
        self.dropped = 0
        self.overfull = False
        self._usual_bytes = MAX_CALLER_MS * BYTES_PER_MS[input_format]
        self._max_bytes: float = self._usual_bytes
        self._waiting: deque[Command] = deque()
        # Of what waits: the lengths of the caller audio, oldest first, and their sum.
        self._lengths: deque[int] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()

    @property
    def empty(self) -> bool:
        return not self._waiting

    def put(self, command: Command) -> None:
        if isinstance(command, AppendAudio):
            self._make_room(base64_length(command.audio))
        elif len(self._waiting) - len(self._lengths) == MAX_COMMANDS:
            self.overfull = True
            return
        self.idle = False
        self._waiting.append(command)
        self._filled.set()

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """What is put in meanwhile was kept for a session that begins: it waits however long it is."""
        self._max_bytes = math.inf
        try:
            yield
        finally:
            self._max_bytes = self._bytes + self._usual_bytes

    async def get(self) -> Command:
        while not self._waiting:
            self._filled.clear()
            self.idle, self._max_bytes = True, self._usual_bytes
            await self._filled.wait()
        self.idle = False
        command = self._waiting.popleft()
        if isinstance(command, AppendAudio):
            self._bytes -= self._lengths.popleft()
        return command

    def take_dropped(self) -> int:
        """How many pieces of caller audio were dropped since this was last asked, to report them."""
        dropped, self.dropped = self.dropped, 0
        return dropped

    def _make_room(self, length: int) -> None:
        self._lengths.append(length)
        self._bytes += length
        while self._bytes > self._max_bytes and len(self._lengths) > 1:
            oldest = next(i for i, waiting in enumerate(self._waiting) if isinstance(waiting, AppendAudio))
            del self._waiting[oldest]
            self._bytes -= self._lengths.popleft()
            self.dropped += 1
