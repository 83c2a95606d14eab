"""
Finds the caller's turns where the service does not: with a detector of ours, or by the keys he presses.

An ear is fed each frame of the caller. What it makes of them comes back in order: commands for the model, and turns
as the service itself would tell of them (`SpeechStarted`, `SpeechStopped`), at the same positions: ms of the audio
sent to the session, a turn's padding before it and its silence after it included.

    LocalEar  sends nothing while nobody speaks. A turn is the audio from a little before its first sound up to the
              silence that ends it; then it is committed (Realtime API, turn detection switched off).
    KeyEar    sends everything, and commits it when the caller presses the key that ends his turn.

Either may leave out silence of what it sends (withholding.py). An answer is not asked for here: `answers` says
whether one is wanted at the end of a turn.
"""

from binascii import a2b_base64
from collections import deque
from collections.abc import Iterable
from math import ceil
from typing import Protocol, TypeAlias

from phonebot.agents.listening import END_KEY
from phonebot.audio.base64 import base64_length
from phonebot.audio.g711 import FRAME_MS
from phonebot.audio.vad import SpeechDetector
from phonebot.call.audio_path import MAX_GAP_MS, MIN_GAP_MS, CallerLeg
from phonebot.call.plan import KeyTurns, LocalTurns, Turns
from phonebot.call.withholding import Frame, Gate, Passed
from phonebot.realtime.events import (
    BYTES_PER_MS,
    AppendAudio,
    AudioFormat,
    CommitAudio,
    SpeechStarted,
    SpeechStopped,
)

MAX_TURN_MS = 60_000  # who seems to speak for longer is answered: it may be music, or a crowd
PAUSE_MS = 200  # after such a turn the next one begins behind a pause, or the answer would never be heard
STALL_MS = 200  # frames that are late by less may still come, and hold speech
MIN_COMMIT_MS = 100  # less is refused (Realtime API, input_audio_buffer.commit)

Heard: TypeAlias = AppendAudio | CommitAudio | SpeechStarted | SpeechStopped


class Ear(Protocol):
    """What finds turns. `hear`, `press` and `tick` return what is to be done and has happened, in this order."""

    answers: bool
    takes_keys: bool  # keys belong to it: others do nothing with them
    # When `tick` is due, in call time, should no frame come before; None: no need.
    due_ms: int | None

    def hear(self, payload: str, timestamp_ms: int, now: int) -> list[Heard]:
        """A frame came: base64 of mu-law, of any length."""
        ...

    def press(self, digit: str, bot_speaks: bool) -> list[Heard]:
        """The caller pressed a key."""
        ...

    def tick(self, now: int) -> list[Heard]:
        """Time has passed."""
        ...


def ear_for(turns: Turns, leg: CallerLeg, model_format: AudioFormat) -> Ear:
    """The ear that finds `turns`; `leg` brings the caller's audio into the session's `model_format`."""
    line = _Line(leg, model_format)
    return LocalEar(turns, line) if isinstance(turns, LocalTurns) else KeyEar(turns, line)


class _Line:
    """The caller's audio as the session gets it, and how much of it that is."""

    def __init__(self, leg: CallerLeg, model_format: AudioFormat) -> None:
        self._leg = leg
        self._bytes_per_ms = BYTES_PER_MS[model_format]
        self._sent_bytes = 0

    @property
    def sent_ms(self) -> int:
        return self._sent_bytes // self._bytes_per_ms

    def append(self, payload: str, timestamp_ms: int, gap_ms: int = MAX_GAP_MS) -> list[Heard]:
        """`gap_ms`: so much of a gap before it is filled at most."""
        return self._counted(self._leg.feed(payload, timestamp_ms, gap_ms))

    def append_all(self, passed: Iterable[Passed]) -> list[Heard]:
        return [
            heard
            for each in passed
            for heard in self.append(each.frame.payload, each.frame.timestamp_ms, each.gap_ms)
        ]

    def finish(self, silence_ms: int = 0) -> list[Heard]:
        """A turn is over: the rest of it, and `silence_ms` that the carrier did not send."""
        return self._counted(self._leg.finish(silence_ms))

    def _counted(self, pieces: Iterable[str]) -> list[Heard]:
        appended: list[Heard] = []
        for piece in pieces:
            self._sent_bytes += base64_length(piece)
            appended.append(AppendAudio(piece))
        return appended


class KeyEar:
    """
    The caller ends his turn with `#`. While the bot speaks any key stops it, and does nothing else.

    What he says meanwhile is kept: all audio since the last turn belongs to the next one, or all that sounds like
    speech.
    """

    answers = True
    takes_keys = True
    due_ms: int | None = None

    def __init__(self, turns: KeyTurns, line: _Line) -> None:
        self._line = line
        self._committed_ms = 0  # of the audio sent
        # What leaves out silence, and what finds it; None: it is sent.
        self._withheld = (Gate(), SpeechDetector()) if turns.withhold_silence else None

    def hear(self, payload: str, timestamp_ms: int, now: int) -> list[Heard]:
        if self._withheld is None:
            return self._line.append(payload, timestamp_ms)
        gate, detector = self._withheld
        frame = Frame(payload, timestamp_ms, _end_ms(payload, timestamp_ms))
        return self._line.append_all(gate.hear(frame, any(detector.feed(a2b_base64(payload)))))

    def press(self, digit: str, bot_speaks: bool) -> list[Heard]:
        begin = SpeechStarted(self._committed_ms)
        if bot_speaks:
            return [begin]
        if digit != END_KEY:
            return []
        rest = self._line.finish()
        end_ms = self._line.sent_ms
        if end_ms - self._committed_ms < MIN_COMMIT_MS:
            return rest
        self._committed_ms = end_ms
        return [begin, *rest, CommitAudio(), SpeechStopped(end_ms)]

    def tick(self, now: int) -> list[Heard]:
        return []


class LocalEar:
    """
    Listens for speech, one frame of 20 ms at a time.

    A carrier may send nothing while the line is silent: time that its timestamps leave out is silence, and when no
    frame comes at all `tick` ends the turn.
    """

    takes_keys = False

    def __init__(self, turns: LocalTurns, line: _Line) -> None:
        self.answers = turns.create_response
        self.due_ms: int | None = None
        self._line = line
        self._detector = SpeechDetector(turns.above_noise_db)
        self._silence_duration_ms = turns.silence_duration_ms
        # A turn begins once so many of the newest frames, half as many more than that, are speech.
        self._needed = ceil(turns.min_speech_ms / FRAME_MS)
        self._window = self._needed + self._needed // 2
        # The newest of them as bits, the newest one the lowest; 1 is speech. Outside turns only.
        self._recent = 0
        # What came last, outside turns: enough for the padding before a turn and the speech that began it.
        self._kept: deque[Frame] = deque()
        self._padding_ms = turns.prefix_padding_ms
        self._kept_ms = turns.prefix_padding_ms + self._window * FRAME_MS
        # When the newest frame ended, on the stream's clock; None: no frame came, or the stream paused.
        self._end_ms: int | None = None
        self._in_turn = False
        self._turn_ms = 0
        self._silence_ms = 0  # since the last speech
        self._overlong = False  # a turn was ended though the speech went on, and no pause came yet
        # What leaves out silence within a turn; None: it is sent.
        self._gate = Gate() if turns.withhold_silence else None

    def hear(self, payload: str, timestamp_ms: int, now: int) -> list[Heard]:
        heard = self._pass_over(timestamp_ms - self._end_ms) if self._end_ms is not None else []
        end_ms = self._end_ms = _end_ms(payload, timestamp_ms)
        frames = self._detector.feed(a2b_base64(payload))
        if not self._in_turn:
            self._keep(Frame(payload, timestamp_ms, end_ms))
        elif self._gate is None:
            heard += self._line.append(payload, timestamp_ms)
        else:
            heard += self._line.append_all(self._gate.hear(Frame(payload, timestamp_ms, end_ms), any(frames)))
        for later, speech in zip(range(len(frames) - 1, -1, -1), frames, strict=True):
            heard += self._advance(speech, end_ms - later * FRAME_MS)
        self.due_ms = now + self._silence_left_ms + STALL_MS if self._in_turn else None
        return heard

    def press(self, digit: str, bot_speaks: bool) -> list[Heard]:
        return []

    def tick(self, now: int) -> list[Heard]:
        if self.due_ms is None or now < self.due_ms:
            return []
        self.due_ms = self._end_ms = None
        return self._end_turn(self._silence_left_ms)

    @property
    def _silence_left_ms(self) -> int:
        """How much more silence ends the turn."""
        return max(self._silence_duration_ms - self._silence_ms, 0)

    def _pass_over(self, gap_ms: int) -> list[Heard]:
        """The carrier sent nothing for `gap_ms`."""
        if gap_ms < MIN_GAP_MS:
            return []
        if self._in_turn and gap_ms >= self._silence_left_ms:
            return self._end_turn(self._silence_left_ms)
        self._silence_ms += gap_ms
        if self._gate:
            self._gate.pass_over(gap_ms)
        self._recent = 0
        self._overlong = False
        return []

    def _keep(self, frame: Frame) -> None:
        self._kept.append(frame)
        while self._kept[0].end_ms <= frame.end_ms - self._kept_ms:
            self._kept.popleft()

    def _advance(self, speech: bool, end_ms: int) -> list[Heard]:
        """A frame that ended at `end_ms` is speech, or is not."""
        self._silence_ms = 0 if speech else self._silence_ms + FRAME_MS
        if self._in_turn:
            self._turn_ms += FRAME_MS
            self._overlong = self._turn_ms >= MAX_TURN_MS
            return [] if self._silence_left_ms and not self._overlong else self._end_turn()
        if self._overlong:
            self._overlong = self._silence_ms < PAUSE_MS
            return []
        self._recent = (self._recent << 1 | speech) & ((1 << self._window) - 1)
        return self._begin_turn(end_ms) if self._recent.bit_count() >= self._needed else []

    def _begin_turn(self, end_ms: int) -> list[Heard]:
        begin_ms = end_ms - self._recent.bit_length() * FRAME_MS - self._padding_ms
        self._in_turn, self._recent = True, 0
        self._turn_ms = self._silence_ms = 0
        heard: list[Heard] = [SpeechStarted(self._line.sent_ms)]
        for frame in self._kept:
            if frame.end_ms > begin_ms:
                heard += self._line.append(frame.payload, frame.timestamp_ms)
        self._kept.clear()
        if self._gate:
            self._gate.open()
        return heard

    def _end_turn(self, silence_ms: int = 0) -> list[Heard]:
        """`silence_ms` of what ends the turn was not sent by the carrier."""
        self._in_turn = False
        if self._gate:
            silence_ms = min(silence_ms, self._gate.missing_ms)
            self._kept.extend(self._gate.take_held())
        rest = self._line.finish(silence_ms)
        return [*rest, CommitAudio(), SpeechStopped(self._line.sent_ms)]


def _end_ms(payload: str, timestamp_ms: int) -> int:
    """When a frame ends, on the stream's clock."""
    return timestamp_ms + base64_length(payload) // BYTES_PER_MS["pcmu"]
