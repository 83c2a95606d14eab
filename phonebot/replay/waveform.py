"""
How loud a leg of a call was over its time: what a picture of it is drawn from.

    bins = bins_for(length_ms)
    loudness(legs.caller, bins)         # a number from 0 to 100 for each bin
"""

import numpy as np

from phonebot.audio.g711 import ulaw_to_pcm
from phonebot.replay.heard import BYTES_PER_MS

BIN_MS = 40
FEWEST_BINS, MOST_BINS = 200, 3000
_FULL_SCALE = 32_124  # the loudest that mu-law has (ITU-T G.711, Table 2)
# All 256 codes; a picture of the bare amplitude would show whoever speaks softly as silent.
_LOUDNESS = (
    (np.abs(np.frombuffer(ulaw_to_pcm(bytes(range(256))), "<i2").astype(np.float64)) / _FULL_SCALE) ** 0.6 * 100
).astype(np.uint8)


def bins_for(length_ms: int) -> int:
    """Of how many columns the picture of a call of this length is made."""
    return max(FEWEST_BINS, min(length_ms // BIN_MS, MOST_BINS))


def loudness(leg: bytes, bins: int) -> list[int]:
    """The loudest sample of each bin, from 0 to 100; the bins part the leg evenly. All 0 for an empty leg."""
    if len(leg) < bins:
        leg = leg.ljust(max(bins, BYTES_PER_MS), b"\xff")
    # Where each bin begins; the last one ends with the leg.
    starts = np.arange(bins, dtype=np.int64) * len(leg) // bins
    loud = _LOUDNESS[np.frombuffer(leg, np.uint8)]
    return [int(peak) for peak in np.maximum.reduceat(loud, starts)]
