"""A few soft notes for somebody who waits."""

import math
from base64 import b64encode
from functools import cache

from phonebot.audio.g711 import pcm_to_ulaw

NOTES_HZ = (261.63, 329.63, 392.0, 329.63)  # C4, E4, G4: in the middle of what a telephone carries
NOTE_MS, PAUSE_MS = 400, 400
_PEAK = 2_600  # softer than speech
_FADE = 320  # samples: without, each note would click
_RATE = 8_000


@cache
def hold_music() -> str:
    """Two seconds of it, which may be repeated: base64 of raw mu-law at 8 kHz."""
    notes = b"".join(pcm_to_ulaw(_note(pitch_hz)) for pitch_hz in NOTES_HZ)
    return b64encode(notes + b"\xff" * (PAUSE_MS * _RATE // 1000)).decode()


def _note(pitch_hz: float) -> bytes:
    length = NOTE_MS * _RATE // 1000
    samples = (
        round(_PEAK * min(1, n / _FADE, (length - n) / _FADE) * math.sin(2 * math.pi * pitch_hz * n / _RATE))
        for n in range(length)
    )
    return b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)
