"""
What callers hear where the model cannot speak: a sentence for each kind of trouble, in the caller's language.

    clips = Clips(folder)       # an operator's own before those that come with phonebot; Clips(): only these
    clips.of("de-AT").wait      # CannedClip(text="Einen Moment, bitte. ...", audio="...")

A folder of an operator's own is made as the one beside this module, but of WAV files: `words.toml` has the texts by
language, and `LANGUAGE/NAME.wav` says each. It may hold any of them: a language of its own, or a single sentence.
"""

import tomllib
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

from phonebot.audio.recordings import read_recording
from phonebot.errors import AudioError

BUILT_IN = Path(__file__).parent / "clips"
WORDS = "words.toml"
LAST_RESORT = "en"
MAX_WORDS_BYTES = 100_000
MAX_TEXT = 500  # characters: about as long as the audio may be


class CannedClip(NamedTuple):
    """What is said, and base64 of raw mu-law at 8 kHz that says it."""

    text: str
    audio: str


@dataclass(frozen=True, slots=True)
class Canned:
    """
    `wait`: a moment goes by, because the model is being connected again. `trouble`: it could not answer, and is
    asked anew once the caller says it again. `goodbye`: the call cannot go on and ends. `busy`: no further call is
    taken.
    """

    wait: CannedClip
    trouble: CannedClip
    goodbye: CannedClip
    busy: CannedClip


NAMES = tuple(Canned.__dataclass_fields__)

_Words: TypeAlias = dict[str, dict[str, str]]


class Clips:
    """
    The clips of a deployment, which has those in `folder` before the built-in ones; None: it has none of its own.

    Raises AudioError, which names the file and the reason, for a folder that cannot be used.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._own = _read_own(folder) if folder else {}
        self._known: dict[str, Canned] = {}

    def of(self, language: str) -> Canned:
        """
        Those of a language, by its BCP 47 tag; of the language it is a variety of, where it has none; in English
        where that has none either. An operator's clip in the wider language is taken before a built-in one.
        """
        return Canned(*(self._clip(name, language) for name in NAMES))

    def _clip(self, name: str, language: str) -> CannedClip:
        tags = _from_narrow_to_wide(language)
        for found in (*(self._own.get((tag, name)) for tag in tags), *(_built_in(tag, name) for tag in tags)):
            if found:
                return found
        clip = self._own.get((LAST_RESORT, name)) or _built_in(LAST_RESORT, name)
        assert clip, f"{name} comes with phonebot in {LAST_RESORT}"
        return clip


@cache
def built_in_words() -> _Words:
    """What the built-in clips say: texts by language and name."""
    return tomllib.loads((BUILT_IN / WORDS).read_text("utf-8"))


def _from_narrow_to_wide(language: str) -> tuple[str, ...]:
    """A tag in lower case, and what is left of it without its last subtags (RFC 4647, section 3.4)."""
    subtags = language.lower().split("-")
    return tuple("-".join(subtags[:length]) for length in range(len(subtags), 0, -1))


@cache
def _built_in(language: str, name: str) -> CannedClip | None:
    """None: phonebot has no such language."""
    text = built_in_words().get(language, {}).get(name)
    if text is None:
        return None
    return CannedClip(text, b64encode((BUILT_IN / language / f"{name}.ulaw").read_bytes()).decode())


def _read_own(folder: Path) -> dict[tuple[str, str], CannedClip]:
    """By language in lower case, and name."""
    words = _own_words(folder / WORDS)
    clips = {
        (language.lower(), name): CannedClip(text, read_recording(folder / language / f"{name}.wav"))
        for language, texts in words.items()
        for name, text in texts.items()
    }
    for path in _wav_files(folder):
        if (path.parent.name.lower(), path.stem) not in clips:
            raise AudioError(f"{path}: {folder / WORDS} does not say what its words are")
    return clips


def _wav_files(folder: Path) -> Iterable[Path]:
    return sorted(folder.glob("*/*.wav"))


def _own_words(path: Path) -> _Words:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_WORDS_BYTES + 1)
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > MAX_WORDS_BYTES:
        raise AudioError(f"{path}: has more than {MAX_WORDS_BYTES} bytes")
    try:
        words = tomllib.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise AudioError(f"{path}: is not TOML: {error}") from None
    for language, texts in words.items():
        _check_texts(path, language, texts)
    return words


def _check_texts(path: Path, language: str, texts: object) -> None:
    if not isinstance(texts, dict) or not language.replace("-", "").isalnum():
        raise AudioError(f"{path}: {language!r} is no table of a language, such as [de]")
    for name, text in texts.items():
        if name not in NAMES:
            raise AudioError(f"{path}: {language}.{name} is none of {', '.join(NAMES)}")
        if not isinstance(text, str) or not text.strip() or len(text) > MAX_TEXT:
            raise AudioError(f"{path}: {language}.{name} must be text of 1 to {MAX_TEXT} characters")
