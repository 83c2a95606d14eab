"""
What people add to a call that was filed: a note, and tags. Both are found by a search like what was said.

    await Annotations(database).set("CA1", note="Call back on Monday.", tags=["lead"], actor=Actor("ada"))
"""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import selectinload

from phonebot.errors import NotStored, StoreError
from phonebot.store import audit
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.search import plain
from phonebot.store.tables import CallRow

MAX_NOTE_CHARACTERS = 4000
MAX_TAGS = 20
MAX_TAG_CHARACTERS = 40


class AnnotationRefused(StoreError):
    """A note or tags cannot be kept: too long, or too many."""


class Annotations:
    """The notes and tags of calls. Raises StoreUnavailable when the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def set(self, call_sid: str, note: str, tags: Iterable[str], actor: Actor) -> bool:
        """
        Replace a call's note and tags, and what of them it is found by. False: they were these already.

        The audit keeps who changed which of the two, and not what it said: a deleted call leaves nothing. Raises
        NotStored, and AnnotationRefused.
        """
        note, tags = checked_note(note), checked_tags(tags)
        async with self._database.begin() as session:
            wanted = select(CallRow).where(CallRow.call_sid == call_sid).options(selectinload(CallRow.search))
            # Locked: one who changes the note and one who changes the tags both write what the call is found by.
            call = await session.scalar(wanted.with_for_update())
            if call is None:
                raise NotStored(f"there is no call {call_sid}: check its CallSid")
            changed = [name for name, value in (("note", note), ("tags", tags)) if getattr(call, name) != value]
            if not changed:
                return False
            if call.search is not None:
                call.search.text = _replaced(call.search.text, (*call.tags, call.note), (*tags, note))
            call.note, call.tags = note, tags
            audit.note(session, actor, "call.annotate", call_sid, after={"changed": changed})
        return True


def checked_note(note: str) -> str:
    """As it is kept: without space at its ends, its lines ending in one way."""
    note = "\n".join(line.rstrip() for line in note.replace("\0", "").splitlines()).strip()
    if len(note) > MAX_NOTE_CHARACTERS:
        raise AnnotationRefused(f"a note has {MAX_NOTE_CHARACTERS} characters at most, this one {len(note)}")
    return note


def checked_tags(tags: Iterable[str]) -> list[str]:
    """As they are kept: each once, in the order given, without needless space."""
    kept = list(dict.fromkeys(filter(None, (" ".join(tag.replace("\0", "").split()) for tag in tags))))
    if len(kept) > MAX_TAGS:
        raise AnnotationRefused(f"a call has {MAX_TAGS} tags at most, these are {len(kept)}")
    for tag in kept:
        if len(tag) > MAX_TAG_CHARACTERS:
            raise AnnotationRefused(
                f"a tag has {MAX_TAG_CHARACTERS} characters at most: {tag[:20]}… has {len(tag)}"
            )
    return kept


def _replaced(text: str, old: Iterable[str], new: Iterable[str]) -> str:
    """A call's searchable text with other annotations; each part is a line of it, and theirs are the last ones."""
    lines = text.split("\n")
    for part in filter(None, map(plain, old)):
        if part in lines:
            del lines[len(lines) - 1 - lines[::-1].index(part)]
    return "\n".join([*filter(None, lines), *filter(None, map(plain, new))])
