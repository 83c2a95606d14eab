"""G.711 against the Recommendation's own arithmetic, and against sox."""

import subprocess
import sys
from array import array
from bisect import bisect_right
from collections.abc import Callable

import numpy as np
import pytest

from phonebot.audio import g711
from phonebot.errors import AudioError

CODES = bytes(range(256))
SAMPLES = range(-32768, 32768)
PCM = array("h", SAMPLES).tobytes()

# ITU-T G.711, Tables 2a and 1a: the lower end and the value of each interval of the positive half, from the inside
# out, in eight segments of sixteen. Mu-law's are in units of 14-bit samples, A-law's of 13-bit ones.
INTERVALS = [(segment, step) for segment in range(8) for step in range(16)]
ULAW_EDGES = [max(0, (2 * step + 32 << segment) - 33) for segment, step in INTERVALS]
ULAW_VALUES = [(2 * step + 33 << segment) - 33 for segment, step in INTERVALS]
ALAW_EDGES = [2 * step + 32 << segment - 1 if segment else 2 * step for segment, step in INTERVALS]
ALAW_VALUES = [2 * step + 33 << segment - 1 if segment else 2 * step + 1 for segment, step in INTERVALS]


def test_the_formula_gives_the_recommendations_printed_values() -> None:
    """Values one can look up in the tables; they keep the formulas above honest."""
    assert ULAW_EDGES[:3] == [0, 1, 3]
    assert [ULAW_EDGES[16 * segment] for segment in range(1, 8)] == [31, 95, 223, 479, 991, 2015, 4063]
    assert (ULAW_VALUES[0], ULAW_VALUES[1], ULAW_VALUES[127]) == (0, 2, 8031)
    assert [ALAW_EDGES[16 * segment] for segment in range(1, 8)] == [32, 64, 128, 256, 512, 1024, 2048]
    assert (ALAW_VALUES[0], ALAW_VALUES[1], ALAW_VALUES[127]) == (1, 3, 4032)


def ulaw_value(code: int) -> int:
    """All bits of a mu-law byte are inverted; the first one set means positive."""
    value = 4 * ULAW_VALUES[~code & 0x7F]
    return value if code & 0x80 else -value


def alaw_value(code: int) -> int:
    """Every other bit of an A-law byte is inverted; the first one set means positive."""
    value = 8 * ALAW_VALUES[(code ^ 0x55) & 0x7F]
    return value if code & 0x80 else -value


def ulaw_code(sample: int) -> int:
    cut = sample >> 2
    interval = bisect_right(ULAW_EDGES, abs(cut)) - 1
    return (0xFF if cut >= 0 else 0x7F) ^ interval


def alaw_code(sample: int) -> int:
    cut = sample >> 3
    # A-law has no zero: its two innermost intervals meet there, so -1 is the negative one's first value.
    interval = bisect_right(ALAW_EDGES, cut if cut >= 0 else -1 - cut) - 1
    return (0x80 if cut >= 0 else 0) ^ interval ^ 0x55


def test_all_ulaw_codes_decode_as_the_recommendation_says() -> None:
    assert array("h", g711.ulaw_to_pcm(CODES)).tolist() == [ulaw_value(code) for code in CODES]


def test_all_alaw_codes_decode_as_the_recommendation_says() -> None:
    assert array("h", g711.alaw_to_pcm(CODES)).tolist() == [alaw_value(code) for code in CODES]


def test_all_samples_encode_to_ulaw_as_the_recommendation_says() -> None:
    assert g711.pcm_to_ulaw(PCM) == bytes(map(ulaw_code, SAMPLES))


def test_all_samples_encode_to_alaw_as_the_recommendation_says() -> None:
    assert g711.pcm_to_alaw(PCM) == bytes(map(alaw_code, SAMPLES))


def test_silence_is_zero_in_ulaw_and_the_smallest_value_in_alaw() -> None:
    assert g711.ulaw_to_pcm(bytes([g711.ULAW_SILENCE])) == bytes(2)
    assert g711.pcm_to_ulaw(bytes(2)) == bytes([g711.ULAW_SILENCE])
    assert array("h", g711.alaw_to_pcm(bytes([g711.ALAW_SILENCE])))[0] == 8
    assert g711.pcm_to_alaw(bytes(2)) == bytes([g711.ALAW_SILENCE])


def test_a_frame_is_20_ms_of_8000_samples_a_second() -> None:
    assert (g711.SAMPLE_RATE_HZ, g711.BYTES_PER_MS, g711.FRAME_MS, g711.FRAME_BYTES) == (8000, 8, 20, 160)


@pytest.mark.parametrize("encoding", ["mu-law", "a-law"])
def test_all_codes_decode_as_sox_decodes_them(encoding: str, sox: Callable[..., bytes]) -> None:
    decoded = sox("-D", *raw(encoding, 8), "-", *raw("signed-integer", 16), "-", stdin=CODES)
    ours = g711.ulaw_to_pcm(CODES) if encoding == "mu-law" else g711.alaw_to_pcm(CODES)
    assert ours == decoded


@pytest.mark.parametrize("encoding", ["mu-law", "a-law"])
def test_samples_encode_as_sox_encodes_them(encoding: str, sox: Callable[..., bytes]) -> None:
    """On what both see alike: sox rounds to 14 and 13 bits where we cut off."""
    bits = 14 if encoding == "mu-law" else 13
    pcm = array("h", range(-32768, 32768, 1 << 16 - bits)).tobytes()
    encoded = sox("-D", *raw("signed-integer", 16), "-", *raw(encoding, 8), "-", stdin=pcm)
    ours = g711.pcm_to_ulaw(pcm) if encoding == "mu-law" else g711.pcm_to_alaw(pcm)
    assert ours == encoded


def raw(encoding: str, bits: int) -> list[str]:
    return ["-t", "raw", "-r", "8000", "-c", "1", "-e", encoding, "-b", str(bits)]


def test_ulaw_becomes_the_alaw_code_of_its_value_with_its_sign() -> None:
    positive = {code: alaw_code(ulaw_value(code)) for code in CODES if code & 0x80}
    negative = {code ^ 0x80: alaw ^ 0x80 for code, alaw in positive.items()}
    assert g711.ulaw_to_alaw(CODES) == bytes((positive | negative)[code] for code in CODES)


def test_alaw_becomes_the_ulaw_code_of_its_value_with_its_sign() -> None:
    positive = {code: ulaw_code(alaw_value(code)) for code in CODES if code & 0x80}
    negative = {code ^ 0x80: ulaw ^ 0x80 for code, ulaw in positive.items()}
    assert g711.alaw_to_ulaw(CODES) == bytes((positive | negative)[code] for code in CODES)


def test_silence_stays_silence_between_the_laws() -> None:
    assert g711.ulaw_to_alaw(bytes([g711.ULAW_SILENCE])) == bytes([g711.ALAW_SILENCE])
    # A-law's smallest value lies nearer to mu-law's second than to its zero.
    assert abs(ulaw_value(g711.alaw_to_ulaw(bytes([g711.ALAW_SILENCE]))[0])) == 8


def test_changing_law_again_and_again_loses_nothing_after_the_first_time() -> None:
    once = g711.alaw_to_ulaw(g711.ulaw_to_alaw(CODES))
    assert g711.alaw_to_ulaw(g711.ulaw_to_alaw(once)) == once


@pytest.mark.parametrize(
    ("encode", "decode", "expected_db"),
    [(g711.pcm_to_ulaw, g711.ulaw_to_pcm, 39.4), (g711.pcm_to_alaw, g711.alaw_to_pcm, 39.0)],
)
def test_a_1020_hz_tone_keeps_its_signal_to_noise_ratio(
    encode: Callable[[bytes], bytes], decode: Callable[[bytes], bytes], expected_db: float
) -> None:
    """At 12 dB below full scale: the ratio moves by up to 3 dB with the level."""
    tone = np.rint(8000 * np.sin(2 * np.pi * 1020 * np.arange(8000) / 8000))
    heard = np.frombuffer(decode(encode(tone.astype("<i2").tobytes())), "<i2")
    snr_db = 10 * np.log10(np.mean(tone**2) / np.mean((heard - tone) ** 2))
    assert snr_db == pytest.approx(expected_db, abs=0.1)


@pytest.mark.parametrize("encode", [g711.pcm_to_ulaw, g711.pcm_to_alaw])
def test_encoding_half_a_sample_is_refused_with_the_remedy(encode: Callable[[bytes], bytes]) -> None:
    with pytest.raises(AudioError, match="3 bytes are not whole PCM16 samples: keep the odd byte"):
        encode(bytes(3))


def test_importing_warns_nobody() -> None:
    """Python 3.11 and 3.12 deprecate audioop: no concern of whoever runs phonebot."""
    subprocess.run([sys.executable, "-W", "error", "-c", "import phonebot.audio.g711"], check=True)
