"""
What the embedded model is made of: a detector of speech, an ear, a mind and a voice.

Each is a Protocol with a simple built-in that needs no package: enough for tests and for a server that only has
to speak the protocol. Audio is PCM16 little-endian, mono, at 8 kHz unless a `Speech` states its own rate.
"""

import math
import operator
import re
import struct
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol

DETECTOR_FRAME_MS = 20
DETECTOR_FRAME_BYTES = 320  # 20 ms of PCM16 at 8 kHz


@dataclass(frozen=True, slots=True)
class Word:
    """Where a word begins: its offset in the text and its time in the audio, in ms."""

    text_start: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Speech:
    """A text spoken: PCM16 mono at `rate_hz`, with its words in order."""

    pcm: bytes
    rate_hz: int
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Say:
    """Speak this text."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """Call this function. Several in one answer are parallel calls."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """
    One item of the conversation as text.

    A `tool` line is a function's output; `function` names it, "" where its call is no longer in the conversation.
    """

    role: Literal["user", "assistant", "system", "tool"]
    text: str
    function: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """
    What a mind is told when a response is asked for.

    `instructions` are the ones in force: the response's own, else the session's. `history` ends with the newest
    line. `tools` are the names of the functions that may be called. `heard` is the text of the utterance to
    answer: "" when nothing was understood, None when the response answers no utterance (a greeting, a function's
    output). `request` holds the response's own instructions, or None. `in_writing`: the answer belongs to no
    conversation and is text, such as a summary; `forced` tells that a function must be called.
    """

    instructions: str
    history: tuple[Line, ...]
    tools: tuple[str, ...]
    heard: str | None
    request: str | None = None
    in_writing: bool = False
    forced: bool = False


class RateLimited(Exception):
    """Raised by a mind: the service's rate limit leaves nothing for this answer. In `reset_s` it does again."""

    def __init__(self, reset_s: float) -> None:
        super().__init__(f"{reset_s:g} s")
        self.reset_s = reset_s


class Detector(Protocol):
    """Tells speech from silence, frame by frame; one object per session."""

    def feed(self, pcm8k_20ms: bytes) -> bool:
        """Return whether this frame (320 bytes) is speech. Prefix and hang-over are the server's business."""
        ...


class Ear(Protocol):
    """Turns one utterance into text; shared by all sessions."""

    async def recognise(self, pcm8k: bytes) -> str:
        """Return the text of the utterance, or "" when nothing was understood."""
        ...


class Voice(Protocol):
    """Turns text into speech; shared by all sessions."""

    async def speak(self, text: str) -> Speech:
        """Return the text spoken. An empty text gives empty audio."""
        ...


class Mind(Protocol):
    """Decides what to answer; one object per session, so it may keep state."""

    def answer(self, context: Context) -> tuple[Say | Call, ...]:
        """
        Return what to say and to call, in order. An empty tuple is an answer without content.

        Raises RateLimited where there is none for now; after anything else the server has failed.
        """
        ...


class EnergyDetector:
    """Takes a frame for speech when its root mean square reaches the threshold (full scale is 32767)."""

    def __init__(self, threshold_rms: float = 500.0) -> None:
        self.threshold_rms = threshold_rms

    def feed(self, pcm8k_20ms: bytes) -> bool:
        count = len(pcm8k_20ms) // 2
        samples = struct.unpack(f"<{count}h", pcm8k_20ms)
        energy: int = sum(map(operator.mul, samples, samples))
        return energy >= self.threshold_rms**2 * count


class DeafEar:
    """Understands nothing."""

    async def recognise(self, pcm8k: bytes) -> str:
        return ""


class ToneVoice:
    """
    Speaks a tone per word, 60 ms per character, at 8 kHz; the same text always sounds the same.

    The character after a word is silent, so that words can be told apart.
    """

    RATE_HZ = 8000
    MS_PER_CHARACTER = 60

    async def speak(self, text: str) -> Speech:
        pcm = bytearray()
        words = []
        for match in re.finditer(r"\S+\s*", text):
            words.append(Word(match.start(), len(pcm) * 1000 // (2 * self.RATE_HZ)))
            pcm += _tone(match.group())
        return Speech(bytes(pcm), self.RATE_HZ, tuple(words))


@lru_cache(maxsize=512)
def _tone(word: str) -> bytes:
    spoken = word.rstrip()
    pitch_hz = 200 + 25 * (sum(map(ord, spoken)) % 24)
    per_character = ToneVoice.RATE_HZ * ToneVoice.MS_PER_CHARACTER // 1000
    length = per_character * len(spoken)
    ramp = 40  # 5 ms at either end: a tone that starts at full strength clicks
    tone = array("h")
    for n in range(length):
        envelope = min(1.0, n / ramp, (length - n) / ramp)
        tone.append(int(8000 * envelope * math.sin(2 * math.pi * pitch_hz * n / ToneVoice.RATE_HZ)))
    return struct.pack(f"<{length}h", *tone) + bytes(2 * per_character * (len(word) - len(spoken)))


class EchoMind:
    """Repeats what it heard."""

    def answer(self, context: Context) -> tuple[Say | Call, ...]:
        if context.heard:
            return (Say(f"You said {context.heard}"),)
        if context.heard is None:
            return (Say("Hello"),)
        return (Say("I did not understand you"),)


class VerbatimMind:
    """
    Grants a response's wish to say something exactly, and leaves all others to another mind.

    The wish is the text after "say exactly" in the response's own instructions, from the next double quote to the
    last one; quotes within it may be escaped by a backslash or not. Greetings are asked for like this, so every
    mind of the server is wrapped in one. It translates nothing: what is to be said in a language is said as it is.
    """

    WISH = re.compile(r'say (?:exactly|this in the language)\b[^"]*"(.*)"', re.IGNORECASE | re.DOTALL)

    def __init__(self, mind: Mind) -> None:
        self._mind = mind

    def answer(self, context: Context) -> tuple[Say | Call, ...]:
        wish = self.WISH.search(context.request or "")
        if wish is None:
            return self._mind.answer(context)
        return (Say(wish.group(1).replace('\\"', '"')),)
