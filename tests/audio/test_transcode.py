"""Every pair of formats, as a stream."""

from itertools import permutations
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonebot.audio import g711
from phonebot.audio.resample import resample
from phonebot.audio.transcode import Format, Transcoder, transcoder

FORMATS: tuple[Format, ...] = ("pcmu", "pcma", "pcm24k")
PAIRS = list(permutations(FORMATS, 2))
BYTES_PER_MS = {"pcmu": 8, "pcma": 8, "pcm24k": 48}
SILENCE = {"pcmu": b"\xff", "pcma": b"\xd5", "pcm24k": b"\x00"}


def convert(source: Format, target: Format, audio: bytes) -> bytes:
    stream = Transcoder(source, target)
    return stream.feed(audio) + stream.flush()


@pytest.mark.parametrize("name", FORMATS)
def test_equal_formats_need_no_transcoder(name: Format) -> None:
    assert transcoder(name, name) is None


@pytest.mark.parametrize("pair", PAIRS)
def test_different_formats_get_the_transcoder_for_them(pair: tuple[Format, Format]) -> None:
    stream = transcoder(*pair)
    assert stream is not None
    audio = bytes(range(256)) * 3
    assert stream.feed(audio) + stream.flush() == convert(*pair, audio)


@pytest.mark.parametrize("pair", PAIRS)
def test_the_output_lasts_as_long_as_the_input(pair: tuple[Format, Format]) -> None:
    source, target = pair
    assert len(convert(source, target, bytes(1000 * BYTES_PER_MS[source]))) == 1000 * BYTES_PER_MS[target]


@pytest.mark.parametrize("target", ["pcmu", "pcm24k"])
def test_alaw_becomes_ulaw_or_pcm_of_the_same_sound(target: Format) -> None:
    audio = bytes(range(256))
    expected = g711.alaw_to_ulaw(audio) if target == "pcmu" else resample(g711.alaw_to_pcm(audio), 8000, 24000)
    assert convert("pcma", target, audio) == expected


@pytest.mark.parametrize("target", ["pcma", "pcm24k"])
def test_ulaw_becomes_alaw_or_pcm_of_the_same_sound(target: Format) -> None:
    audio = bytes(range(256))
    expected = g711.ulaw_to_alaw(audio) if target == "pcma" else resample(g711.ulaw_to_pcm(audio), 8000, 24000)
    assert convert("pcmu", target, audio) == expected


@pytest.mark.parametrize("target", ["pcmu", "pcma"])
def test_the_models_tone_reaches_the_caller_as_clean_as_g711_allows(target: Format) -> None:
    """1020 Hz at 12 dB below full scale: resampling costs nothing on top of the law's own 39 dB."""
    sine = np.sin(2 * np.pi * 1020 * np.arange(24000) / 24000)
    audio = np.rint(8000 * sine).astype("<i2").tobytes()
    decode = g711.ulaw_to_pcm if target == "pcmu" else g711.alaw_to_pcm
    heard = np.frombuffer(decode(convert("pcm24k", target, audio)), "<i2")[100:-100]
    meant = 8000 * sine[::3][100:-100]
    assert 10 * np.log10(np.mean(meant**2) / np.mean((heard - meant) ** 2)) > 38.5


@pytest.mark.parametrize("target", ["pcmu", "pcma"])
def test_the_models_silence_is_the_callers_silence(target: Format) -> None:
    assert convert("pcm24k", target, bytes(48 * 20)) == SILENCE[target] * 160


@given(st.sampled_from(PAIRS), st.binary(max_size=3000), st.integers(1, 700))
def test_the_result_does_not_depend_on_the_size_of_the_chunks(
    pair: tuple[Format, Format], audio: bytes, chunk_bytes: int
) -> None:
    stream = Transcoder(*pair)
    chunks = [stream.feed(audio[at : at + chunk_bytes]) for at in range(0, len(audio), chunk_bytes)]
    assert b"".join([*chunks, stream.flush()]) == convert(*pair, audio)


@pytest.mark.parametrize("pair", PAIRS)
def test_one_transcoder_serves_item_after_item(pair: tuple[Format, Format]) -> None:
    """The second item starts clean, although the first ended loud and in half a sample."""
    stream = Transcoder(*pair)
    stream.feed(b"\x7f" * 1001)
    stream.flush()
    assert stream.feed(bytes(960)) + stream.flush() == convert(*pair, bytes(960))


def test_only_the_tables_answer_at_once() -> None:
    assert len(Transcoder("pcmu", "pcma").feed(bytes(160))) == 160
    assert Transcoder("pcmu", "pcma").flush() == b""
    assert Transcoder("pcmu", "pcm24k").feed(bytes(20)) == b""


def test_equal_formats_are_refused_by_the_class_itself() -> None:
    with pytest.raises(ValueError, match="pcmu to pcmu needs no transcoder"):
        Transcoder("pcmu", "pcmu")


def test_an_unknown_format_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no such audio format: 'opus'; there are pcmu, pcma, pcm24k"):
        Transcoder("pcmu", cast(Format, "opus"))
