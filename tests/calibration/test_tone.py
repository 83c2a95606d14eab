from math import pi, sin
from random import Random
from struct import pack

import pytest

from phonebot.audio.g711 import SAMPLE_RATE_HZ, pcm_to_ulaw, ulaw_to_pcm
from phonebot.calibration.tone import BLOCK_BYTES, TONE_HZ, ToneEar, is_tone, tone


def wave(hertz: float, amplitude: float, phase: float = 0.0, samples: int = BLOCK_BYTES) -> bytes:
    values = [round(amplitude * sin(2 * pi * (hertz * n / SAMPLE_RATE_HZ + phase))) for n in range(samples)]
    return pcm_to_ulaw(pack(f"<{samples}h", *values))


@pytest.mark.parametrize("phase", [0.0, 0.1, 0.25, 0.7])
@pytest.mark.parametrize("amplitude", [500, 8_000, 30_000])
def test_the_tone_is_known_in_any_phase_and_down_to_26_db_less(phase: float, amplitude: int) -> None:
    assert is_tone(wave(TONE_HZ, amplitude, phase))


@pytest.mark.parametrize(
    "block",
    [
        b"\xff" * BLOCK_BYTES,
        wave(TONE_HZ, 300),
        wave(400, 8_000),
        wave(2_000, 8_000),
        pcm_to_ulaw(Random(1).randbytes(2 * BLOCK_BYTES)),
    ],
    ids=["silence", "too faint", "lower", "higher", "noise"],
)
def test_what_is_no_tone_is_not_taken_for_it(block: bytes) -> None:
    assert not is_tone(block)


def test_a_tone_has_the_length_asked_for_and_no_step_where_it_begins_and_ends() -> None:
    samples = memoryview(ulaw_to_pcm(tone(300))).cast("h")
    assert len(samples) == 300 * 8
    assert samples[0] == 0
    assert samples[-1] == -samples[1]


def test_begin_and_end_of_a_tone_are_heard_to_a_block() -> None:
    ear = ToneEar()
    ear.hear(b"\xff" * 160, 1_000)
    assert not ear.began_ms
    ear.hear(b"\xff" * 80 + tone(10), 1_020)
    ear.hear(tone(5) + b"\xff" * 120, 1_040)
    assert (ear.began_ms, ear.ended_ms) == (1_010, 1_025)
    ear.forget()
    ear.hear(b"\xff" * 160, 1_060)
    assert ear.began_ms is None
