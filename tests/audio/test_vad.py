"""The detector of speech on recorded callers, on noise, and on both at once."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phonebot.audio import wav
from phonebot.audio.g711 import BYTES_PER_MS, FRAME_BYTES, FRAME_MS, pcm_to_ulaw, ulaw_to_pcm
from phonebot.audio.vad import NoiseFloor, SpeechDetector

FIXTURES = Path(__file__).parents[2] / "fixtures"
SILENCE = b"\xff"
CLEAN = ["demo/book", "demo/that-is-right", "demo/hours", "demo/goodbye", "audio/caller-emergency-rms"]
UNKNOWN_FLOOR_MS = NoiseFloor.BLOCK_FRAMES * FRAME_MS


def recorded(name: str) -> bytes:
    """A fixture as mu-law."""
    return pcm_to_ulaw(wav.read(FIXTURES / f"{name}.wav").data)


def quiet(ms: int) -> bytes:
    return SILENCE * (ms * BYTES_PER_MS)


def noise(ms: int, rms: float) -> np.ndarray:
    return np.random.default_rng(3).normal(0, rms, ms * BYTES_PER_MS)


def in_noise(ulaw: bytes, rms: float) -> bytes:
    """The same on a line with white noise, full scale being 32767."""
    samples = np.frombuffer(ulaw_to_pcm(ulaw), "<i2") + noise(len(ulaw) // BYTES_PER_MS, rms)
    return pcm_to_ulaw(samples.clip(-32768, 32767).astype("<i2").tobytes())


def loudness(ulaw: bytes) -> float:
    """The root mean square of what is sound in it."""
    samples = np.frombuffer(ulaw_to_pcm(ulaw), "<i2").astype(float)
    begin_ms, end_ms = span_of_sound_ms(ulaw)
    return float(np.sqrt(np.mean(np.square(samples[begin_ms * BYTES_PER_MS : end_ms * BYTES_PER_MS]))))


def span_of_sound_ms(ulaw: bytes) -> tuple[int, int]:
    """Where the sound of a recording begins and ends that has digital silence around it."""
    loud = np.flatnonzero(np.abs(np.frombuffer(ulaw_to_pcm(ulaw), "<i2").astype(int)) > 100)
    return int(loud[0]) // BYTES_PER_MS, int(loud[-1]) // BYTES_PER_MS


def speech_ms(ulaw: bytes, above_noise_db: float = 9.0) -> list[int]:
    """The times at which the frames begin that a new detector takes for speech."""
    frames = SpeechDetector(above_noise_db).feed(ulaw)
    return [index * FRAME_MS for index, speech in enumerate(frames) if speech]


def longest_gap_ms(speech: list[int]) -> int:
    return max(later - earlier for earlier, later in itertools.pairwise(speech))


@pytest.mark.parametrize("name", CLEAN)
def test_clean_speech_is_found_within_40_ms_of_its_begin_and_end(name: str) -> None:
    audio = recorded(name)
    begin_ms, end_ms = span_of_sound_ms(audio)
    speech = speech_ms(audio)
    assert abs(speech[0] - begin_ms) <= 40
    assert abs(speech[-1] + FRAME_MS - end_ms) <= 40
    assert longest_gap_ms(speech) <= 100


def test_a_second_voice_and_recorded_noise_are_no_obstacle() -> None:
    for name, begin_ms, end_ms in [
        ("audio/caller-offtopic-awb", 523, 2_441),
        ("audio/caller-hours-rms-noise", 480, 2_440),
    ]:
        speech = speech_ms(recorded(name))
        assert abs(speech[0] - begin_ms) <= 60
        assert abs(speech[-1] + FRAME_MS - end_ms) <= 60


def test_the_bots_own_kind_of_voice_is_speech_from_its_first_frame() -> None:
    speech = speech_ms(recorded("audio/bot-hours-espeak"))
    assert speech[0] == 0
    assert longest_gap_ms(speech) < 300


@pytest.mark.parametrize("snr_db", [20, 15])
@pytest.mark.parametrize("name", CLEAN[:4])
def test_speech_in_noise_is_found_and_ends(name: str, snr_db: int) -> None:
    audio = quiet(3_000) + recorded(name) + quiet(3_000)
    begin_ms, end_ms = span_of_sound_ms(audio)
    found = speech_ms(in_noise(audio, loudness(audio) / 10 ** (snr_db / 20)))
    heard = [at for at in found if at >= UNKNOWN_FLOOR_MS]
    assert abs(heard[0] - begin_ms) <= 60
    assert -140 <= heard[-1] + FRAME_MS - end_ms <= 20
    assert longest_gap_ms(heard) <= 200


def test_recorded_noise_is_no_speech() -> None:
    assert speech_ms(recorded("audio/noise-only") * 5) == []


@pytest.mark.parametrize("audio", [quiet(10_000), in_noise(quiet(10_000), 40)])
def test_a_quiet_line_is_no_speech(audio: bytes) -> None:
    assert speech_ms(audio) == []


def test_loud_steady_noise_is_no_speech_once_the_floor_is_known() -> None:
    """WebRTC's detector alone takes all of it for speech."""
    assert max(speech_ms(in_noise(quiet(10_000), 1_500)), default=0) < UNKNOWN_FLOOR_MS


def test_a_line_that_grows_loud_is_followed_within_the_window() -> None:
    audio = in_noise(quiet(5_000), 20) + in_noise(quiet(10_000), 1_500)
    window_ms = (NoiseFloor.BLOCKS + 1) * NoiseFloor.BLOCK_FRAMES * FRAME_MS
    assert max(speech_ms(audio)) < 5_000 + window_ms


def test_a_caller_who_speaks_from_the_first_frame_is_heard() -> None:
    audio = recorded("demo/hours")
    begin_ms, _ = span_of_sound_ms(audio)
    assert speech_ms(audio[begin_ms * BYTES_PER_MS :])[0] <= 60


def test_a_caller_who_talks_for_long_is_not_taken_for_the_lines_noise() -> None:
    phrase = recorded("demo/book")
    begin_ms, end_ms = span_of_sound_ms(phrase)
    talk = phrase[begin_ms * BYTES_PER_MS : end_ms * BYTES_PER_MS] * 10
    speech = speech_ms(talk)
    assert longest_gap_ms(speech) < 300  # less than any pause that ends a turn
    assert len(talk) // BYTES_PER_MS - speech[-1] < 300


def test_a_detector_that_asks_for_more_leaves_quiet_speech_out() -> None:
    phrase = recorded("demo/hours")
    audio = in_noise(quiet(1_000) + phrase, loudness(phrase) / 10 ** (12 / 20))
    assert len(speech_ms(audio, above_noise_db=15.0)) < len(speech_ms(audio, above_noise_db=3.0)) / 2


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3 * FRAME_BYTES), max_size=40))
def test_audio_is_judged_alike_however_it_is_cut(sizes: list[int]) -> None:
    audio = recorded("demo/that-is-right")[400 * BYTES_PER_MS :]
    detector, frames, at = SpeechDetector(), [], 0
    for size in sizes:
        frames += detector.feed(audio[at : at + size])
        at += size
    assert len(frames) == min(at, len(audio)) // FRAME_BYTES
    assert frames == SpeechDetector().feed(audio)[: len(frames)]


def test_the_floor_is_the_least_level_of_its_window() -> None:
    floor = NoiseFloor()
    levels = [floor.feed(rms) for rms in [50.0] * 100 + [2_000.0] * 140]
    assert levels[-1] == 50
    assert floor.feed(30.0) == 50  # a single frame does not count in full
    levels = [floor.feed(2_000.0) for _ in range(200)]
    assert levels[-1] > 1_000


def test_the_floor_of_a_line_just_opened_is_a_quiet_ones() -> None:
    floor = NoiseFloor()
    levels = [floor.feed(2_000.0) for _ in range(NoiseFloor.BLOCK_FRAMES + 1)]
    assert set(levels[:-1]) == {NoiseFloor.UNKNOWN_MAX_RMS}
    assert levels[-1] == 2_000
