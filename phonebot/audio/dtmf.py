"""
The tones of a telephone's keys (ITU-T Q.23), as a caller's own telephone would send them in the voice.

A carrier may turn keys that are pressed into messages of its own, and suppress their tones; those that come as
audio it passes on like any other.
"""

import math
from base64 import b64encode
from functools import cache

from phonebot.audio.g711 import BYTES_PER_MS, SAMPLE_RATE_HZ, ULAW_SILENCE, pcm_to_ulaw

KEYS = "0123456789*#"
PAUSES = "wW"

_ROWS, _COLUMNS = (697, 770, 852, 941), (1209, 1336, 1477)  # Hz
_PAD = ("123", "456", "789", "*0#")
TONE_MS, GAP_MS = 100, 100  # at least 40 each (ITU-T Q.24); slow enough for any exchange
_PAUSE_MS = {"w": 500, "W": 1_000}
_PEAK = 8_000  # of each of the two, about -9 dBm0 together with the other


def tones(keys: str) -> str:
    """These keys, one after another, as base64 of raw mu-law at 8 kHz. Raises ValueError for what is no key."""
    return b64encode(b"".join(map(_sound, keys))).decode()


@cache
def _sound(key: str) -> bytes:
    if key in _PAUSE_MS:
        return _silence(_PAUSE_MS[key])
    row = next((number for number, line in enumerate(_PAD) if key in line), None)
    if row is None or len(key) != 1:
        raise ValueError(f"{key!r} is no key of a telephone")
    low, high = _ROWS[row], _COLUMNS[_PAD[row].index(key)]
    samples = [round(_PEAK * (_wave(low, n) + _wave(high, n))) for n in range(TONE_MS * BYTES_PER_MS)]
    pcm = b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)
    return pcm_to_ulaw(pcm) + _silence(GAP_MS)


def _wave(hz: int, number: int) -> float:
    """The sample of this number, of a tone whose peak is 1."""
    return math.sin(2 * math.pi * hz * number / SAMPLE_RATE_HZ)


def _silence(ms: int) -> bytes:
    return bytes([ULAW_SILENCE]) * (ms * BYTES_PER_MS)
