"""
Audio that tells whose it is: each item of a call is one level of its own, from its first sample to its last.

The upper four bits of a mu-law byte are a level's sign and segment (ITU-T G.711, Tables 2a and 2b). An item's level
is in the middle of a segment, and the segments next to it are nobody's: transcoding does not move it to another
item's. Only resampling's ripple may take a sample, an eighth of a ms, from an item's edge.
"""

from base64 import b64encode
from collections.abc import Iterable
from functools import lru_cache

from phonebot.audio import g711
from phonebot.audio.g711 import BYTES_PER_MS
from phonebot.realtime.events import AudioFormat

SAMPLES_PER_BYTE = 3  # of PCM16 at 24 kHz, for one of mu-law at 8 kHz

LEVELS = (0x97, 0x17, 0xB7, 0x37, 0xD7, 0x57)
"""The mu-law byte of each item of a call, in the order in which they begin."""

_NOBODY = 255
_ITEM_OF = bytes(
    next((item for item, level in enumerate(LEVELS) if level >> 4 == byte >> 4), _NOBODY) for byte in range(256)
)


@lru_cache(maxsize=64)
def tone(item: int, ms: int, audio_format: AudioFormat = "pcmu") -> str:
    """Base64 of `ms` of an item's audio."""
    level = bytes([LEVELS[item]])
    match audio_format:
        case "pcmu":
            audio = level * BYTES_PER_MS
        case "pcma":
            audio = g711.ulaw_to_alaw(level) * BYTES_PER_MS
        case "pcm24k":
            audio = g711.ulaw_to_pcm(level) * (BYTES_PER_MS * SAMPLES_PER_BYTE)
    return b64encode(audio * ms).decode("ascii")


def sounding_ms(frames: Iterable[bytes], items: int) -> list[float]:
    """How much of each of the first `items` items sounds in the mu-law frames."""
    whose = b"".join(frames).translate(_ITEM_OF)
    return [whose.count(item) / BYTES_PER_MS for item in range(items)]
