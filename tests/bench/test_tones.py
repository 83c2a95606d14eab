"""Audio that tells whose it is, also after it was transcoded."""

from base64 import b64decode

import pytest

from phonebot.audio.transcode import Format, transcoder
from phonebot.bench.tones import LEVELS, sounding_ms, tone

FORMATS: tuple[Format, ...] = ("pcmu", "pcma", "pcm24k")
EDGES_MS = 0.25  # a sample at either end


def as_mulaw(audio: bytes, audio_format: Format) -> bytes:
    converter = transcoder(audio_format, "pcmu")
    return audio if converter is None else converter.feed(audio) + converter.flush()


@pytest.mark.parametrize("audio_format", FORMATS)
@pytest.mark.parametrize("item", range(len(LEVELS)))
def test_an_items_audio_is_recognised_to_the_sample(item: int, audio_format: Format) -> None:
    audio = as_mulaw(b64decode(tone(item, 130, audio_format)), audio_format)

    sounding = sounding_ms([audio], len(LEVELS))

    assert len(audio) == 130 * 8
    assert sounding[item] == pytest.approx(130, abs=EDGES_MS if audio_format == "pcm24k" else 0)
    assert sum(sounding) == sounding[item]


def test_frames_of_several_items_and_silence_are_told_apart() -> None:
    frame = b64decode(tone(0, 12)) + b64decode(tone(1, 5)) + b"\xff" * 24

    assert sounding_ms([frame, b"\xff" * 160, b64decode(tone(1, 20))], 3) == [12, 25, 0]
