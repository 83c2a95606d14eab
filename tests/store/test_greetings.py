"""Greetings that are kept: once each, the newest, for as long as a number has their version."""

from datetime import UTC, datetime, timedelta

import pytest

from phonebot.store import greetings
from phonebot.store.audit import Actor, AuditStore
from phonebot.store.database import Database
from phonebot.store.greetings import GreetingStore, Kept
from phonebot.store.numbers import NumberStore

NUMBER, OTHER = "+15550100000", "+15550100002"
ADA = Actor("ada")
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def kept(key: str, version: str = "v1", minutes: int = 0, audio: bytes = b"\x51" * 1600) -> Kept:
    at = NOON + timedelta(minutes=minutes)
    return Kept(key, version, "openai", "gpt-realtime-2.1", "marin", "Hello", audio, at)


async def test_a_greeting_is_kept_once_and_told_of_with_its_length(database: Database) -> None:
    store = GreetingStore(database)
    before = await store.changes()
    assert await store.keep(kept("a"))
    assert not await store.keep(kept("a", audio=b"\x52" * 160))  # another process was later
    assert await store.changes() == before + 1
    assert await store.audio("a") == b"\x51" * 1600
    assert await store.audio("b") is None
    (found,) = await store.of(["v1", "v2"])
    assert (found.text, found.voice, found.length_ms, found.audio, found.created_at) == (
        *("Hello", "marin", 200, b""),
        NOON,
    )


async def test_the_oldest_make_room_for_the_newest(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(greetings, "MOST", 2)
    store = GreetingStore(database)
    for number, key in enumerate("abc"):
        await store.keep(kept(key, minutes=number))
    assert await store.keys() == ["c", "b"]


async def test_those_of_a_version_are_dropped_and_the_audit_tells_of_it(database: Database) -> None:
    store = GreetingStore(database)
    for key, version in (("a", "v1"), ("b", "v2"), ("c", "v3")):
        await store.keep(kept(key, version))
    before = await store.changes()
    assert await store.drop(NUMBER, ["v1", "v2"], ADA) == 2
    assert await store.keys() == ["c"]
    assert await store.changes() == before + 1
    assert await store.drop(NUMBER, ["v1"], ADA) == 0
    (row,) = await AuditStore(database).page(target=NUMBER)
    assert (row.who, row.what, row.before) == ("ada", "greeting.drop", {"greetings": ["Hello", "Hello"]})


async def test_a_greeting_goes_with_the_last_number_that_has_its_version(database: Database) -> None:
    store, numbers = GreetingStore(database), NumberStore(database)
    for number, version in ((NUMBER, "v1"), (NUMBER, "v2"), (OTHER, "v2")):
        await numbers.save(number, {"name": version}, version, ADA)
    for key, version in (("a", "v1"), ("b", "v2")):
        await store.keep(kept(key, version))
    await numbers.delete(NUMBER, ADA)
    assert await store.keys() == ["b"]
    await numbers.delete(OTHER, ADA)
    assert await store.keys() == []
