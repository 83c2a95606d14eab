"""The voice of the phone: speech to a detector, and always the same."""

from phonebot.audio.g711 import ulaw_to_pcm
from phonebot.audio.vad import SpeechDetector
from phonebot.rehearsal.voice import spoken


def test_a_detector_takes_it_for_speech() -> None:
    found = SpeechDetector().feed(b"\xff" * 8000 + spoken("What are your opening hours?") + b"\xff" * 8000)
    assert not any(found[:49])
    assert sum(found) > 0.7 * (len(found) - 100)
    assert not any(found[-25:])


def test_a_longer_text_takes_longer_and_each_word_sounds_its_own_way() -> None:
    assert len(spoken("hello there")) > len(spoken("hello")) > 8 * 300
    assert spoken("hello") == spoken("hello")
    assert spoken("hello") != spoken("jello")


def test_nothing_is_said_in_an_empty_text() -> None:
    assert spoken(" ") == b""


def test_it_is_not_distorted() -> None:
    pcm = memoryview(ulaw_to_pcm(spoken("opening"))).cast("h")
    assert 10_000 < max(map(abs, pcm)) < 13_000
