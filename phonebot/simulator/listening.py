"""
The input audio buffer and the detection of turns.

Positions are milliseconds of all audio received in the session, in the order of its arrival; a client that sends
nothing stops this clock (Realtime, input_audio_buffer.speech_started). The buffer holds what was received since the
last commit or clear, at most five minutes and, while nobody speaks, at most half a minute: the oldest goes first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from phonebot.audio import g711
from phonebot.audio.transcode import Transcoder, transcoder
from phonebot.simulator.config import BYTES_PER_MS, Format, TurnDetection
from phonebot.simulator.mind import DETECTOR_FRAME_MS, Detector

MIN_COMMIT_MS = 100
MIN_SPEECH_MS = 100
# A hole of this length between two bits of sound makes them two sounds, each too short to be a turn.
MAX_ONSET_GAP_MS = 100
MAX_BUFFER_MS = 300_000
MAX_IDLE_BUFFER_MS = 30_000

_FRAME_BYTES = g711.FRAME_BYTES
assert DETECTOR_FRAME_MS == g711.FRAME_MS


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The caller speaks. `start_ms` includes the prefix padding."""

    start_ms: int


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The caller has been silent for long enough. `audio` is the turn from its start to `end_ms`."""

    end_ms: int
    audio: bytes


Turn: TypeAlias = TurnStarted | TurnEnded


class InputAudio:
    """
    Collects a session's input audio and finds the turns in it.

    Iterate over `append` to its end: what it yields has happened by then and nothing later has.
    """

    def __init__(self, detector: Detector, audio_format: Format, turns: TurnDetection | None) -> None:
        self._detector = detector
        self._received_ms_before = 0.0  # received in formats used earlier
        self._received_bytes = 0  # received in this format
        self._buffer = bytearray()
        self.format: Format = audio_format
        self.configure(audio_format, turns)

    def configure(self, audio_format: Format, turns: TurnDetection | None) -> None:
        """Change format or turn detection: a turn under way is dropped; another format also empties the buffer."""
        if audio_format != self.format:
            self._received_ms_before += self._received_bytes / BYTES_PER_MS[self.format]
            self._received_bytes = 0
            self._buffer.clear()
        self.format = audio_format
        self._turns = turns
        self._ears: Transcoder | None = transcoder(audio_format, "pcmu")
        self._forget_turn()

    def _forget_turn(self) -> None:
        self._unheard = b""  # mu-law that does not fill a frame yet
        self._heard_ms = self.received_ms  # the end of the last frame given to the detector
        self._onset_ms: int | None = None  # where the sound began that may become a turn
        self._speech_ms = 0  # how much of it is speech
        self._silence_ms = 0  # since its last speech
        self.in_turn = False

    @property
    def received_ms(self) -> int:
        """All audio received so far."""
        return int(self._received_ms_before) + self._received_bytes // BYTES_PER_MS[self.format]

    @property
    def buffered_ms(self) -> int:
        return len(self._buffer) // BYTES_PER_MS[self.format]

    @property
    def start_ms(self) -> int:
        """The position at which the buffer begins."""
        return self.received_ms - self.buffered_ms

    def append(self, audio: bytes) -> Iterator[Turn]:
        """Take more audio, of any length; yield the turns that begin and end in it."""
        self._buffer += audio
        self._received_bytes += len(audio)
        if self._turns is None:
            self._trim(MAX_BUFFER_MS)
            return
        self._unheard += audio if self._ears is None else self._ears.feed(audio)
        whole = len(self._unheard) // _FRAME_BYTES * _FRAME_BYTES
        frames, self._unheard = self._unheard[:whole], self._unheard[whole:]
        for offset in range(0, whole, _FRAME_BYTES):
            speech = self._detector.feed(g711.ulaw_to_pcm(frames[offset : offset + _FRAME_BYTES]))
            self._heard_ms += g711.FRAME_MS
            turn = self._hear(speech, self._turns)
            if turn is not None:
                yield turn
        self._trim(MAX_IDLE_BUFFER_MS if self._onset_ms is None else MAX_BUFFER_MS)

    def _hear(self, speech: bool, turns: TurnDetection) -> Turn | None:
        """Advance by one frame, which ends at `_heard_ms`."""
        if speech:
            if self._onset_ms is None:
                self._onset_ms = self._heard_ms - g711.FRAME_MS
            self._speech_ms += g711.FRAME_MS
            self._silence_ms = 0
            if not self.in_turn and self._speech_ms >= MIN_SPEECH_MS:
                self.in_turn = True
                # The buffer begins where the last turn ended at the earliest.
                start_ms = max(self.start_ms, self._onset_ms - turns.prefix_padding_ms)
                self._drop_until(start_ms)
                return TurnStarted(start_ms)
            return None
        self._silence_ms += g711.FRAME_MS
        if self.in_turn and self._silence_ms >= turns.silence_ms:
            return self._end_turn()
        if not self.in_turn and self._silence_ms >= MAX_ONSET_GAP_MS:
            self._onset_ms, self._speech_ms = None, 0
        return None

    def _end_turn(self) -> TurnEnded:
        audio = self._take_until(self._heard_ms)
        self._onset_ms, self._speech_ms, self._silence_ms, self.in_turn = None, 0, 0, False
        return TurnEnded(self._heard_ms, audio)

    def commit(self) -> bytes:
        """Return all buffered audio and end a turn under way."""
        audio = bytes(self._buffer)
        self.clear()
        return audio

    def clear(self) -> None:
        """Drop the buffered audio and a turn under way; the position goes on."""
        self._buffer.clear()
        self._forget_turn()

    def _take_until(self, end_ms: int) -> bytes:
        count = max(0, end_ms - self.start_ms) * BYTES_PER_MS[self.format]
        audio = bytes(self._buffer[:count])
        del self._buffer[:count]
        return audio

    def _drop_until(self, start_ms: int) -> None:
        del self._buffer[: max(0, start_ms - self.start_ms) * BYTES_PER_MS[self.format]]

    def _trim(self, longest_ms: int) -> None:
        excess_ms = self.buffered_ms - longest_ms
        if excess_ms > 0:
            del self._buffer[: excess_ms * BYTES_PER_MS[self.format]]
