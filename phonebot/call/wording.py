"""Whether what was said is, or has, one of a few phrases: it is compared as words, however they are written."""

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
    """
    Whether a text consists of these phrases, in any number, and nothing else; a text without words does.

    No regular expression: where one phrase is made of others it would try every way to cut the text into them, and
    their number doubles with each word that a caller repeats.
    """
    known = {tuple(words) for phrase in phrases if (words := plain(phrase).split())}

    def is_made_of_them(text: str) -> bool:
        words = plain(text).split()
        ends = {0}  # where a row of phrases from the text's begin may end, in words
        for begin in range(len(words)):
            if begin in ends:
                ends |= {begin + len(each) for each in known if tuple(words[begin : begin + len(each)]) == each}
        return len(words) in ends

    return is_made_of_them


def says_one_of(text: str, phrases: Iterable[str]) -> bool:
    """Whether one of the phrases is in a text, as whole words."""
    said = f" {plain(text)} "
    return any(f" {each} " in said for phrase in phrases if (each := plain(phrase)))


def resembles(text: str, words: str) -> bool:
    """Whether a text is these words, but for what a transcript may make of them, such as numbers in digits."""
    matcher = SequenceMatcher(None, plain(text), plain(words), autojunk=False)
    # The first two are upper bounds of the third, which takes 100 ms for a text that is far too long.
    return min(matcher.real_quick_ratio(), matcher.quick_ratio()) >= ALIKE and matcher.ratio() >= ALIKE
