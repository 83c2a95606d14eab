"""
What a caller hears while he waits, where a deployment has no recording of its own: a few broken chords, quietly.

Made here, so that nobody's rights are in it.
"""

import math
from base64 import b64encode
from functools import cache

from phonebot.audio.g711 import SAMPLE_RATE_HZ, pcm_to_ulaw

NOTE_MS = 500
_RINGS_MS = 1_500  # a note, until it is gone
# C, A minor, F and G, each broken upwards, in semitones from A4 (440 Hz): all within a telephone's band.
_CHORDS = ((-9, -5, -2, 3), (-12, -9, -5, 0), (-16, -12, -9, -4), (-14, -10, -7, -2))
_PEAK = 2_600
_ATTACK_MS = 15


@cache
def melody() -> str:
    """Eight seconds of it, which can be repeated; base64 of raw mu-law at 8 kHz."""
    notes = [note for chord in _CHORDS for note in chord]
    length = len(notes) * NOTE_MS * SAMPLE_RATE_HZ // 1000
    samples = [0.0] * length
    for number, note in enumerate(notes):
        begin = number * NOTE_MS * SAMPLE_RATE_HZ // 1000
        for at, sample in enumerate(_note(note)):
            samples[(begin + at) % length] += sample  # the last ones ring on into the beginning
    pcm = b"".join(round(sample).to_bytes(2, "little", signed=True) for sample in samples)
    return b64encode(pcm_to_ulaw(pcm)).decode()


def _note(semitones: int) -> list[float]:
    hz = 440 * 2 ** (semitones / 12)
    sounds = []
    for at in range(_RINGS_MS * SAMPLE_RATE_HZ // 1000):
        ms = at * 1000 / SAMPLE_RATE_HZ
        loud = min(1.0, ms / _ATTACK_MS) * math.exp(-ms / 350) * (1 - ms / _RINGS_MS)
        angle = 2 * math.pi * hz * at / SAMPLE_RATE_HZ
        sounds.append(_PEAK * loud * (math.sin(angle) + 0.5 * math.sin(2 * angle) + 0.2 * math.sin(3 * angle)))
    return sounds
