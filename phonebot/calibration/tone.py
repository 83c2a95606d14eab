"""A tone that is played, and an ear that hears it come back from the far end, to 5 ms."""

from math import cos, pi, sin
from struct import pack

from phonebot.audio.g711 import BYTES_PER_MS, FRAME_MS, SAMPLE_RATE_HZ, pcm_to_ulaw, ulaw_to_pcm

TONE_HZ = 1_000
AMPLITUDE = 8_000  # of 32767: -12 dB
BLOCK_MS = 5  # five periods
BLOCK_BYTES = BLOCK_MS * BYTES_PER_MS
# What comes back may have lost 26 dB on its way.
FAINTEST = AMPLITUDE / 20
# Of a block's power, so much at least is the tone's: speech and noise have less at one frequency.
PURITY = 0.6

_WAVE = [
    (cos(2 * pi * TONE_HZ * n / SAMPLE_RATE_HZ), sin(2 * pi * TONE_HZ * n / SAMPLE_RATE_HZ))
    for n in range(BLOCK_BYTES)
]
_BLOCK = pcm_to_ulaw(pack(f"<{BLOCK_BYTES}h", *(round(AMPLITUDE * sine) for _, sine in _WAVE)))


def tone(ms: int) -> bytes:
    """Mu-law; it begins and ends at a zero, so that tones in a row are one tone. `ms` is a multiple of BLOCK_MS."""
    return _BLOCK * (ms // BLOCK_MS)


def is_tone(block: bytes) -> bool:
    """Whether BLOCK_BYTES of mu-law are the tone, in any phase and at least FAINTEST."""
    samples = memoryview(ulaw_to_pcm(block)).cast("h")
    in_phase = sum(sample * wave[0] for sample, wave in zip(samples, _WAVE, strict=True))
    in_quadrature = sum(sample * wave[1] for sample, wave in zip(samples, _WAVE, strict=True))
    # Of a pure tone of amplitude A this is A squared, and so is twice the mean power.
    at_tone = (in_phase**2 + in_quadrature**2) * 4 / BLOCK_BYTES**2
    in_all = 2 * sum(sample**2 for sample in samples) / BLOCK_BYTES
    return at_tone >= FAINTEST**2 and at_tone >= PURITY * in_all


class ToneEar:
    """
    When the tone was heard, in ms of the stream's clock. A frame stamped t is taken to be heard from t - 20 ms on.

    What that adds or takes off is the same for the begin and the end of each tone, so a difference has none of it.
    """

    def __init__(self) -> None:
        self.began_ms: float | None = None  # begin of the last tone; None: none since `forget`
        self.ended_ms = 0.0  # end of its latest block

    def forget(self) -> None:
        """Wait for the next tone."""
        self.began_ms = None

    def hear(self, frame: bytes, timestamp_ms: int) -> None:
        for start in range(0, len(frame) - BLOCK_BYTES + 1, BLOCK_BYTES):
            if is_tone(frame[start : start + BLOCK_BYTES]):
                at_ms = timestamp_ms - FRAME_MS + start / BYTES_PER_MS
                if self.began_ms is None:
                    self.began_ms = at_ms
                self.ended_ms = at_ms + BLOCK_MS
