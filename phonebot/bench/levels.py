"""
What is said in the calls of the fault benchmark, as sound and as text: each text has a level (tones.py) of its own.

So the person knows which text he hears, and the embedded model's ear which one he says.
"""

from phonebot.audio.g711 import BYTES_PER_MS, FRAME_BYTES, SAMPLE_RATE_HZ, pcm_to_ulaw, ulaw_to_pcm
from phonebot.bench.tones import LEVELS, sounding_ms
from phonebot.simulator.mind import Speech, Word

GREETING = "Hello, who is there?"
BEFORE = "This answer takes so long that the model is lost in the middle of it"
AFTER = "It goes on like this"
LAST = "That is all"
SAID = (GREETING, BEFORE, AFTER, LAST)
"""By the bot."""
OTHER = len(SAID)
"""The place of all else that it says."""

FIRST, SECOND = ASKED = ("the first question", "the second question")
"""By the person."""

MS_PER_CHARACTER = 60


class LevelVoice:
    """Speaks each text at its level, and all that is none of them at one of their own."""

    async def speak(self, text: str) -> Speech:
        words, at, place = list[Word](), 0, SAID.index(text) if text in SAID else OTHER
        for word in text.split(" "):
            words.append(Word(at, at * MS_PER_CHARACTER))
            at += len(word) + 1
        return Speech(ulaw_to_pcm(level_of(place, spoken_ms(text))), SAMPLE_RATE_HZ, tuple(words))


class LevelEar:
    """Understands who speaks at a level."""

    async def recognise(self, pcm8k: bytes) -> str:
        sounds_ms = sounding_ms([pcm_to_ulaw(pcm8k)], len(ASKED))
        loudest = max(sounds_ms)
        return ASKED[sounds_ms.index(loudest)] if loudest else ""


def level_of(place: int, ms: int) -> bytes:
    """Mu-law of a text, by its place among those that are said or asked."""
    return bytes([LEVELS[place]]) * (ms * BYTES_PER_MS)


def spoken_ms(text: str) -> int:
    return len(text) * MS_PER_CHARACTER


def heard_in(frame: bytes) -> int | None:
    """Which text of SAID a whole frame is of, or OTHER; None: it is no speech of the model's."""
    sounds_ms = sounding_ms([frame], OTHER + 1)
    return next((place for place, ms in enumerate(sounds_ms) if ms * BYTES_PER_MS == FRAME_BYTES), None)
