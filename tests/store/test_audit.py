"""Reading who changed what, on both databases."""

from phonebot.store import audit
from phonebot.store.audit import Actor, AuditStore
from phonebot.store.database import Database

ADA, BOB = Actor("ada", "192.0.2.7"), Actor("bob")


async def test_the_audit_is_read_in_pages_the_newest_first(database: Database) -> None:
    async with database.begin() as session:
        for who, what, target in (
            (ADA, "call.delete", "CA1"),
            (BOB, "profile.save", "+1"),
            (ADA, "profile.save", "+1"),
        ):
            audit.note(session, who, what, target, after={"name": who.name})
            await session.flush()
    store = AuditStore(database)
    everything = await store.page()
    assert [(row.who, row.what, row.address) for row in everything] == [
        ("ada", "profile.save", "192.0.2.7"),
        ("bob", "profile.save", ""),
        ("ada", "call.delete", "192.0.2.7"),
    ]
    assert (everything[0].before, everything[0].after) == (None, {"name": "ada"})
    first = await store.page(limit=2)
    assert first + await store.page(before_id=first[-1].id) == everything
    assert [row.target for row in await store.page(who="ada")] == ["+1", "CA1"]
    assert [row.who for row in await store.page(what="profile.save", target="+1")] == ["ada", "bob"]
