"""
Silence that the model need not be sent, since it is paid for as speech is.

    gate = Gate()
    for passed in gate.hear(frame, speech): ...     # what is to be sent now, in order

Only who finds the caller's turns himself may leave out anything of them: a service that listens for a pause needs
to hear it. What is left out is gone from the model's audio clock, too, which counts what it was sent (Realtime API,
input audio): positions that are told of turns have to count likewise.
"""

from collections import deque
from dataclasses import dataclass

from phonebot.call.audio_path import MAX_GAP_MS

# A detector finds speech that begins weakly up to 180 ms late, and its end up to 120 ms early (audio/vad.py).
BEFORE_MS = 200
AFTER_MS = 200


@dataclass(frozen=True, slots=True)
class Frame:
    """Audio of the caller: base64 of mu-law, on the stream's clock."""

    payload: str
    timestamp_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Passed:
    """A frame that is sent. Of a gap before it, in the stamps, at most `gap_ms` is silence to be filled in."""

    frame: Frame
    gap_ms: int = MAX_GAP_MS


class Gate:
    """
    Lets speech through, with BEFORE_MS of what was before it and AFTER_MS of what comes behind it.

    It begins shut, which is after a long silence.
    """

    def __init__(self) -> None:
        self._silence_ms = AFTER_MS  # since the last speech
        self._held: deque[Frame] = deque()
        self._has_dropped = False  # something before what is held

    def open(self) -> None:
        """There is speech, which was sent already, with what was before it."""
        self._silence_ms = 0
        self._held.clear()
        self._has_dropped = False

    @property
    def missing_ms(self) -> int:
        """How much silence is still to be sent behind the last speech."""
        return max(AFTER_MS - self._silence_ms, 0)

    def take_held(self) -> list[Frame]:
        """What was held back last: it may be what lies before the next turn."""
        held = list(self._held)
        self._held.clear()
        return held

    def pass_over(self, gap_ms: int) -> None:
        """The carrier sent nothing for so long."""
        self._silence_ms += gap_ms

    def hear(self, frame: Frame, speech: bool) -> list[Passed]:
        """A frame came that holds speech, or does not."""
        if speech:
            first, *later = (*self._held, frame)
            # What was dropped is a gap in the stamps, in which there was no word.
            gap_ms = 0 if self._has_dropped else BEFORE_MS + AFTER_MS
            self.open()
            return [Passed(first, gap_ms), *map(Passed, later)]
        if self._silence_ms < AFTER_MS:
            self._silence_ms += frame.end_ms - frame.timestamp_ms
            return [Passed(frame)]
        self._held.append(frame)
        while self._held[0].end_ms <= frame.end_ms - BEFORE_MS:
            self._held.popleft()
            self._has_dropped = True
        return []
