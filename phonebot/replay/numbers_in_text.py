"""
Numbers in what people say and write, made unreadable: each digit, and each English number word, letter by letter.

    masked("my card is four two 42 42, thanks")     # "my card is #### ### ## ##, thanks"

A masked text is as long as it was, and its words are where they were: what the call made of its length still holds.
"""

import re

MASK = "#"
_WORD_OF_NUMBER = re.compile(
    "(zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen"
    "|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|double|triple"
    "|nought|nil)s?",
    re.IGNORECASE,
)
# Said for a zero, and for much else: only beside a number.
_PERHAPS = frozenset(("oh", "o", "and"))
_WORD = re.compile(r"[^\W_]+")
_LONG_NUMBER = re.compile(r"\+?\d(?:[\s().\-/]*\d){6,}")  # a telephone number has seven digits at least
_DIGIT = re.compile(r"\d")


def masked(text: str) -> str:
    """The text with each number in it unreadable."""
    words = list(_WORD.finditer(text))
    numbers = [_is_number(word.group()) for word in words]
    for at, word in enumerate(words):
        if not numbers[at] and word.group().lower() in _PERHAPS:
            beside = numbers[max(at - 1, 0) : at + 2]
            numbers[at] = any(beside)
    for word, number in zip(words, numbers, strict=True):
        if number:
            text = text[: word.start()] + MASK * len(word.group()) + text[word.end() :]
    return text


def has_number(text: str) -> bool:
    """Whether `masked` would change the text."""
    return any(_is_number(word) for word in _WORD.findall(text))


def masked_in_json(text: str) -> str:
    """The same for text that may be JSON: its digits become ones, so that a number is still one."""
    hidden = masked(text)
    return "".join("1" if before.isdecimal() else after for before, after in zip(text, hidden, strict=True))


def masked_long_numbers(text: str) -> str:
    """The text with each number of seven digits or more unreadable; for messages whose other numbers are needed."""
    return _LONG_NUMBER.sub(lambda found: _DIGIT.sub(MASK, found.group()), text)


def _is_number(word: str) -> bool:
    return bool(_DIGIT.search(word) or _WORD_OF_NUMBER.fullmatch(word))
