"""
The embedded ear's worker: one pocketsphinx decoder in a process of its own.

The decoder holds the interpreter's lock for as long as it works, which would stop every call of the process it
runs in. So `ear.py` starts this module as a program. It reads requests from its standard input, each preceded by
its length in four bytes, big-endian: first a `Job` as JSON, then utterances as PCM16 at 8 kHz. It writes one line
of JSON for each: `Ready` or `Refused`, then a `Heard` each time. It ends when its input does.
"""

import contextlib
import importlib
import os
import signal
import struct
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import msgspec

from phonebot.audio.resample import resample
from phonebot.simulator.language_model import common_words, fingerprint, words_of, write_model
from phonebot.simulator.mind import DETECTOR_FRAME_BYTES
from phonebot.simulator.vad import levels

CALL_HZ = 8000
MODEL_HZ = 16000  # of the acoustic model that pocketsphinx brings along
LENGTH = struct.Struct(">I")
MOST_UNKNOWN_WORDS = 20  # reported at once

_SILENCE_DB = 40  # below the loudest frame
_SILENCE_AROUND = bytes(2 * CALL_HZ // 5)  # 200 ms


class Job(msgspec.Struct, frozen=True):
    """What to listen for. `cache` is the folder that keeps language models, `pronounce` has words to CMU phones."""

    phrases: tuple[str, ...]
    pronounce: dict[str, str]
    cache: str


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The model is loaded: utterances may be sent."""


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The job cannot be done: these words are in no dictionary. The worker ends."""

    unknown_words: tuple[str, ...]


class Heard(msgspec.Struct, frozen=True, tag=True):
    """The words of an utterance, "" when there were none."""

    text: str


Answer: TypeAlias = Ready | Refused | Heard


class UnknownWords(Exception):
    """Words that the recogniser cannot know the sound of."""

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__(*words)
        self.words = tuple(words)


class Recogniser:
    """
    Recognises whole utterances by a language model made of the phrases. Needs pocketsphinx; blocks while it works.

    Raises UnknownWords for words that are neither in its dictionary nor in `pronounce`.
    """

    def __init__(self, phrases: Sequence[str], pronounce: Mapping[str, str], cache: Path) -> None:
        pocketsphinx = importlib.import_module("pocketsphinx")
        # cmn="batch": the starting value of the live normalisation is made for wide-band speech, and each utterance
        # would change it for the next. The second pass of fwdflat costs as much again and finds nothing more. The
        # language model weighs more (lw) than for dictation: it knows better than the sound what is said here.
        self._decoder: Any = pocketsphinx.Decoder(lm=None, cmn="batch", fwdflat=False, lw=8.0, loglevel="FATAL")
        for word, phones in pronounce.items():
            self._add_word(word, phones)
        normalised = [" ".join(words_of(phrase)) for phrase in phrases]
        self._check_words(normalised)
        self._decoder.add_lm_file("phrases", str(_model(normalised, cache, pocketsphinx)))
        self._decoder.activate_search("phrases")

    def recognise(self, pcm8k: bytes) -> str:
        """Return the words of one utterance, in lower case without punctuation."""
        self._decoder.start_utt()
        self._decoder.process_raw(resample(framed(pcm8k), CALL_HZ, MODEL_HZ), full_utt=True)
        self._decoder.end_utt()
        hypothesis = self._decoder.hyp()
        return "" if hypothesis is None else str(hypothesis.hypstr)

    def _check_words(self, phrases: Sequence[str]) -> None:
        words = sorted({word for phrase in phrases for word in phrase.split()})
        if unknown := [word for word in words if self._decoder.lookup_word(word) is None]:
            raise UnknownWords(unknown[:MOST_UNKNOWN_WORDS])

    def _add_word(self, word: str, phones: str) -> None:
        entry, alternatives = word, 1
        while self._decoder.lookup_word(entry) is not None:
            alternatives += 1
            entry = f"{word}({alternatives})"  # how the dictionary writes a further pronunciation
        self._decoder.add_word(entry, phones, True)


def framed(pcm8k: bytes) -> bytes:
    """
    Return the utterance with 200 ms of silence at either end in place of its own.

    The faint end of a breath or an echo is soon a word to the decoder ("that is right on"), and the length of the
    silence, which depends on where the turn was cut, moves the mean that the whole utterance is measured by.
    """
    loudness = levels(pcm8k)
    threshold = max(loudness, default=0) / 10 ** (_SILENCE_DB / 20)
    loud = [frame for frame, rms in enumerate(loudness) if rms > threshold]
    if not loud:
        return _SILENCE_AROUND
    sound = pcm8k[loud[0] * DETECTOR_FRAME_BYTES : (loud[-1] + 1) * DETECTOR_FRAME_BYTES]
    return _SILENCE_AROUND + sound + _SILENCE_AROUND


def _model(phrases: Sequence[str], cache: Path, pocketsphinx: Any) -> Path:
    """Return the language model's file, made now if the cache does not hold it."""
    path = cache / f"phrases-{fingerprint(phrases, version('pocketsphinx'))}.arpa"
    if not path.exists():
        config = pocketsphinx.Config()
        english = pocketsphinx.NGramModel(config, pocketsphinx.LogMath(), config["lm"])
        dictionary = Path(config["dict"]).read_text(encoding="utf-8").splitlines()
        _write_at_once(path, phrases, common_words(dictionary, lambda word: float(english.prob([word]))))
    return path


def _write_at_once(path: Path, phrases: Sequence[str], ranked: Sequence[str]) -> None:
    """Write the model so that another worker sees all of the file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, suffix=".draft")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            write_model(file, phrases, ranked)
        os.replace(draft, path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def main() -> None:
    """Serve standard input until it ends."""
    # Ctrl-C reaches every process of a terminal; this one ends with its owner.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    # What a library prints must not come between the answers.
    with contextlib.redirect_stdout(sys.stderr):
        first = _read(requests)
        if first is None:
            return
        job = msgspec.json.decode(first, type=Job)
        try:
            recogniser = Recogniser(job.phrases, job.pronounce, Path(job.cache))
        except UnknownWords as unknown:
            _write(answers, Refused(unknown.words))
            return
        _write(answers, Ready())
        while (pcm8k := _read(requests)) is not None:
            _write(answers, Heard(recogniser.recognise(pcm8k)))


def _read(requests: BinaryIO) -> bytes | None:
    """Return the next request, None at the end of the input."""
    head = requests.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    body = requests.read(length)
    return body if len(body) == length else None


def _write(answers: BinaryIO, answer: Answer) -> None:
    answers.write(msgspec.json.encode(answer) + b"\n")
    answers.flush()


if __name__ == "__main__":
    main()
