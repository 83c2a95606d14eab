"""
Whether what the caller said is, or has, one of a few phrases: what he says is compared as words, however written.
"""

import re
from collections.abc import Callable, Iterable
from difflib import SequenceMatcher
from unicodedata import normalize

ALIKE = 0.7
"""So much of two texts is the same where they say the same."""


def plain(text: str) -> str:
    """Words in lower case, a blank between them: punctuation, hyphens and apostrophes are blanks."""
    return " ".join(re.sub(r"[\W_]+", " ", normalize("NFKC", text).casefold()).split())


def consists_of(phrases: Iterable[str]) -> Callable[[str], bool]:
    """Whether a text consists of these phrases, in any number, and nothing else; no text does."""
    known = "|".join(re.escape(each) for phrase in phrases if (each := plain(phrase)))
    pattern = re.compile(rf"(?:(?:{known})(?: |$))*" if known else "")
    return lambda text: pattern.fullmatch(plain(text)) is not None


def says_one_of(text: str, phrases: Iterable[str]) -> bool:
    """Whether one of the phrases is in a text, as whole words."""
    said = f" {plain(text)} "
    return any(f" {each} " in said for phrase in phrases if (each := plain(phrase)))


def resembles(text: str, words: str) -> bool:
    """Whether a text is these words, but for what a transcript may make of them, such as numbers in digits."""
    return SequenceMatcher(None, plain(text), plain(words), autojunk=False).ratio() >= ALIKE
