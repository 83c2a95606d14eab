"""The version that answered decides what is wanted after a call."""

from datetime import UTC, datetime

from phonebot.after.wishes import WishBook
from phonebot.agents.profile import Profile
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.numbers import NumberStore
from phonebot.store.tables import CallRow

ADA = Actor("ada")
DESK = "+15550100000"


def profile_of(**table: object) -> Profile:
    return Profile.from_table(table, "test")


def call_by(profile: Profile, number: str = DESK) -> CallRow:
    version = profile.version
    return CallRow(call_sid="CA1", number=number, profile_version=version, started_at=datetime.now(UTC))


async def test_a_profile_that_changed_since_does_not_count(database: Database) -> None:
    numbers = NumberStore(database)
    for table in ({"summary": True}, {"summary": {"prompt": "Who?"}}, {}):
        await numbers.save(DESK, table, profile_of(**table).version, ADA)
    await numbers.save("default", {"summary": {"model": "m"}}, profile_of(summary={"model": "m"}).version, ADA)
    book = WishBook(numbers)
    assert await book.of(call_by(profile_of(summary=True))) == {"summary": {}}
    assert await book.of(call_by(profile_of(summary={"prompt": "Who?"}))) == {"summary": {"prompt": "Who?"}}
    assert await book.of(call_by(profile_of())) == {}
    assert await book.of(call_by(profile_of(summary={"model": "m"}), "+15550100007")) == {"summary": {"model": "m"}}
    assert await book.of(call_by(profile_of(name="unknown"))) == {}


async def test_a_number_that_is_deleted_during_a_call_leaves_its_wishes(database: Database) -> None:
    numbers, profile = NumberStore(database), profile_of(summary=True)
    await numbers.save(DESK, {"summary": True}, profile.version, ADA)
    book = WishBook(numbers)
    book.remember(profile)
    await numbers.delete(DESK, ADA)
    assert await book.of(call_by(profile)) == {"summary": {}}


async def test_wishes_that_this_version_does_not_know_are_none(database: Database) -> None:
    numbers, profile = NumberStore(database), profile_of()
    await numbers.save(DESK, {"summary": {"length": 3}}, profile.version, ADA)
    assert await WishBook(numbers).of(call_by(profile)) == {}
