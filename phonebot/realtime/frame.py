"""
A text message as a WebSocket client puts it on the wire: one frame, masked (RFC 6455, sections 5.2 and 5.3).

Fifty of these a second and call are the caller's audio. The WebSocket library makes them in a few objects and a
system call each; what they need is a header, a mask and one exclusive or.
"""

import os

from websockets.frames import apply_mask  # type: ignore[attr-defined]  # its fast form, where there is one

_WHOLE_TEXT = b"\x81"  # FIN, opcode 1
_MASKED = 0x80
_LENGTH_IN_2, _LENGTH_IN_8 = 126, 127
_POOL_BYTES = 4096


class ClientFrames:
    """
    Makes the frames of one connection.

    A mask must not be foreseeable (section 10.3), so it is the system's randomness; that is fetched for a thousand
    masks at once.
    """

    def __init__(self) -> None:
        self._pool = b""
        self._used = 0

    def text(self, message: str) -> bytes:
        """The frame. Raises UnicodeEncodeError for a lone surrogate."""
        data = message.encode()
        mask = self._mask()
        return b"".join((_WHOLE_TEXT, _length(len(data)), mask, apply_mask(data, mask)))

    def _mask(self) -> bytes:
        if self._used == len(self._pool):
            self._pool, self._used = os.urandom(_POOL_BYTES), 0
        mask = self._pool[self._used : self._used + 4]
        self._used += 4
        return mask


def _length(length: int) -> bytes:
    if length < _LENGTH_IN_2:
        return bytes((_MASKED | length,))
    if length < 1 << 16:
        return bytes((_MASKED | _LENGTH_IN_2, *length.to_bytes(2, "big")))
    return bytes((_MASKED | _LENGTH_IN_8, *length.to_bytes(8, "big")))
