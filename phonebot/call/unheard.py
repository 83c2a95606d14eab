"""
The audio of a run that is not yet known to have been heard, kept so that it can be sent once more.

Only a call that may be paused keeps it: a pause throws away what the carrier has, and to go on from the very byte
at which it was cut one needs the rest. What is kept are the base64 texts that were sent: nothing is copied.
"""

from collections import deque
from collections.abc import Iterator, Mapping

from phonebot.call.framing import Frames


class Unheard:
    """The frames of one run, in order."""

    def __init__(self) -> None:
        self._frames: deque[tuple[Frames, int]] = deque()  # each with where it ends in the run

    def append(self, frames: Frames, end: int) -> None:
        """These were sent, and end at byte `end` of the run."""
        self._frames.append((frames, end))

    def forget_before(self, position: int) -> None:
        """The run has played up to `position`: what ends there or earlier was heard."""
        while self._frames and self._frames[0][1] <= position:
            self._frames.popleft()

    def rest(self, heard: Mapping[str, int]) -> Iterator[Frames]:
        """What follows when `heard` bytes of each item were heard, counted from the item's begin."""
        begun = False
        for frames, _ in self._frames:
            rest = frames if begun else frames.behind(heard.get(frames.item_id, 0))
            if rest:
                begun = True
                yield rest
