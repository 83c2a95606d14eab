"""
The embedded model's detector of speech: WebRTC's VAD and a gate on energy, both of which must agree.

Alone, WebRTC's VAD stays on for ever under loud steady noise, so that a noisy caller's turn would never end. A gate
on energy over the noise floor alone takes each bump for a word. Together they find the turns of a caller at a
signal-to-noise ratio of 5 dB and more. On clean speech the first frame is reported within about 100 ms of the true
start, so a server keeps some 300 ms of audio from before it (`prefix_padding_ms`).
"""

import importlib
import warnings
from bisect import bisect_left, insort
from collections import deque
from typing import Any

from phonebot.errors import AudioError, SettingsError
from phonebot.simulator.mind import DETECTOR_FRAME_BYTES, DETECTOR_FRAME_MS

with warnings.catch_warnings():
    # Python 3.11 and 3.12 announce audioop's removal; from 3.13 on audioop-lts takes its place.
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

RATE_HZ = 8000
AGGRESSIVENESS = 3  # WebRTC's strictest mode: the others let telephone noise through


def levels(pcm8k: bytes) -> list[int]:
    """Return the root mean square of each whole frame of 20 ms."""
    whole = range(0, len(pcm8k) - DETECTOR_FRAME_BYTES + 1, DETECTOR_FRAME_BYTES)
    return [audioop.rms(pcm8k[at : at + DETECTOR_FRAME_BYTES], 2) for at in whole]


class NoiseFloor:
    """
    The level of the line when nobody speaks: the 12th percentile of the levels of the last 3 s.

    Speech has gaps enough for the percentile to find the line's own noise while somebody talks.
    """

    WINDOW_FRAMES = 3000 // DETECTOR_FRAME_MS
    PERCENTILE = 0.12
    SETTLED_FRAMES = 500 // DETECTOR_FRAME_MS
    UNSETTLED_MAX_RMS = 100.0  # -50 dBFS, a quiet line

    def __init__(self) -> None:
        self._recent: deque[float] = deque()
        self._sorted: list[float] = []

    def feed(self, rms: float) -> None:
        """Take the level of one more frame."""
        self._recent.append(rms)
        insort(self._sorted, rms)
        if len(self._recent) > self.WINDOW_FRAMES:
            del self._sorted[bisect_left(self._sorted, self._recent.popleft())]

    @property
    def rms(self) -> float:
        """The floor as an amplitude, full scale being 32767; 0 before the first frame."""
        if not self._sorted:
            return 0.0
        floor = self._sorted[int(len(self._sorted) * self.PERCENTILE)]
        # A caller who speaks from the very first frame must not be taken for the line's noise.
        return floor if len(self._sorted) >= self.SETTLED_FRAMES else min(floor, self.UNSETTLED_MAX_RMS)


class SpeechDetector:
    """
    Tells speech from silence and noise, 20 ms at a time. A `Detector`; one object per session.

    `above_floor_db` is how far speech must stand out from the line's noise. Raises SettingsError when the package
    is missing.
    """

    QUIETEST_RMS = 60.0  # -55 dBFS: on a line that is digitally silent, less is no speech

    def __init__(self, above_floor_db: float = 6.0) -> None:
        self._webrtc: Any = _webrtc_vad()
        self._floor = NoiseFloor()
        self._factor: float = 10 ** (above_floor_db / 20)

    def feed(self, pcm8k_20ms: bytes) -> bool:
        """Return whether this frame (PCM16, 320 bytes) is speech. Raises AudioError for a frame of another size."""
        if len(pcm8k_20ms) != DETECTOR_FRAME_BYTES:
            raise AudioError(f"a frame has {DETECTOR_FRAME_BYTES} bytes, not {len(pcm8k_20ms)}")
        rms = audioop.rms(pcm8k_20ms, 2)
        self._floor.feed(rms)
        # WebRTC's VAD adapts itself to what it is fed, so it is fed every frame.
        is_voice: bool = self._webrtc.is_speech(pcm8k_20ms, RATE_HZ)
        return is_voice and rms > max(self.QUIETEST_RMS, self._floor.rms * self._factor)


def _webrtc_vad() -> Any:
    try:
        return importlib.import_module("webrtcvad").Vad(AGGRESSIVENESS)
    except ImportError as error:
        raise SettingsError(
            'the embedded model\'s detector needs webrtcvad-wheels: pip install "phonebot[demo]"'
        ) from error
