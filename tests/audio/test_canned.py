"""What callers hear where the model cannot speak."""

from base64 import b64decode
from pathlib import Path

import make_clips
import numpy as np
import pytest

from phonebot.audio import wav
from phonebot.audio.canned import BUILT_IN, NAMES, Clips, built_in_words
from phonebot.audio.g711 import FRAME_BYTES, SAMPLE_RATE_HZ, ulaw_to_pcm
from phonebot.audio.wav import Wav
from phonebot.errors import AudioError

EVERY = [(language, name) for language in built_in_words() for name in NAMES]


def samples(ulaw: bytes) -> make_clips.Samples:
    return np.frombuffer(ulaw_to_pcm(ulaw), "<i2") / 32_768


def own(folder: Path, words: str, *clips: str) -> Path:
    (folder / "words.toml").write_text(words)
    for clip in clips:
        (folder / clip).parent.mkdir(exist_ok=True)
        wav.write(folder / clip, Wav("pcmu", SAMPLE_RATE_HZ, 1, b"\x55" * 800))
    return folder


def test_every_language_has_every_clip_and_no_other_file_lies_there() -> None:
    assert {"de", "en", "es", "fr", "it", "nl", "pl", "pt", "sv"} == set(built_in_words())
    assert all(set(texts) == set(NAMES) for texts in built_in_words().values())
    files = {path.relative_to(BUILT_IN).as_posix() for path in BUILT_IN.rglob("*") if path.is_file()}
    assert files == {"words.toml", *(f"{language}/{name}.ulaw" for language, name in EVERY)}
    assert sum((BUILT_IN / file).stat().st_size for file in files) < 1_500_000


@pytest.mark.parametrize(("language", "name"), EVERY)
async def test_a_clip_says_its_words_and_no_others(language: str, name: str) -> None:
    """Its words, spoken now, take as long: so it was made anew when they were changed."""
    clip = getattr(Clips().of(language), name)
    now = await make_clips.spoken(language, clip.text)
    # espeak-ng's noise is never the same twice: a frame more or less may count as silence.
    assert abs(len(b64decode(clip.audio)) - len(now)) <= 3 * FRAME_BYTES


@pytest.mark.parametrize(("language", "name"), EVERY)
def test_a_clip_is_whole_frames_as_loud_as_speech_on_the_line_and_fades(language: str, name: str) -> None:
    ulaw = b64decode(getattr(Clips().of(language), name).audio)
    assert len(ulaw) % FRAME_BYTES == 0
    heard = samples(ulaw)
    speech = heard[make_clips.heard(heard).repeat(FRAME_BYTES)]
    assert -22 < 10 * np.log10((speech**2).mean()) < -18
    assert abs(heard).max() <= make_clips.PEAK
    assert abs(heard[:8]).max() < 0.01
    assert abs(heard[-8:]).max() < 0.01


@pytest.mark.parametrize(
    ("language", "spoken"),
    [("de", "de"), ("de-AT", "de"), ("pt-BR", "pt"), ("EN-us", "en"), ("zh-Hant-TW", "en"), ("sw", "en")],
)
def test_a_language_that_has_none_falls_back_to_the_wider_one_then_to_english(language: str, spoken: str) -> None:
    assert Clips().of(language) == Clips().of(spoken)
    assert Clips().of(language).wait.text == built_in_words()[spoken]["wait"]


def test_an_operators_own_clip_is_taken_before_ours_and_the_others_stay(tmp_path: Path) -> None:
    folder = own(tmp_path, '[de]\nwait = "Momentchen."\n[sw]\nbusy = "Subiri."', "de/wait.wav", "sw/busy.wav")
    clips = Clips(folder)
    assert clips.of("de-CH").wait.text == "Momentchen."
    assert b64decode(clips.of("de-CH").wait.audio) == b"\x55" * 800
    assert clips.of("de-CH").trouble == Clips().of("de").trouble
    assert clips.of("en").wait == Clips().of("en").wait
    assert (clips.of("sw").busy.text, clips.of("sw").wait) == ("Subiri.", Clips().of("en").wait)


def test_an_operators_own_english_is_the_last_resort(tmp_path: Path) -> None:
    clips = Clips(own(tmp_path, '[en]\nwait = "Hold on."', "en/wait.wav"))
    assert clips.of("sw").wait.text == "Hold on."
    assert clips.of("de").wait == Clips().of("de").wait


@pytest.mark.parametrize(
    ("words", "clips", "problem"),
    [
        ('[de]\nwait = "x"', (), "wait.wav: there is no such file"),
        ("", ("de/wait.wav",), "wait.wav: .* does not say what its words are"),
        ("[de", (), "is not TOML"),
        ('[de]\nhello = "x"', (), "de.hello is none of wait, trouble, goodbye, busy"),
        ("[de]\nwait = 3", (), "de.wait must be text"),
        (f'[de]\nwait = "{"x" * 501}"', (), "de.wait must be text of 1 to 500 characters"),
        ('["../de"]\nwait = "x"', (), "'../de' is no table of a language"),
        ("de = 1", (), "'de' is no table of a language"),
        (f"# {'x' * 100_000}", (), "more than 100000 bytes"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused(
    tmp_path: Path, words: str, clips: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(AudioError, match=problem):
        Clips(own(tmp_path, words, *clips))


def test_a_folder_without_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"words\.toml: cannot be read"):
        Clips(tmp_path)
