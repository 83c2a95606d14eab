"""
What the caller said that no model has made anything of yet: kept, so that a new session can hear it.

    kept.hear(media)                     # each frame of his
    kept.begins("item_1")                # a turn of his, and its name if that was said
    kept.is_committed("item_1")          # it has ended, and its name is known now
    kept.is_done("item_1")               # written down, or answered: it and all before it need not be heard again
    kept.lose(unheard_ms)                # there is no model: everything is kept from now on
    frames = kept.take()                 # there is one again: what it is to hear

A turn is kept from a moment before it was reported, since a detector reports speech that began before. While there
is no model, nobody tells of his turns: whether he speaks is then found out here. So it is with what he said while
the model seemed to be there and was not, which is found out seconds later.
"""

from array import array
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterator
from dataclasses import dataclass

from phonebot.audio.g711 import FRAME_MS
from phonebot.audio.vad import ABOVE_NOISE_DB
from phonebot.call.speech_meter import SpeechMeter
from phonebot.carrier.messages import Media

BEFORE_FRAMES = 30  # 600 ms: a detector's padding, and its doubt
MAX_FRAMES = 1_000  # 20 s: ten of a turn, and ten without a model
UNSURE_FRAMES = 300  # 6 s: within that a connection that leads nowhere is found out
EXPECTED_FRAMES = 150  # 3 s: by then a new session has told of the speech in what it has heard again
MIN_SPEECH_MS = 100


class _Frames:
    """Frames of his, oldest first: 300 in each call, so their audio is one text of bytes."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._audio = bytearray()
        self._stamps_ms, self._bytes = array("Q"), array("I")

    def __len__(self) -> int:
        return len(self._bytes)

    def append(self, audio: bytes, stamp_ms: int) -> None:
        """Where there are as many as may be, the oldest one goes."""
        self._audio += audio
        self._stamps_ms.append(stamp_ms)
        self._bytes.append(len(audio))
        if len(self._bytes) > self.most:
            self.drop(1)

    def drop(self, count: int) -> None:
        """The oldest ones go."""
        if count > 0:
            del self._audio[: sum(self._bytes[:count])]
            del self._stamps_ms[:count], self._bytes[:count]

    def newest(self, count: int) -> Iterator[tuple[bytes, int]]:
        """So many, or as many as there are, each with its timestamp in ms."""
        first = max(len(self) - count, 0)
        begin = sum(self._bytes[:first])
        for index in range(first, len(self)):
            end = begin + self._bytes[index]
            yield bytes(self._audio[begin:end]), self._stamps_ms[index]
            begin = end


@dataclass(slots=True)
class _Turn:
    item_id: str  # "": not known yet
    begin: int  # the number of its first frame
    committed: bool = False


class KeptAudio:
    """
    That of one call. `dropped` counts the frames that were lost since there is no model.

    `speaks`: the caller does, and `spoke`: he did since then; either only while there is no model. `between`: what
    he says between turns belongs to the next one.
    """

    def __init__(self, between: bool = False) -> None:
        # So many frames before a turn is told of belong to it; and so many are kept between turns.
        self._before = MAX_FRAMES if between else BEFORE_FRAMES
        self._held = max(self._before, UNSURE_FRAMES)
        self.dropped = 0
        self.speaks = self.spoke = False
        self._frames = _Frames(MAX_FRAMES)
        self._count = 0  # of all frames so far
        # Of those that are done, the last one had ended by this frame.
        self._end = 0
        self._turns: list[_Turn] = []
        # The turn that begins with what a session hears again: until it tells of it, or this frame has come.
        self._expected: _Turn | None = None
        self._expected_until = 0
        # None: there is a model.
        self._meter: SpeechMeter | None = SpeechMeter(MIN_SPEECH_MS, ABOVE_NOISE_DB)

    def hear(self, media: Media) -> None:
        """A frame of his."""
        audio = a2b_base64(media.payload)
        if self._meter:
            self._listen(self._meter, audio, media.timestamp_ms)
            self.dropped += len(self._frames) == MAX_FRAMES
        self._frames.append(audio, media.timestamp_ms)
        self._count += 1
        if self._expected and self._count > self._expected_until:
            self._forget(self._expected)

    def _listen(self, meter: SpeechMeter, audio: bytes, stamp_ms: int) -> None:
        meter.hear(audio, stamp_ms)
        self.speaks = meter.reached
        self.spoke = self.spoke or meter.reached

    # ------------------------------------------------------------------------------ his turns

    @property
    def turns(self) -> list[str]:
        """Those that are not done, by name, as far as that is known."""
        return [turn.item_id for turn in self._turns if turn.item_id]

    @property
    def newest_committed(self) -> str | None:
        """What is answered by a response that begins now."""
        return next((turn.item_id for turn in reversed(self._turns) if turn.committed), None)

    def begins(self, item_id: str | None) -> None:
        if self._expected:
            self._expected.item_id, self._expected = item_id or "", None
            return
        first = self._count - len(self._frames)
        self._turns.append(_Turn(item_id or "", max(self._count - self._before, first, self._end)))
        self._make_room(MAX_FRAMES)

    def is_committed(self, item_id: str) -> None:
        turn = next((each for each in self._turns if not each.committed and each.item_id in ("", item_id)), None)
        if turn:
            turn.item_id, turn.committed = item_id, True

    def is_done(self, item_id: str) -> None:
        turn = next((each for each in self._turns if each.item_id == item_id), None)
        if turn:
            self._forget(turn)

    def _forget(self, turn: _Turn) -> None:
        """It and all before it are done: what follows is kept, or some seconds."""
        self._turns = self._turns[self._turns.index(turn) + 1 :]
        self._expected = None
        self._trim(self._held)

    def _trim(self, frames: int) -> None:
        """Keep what belongs to a turn that is not done, or the newest frames."""
        begin = self._turns[0].begin if self._turns else max(self._count - frames, self._end)
        self._frames.drop(begin - (self._count - len(self._frames)))
        self._make_room(MAX_FRAMES if self._turns or self._meter else self._held)

    def _make_room(self, frames: int) -> None:
        """So many are kept from now on."""
        self._frames.most = frames
        self._frames.drop(len(self._frames) - frames)

    def ends(self) -> None:
        """He has fallen silent: what he says next begins behind this."""
        self._end = self._count

    # ------------------------------------------------------------------------------ without a model

    def lose(self, unheard_ms: int = 0) -> None:
        """There is no model any more: everything is kept. What he said for so long before was perhaps not heard."""
        self._meter = SpeechMeter(MIN_SPEECH_MS, ABOVE_NOISE_DB)
        found = any(turn is not self._expected for turn in self._turns)
        self.spoke = found or (self._expected is not None and self.spoke)
        self.speaks, self.dropped, self._expected = False, 0, None
        unheard = min(unheard_ms // FRAME_MS, self._held)
        self._trim(max(self._before, unheard))
        for audio, stamp_ms in self._frames.newest(unheard):
            self._listen(self._meter, audio, stamp_ms)

    def take(self) -> list[tuple[str, int]]:
        """
        There is a model: what it is to hear, as base64, each frame with its timestamp in ms.

        It is kept on until that is done, should this one be lost, too.
        """
        self._meter, self.speaks = None, False
        self._expected = _Turn("", self._count - len(self._frames))
        self._turns, self._expected_until = [self._expected], self._count + EXPECTED_FRAMES
        frames = self._frames.newest(len(self._frames))
        return [(b2a_base64(audio, newline=False).decode(), stamp_ms) for audio, stamp_ms in frames]

    def drop(self) -> None:
        """There is a model, and what was said before is not for it."""
        self._meter, self.speaks = None, False
        self._turns, self._expected = [], None
        self._frames = _Frames(self._held)
