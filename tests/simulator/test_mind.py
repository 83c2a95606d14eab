"""The organs that need no package."""

import struct

import pytest
from model_driver import Answers, at_once

from phonebot.simulator.mind import (
    Context,
    DeafEar,
    EchoMind,
    EnergyDetector,
    Line,
    Say,
    ToneVoice,
    VerbatimMind,
    Word,
)


def asked(request: str | None, heard: str | None = None) -> Context:
    return Context(instructions="", history=(), tools=(), heard=heard, request=request)


def test_a_tone_voice_takes_60_ms_for_each_character_and_knows_its_words() -> None:
    speech = at_once(ToneVoice().speak("Hello, my  friend"))
    assert len(speech.pcm) == 17 * 60 * 16
    assert speech.rate_hz == 8000
    assert speech.words == (Word(0, 0), Word(7, 420), Word(11, 660))


def test_a_tone_voice_is_silent_between_words_and_loud_in_them() -> None:
    speech = at_once(ToneVoice().speak("one two"))
    characters = [speech.pcm[start : start + 960] for start in range(0, len(speech.pcm), 960)]
    loud = [max(struct.unpack("<480h", each)) > 7000 for each in characters]
    assert loud == [True, True, True, False, True, True, True]


def test_a_tone_voice_always_sounds_the_same_for_a_text_and_differs_between_texts() -> None:
    voice = ToneVoice()
    assert at_once(voice.speak("yes")) == at_once(voice.speak("yes"))
    assert at_once(voice.speak("yes")).pcm != at_once(voice.speak("nay")).pcm
    assert at_once(voice.speak("")).pcm == b""


@pytest.mark.parametrize(("level", "speech"), [(0, False), (499, False), (500, True), (-500, True), (32767, True)])
def test_an_energy_detector_hears_what_reaches_its_threshold(level: int, speech: bool) -> None:
    frame = struct.pack("<160h", *[level] * 160)
    assert EnergyDetector(threshold_rms=500).feed(frame) is speech


def test_a_deaf_ear_understands_nothing() -> None:
    assert at_once(DeafEar().recognise(bytes(3200))) == ""


@pytest.mark.parametrize(
    ("heard", "answer"), [("good day", "You said good day"), ("", "I did not understand you"), (None, "Hello")]
)
def test_an_echo_mind_repeats_what_it_heard(heard: str | None, answer: str) -> None:
    assert EchoMind().answer(asked(None, heard)) == (Say(answer),)


@pytest.mark.parametrize(
    ("request_text", "said"),
    [
        ('Say exactly: "Hello."', "Hello."),
        ('Greet the caller. Say exactly these words, and nothing else: "Good\nday"', "Good\nday"),
        ('say exactly "This is "Rosa" here"', 'This is "Rosa" here'),
        (r'Say exactly "This is \"Rosa\" here"', 'This is "Rosa" here'),
        ('Say exactly ""', ""),
    ],
)
def test_a_sentence_asked_for_exactly_is_said(request_text: str, said: str) -> None:
    assert VerbatimMind(Answers()).answer(asked(request_text)) == (Say(said),)


@pytest.mark.parametrize("request_text", [None, "", "Be brief.", 'Say "hello"', "Say exactly what you know."])
def test_every_other_wish_is_left_to_the_mind_within(request_text: str | None) -> None:
    mind = Answers(Say("mine"))
    assert VerbatimMind(mind).answer(asked(request_text)) == (Say("mine"),)


def test_the_instructions_of_the_session_are_no_wish() -> None:
    context = Context(instructions='Say exactly "no"', history=(Line("user", "hi"),), tools=(), heard="hi")
    assert VerbatimMind(EchoMind()).answer(context) == (Say("You said hi"),)
