"""
Audio that tells when it was sent.

A stamp is a few bytes at the head of a frame or of a delta: a tag and the time on this process's clock. One
process plays both the carrier and the model, so what lies between writing a stamp and finding it again is the
server's delay, whether it cut, joined or kept the audio. Only a server that transcodes would lose it.
"""

import time
from binascii import Error, a2b_base64, b2a_base64
from collections.abc import Iterator
from functools import lru_cache

TAG = b"\x13\x9aPB"
TIME_BYTES = 8
STAMP_BYTES = len(TAG) + TIME_BYTES  # a multiple of 3: its base64 ends where the rest begins

SILENCE = b"\xff"  # mu-law zero (ITU-T G.711)


def stamped(size_bytes: int, now_ns: int) -> str:
    """Base64 of `size_bytes` of mu-law: a stamp, then silence."""
    stamp = TAG + now_ns.to_bytes(TIME_BYTES, "big")
    return b2a_base64(stamp, newline=False).decode("ascii") + _rest(size_bytes - STAMP_BYTES)


@lru_cache(maxsize=64)
def _rest(size_bytes: int) -> str:
    return b2a_base64(SILENCE * size_bytes, newline=False).decode("ascii")


def stamps(payload: str) -> Iterator[int]:
    """The times, in ns, of the stamps in base64 audio. Raises ValueError for what is not base64."""
    try:
        audio = a2b_base64(payload, strict_mode=True)
    except Error as error:
        raise ValueError(f"audio that is not base64: {error}") from error
    found = audio.find(TAG)
    while 0 <= found <= len(audio) - STAMP_BYTES:
        yield int.from_bytes(audio[found + len(TAG) : found + STAMP_BYTES], "big")
        found = audio.find(TAG, found + STAMP_BYTES)


class Tally:
    """
    One direction of the audio: what was sent while it was open, and how long each took to arrive.

    `sent` and `delays_ms` have one entry per stamp; what is missing in the latter was lost or is still under way.
    """

    def __init__(self) -> None:
        self.sent = 0
        self.delays_ms: list[float] = []
        # What is sent from the one time to the other counts, whenever it arrives. None: not yet.
        self._opened_ns: int | None = None
        self._closed_ns: int | None = None

    @property
    def lost(self) -> int:
        return self.sent - len(self.delays_ms)

    def open(self) -> None:
        self._opened_ns = time.monotonic_ns()

    def close(self) -> None:
        self._closed_ns = time.monotonic_ns()

    def send(self, size_bytes: int) -> str:
        """Base64 audio with a stamp, to be sent at once."""
        now_ns = time.monotonic_ns()
        self.sent += self._counts(now_ns)
        return stamped(size_bytes, now_ns)

    def arrive(self, payload: str) -> None:
        """Audio has arrived. Raises ValueError for what is not base64."""
        now_ns = time.monotonic_ns()
        self.delays_ms.extend((now_ns - sent_ns) / 1e6 for sent_ns in stamps(payload) if self._counts(sent_ns))

    def _counts(self, sent_ns: int) -> bool:
        if self._opened_ns is None or sent_ns < self._opened_ns:
            return False
        return self._closed_ns is None or sent_ns < self._closed_ns
