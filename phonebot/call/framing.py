"""
The bot's audio in whole frames, as the carrier plays it.

A carrier plays frames of 20 ms. What it does with less, nobody says: it may play silence behind it, which is a
crack in the middle of a word, or hold it back, and its mark too. So it gets whole frames: what is left over of a
delta waits for the next one, and at an item's end the last frame is filled with silence. Then each frame is heard
whole or not at all, and where one ends is known.
"""

from binascii import a2b_base64
from collections.abc import Iterator
from dataclasses import dataclass

from phonebot.audio.base64 import base64_length
from phonebot.audio.g711 import FRAME_BYTES, ULAW_SILENCE
from phonebot.call.audio_path import encoded

PIECE_CHARACTERS = 1920  # 180 ms, 9 frames: base64 splits without decoding at every 4 characters, 3 bytes
SILENCE = bytes([ULAW_SILENCE])


@dataclass(frozen=True, slots=True)
class Frames:
    """
    Whole frames, as base64: `length` bytes of an item's audio from its byte `item_start` on.

    Silence fills the last frame at the item's end, and is no item's audio.
    """

    item_id: str
    item_start: int
    payload: str
    length: int

    @property
    def size(self) -> int:
        """Bytes, with the silence."""
        return base64_length(self.payload)

    def behind(self, heard: int) -> "Frames | None":
        """What follows on the item's byte `heard`, which ends a frame; None when nothing does."""
        skipped = heard - self.item_start
        if skipped <= 0:
            return self
        if skipped >= self.length:
            return None
        rest = a2b_base64(self.payload)[skipped:]
        return Frames(self.item_id, heard, encoded(rest), self.length - skipped)

    def pieces(self, first: tuple[int, ...] = ()) -> "Iterator[Frames]":
        """Cut into pieces of at most 180 ms, the first ones of so many bytes, which are whole frames too."""
        payload, begin = self.payload, 0
        if first:
            audio = a2b_base64(payload)
            for size in first:
                if begin < len(audio):
                    yield self._part(begin, encoded(audio[begin : begin + size]))
                begin += size
            payload = encoded(audio[begin:])
        for at in range(0, len(payload), PIECE_CHARACTERS):
            yield self._part(begin + at * 3 // 4, payload[at : at + PIECE_CHARACTERS])

    def _part(self, begin: int, payload: str) -> "Frames":
        return Frames(
            self.item_id, self.item_start + begin, payload, min(base64_length(payload), self.length - begin)
        )


class Framer:
    """Makes frames of an item's audio, as it comes. Give it all audio in order, and say when an item ends."""

    def __init__(self) -> None:
        # What is left over, less than a frame: of which item, and from which of its bytes on.
        self._item_id = ""
        self._start = 0
        self._rest = b""

    def feed(self, item_id: str, item_start: int, payload: str) -> Frames | None:
        """
        More audio of an item, as base64: the frames it makes whole; None if it makes none.

        What is left over of another item, that did not end, is dropped: it was cancelled. So is that of one by the
        same name that begins anew.
        """
        if item_id != self._item_id or item_start != self._start + len(self._rest):
            self._item_id, self._rest = item_id, b""
        length = base64_length(payload)
        if not self._rest and not length % FRAME_BYTES:
            return Frames(item_id, item_start, payload, length) if length else None
        audio = self._rest + a2b_base64(payload)
        begin = item_start - len(self._rest)
        whole = len(audio) - len(audio) % FRAME_BYTES
        self._rest, self._start = audio[whole:], begin + whole
        return Frames(item_id, begin, encoded(audio[:whole]), whole) if whole else None

    def finish(self) -> Frames | None:
        """The item has ended: its last frame, filled with silence; None if nothing was left over."""
        rest, self._rest = self._rest, b""
        if not rest:
            return None
        return Frames(self._item_id, self._start, encoded(rest.ljust(FRAME_BYTES, SILENCE)), len(rest))

    def drop(self) -> None:
        """What is left over is not to be heard."""
        self._rest = b""
