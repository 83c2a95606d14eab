import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from phonebot.audio import wav
from phonebot.errors import AudioError, SettingsError
from phonebot.simulator.mind import DETECTOR_FRAME_BYTES as FRAME_BYTES
from phonebot.simulator.mind import DETECTOR_FRAME_MS as FRAME_MS
from phonebot.simulator.vad import NoiseFloor, SpeechDetector

FIXTURES = Path(__file__).parents[2] / "fixtures"
SECOND = 16000  # bytes of PCM16 at 8 kHz
RNG_SEED = 7


def phrase(name: str = "demo/hours.wav") -> bytes:
    return wav.read(FIXTURES / name).data


def noise(duration_s: float, rms: float) -> bytes:
    """White noise, which WebRTC's VAD alone takes for speech when it is loud."""
    samples = np.random.default_rng(RNG_SEED).normal(0, rms, int(8000 * duration_s))
    return bytes(samples.clip(-32768, 32767).astype("<i2"))


def mixed(one: bytes, other: bytes) -> bytes:
    length = min(len(one), len(other))
    total = np.frombuffer(one[:length], "<i2").astype(int) + np.frombuffer(other[:length], "<i2")
    return bytes(total.clip(-32768, 32767).astype("<i2"))


def speech_ms(pcm: bytes) -> list[int]:
    """The times at which the frames begin that a new detector takes for speech."""
    detector = SpeechDetector()
    frames = [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES)]
    return [index * FRAME_MS for index, frame in enumerate(frames) if detector.feed(frame)]


def span_of_sound_ms(pcm: bytes) -> tuple[int, int]:
    """Where the sound of a clip that has digital silence around it begins and ends."""
    loud = np.flatnonzero(np.abs(np.frombuffer(pcm, "<i2").astype(int)) > 100)
    return int(loud[0]) // 8, int(loud[-1]) // 8


def test_digital_silence_is_no_speech() -> None:
    assert speech_ms(bytes(10 * SECOND)) == []


def test_faint_line_noise_is_no_speech() -> None:
    assert speech_ms(noise(10, rms=40)) == []


def test_loud_steady_noise_ceases_to_be_speech_once_the_floor_is_known() -> None:
    speech = speech_ms(noise(10, rms=1500))
    assert [at for at in speech if at > NoiseFloor.SETTLED_FRAMES * FRAME_MS] == []


def test_recorded_noise_is_no_turn() -> None:
    """A frame may be mistaken before the floor is known; a turn takes five."""
    assert len(speech_ms(phrase("audio/noise-only.wav") * 5)) < 5


@pytest.mark.parametrize("name", ["book", "that-is-right", "hours", "goodbye"])
def test_a_phrase_begins_and_ends_near_its_sound(name: str) -> None:
    pcm = bytes(SECOND) + phrase(f"demo/{name}.wav") + bytes(SECOND)
    starts, ends = span_of_sound_ms(pcm)
    speech = speech_ms(pcm)
    assert starts - FRAME_MS <= speech[0] <= starts + 110
    assert ends - 200 <= speech[-1] <= ends + 120


def test_a_phrase_has_no_gap_as_long_as_the_end_of_a_turn() -> None:
    speech = speech_ms(phrase("demo/book.wav"))
    assert max(later - earlier for earlier, later in itertools.pairwise(speech)) < 400


@pytest.mark.parametrize("snr_db", [20, 10])
def test_a_phrase_in_noise_is_found_and_ends(snr_db: int) -> None:
    pcm = bytes(3 * SECOND) + phrase() + bytes(3 * SECOND)
    starts, ends = span_of_sound_ms(pcm)
    loudness = np.sqrt(np.mean(np.square(np.frombuffer(phrase(), "<i2").astype(float))))
    speech = speech_ms(mixed(pcm, noise(20, rms=float(loudness) / 10 ** (snr_db / 20))))
    heard = [at for at in speech if at > NoiseFloor.SETTLED_FRAMES * FRAME_MS]
    assert starts - 100 <= heard[0] <= starts + 150
    assert heard[-1] <= ends + 200


def test_a_caller_who_speaks_from_the_first_frame_is_heard() -> None:
    pcm = phrase()
    starts, _ = span_of_sound_ms(pcm)
    assert speech_ms(pcm[starts * 16 :])[0] <= 110


def test_a_caller_in_noise_is_heard_again_after_ten_seconds_of_talking() -> None:
    pcm = mixed(phrase() * 4 + bytes(3 * SECOND) + phrase(), noise(30, rms=150))
    assert max(speech_ms(pcm)) > (len(pcm) - len(phrase())) // 16


def test_a_detector_for_louder_speech_leaves_quiet_speech_out() -> None:
    quiet = (np.frombuffer(phrase(), "<i2") // 16).astype("<i2").tobytes()
    pcm = mixed(bytes(SECOND) + quiet, noise(10, rms=60))
    strict = SpeechDetector(above_floor_db=20.0)
    frames = [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES)]
    assert sum(map(strict.feed, frames)) < len(speech_ms(pcm)) / 2


@pytest.mark.parametrize("size", [0, 1, 160, 318, 640])
def test_a_frame_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(AudioError, match=f"320 bytes, not {size}"):
        SpeechDetector().feed(bytes(size))


def test_a_missing_package_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "webrtcvad", None)
    with pytest.raises(SettingsError, match=r'pip install "phonebot\[demo\]"'):
        SpeechDetector()


def test_the_noise_floor_follows_the_line_within_its_window() -> None:
    floor = NoiseFloor()
    assert floor.rms == 0
    for _ in range(NoiseFloor.WINDOW_FRAMES):
        floor.feed(50)
    assert floor.rms == 50
    for _ in range(NoiseFloor.WINDOW_FRAMES):
        floor.feed(400)
    assert floor.rms == 400


def test_the_noise_floor_is_below_speech_that_has_gaps() -> None:
    floor = NoiseFloor()
    for _ in range(10):
        for rms in [3000] * 8 + [20] * 2:
            floor.feed(rms)
    assert floor.rms == 20
