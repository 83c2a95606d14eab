"""
How loud a leg of a call was over its time: what a picture of it is drawn from.

    bins = bins_for(length_ms)
    loudness(legs.caller, bins)         # a number from 0 to 100 for each bin
"""

from array import array

from phonebot.audio.g711 import ULAW_SILENCE, ulaw_to_pcm

BIN_MS = 40
FEWEST_BINS, MOST_BINS = 200, 3000
_FULL_SCALE = 32_124  # the loudest that mu-law has (ITU-T G.711, Table 2)
# Of each code. A picture of the bare amplitude would show whoever speaks softly as silent.
_LOUDNESS = bytes(
    round((abs(sample) / _FULL_SCALE) ** 0.6 * 100) for sample in array("h", ulaw_to_pcm(bytes(range(256))))
)


def bins_for(length_ms: int) -> int:
    """Of how many columns the picture of a call of this length is made."""
    return max(FEWEST_BINS, min(length_ms // BIN_MS, MOST_BINS))


def loudness(leg: bytes, bins: int) -> list[int]:
    """The loudest sample of each bin, from 0 to 100; the bins part the leg evenly. All 0 for an empty leg."""
    # Not with the module, as in audio/resample.py: commands that draw nothing do not wait for it.
    import numpy as np

    loud = leg.ljust(bins, bytes([ULAW_SILENCE])).translate(_LOUDNESS)
    begins = np.arange(bins, dtype=np.int64) * len(loud) // bins
    peaks: list[int] = np.maximum.reduceat(np.frombuffer(loud, np.uint8), begins).tolist()
    return peaks
