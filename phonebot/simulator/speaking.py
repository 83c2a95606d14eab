"""
What the carrier says and plays itself: Say, Play and Pause, in the carrier's time.

A person hears somebody speak for as long as a Say lasts, and "heard" tells afterwards how much of it reached him,
to the word: interrupted or hung up on, a sentence is not heard to its end (Twilio, TwiML Say, Play, Pause).
"""

from collections.abc import Iterator
from functools import partial

from phonebot.audio import g711, wav
from phonebot.errors import AudioError
from phonebot.simulator.callees import VOICE, AnsweringMachine
from phonebot.simulator.carrier import BYTES_PER_MS, FRAME_BYTES, FRAME_MS, SILENCE
from phonebot.simulator.document import Document, Element, Fault
from phonebot.simulator.leg import Leg
from phonebot.simulator.record import Exchange

SPEAKING = ("Say", "Play", "Pause")
MAX_PAUSE_S = 60.0
MAX_FILE_BYTES = 8 << 20
UNREAD_FILE_MS = 3000  # of a file that is no WAV: its length is not known here
KEY_MS = 200  # a key that the carrier presses, with the gap after it
WAITS_MS = {"w": 500, "W": 1000}  # Twilio, Call resource, SendDigits
MOST_LOOPS = 1000  # Twilio, TwiML Play, loop: 0 plays until the call ends, or so often


class _Speech:
    """A text while it is spoken; each frame it is asked for is 20 ms of it."""

    def __init__(self, leg: Leg, text: str) -> None:
        self.length_ms = len(text) * leg.terms.ms_per_character
        self.heard: list[str] = []
        self._party, self._per_ms = leg.handset.party, 1 / leg.terms.ms_per_character
        self._words = list(_word_ends(text))
        self._spoken_ms = 0

    def frame(self) -> bytes:
        while self._words and self._words[0][0] <= self._spoken_ms * self._per_ms:
            self._finish_word()
        self._spoken_ms += FRAME_MS
        return VOICE

    def finish(self) -> None:
        """It was spoken to the end."""
        while self._words:
            self._finish_word()

    def _finish_word(self) -> None:
        _, word = self._words.pop(0)
        self.heard.append(word)
        if isinstance(self._party, AnsweringMachine):
            self._party.catch(word)


def _word_ends(text: str) -> Iterator[tuple[int, str]]:
    """Each word, with the number of characters until it has been said."""
    end = 0
    for word in text.split():
        end = text.index(word, end) + len(word)
        yield end, word


async def speak(leg: Leg, verb: Element, document: Document) -> None:
    """Perform a Say, a Play or a Pause."""
    match verb.name:
        case "Say":
            for _ in range(_loops(verb) if leg.terms.ms_per_character else 1):
                await say(leg, verb.whole_text())
        case "Play" if "digits" in verb.attributes:
            await press(leg, verb.attributes["digits"])
        case "Play":
            await _play(leg, verb, leg.absolute(document, verb.whole_text()))
        case _:
            await _pause(leg, verb.attributes.get("length", "1"))


async def say(leg: Leg, text: str) -> None:
    """Say a text to the leg's person."""
    leg.tell("plays", text)
    if not leg.terms.ms_per_character:
        return
    speech = _Speech(leg, text)
    try:
        with leg.on_line(speech.frame):
            await leg.terms.clock.sleep(speech.length_ms)
        speech.finish()
    finally:
        leg.tell("heard", " ".join(speech.heard))


async def press(leg: Leg, digits: str) -> None:
    """Press keys that the leg's person hears; w waits 0.5 s, W a second."""
    leg.tell("plays", digits)
    if leg.terms.ms_per_character:
        await leg.rest(sum(WAITS_MS.get(digit, KEY_MS) for digit in digits))


async def play_for_ever(leg: Leg, what: str) -> None:
    """The carrier's own music, until cancelled."""
    leg.tell("plays", what)
    with leg.on_line(lambda: VOICE):
        while True:
            await leg.terms.clock.sleep(MAX_PAUSE_S * 1000)


def _loops(verb: Element) -> int:
    loop = verb.attributes.get("loop", "1")
    return (int(loop[:4]) or MOST_LOOPS) if loop.isdecimal() else 1


async def _play(leg: Leg, verb: Element, url: str) -> None:
    leg.tell("plays", url)
    if not leg.terms.ms_per_character:
        return
    audio = await _fetch(leg, url)
    if audio is not None:
        await hear_audio(leg, audio, _loops(verb))
        leg.tell("heard", url)


async def hear_audio(leg: Leg, audio: bytes, times: int = 1) -> None:
    """Play mu-law to the leg's person."""
    frames = [audio[at : at + FRAME_BYTES].ljust(FRAME_BYTES, b"\xff") for at in range(0, len(audio), FRAME_BYTES)]
    for _ in range(times):
        playing = iter(frames)
        with leg.on_line(partial(next, playing, SILENCE)):
            await leg.terms.clock.sleep(len(frames) * FRAME_MS)


async def _fetch(leg: Leg, url: str) -> bytes | None:
    """The file as mu-law; None, and a violation, where Twilio would go on with the next verb."""
    exchange = await leg.fetch_file(url, MAX_FILE_BYTES)
    try:
        return audio_of(exchange)
    except Fault as fault:
        leg.violation(fault.code, f"Play: {fault.reason}")
        return None


def audio_of(exchange: Exchange) -> bytes:
    """The file that was answered, as mu-law. Raises Fault when it is none that Twilio plays."""
    if exchange.status is None or not 200 <= exchange.status < 300:
        raise Fault(11200, f"{exchange.url} answered {exchange.status or exchange.error}")
    if not exchange.content_type.startswith("audio/") or not exchange.body:
        raise Fault(12300, f"{exchange.url}: content type {exchange.content_type!r} is no audio")
    if "wav" not in exchange.content_type and "wave" not in exchange.content_type:
        return VOICE * (UNREAD_FILE_MS // FRAME_MS)
    try:
        file = wav.parse(exchange.body, exchange.url)
    except AudioError as error:
        raise Fault(12400, str(error)) from error
    if (file.encoding, file.rate_hz, file.channels) == ("pcmu", g711.SAMPLE_RATE_HZ, 1):
        return file.data
    if (file.encoding, file.rate_hz, file.channels) == ("pcm16", g711.SAMPLE_RATE_HZ, 1):
        return g711.pcm_to_ulaw(file.data)
    return VOICE[:2] * (file.duration_ms * BYTES_PER_MS // 2)  # somebody speaks for as long


async def _pause(leg: Leg, length: str) -> None:
    if not length.isdecimal():
        leg.violation(None, f"Pause length {length[:20]!r} is no number of seconds")
        return
    await leg.rest(min(float(length[:6]), MAX_PAUSE_S) * 1000)
