"""
Numbers in what people say and write, made unreadable: digits, and English number words.

    masked("my card is four two 42 42, thanks")     # "my card is ##############, thanks"

What stands between two numbers is masked with them: of "four two" neither the words nor their lengths can be told.
A masked text is as long as it was, and its other words are where they were: what the call made of its length still
holds.
"""

import re
from collections.abc import Iterator

import msgspec

MASK = "#"
_CARDINALS = (
    "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen"
    "|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|double|triple"
    "|nought|nil"
)
_ORDINALS = (
    "third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|thirteenth|fourteenth|fifteenth|sixteenth"
    "|seventeenth|eighteenth|nineteenth|twentieth|thirtieth|fortieth|fiftieth|sixtieth|seventieth|eightieth|ninetieth"
    "|hundredth|thousandth"
)
# Also several in one, as a recogniser writes "fortytwo" and pieces are put together without blanks.
_WORD_OF_NUMBER = re.compile(f"(?:{_CARDINALS}|{_ORDINALS})+s?", re.IGNORECASE)
# Said for a zero or as part of a number, and for much else: only beside a number.
_PERHAPS = frozenset(("oh", "o", "and", "first", "second", "point", "dash", "minus", "plus"))
_WORD = re.compile(r"[^\W_]+")
_BETWEEN = re.compile(r"[\s,.;:/()\-\u2010-\u2014_]*")
_LONG_NUMBER = re.compile(r"\+?\d(?:[\s().\-/]*\d){6,}")  # a telephone number has seven digits at least
_DIGIT = re.compile(r"\d")
_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_JSON_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)")


def masked(text: str) -> str:
    """The text with each number in it unreadable."""
    for start, end in _numbers(text):
        text = text[:start] + MASK * (end - start) + text[end:]
    return text


def has_number(text: str) -> bool:
    """Whether `masked` would change the text."""
    return any(_is_number(word) for word in _WORD.findall(text))


def masked_in_json(text: str) -> str:
    """The same for text that may be JSON: it is JSON still, its digits are ones. Other text as `masked`."""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return masked(text)
    shared, done = "", 0
    for string in _JSON_STRING.finditer(text):
        shared += _DIGIT.sub("1", text[done : string.start()]) + _masked_json_string(string.group())
        done = string.end()
    return shared + _DIGIT.sub("1", text[done:])


def _masked_json_string(text: str) -> str:
    """The letters of an escape are not letters of a word: "\\n" stands for a blank, "\\u0034" may be a digit."""
    blank = _JSON_ESCAPE.sub(lambda found: " " * len(found.group()), text)
    shared = list(masked(blank))
    for at, before in enumerate(blank):
        if before.isdecimal():
            shared[at] = "1"
    for escape in _JSON_ESCAPE.finditer(text):
        kept = r"\u0023" if escape.group()[1] == "u" else escape.group()
        shared[escape.start() : escape.end()] = kept
    return "".join(shared)


def masked_long_numbers(text: str) -> str:
    """The text with each number of seven digits or more unreadable; for messages whose other numbers are needed."""
    return _LONG_NUMBER.sub(lambda found: _DIGIT.sub(MASK, found.group()), text)


def _numbers(text: str) -> Iterator[tuple[int, int]]:
    """From where to where the numbers reach; those with nothing but blanks and stops between them are one."""
    start = end = None
    for word in _number_words(text):
        if start is not None and end is not None:
            if _BETWEEN.fullmatch(text, end, word.start()):
                end = word.end()
                continue
            yield start, end
        start, end = word.span()
    if start is not None and end is not None:
        yield start, end


def _number_words(text: str) -> list[re.Match[str]]:
    words = list(_WORD.finditer(text))
    numbers = [_is_number(word.group()) for word in words]
    perhaps = [word.group().lower() in _PERHAPS for word in words]
    # From each number on, in both directions: "seven oh oh oh".
    for order in (range(1, len(words)), range(len(words) - 2, -1, -1)):
        step = -order.step
        for at in order:
            numbers[at] = numbers[at] or (perhaps[at] and numbers[at + step])
    return [word for word, number in zip(words, numbers, strict=True) if number]


def _is_number(word: str) -> bool:
    return bool(_DIGIT.search(word) or _WORD_OF_NUMBER.fullmatch(word))
