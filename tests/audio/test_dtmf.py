"""The tones of a telephone's keys."""

import math
from base64 import b64decode

import pytest

from phonebot.audio.dtmf import KEYS, tones
from phonebot.audio.g711 import ulaw_to_pcm

ROWS, COLUMNS = (697, 770, 852, 941), (1209, 1336, 1477)
PAD = ("123", "456", "789", "*0#")


def level(samples: list[int], hz: int) -> float:
    """How much of this frequency is in it."""
    angles = [2 * math.pi * hz * n / 8_000 for n in range(len(samples))]
    real = sum(sample * math.cos(angle) for sample, angle in zip(samples, angles, strict=True))
    imaginary = sum(sample * math.sin(angle) for sample, angle in zip(samples, angles, strict=True))
    return math.hypot(real, imaginary) / len(samples)


def key_in(audio: bytes) -> str:
    """As an exchange tells it: the strongest of each group, which stands out by far."""
    pcm = ulaw_to_pcm(audio)
    samples = [int.from_bytes(pcm[at : at + 2], "little", signed=True) for at in range(0, len(pcm), 2)]
    found = []
    for group in (ROWS, COLUMNS):
        levels = sorted((level(samples, hz), hz) for hz in group)
        assert levels[-1][0] > 10 * levels[-2][0]
        found.append(group.index(levels[-1][1]))
    return PAD[found[0]][found[1]]


def test_each_key_is_heard_as_itself() -> None:
    audio = b64decode(tones(KEYS))
    assert len(audio) == len(KEYS) * 1_600  # 200 ms each
    heard = [key_in(audio[at : at + 800]) for at in range(0, len(audio), 1_600)]
    assert "".join(heard) == KEYS
    assert {audio[at] for start in range(800, len(audio), 1_600) for at in range(start, start + 800)} == {0xFF}


def test_a_pause_is_silence() -> None:
    assert b64decode(tones("wW")) == b"\xff" * 12_000


@pytest.mark.parametrize("keys", ["A", "1 2", "x"])
def test_what_is_no_key_is_refused(keys: str) -> None:
    with pytest.raises(ValueError, match="is no key of a telephone"):
        tones(keys)
