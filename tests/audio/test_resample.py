"""Resampling, judged one way at a time against the tones it should and should not let through."""

import subprocess
import sys
from itertools import accumulate, pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from phonebot.audio.resample import RATES_HZ, Resampler, resample
from phonebot.errors import AudioError

STREAMING = list(permutations((8000, 16000, 24000), 2))
ALL = [*STREAMING, (22050, 8000), (44100, 8000), (11025, 24000), (48000, 8000)]

Signal = NDArray[np.float64]


def tone(hertz: float, rate_hz: int, seconds: float = 0.4, amplitude: float = 8000.0) -> Signal:
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate_hz)) / rate_hz)


def to_pcm(signal: Signal) -> bytes:
    return np.rint(signal).astype("<i2").tobytes()


def from_pcm(pcm: bytes) -> Signal:
    return np.frombuffer(pcm, "<i2").astype(np.float64)


def steady(signal: Signal) -> Signal:
    """Without a tenth at either end, where the tone is switched on and off."""
    margin = len(signal) // 10
    return signal[margin : len(signal) - margin]


def level_db(signal: Signal, hertz: float, rate_hz: int, reference: float = 8000.0) -> float:
    """The amplitude of one frequency, relative to the tone that went in."""
    kept = steady(signal)
    window = np.blackman(len(kept))
    turning = np.exp(-2j * np.pi * hertz * np.arange(len(kept)) / rate_hz)
    amplitude = 2 * abs(np.sum(kept * window * turning)) / np.sum(window)
    return float(20 * np.log10(max(amplitude, 1e-9) / reference))


def snr_db(heard: Signal, meant: Signal) -> float:
    return float(10 * np.log10(np.mean(meant**2) / np.mean((heard - meant) ** 2)))


@given(
    st.sampled_from([*STREAMING, (22050, 8000)]),
    st.binary(max_size=6000),
    st.lists(st.integers(0, 1500), max_size=12),
)
def test_the_result_does_not_depend_on_how_the_input_is_cut(
    rates: tuple[int, int], pcm: bytes, chunk_sizes: list[int]
) -> None:
    """Chunks of any size, empty ones and half samples among them."""
    whole, cut = Resampler(*rates), Resampler(*rates)
    edges = [0, *accumulate(chunk_sizes), max(len(pcm), sum(chunk_sizes))]
    parts = [cut.feed(pcm[start:end]) for start, end in pairwise(edges)]
    assert b"".join([*parts, cut.flush()]) == whole.feed(pcm) + whole.flush()


@pytest.mark.parametrize("rates", STREAMING)
def test_ten_seconds_at_once_are_the_same_as_frame_by_frame(rates: tuple[int, int]) -> None:
    from_hz, _ = rates
    noise = np.random.default_rng(1).integers(-32768, 32768, 10 * from_hz).astype("<i2").tobytes()
    frame_bytes = 2 * from_hz // 50
    resampler = Resampler(*rates)
    frames = [resampler.feed(noise[at : at + frame_bytes]) for at in range(0, len(noise), frame_bytes)]
    assert b"".join([*frames, resampler.flush()]) == resample(noise, *rates)


@pytest.mark.parametrize("rates", ALL)
@pytest.mark.parametrize("samples", [0, 1, 2, 3, 159, 160, 161, 441, 1000])
def test_the_output_has_a_sample_for_each_instant_within_the_input(rates: tuple[int, int], samples: int) -> None:
    from_hz, to_hz = rates
    within = sum(1 for j in range(10 * samples + 10) if j * from_hz < samples * to_hz)
    assert len(resample(bytes(2 * samples), *rates)) == 2 * within


@pytest.mark.parametrize("rates", STREAMING)
@pytest.mark.parametrize("at_ms", [0, 1, 7, 39])
def test_a_pulse_comes_out_when_it_went_in(rates: tuple[int, int], at_ms: int) -> None:
    from_hz, to_hz = rates
    pulse = np.zeros(40 * from_hz // 1000)
    pulse[at_ms * from_hz // 1000] = 10_000
    heard = from_pcm(resample(to_pcm(pulse), *rates))
    assert np.argmax(np.abs(heard)) == at_ms * to_hz // 1000


@pytest.mark.parametrize("rates", ALL)
def test_a_1020_hz_tone_is_the_tone_sampled_at_the_other_rate(rates: tuple[int, int]) -> None:
    """Level, phase and purity in one: the output is compared with the sine itself at the output's instants."""
    from_hz, to_hz = rates
    heard = from_pcm(resample(to_pcm(tone(1020, from_hz)), *rates))
    assert snr_db(steady(heard), steady(tone(1020, to_hz))) > 73


@pytest.mark.parametrize("rates", ALL)
@pytest.mark.parametrize("hertz", [300, 1020, 3200])
def test_the_telephone_band_passes_within_half_a_db(rates: tuple[int, int], hertz: int) -> None:
    from_hz, to_hz = rates
    heard = from_pcm(resample(to_pcm(tone(hertz, from_hz)), *rates))
    assert abs(level_db(heard, hertz, to_hz)) < 0.5


@pytest.mark.parametrize("hertz", [300, 1020, 3200, 3400])
@pytest.mark.parametrize("to_hz", [16000, 24000])
def test_going_up_leaves_no_image(to_hz: int, hertz: int) -> None:
    """Sampling at 8 kHz repeats the spectrum around each multiple of 8 kHz; what is above 4 kHz must go."""
    heard = from_pcm(resample(to_pcm(tone(hertz, 8000)), 8000, to_hz))
    images = [8000 - hertz, 8000 + hertz, 16000 - hertz]
    assert [image for image in images if image < to_hz / 2 and level_db(heard, image, to_hz) > -60] == []


@pytest.mark.parametrize("hertz", [4300, 4600, 4800, 6000, 7900])
@pytest.mark.parametrize("from_hz", [16000, 22050, 24000])
def test_going_down_leaves_no_alias(from_hz: int, hertz: int) -> None:
    """A tone above 4 kHz would come out mirrored, at 8 kHz less its own frequency."""
    heard = from_pcm(resample(to_pcm(tone(hertz, from_hz)), from_hz, 8000))
    assert level_db(heard, 8000 - hertz, 8000) < -60


@pytest.mark.parametrize("rates", [(16000, 24000), (24000, 16000)])
def test_wideband_passes_between_the_model_rates(rates: tuple[int, int]) -> None:
    from_hz, to_hz = rates
    heard = from_pcm(resample(to_pcm(tone(6400, from_hz)), *rates))
    assert abs(level_db(heard, 6400, to_hz)) < 0.5


def test_up_and_down_again_returns_the_telephone_band() -> None:
    spoken = sum((tone(hertz, 8000, amplitude=2000) for hertz in (310, 1020, 2510, 3200)), np.zeros(3200))
    heard = from_pcm(resample(resample(to_pcm(spoken), 8000, 24000), 24000, 8000))
    assert snr_db(steady(heard), steady(spoken)) > 50


@pytest.mark.parametrize("rates", list(permutations(RATES_HZ, 2)))
def test_a_constant_keeps_its_level_exactly(rates: tuple[int, int]) -> None:
    heard = from_pcm(resample(to_pcm(np.full(4000, -32000.0)), *rates))
    assert set(steady(heard)) == {-32000}


@pytest.mark.parametrize("rates", ALL)
def test_a_full_scale_step_is_clipped_and_does_not_wrap_around(rates: tuple[int, int]) -> None:
    """The filter overshoots by a tenth; as 16 bits that would turn to the other sign."""
    heard = from_pcm(resample(to_pcm(np.repeat([0.0, 32767.0], 1000)), *rates))
    assert max(heard) == 32767
    assert min(heard) > -8000


def test_a_frame_of_20_ms_is_given_out_but_for_2500_us() -> None:
    resampler = Resampler(8000, 24000)
    given = [len(resampler.feed(bytes(320))) // 2 for _ in range(3)]
    assert given == [(160 - 20) * 3, 480, 480]
    assert len(resampler.flush()) // 2 == 20 * 3


def test_half_a_sample_waits_for_its_other_half() -> None:
    pcm = to_pcm(tone(1020, 8000))
    resampler = Resampler(8000, 24000)
    heard = resampler.feed(pcm[:101]) + resampler.feed(pcm[101:]) + resampler.flush()
    assert heard == resample(pcm, 8000, 24000)


def test_half_a_sample_at_the_end_is_dropped() -> None:
    resampler = Resampler(24000, 8000)
    assert len(resampler.feed(bytes(961)) + resampler.flush()) == 320


def test_a_flushed_resampler_is_as_new() -> None:
    pcm = to_pcm(tone(1020, 24000, seconds=0.1))
    resampler = Resampler(24000, 8000)
    first = resampler.feed(pcm + b"\x7f") + resampler.flush()
    assert resampler.feed(pcm) + resampler.flush() == first


def test_flushing_a_resampler_that_was_fed_nothing_gives_nothing() -> None:
    assert Resampler(8000, 24000).flush() == b""


def test_an_utterance_at_its_own_rate_is_returned_unchanged() -> None:
    assert resample(b"\x01\x02", 24000, 24000) == b"\x01\x02"


def test_all_listed_rates_convert_into_each_other() -> None:
    for from_hz, to_hz in permutations(RATES_HZ, 2):
        assert len(resample(bytes(2 * from_hz // 25), from_hz, to_hz)) == 2 * to_hz // 25


@pytest.mark.parametrize(
    ("from_hz", "to_hz", "problem"),
    [
        (44101, 8000, "from 44101 Hz to 8000 Hz: 44101 is none of 8000, 11025"),
        (8000, 0, "from 8000 Hz to 0 Hz: 0 is none of"),
        (8000, 8000, "both rates are 8000 Hz"),
    ],
)
def test_rates_without_a_filter_are_refused(from_hz: int, to_hz: int, problem: str) -> None:
    with pytest.raises(AudioError, match=problem):
        Resampler(from_hz, to_hz)


def test_an_utterance_that_ends_in_half_a_sample_is_refused() -> None:
    with pytest.raises(AudioError, match="3 bytes are not whole PCM16 samples"):
        resample(bytes(3), 8000, 16000)


def test_numpy_is_imported_only_when_something_is_resampled() -> None:
    check = (
        "import sys; from phonebot.audio import resample, transcode, wav; before = 'numpy' in sys.modules;"
        "resample.Resampler(8000, 24000); sys.exit(before or 'numpy' not in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
