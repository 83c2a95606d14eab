"""What is said in the fault benchmark, as sound and back."""

import pytest

from phonebot.audio.g711 import FRAME_BYTES, pcm_to_ulaw, ulaw_to_pcm
from phonebot.bench.levels import ASKED, OTHER, SAID, LevelEar, LevelVoice, heard_in, level_of, spoken_ms
from phonebot.simulator.carrier import SILENCE


@pytest.mark.parametrize("text", [*SAID, "Goodbye, we have to stop here"])
async def test_who_hears_a_text_knows_which_it_is(text: str) -> None:
    speech = await LevelVoice().speak(text)
    audio = pcm_to_ulaw(speech.pcm)
    assert len(audio) == 8 * spoken_ms(text)
    assert heard_in(audio[:FRAME_BYTES]) == (SAID.index(text) if text in SAID else OTHER)
    assert [text[word.text_start :].split(" ")[0] for word in speech.words] == text.split(" ")


@pytest.mark.parametrize("asked", ASKED)
async def test_the_model_understands_which_question_was_asked(asked: str) -> None:
    silence = bytes(2 * 800)
    speech = ulaw_to_pcm(level_of(ASKED.index(asked), 400))
    assert await LevelEar().recognise(silence + speech + silence) == asked


async def test_silence_and_clips_are_no_text() -> None:
    assert await LevelEar().recognise(bytes(2 * 800)) == ""
    assert heard_in(SILENCE) is None
    assert heard_in(level_of(0, 10) + level_of(1, 10)) is None
