"""
What callers are likely to say: the n-gram model that the embedded ear listens with.

A general model of English understands too little over the telephone band. This one is made of a script's own
phrases, alone and joined with what people say around them, and of the commonest words of English, so that what is
not in the script is heard as something else and not bent into the nearest phrase.
"""

import hashlib
import importlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TextIO

_CMU = "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"
PHONES = frozenset(_CMU.split())
"""The sounds of American English as the CMU pronouncing dictionary writes them."""

_RECIPE = 1  # part of a model's name: to be raised when a change here gives another model
_PHRASE_WEIGHT = 100
_FILLER_WEIGHT = 10
_BACKGROUND_WORDS = 1000
# Half of each count's probability is kept for what was not foreseen.
_DISCOUNT = 0.5

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
# What people say before their request, and after it.
_OPENINGS = (
    "hello",
    "hi there",
    "good morning",
    "good afternoon",
    "please",
    "thank you",
    "could you tell me",
    "can you tell me",
    "could you please",
    "can you please",
    "i was wondering if i could",
    "i was wondering if you could",
    "i would like to",
    "i'd like to",
    "i want to",
    "i need to",
    "i have to",
    "i am sorry but",
    "i am calling about",
    "i am calling to",
    "do you have",
    "is it possible to",
    "may i",
    "can i",
    "could i",
    "um",
    "uh",
    "well",
    "yes",
    "no",
)
_CLOSINGS = (
    "please",
    "thank you",
    "thanks",
    "tomorrow",
    "today",
    "tomorrow morning",
    "this afternoon",
    "next week",
    "in the morning",
    "in the afternoon",
    *(f"{before} {day}" for before in ("on", "for next") for day in _DAYS),
)


def words_of(text: str) -> list[str]:
    """Return the words of a text as the recogniser writes them: lower case, apostrophes kept, nothing else."""
    return re.findall(r"\w+(?:'\w+)*", text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))


def fingerprint(phrases: Iterable[str], made_with: str) -> str:
    """Return a short name for these phrases' model; `made_with` is the version of what builds and reads it."""
    recipe = json.dumps([_RECIPE, made_with, sorted(set(phrases))])
    return hashlib.sha256(recipe.encode()).hexdigest()[:16]


def write_model(file: TextIO, phrases: Sequence[str], common_words: Iterable[str]) -> None:
    """
    Write the model in the ARPA format.

    `phrases` are words separated by spaces (see `words_of`); `common_words` come with the commonest first. Needs
    pocketsphinx.
    """
    builder = importlib.import_module("pocketsphinx.lm")
    model = builder.ArpaBoLM(text="\n".join(_sentences(phrases, common_words)), discount_mass=_DISCOUNT)
    model.compute()
    model.write(file)


def common_words(dictionary: Iterable[str], probability: Callable[[str], float]) -> list[str]:
    """Return the words of a pronouncing dictionary, those of the highest probability first."""
    heads = (line.split(maxsplit=1)[0] for line in dictionary if line.strip())
    # "read(2)" is the second pronunciation of a word; "<sil>" and "[noise]" are no words.
    return sorted((word for word in heads if not re.search(r"[(<\[]", word)), key=probability, reverse=True)


def _sentences(phrases: Sequence[str], common_words: Iterable[str]) -> Iterator[str]:
    for phrase in phrases:
        yield from [f"<s> {phrase} </s>"] * _PHRASE_WEIGHT
    for filler in (*_OPENINGS, *_CLOSINGS):
        yield from [f"<s> {filler} </s>"] * _FILLER_WEIGHT
    for ending in _endings(phrases):
        yield from (f"<s> {opening} {ending} </s>" for opening in _OPENINGS)
        yield from (f"<s> {ending} {closing} </s>" for closing in _CLOSINGS)
    for first in _OPENINGS:
        yield from (f"<s> {first} {second}" for second in _OPENINGS)
    known = {word for text in (*phrases, *_OPENINGS, *_CLOSINGS) for word in text.split()}
    background = (word for word in common_words if word not in known)
    yield from (word for word, _ in zip(background, range(_BACKGROUND_WORDS), strict=False))


def _endings(phrases: Sequence[str]) -> list[str]:
    """Return the phrases and their later parts: "book an appointment" follows other openings than its own too."""
    endings = set(phrases)
    for phrase in phrases:
        words = phrase.split()
        endings.update(" ".join(words[start:]) for start in range(len(words) - 1))
    return sorted(endings)
