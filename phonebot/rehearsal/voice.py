"""
A voice for tests: a vowel for each word, without any package's help.

A tone is no speech to a detector that knows what speech is. These are pulses of a larynx, 120 to 160 a second,
through three resonances of a mouth (the vowels of Peterson and Barney, Control methods used in a study of the
vowels, Journal of the Acoustical Society of America 24(2), 1952): detectors take them for a person.
"""

import math
import struct
from functools import lru_cache

from phonebot.audio.g711 import SAMPLE_RATE_HZ, pcm_to_ulaw

MS_PER_CHARACTER = 70
SHORTEST_MS = 180
GAP_MS = 60
LOUDEST = 12_000  # of 32 767
RAMP = 160  # samples, 20 ms: no word begins with a click
# The first three resonances, in Hz: "ah", "ee", "oo", "eh" of men.
VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480))
BANDWIDTHS = (80, 90, 120)


def spoken(text: str) -> bytes:
    """The text as mu-law: as long as it would take to say, the same each time; b"" for no words."""
    gap = b"\xff" * (GAP_MS * SAMPLE_RATE_HZ // 1000)
    return gap.join(_word(word) for word in text.split())


@lru_cache(maxsize=256)
def _word(word: str) -> bytes:
    length = max(MS_PER_CHARACTER * len(word), SHORTEST_MS) * SAMPLE_RATE_HZ // 1000
    number = sum(map(ord, word))
    sound = _pulses(length, pitch_hz=120 + 10 * (number % 5))
    for centre_hz, width_hz in zip(VOWELS[number % len(VOWELS)], BANDWIDTHS, strict=True):
        sound = _resonance(sound, centre_hz, width_hz)
    loudest = max(map(abs, sound))
    samples = [
        round(LOUDEST * sample / loudest * min(1.0, at / RAMP, (length - at) / RAMP))
        for at, sample in enumerate(sound)
    ]
    return pcm_to_ulaw(struct.pack(f"<{length}h", *samples))


def _pulses(length: int, pitch_hz: float) -> list[float]:
    """A larynx: a pulse per period, the pitch wavering as voices do."""
    phase, pulses = 0.0, []
    for at in range(length):
        before = phase
        phase += pitch_hz * (1 + 0.08 * math.sin(2 * math.pi * 4 * at / SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
        pulses.append(1.0 if int(phase) > int(before) else 0.0)
    return pulses


def _resonance(sound: list[float], centre_hz: float, width_hz: float) -> list[float]:
    """A mouth: a resonator with two poles."""
    radius = math.exp(-math.pi * width_hz / SAMPLE_RATE_HZ)
    first = 2 * radius * math.cos(2 * math.pi * centre_hz / SAMPLE_RATE_HZ)
    second = -radius * radius
    older = newer = 0.0
    filtered = []
    for sample in sound:
        older, newer = newer, sample + first * newer + second * older
        filtered.append(newer)
    return filtered
