from array import array
from pathlib import Path

import pytest

from phonebot.simulator.recogniser import Recogniser, UnknownWords, framed

PHRASES = ["that is right", "no thank you"]
MS = 16  # bytes of PCM16 at 8 kHz


def tone(duration_ms: int, amplitude: int) -> bytes:
    return array("h", [amplitude, -amplitude] * (4 * duration_ms)).tobytes()


@pytest.mark.parametrize(("before_ms", "after_ms"), [(0, 0), (20, 500), (400, 100), (200, 2000)])
def test_an_utterance_gets_the_same_silence_around_it_wherever_it_was_cut(before_ms: int, after_ms: int) -> None:
    sound = tone(600, 8000)
    faint = tone(after_ms, 8000 // 101)
    assert framed(bytes(before_ms * MS) + sound + faint) == bytes(200 * MS) + sound + bytes(200 * MS)


def test_quiet_sounds_and_pauses_within_an_utterance_are_kept() -> None:
    sound = tone(100, 200) + bytes(500 * MS) + tone(300, 8000) + tone(100, 200)
    assert framed(sound) == bytes(200 * MS) + sound + bytes(200 * MS)


@pytest.mark.parametrize("pcm", [b"", bytes(10 * MS), bytes(1000 * MS)])
def test_of_silence_only_silence_is_left(pcm: bytes) -> None:
    assert framed(pcm) == bytes(200 * MS)


def test_silence_has_no_words(tmp_path: Path) -> None:
    assert Recogniser(PHRASES, {}, tmp_path).recognise(bytes(1000 * MS)) == ""


def test_unknown_words_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownWords) as raised:
        Recogniser([*PHRASES, "mxyzptlk or", "12 o'clock"], {}, tmp_path)
    assert raised.value.words == ("12", "mxyzptlk")


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file is in the place of the folder."""
    cache = tmp_path / "cache"
    cache.touch()
    with pytest.raises(OSError, match="cache"):
        Recogniser(PHRASES, {}, cache)
