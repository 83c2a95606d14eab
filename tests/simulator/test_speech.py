import asyncio
import itertools
import os
import subprocess
import sys
from array import array

import pytest

from phonebot.errors import SettingsError
from phonebot.simulator.mind import Speech
from phonebot.simulator.speech import MAX_SPEECH_S, MAX_TEXT, EspeakVoice

GREETING = "Hello, and thank you for calling Northwind Dental. How can I help?"


def duration_ms(speech: Speech) -> float:
    return len(speech.pcm) / 2 * 1000 / speech.rate_hz


def loudest(speech: Speech) -> int:
    return max(map(abs, array("h", speech.pcm)), default=0)


async def test_a_sentence_takes_as_long_as_a_person_would() -> None:
    speech = await EspeakVoice().speak(GREETING)
    assert speech.rate_hz == 22050
    assert 3000 < duration_ms(speech) < 5500
    assert loudest(speech) > 3000


async def test_a_sentence_has_its_words_in_order_at_their_places() -> None:
    speech = await EspeakVoice().speak(GREETING)
    words = [GREETING[word.text_start :].split()[0] for word in speech.words]
    assert words == GREETING.split()
    times = [word.at_ms for word in speech.words]
    assert times == sorted(set(times))
    assert times[0] < 100
    assert duration_ms(speech) - 1500 < times[-1] < duration_ms(speech)


async def test_a_word_is_where_its_sound_begins() -> None:
    """A long first word puts the second one late."""
    short, long = await EspeakVoice().speak("a door"), await EspeakVoice().speak("internationalisation door")
    assert long.words[1].at_ms > short.words[1].at_ms + 500


async def test_positions_count_characters_and_not_bytes() -> None:
    text = "Ünïcödé — naïve \N{GRINNING FACE} words"
    speech = await EspeakVoice().speak(text)
    assert text[speech.words[-1].text_start :] == "words"


@pytest.mark.parametrize(
    "text", ["It is 25 dollars.", "Room 1234, at 10:30.", "It costs $5 (or so), e.g. at 8 a.m."]
)
async def test_no_word_begins_inside_another(text: str) -> None:
    speech = await EspeakVoice().speak(text)
    starts = [word.text_start for word in speech.words]
    assert len(starts) > 3
    assert not [start for start in starts if start and text[start - 1 : start + 1].isalnum()]
    assert all(earlier < later for earlier, later in itertools.pairwise(starts))


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\x00\x1b"])
async def test_nothing_to_say_gives_no_audio(text: str) -> None:
    assert await EspeakVoice().speak(text) == Speech(b"", 22050, ())


async def test_control_characters_and_lone_surrogates_do_not_end_the_text() -> None:
    text = "one\x00two\x1b\ud800three"
    speech = await EspeakVoice().speak(text)
    assert [word.text_start for word in speech.words] == [0, 4, 9]


async def test_markup_is_no_markup() -> None:
    """An attribute of SSML would be skipped; here each part is read out."""
    plain, marked = await EspeakVoice().speak("one two"), await EspeakVoice().speak('one <break time="9s"/> two')
    assert duration_ms(plain) < duration_ms(marked) < 9000


async def test_a_text_beyond_the_limit_is_spoken_up_to_it() -> None:
    text = "word " * (MAX_TEXT // 5) + "beyond " * 100
    speech = await EspeakVoice(words_per_minute=450).speak(text)
    assert speech.words[-1].text_start < MAX_TEXT
    assert len(speech.words) == MAX_TEXT // 5


async def test_a_text_that_grows_when_read_out_is_cut_in_time() -> None:
    speech = await EspeakVoice(words_per_minute=80).speak("9 " * (MAX_TEXT // 2))
    assert MAX_SPEECH_S * 1000 <= duration_ms(speech) < MAX_SPEECH_S * 1000 + 1000


async def test_the_pace_changes_the_duration() -> None:
    slow, fast = (
        await EspeakVoice(words_per_minute=120).speak(GREETING),
        await EspeakVoice("en", 300).speak(GREETING),
    )
    assert duration_ms(slow) > 1.5 * duration_ms(fast)


async def test_many_at_once_each_get_their_own_text_and_voice() -> None:
    voices = [EspeakVoice("en-us", 120), EspeakVoice("de", 300), EspeakVoice("en-us+f3", 200)]
    texts = [" ".join(["word"] * count) for count in range(1, 21)]
    pairs = [(voice, text) for text in texts for voice in voices]
    alone = [await voice.speak(text) for voice, text in pairs]
    together = await asyncio.gather(*(voice.speak(text) for voice, text in pairs))
    for one, other in zip(alone, together, strict=True):
        assert [word.text_start for word in other.words] == [word.text_start for word in one.words]
        assert duration_ms(other) == pytest.approx(duration_ms(one), abs=40)


@pytest.mark.parametrize("name", ["no-such-voice", "en-us\0", ""])
def test_an_unknown_voice_is_refused_by_name(name: str) -> None:
    with pytest.raises(SettingsError, match="espeak-ng has no voice"):
        EspeakVoice(name)


async def test_a_refused_voice_leaves_the_others_as_they_were() -> None:
    voice = EspeakVoice("de", 160)
    before = await voice.speak(GREETING)
    with pytest.raises(SettingsError):
        EspeakVoice("no-such-voice")
    assert duration_ms(await voice.speak(GREETING)) == pytest.approx(duration_ms(before), abs=40)


def test_a_missing_library_is_named_with_the_remedy() -> None:
    program = """
import ctypes, sys
def missing(name): raise OSError(name)
ctypes.CDLL = missing
from phonebot.simulator.speech import EspeakVoice
EspeakVoice()
"""
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ | path)
    assert ended.stderr.endswith('the embedded model\'s voice needs espeak-ng: pip install "phonebot[demo]"\n')


@pytest.mark.parametrize("pace", [0, 79, 451])
def test_a_pace_out_of_range_is_refused(pace: int) -> None:
    with pytest.raises(SettingsError, match="80 to 450"):
        EspeakVoice(words_per_minute=pace)
