"""
The audio of a run that is not yet known to have been heard, kept so that it can be sent once more.

Only a call that may be paused keeps it: a pause throws away what the carrier has, and to go on from the very byte
at which it was cut one needs the rest. The pieces are the base64 texts that were sent; keeping them copies nothing.
"""

from base64 import b64encode
from binascii import a2b_base64
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from phonebot.audio.base64 import base64_length


@dataclass(frozen=True, slots=True)
class Piece:
    """
    Base64 mu-law, whose first byte is the item's byte `item_start`; it ends at byte `end` of its run.

    Without payload it stands for the end of an item, whose last frame is filled with silence there.
    """

    item_id: str
    item_start: int
    payload: str
    end: int


class Unheard:
    """The pieces of one run, in order."""

    def __init__(self) -> None:
        self._pieces: deque[Piece] = deque()

    def append(self, piece: Piece) -> None:
        self._pieces.append(piece)

    def forget_before(self, position: int) -> None:
        """The run has played up to `position`: pieces that end there or earlier were heard."""
        while self._pieces and self._pieces[0].end <= position:
            self._pieces.popleft()

    def rest(self, heard: Mapping[str, int]) -> Iterator[Piece]:
        """What follows when `heard` bytes of each item were heard, counted from the item's begin."""
        begun = False
        for piece in self._pieces:
            later = piece if begun or not piece.payload else _behind(piece, heard.get(piece.item_id, 0))
            if begun or (later and later.payload):
                begun = True
                assert later is not None, "once begun every piece follows"
                yield later


def _behind(piece: Piece, heard: int) -> Piece | None:
    """The piece without what was heard of its item; None when that is all of it."""
    skipped = heard - piece.item_start
    if skipped <= 0:
        return piece
    if skipped >= base64_length(piece.payload):
        return None
    rest = b64encode(a2b_base64(piece.payload)[skipped:]).decode("ascii")
    return Piece(piece.item_id, heard, rest, piece.end)
