"""
Finding calls by words: what is kept of a call to be found by, and the condition that a query makes.

A word is looked for as a part of the text, in whatever alphabet and without a stemmer: callers' words are names,
numbers and whatever a transcription made of them, in any language. Both databases go through the texts for it. With
10,000 calls of 600 words each that takes 90 ms in SQLite and 60 ms in PostgreSQL when nothing is found, and 2 ms
when much is, since a page is full at once; no index, no extension and no second form of the text has to be kept
right.
"""

import re
import unicodedata
from collections.abc import Iterable

from sqlalchemy import ColumnElement, Integer, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from phonebot.store.tables import CallText

MAX_WORDS = 10
MAX_QUERY_CHARACTERS = 200

_TERM = re.compile(r'"([^"]+)"|([^\s"]+)')


def searchable(parts: Iterable[str | None]) -> str:
    """
    The text of `CallText` for these parts: lines, numbers, names, tags, note.

    Case, accents, forms of the same letter and kinds of space make no difference.
    """
    return "\n".join(filter(None, (plain(part) for part in parts if part)))


def terms(query: str) -> list[str]:
    """What a query asks for: its words, and what stands in double quotes as a whole. The longest comes first."""
    found = (plain(quoted or word) for quoted, word in _TERM.findall(query[:MAX_QUERY_CHARACTERS]))
    # A long one is rare: where it is missing, the others need not be looked for.
    return sorted(dict.fromkeys(filter(None, found)), key=len, reverse=True)[:MAX_WORDS]


def found_by(query: str) -> list[ColumnElement[bool]]:
    """Conditions on a joined CallText that hold for a call that has every term; none for an empty query."""
    return found_in(CallText.text, query)


def found_in(text: ColumnElement[str] | InstrumentedAttribute[str], query: str) -> list[ColumnElement[bool]]:
    """The same of a column that holds what `searchable` made."""
    return [_Position(text, literal(term)) > 0 for term in terms(query)]


def plain(text: str) -> str:
    """A part as it is looked for: one line, in which case, accents and forms of the same letter are gone."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    # PostgreSQL keeps no NUL.
    letters = "".join(letter for letter in folded if letter != "\0" and not unicodedata.combining(letter))
    return " ".join(letters.split())


class _Position(GenericFunction[int]):
    """Where the second text begins in the first, from 1; 0 where it is not in it."""

    type = Integer()
    inherit_cache = True
    name = "strpos"


@compiles(_Position, "sqlite")
def _instr(function: _Position, compiler: SQLCompiler, **terms: object) -> str:
    return f"instr({compiler.process(function.clauses, **terms)})"
