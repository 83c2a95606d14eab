"""
What changed between two profiles, for people: key by key, and in texts word by word.

    for change in changes({"max_call_s": 600}, {"max_call_s": 900}):
        change.key, change.before, change.after        # "max_call_s", "600", "900"
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from phonebot.agents.form_fields import FIELDS
from phonebot.agents.form_parts import shown

CONTEXT_LINES = 2
"""So many lines that did not change are shown around those that did."""
LONG_CHARACTERS = 60  # a text of more is compared word by word
# Calls are held by the same process: what would take longer than some 10 ms to compare counts as new altogether.
_MAX_PAIRS = 250_000

Fate: TypeAlias = Literal["same", "gone", "new", "skipped"]

_WORDS = re.compile(r"\S+\s*|\s+")
_ORDER = {field.key: place for place, field in enumerate(FIELDS)}


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text. "skipped" stands for lines that did not change; its text is how many."""

    fate: Fate
    text: str


@dataclass(frozen=True, slots=True)
class Change:
    """
    A key that changed. `before` and `after` None: it was, or is, left out.

    `pieces` are those of a long text; then `before` and `after` need not be shown.
    """

    key: str
    before: str | None
    after: str | None
    pieces: tuple[Piece, ...] = ()


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """In the order of the form; keys that it does not know come last, by name."""
    old, new = dict(_flat(before)), dict(_flat(after))
    keys = sorted(old.keys() | new.keys(), key=lambda key: (_ORDER.get(key, len(_ORDER)), key))
    return [_change(key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)]


def merged(base: Mapping[str, Any], theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """What `theirs` became of `base`, and with it what `ours` changed, which wins where both changed a key."""
    result = dict(theirs)
    for key in base.keys() | ours.keys():
        if ours.get(key) == base.get(key):
            continue
        if key in ours:
            result[key] = ours[key]
        else:
            result.pop(key, None)
    return {key: result[key] for key in [*(key for key in ours if key in result), *result]}


def text_pieces(before: str, after: str) -> Iterator[Piece]:
    """A text with what left it and what came."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    for fate, old_lines, new_lines in _blocks(old, new):
        if fate == "same":
            yield Piece("same", "".join(old_lines))
        else:
            yield from _words("".join(old_lines), "".join(new_lines))


def _flat(table: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{within}{key}.")
        else:
            yield within + key, value


def _change(key: str, before: Any, after: Any) -> Change:
    texts = [each for each in (before, after) if isinstance(each, str)]
    pieces: tuple[Piece, ...] = ()
    if len(texts) == 2 and any(len(text) > LONG_CHARACTERS or "\n" in text for text in texts):
        pieces = tuple(_shortened(list(text_pieces(*texts))))
    return Change(key, _shown(before), _shown(after), pieces)


def _shown(value: Any) -> str | None:
    return None if value is None else shown(value)


def _words(before: str, after: str) -> Iterator[Piece]:
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    for fate, old_words, new_words in _blocks(old, new):
        if fate == "same":
            yield Piece("same", "".join(old_words))
            continue
        if old_words:
            yield Piece("gone", "".join(old_words))
        if new_words:
            yield Piece("new", "".join(new_words))


def _blocks(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[Fate, Sequence[str], Sequence[str]]]:
    """What is the same in both, and what changed in between."""
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    old_middle, new_middle = old[head : len(old) - tail], new[head : len(new) - tail]
    if head:
        yield "same", old[:head], new[:head]
    if len(old_middle) * len(new_middle) > _MAX_PAIRS:
        yield "new", old_middle, new_middle
    else:
        matcher = difflib.SequenceMatcher(None, old_middle, new_middle, autojunk=False)
        for kind, start, end, new_start, new_end in matcher.get_opcodes():
            yield "same" if kind == "equal" else "new", old_middle[start:end], new_middle[new_start:new_end]
    if tail:
        yield "same", old[len(old) - tail :], new[len(new) - tail :]


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many they have in common at their begin."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _shortened(pieces: list[Piece]) -> Iterator[Piece]:
    """Without the lines that are far from every change."""
    for place, piece in enumerate(pieces):
        lines = piece.text.splitlines(keepends=True)
        before = CONTEXT_LINES if place > 0 else 0
        after = CONTEXT_LINES if place < len(pieces) - 1 else 0
        skipped = len(lines) - before - after
        if piece.fate != "same" or skipped < 2:
            yield piece
            continue
        if before:
            yield Piece("same", "".join(lines[:before]))
        yield Piece("skipped", str(skipped))
        if after:
            yield Piece("same", "".join(lines[-after:]))
