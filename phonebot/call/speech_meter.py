"""How much speech there was lately: the minimum that an interruption takes is measured, not guessed from events."""

from math import ceil

from phonebot.audio.g711 import BYTES_PER_MS, FRAME_MS
from phonebot.audio.vad import SpeechDetector
from phonebot.call.audio_path import MIN_GAP_MS


class SpeechMeter:
    """
    Has there been `min_speech_ms` of speech, within half as much time again?

    It hears each frame, so that it knows the line's noise, and knows at once, when a service reports speech that
    began 200 ms ago, how much of it there has been.
    """

    def __init__(self, min_speech_ms: int, above_noise_db: float) -> None:
        self._detector = SpeechDetector(above_noise_db)
        self._needed = ceil(min_speech_ms / FRAME_MS)
        self._window = self._needed + self._needed // 2
        self._recent = 0  # the newest frames as bits, the newest one the lowest; 1 is speech
        self._end_ms: int | None = None  # of the newest frame, on the stream's clock; None: there was none

    def hear(self, audio: bytes, timestamp_ms: int) -> None:
        """A frame, mu-law of any length."""
        if self._end_ms is not None and timestamp_ms - self._end_ms >= MIN_GAP_MS:
            self._recent = 0  # a carrier may send nothing while the line is silent
        self._end_ms = timestamp_ms + len(audio) // BYTES_PER_MS
        for speech in self._detector.feed(audio):
            self._recent = (self._recent << 1 | speech) & ((1 << self._window) - 1)

    def forget(self) -> None:
        """What was said until now has been judged."""
        self._recent = 0

    @property
    def reached(self) -> bool:
        """There has been enough."""
        return self._recent.bit_count() >= self._needed
