"""
Why a search found a call: the line of its transcript that has the words, with the words marked.

    lines = await Snippets(database).of(page.calls, "table two")
    lines[page.calls[0].id].parts       # (Part("A ", False), Part("table", True), Part(" for ", False), ...)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from phonebot.store.database import Database
from phonebot.store.search import plain, terms
from phonebot.store.tables import CallRow, TurnRow

MAX_CHARACTERS = 160
MAX_LINES = 20_000  # of one page's calls; those beyond are not looked at


@dataclass(frozen=True, slots=True)
class Part:
    """Text as it was said; `found`: it is what was looked for."""

    text: str
    found: bool


@dataclass(frozen=True, slots=True)
class Snippet:
    """`who` said it, `start_ms` into the call, where that is known; `note`: it is the call's note."""

    who: str
    start_ms: int | None
    parts: tuple[Part, ...]


class Snippets:
    """The lines that searches found. Raises StoreUnavailable when the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, calls: Sequence[CallRow], query: str) -> dict[int, Snippet]:
        """
        For each call, by its id, the first of the lines that have the most of the query's terms.

        A call that was found by something else, such as its number, has none.
        """
        wanted = terms(query)
        if not wanted or not calls:
            return {}
        columns = (TurnRow.call_id, TurnRow.who, TurnRow.text, TurnRow.unheard_text, TurnRow.start_ms)
        lines = (
            select(*columns)
            .where(TurnRow.call_id.in_([call.id for call in calls]))
            .order_by(TurnRow.call_id, TurnRow.sequence)
            .limit(MAX_LINES)
        )
        best: dict[int, tuple[int, str, str, int | None]] = {}
        async with self._database.read() as session:
            for call_id, who, text, unheard, start_ms in await session.execute(lines):
                said = f"{text} {unheard}".strip()
                found = _count(said, wanted)
                if found > (best[call_id][0] if call_id in best else 0):
                    best[call_id] = (found, who, said, start_ms)
        for call in calls:
            if call.id not in best and _count(call.note, wanted):
                best[call.id] = (0, "note", call.note, None)
        return {
            call_id: Snippet(who, start_ms, marked(said, wanted))
            for call_id, (_, who, said, start_ms) in best.items()
        }


def _count(text: str, wanted: Iterable[str]) -> int:
    # Most lines are ASCII, which needs no folding but its case.
    folded = " ".join(text.lower().split()) if text.isascii() else plain(text)
    return sum(term in folded for term in wanted)


def marked(text: str, wanted: Iterable[str]) -> tuple[Part, ...]:
    """The text around the first of these terms, MAX_CHARACTERS at most, in parts that are terms or are not."""
    folded, places = _folded(text)
    hits = bytearray(len(text))
    for term in wanted:
        at = folded.find(term)
        while at >= 0:
            first, last = places[at], places[at + len(term) - 1]
            hits[first : last + 1] = b"\1" * (last + 1 - first)
            at = folded.find(term, at + 1)
    begin, end = _around(text, max(hits.find(1), 0))
    parts = [Part("… ", False)] if begin else []
    start = begin
    for at in range(begin + 1, end + 1):
        if at == end or hits[at] != hits[start]:
            parts.append(Part(text[start:at], bool(hits[start])))
            start = at
    return (*parts, *([Part(" …", False)] if end < len(text) else []))


def _folded(text: str) -> tuple[str, list[int]]:
    """The text as it is looked through, and for each of its letters which one of `text` it came of."""
    letters: list[str] = []
    places: list[int] = []
    for place, letter in enumerate(text):
        for folded in " " if letter.isspace() else plain(letter):
            if folded == " " and (not letters or letters[-1] == " "):
                continue
            letters.append(folded)
            places.append(place)
    return "".join(letters), places


def _around(text: str, first: int) -> tuple[int, int]:
    """Which part of a long text is shown so that its letter `first` is in it; words stay whole."""
    if len(text) <= MAX_CHARACTERS:
        return 0, len(text)
    begin = max(0, min(first - MAX_CHARACTERS // 3, len(text) - MAX_CHARACTERS))
    end = begin + MAX_CHARACTERS
    if begin:
        begin = text.find(" ", begin, first) + 1 or begin
    if end < len(text):
        end = max(text.rfind(" ", first, end), first + 1) if " " in text[first:end] else end
    return begin, end
