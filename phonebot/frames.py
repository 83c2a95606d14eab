"""
Text messages on a WebSocket's wire, made and found by hand (RFC 6455, section 5).

A call is a hundred messages a second, nearly all of them one short frame of text. The WebSocket libraries take
each of them through a parser for all there can be, a queue and a task that wakes up. What such a frame needs is a
header, an exclusive or where it comes from a client, and a decoder. All else that a socket may bring is left to the
library.

    texts = WholeTexts(heard, library, masked=True, max_bytes=65_536)
    texts.receive(data)             # from the transport: heard(text) for each text, library(data) for the rest
    frame = server_text("...")      # to the transport, from a server
    frame = client_text("...")      # and from a client
"""

import os
from collections.abc import Callable

from websockets.frames import apply_mask  # type: ignore[attr-defined]  # its fast form, where there is one

_WHOLE_TEXT = 0x81  # FIN, opcode 1, no extension
_WHOLE_CONTROL = (0x89, 0x8A)  # ping, pong
_MASKED = 0x80
_LENGTH_IN_2, _LENGTH_IN_8 = 126, 127
_MASK_BYTES = 4
_POOL_BYTES = 4096


class WholeTexts:
    """
    Finds the text messages in what a socket brings, from the first byte behind the handshake on.

    Each is given to `heard`, at once; a ping or pong to `library`, whole, as it is. So is all there is from the
    first frame of another kind on: a close, a binary message, one in fragments, one that is too long or not UTF-8,
    a frame that the protocol forbids. To the library nothing came before that, and it goes on by its own rules.

    `masked`: these are a client's frames, which a server must refuse without a mask, and the other way round. A
    text of more than `max_bytes` is too long.
    """

    def __init__(
        self,
        heard: Callable[[str], None],
        library: Callable[[bytes], None],
        *,
        masked: bool,
        max_bytes: int,
    ) -> None:
        self._heard, self._library, self._max_bytes = heard, library, max_bytes
        self._mask_bit, self._mask_bytes = (_MASKED, _MASK_BYTES) if masked else (0, 0)
        # The begin of a frame whose end has yet to come, and how long it must become until it is looked at again.
        self._begun = bytearray()
        self._wanted = 0
        self._all_to_library = False

    def receive(self, data: bytes) -> None:
        """Raises what `heard` and `library` raise; what was found before that is not found again."""
        if self._all_to_library:
            self._library(data)
            return
        if self._begun:
            self._begun += data
            if len(self._begun) < self._wanted:
                return
            data = bytes(self._begun)
            self._begun.clear()
        at = 0
        while at < len(data):
            length = self._frame_bytes(data, at)
            if length is None:
                self._all_to_library = True
                self._library(data[at:])
                return
            if at + length > len(data):
                self._begun += data[at:]
                self._wanted = length
                return
            at = self._take(data, at, length)

    def _frame_bytes(self, data: bytes, at: int) -> int | None:
        """
        How long the frame at `at` is, with its header. None: it is none of ours.

        As far as can be seen: where the header is not whole yet, that is how long the header is at least.
        """
        head = data[at : at + 2]
        if head[0] != _WHOLE_TEXT and head[0] not in _WHOLE_CONTROL:
            return None
        if len(head) < 2:
            return 2
        length = head[1] ^ self._mask_bit
        if length < _LENGTH_IN_2:
            return 2 + self._mask_bytes + length
        if (length != _LENGTH_IN_2 and length != _LENGTH_IN_8) or head[0] != _WHOLE_TEXT:
            return None  # not masked as it must be, or a control frame that is too long
        begin = 4 if length == _LENGTH_IN_2 else 10
        if len(data) < at + begin:
            return begin
        length = int.from_bytes(data[at + 2 : at + begin], "big")
        return begin + self._mask_bytes + length if length <= self._max_bytes else None

    def _take(self, data: bytes, at: int, length: int) -> int:
        """The frame is there, whole. Returns where the next one begins."""
        end = at + length
        if data[at] != _WHOLE_TEXT:
            self._library(data[at:end])
            return end
        begin = at + _HEADER_BYTES[data[at + 1] & ~_MASKED] + self._mask_bytes
        content = data[begin:end]
        if self._mask_bytes:
            content = apply_mask(content, data[begin - _MASK_BYTES : begin])
        try:
            text = content.decode()
        except UnicodeDecodeError:
            self._all_to_library = True
            self._library(data[at:])
            return len(data)
        self._heard(text)
        return end


# By the length, or what stands for it, that a frame's second byte gives.
_HEADER_BYTES = (*(2 for _ in range(_LENGTH_IN_2)), 4, 10)


def server_text(message: str) -> bytes:
    """A text message as a server sends it. Raises UnicodeEncodeError for a lone surrogate."""
    data = message.encode()
    return _header(len(data), 0) + data


# Bytes that nobody can foresee (section 10.3), four for each frame of a client: the system's randomness, fetched
# for a thousand frames at once, of all connections. A pool for each of them would be 4 KB of each call.
_masks: list[bytes] = []


def _mask() -> bytes:
    """Connections of several threads may ask: each mask is taken in one step."""
    try:
        return _masks.pop()
    except IndexError:
        pool = os.urandom(_POOL_BYTES)
        _masks.extend([pool[at : at + _MASK_BYTES] for at in range(_MASK_BYTES, _POOL_BYTES, _MASK_BYTES)])
        return pool[:_MASK_BYTES]


def client_text(message: str) -> bytes:
    """A text message as a client sends it. Raises UnicodeEncodeError for a lone surrogate."""
    data = message.encode()
    mask = _mask()
    return b"".join((_header(len(data), _MASKED), mask, apply_mask(data, mask)))


def _header(length: int, mask_bit: int) -> bytes:
    if length < _LENGTH_IN_2:
        return bytes((_WHOLE_TEXT, mask_bit | length))
    if length < 1 << 16:
        return bytes((_WHOLE_TEXT, mask_bit | _LENGTH_IN_2, length >> 8, length & 0xFF))
    return bytes((_WHOLE_TEXT, mask_bit | _LENGTH_IN_8, *length.to_bytes(8, "big")))
