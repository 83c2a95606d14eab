"""Logins, on both databases: when they end, and what is kept of them."""

import pytest
from sign_in import QUICK, Clock
from sqlalchemy import select

from phonebot.errors import NotStored
from phonebot.store.audit import Actor, AuditStore
from phonebot.store.bearer import hash_of
from phonebot.store.database import Database
from phonebot.store.sessions import MAX_PER_USER, SessionStore, id_of
from phonebot.store.tables import SessionRow
from phonebot.store.users import User, UserStore

ADA = Actor("ada")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(database: Database, clock: Clock) -> SessionStore:
    return SessionStore(database, clock)


@pytest.fixture
async def bob(database: Database) -> User:
    return await UserStore(database, QUICK).create("bob", None, "viewer", ADA)


async def test_a_session_tells_whose_it_is_and_keeps_only_a_hash(
    sessions: SessionStore, bob: User, database: Database
) -> None:
    secret = await sessions.begin(bob, "192.0.2.7", "Mozilla/5.0")
    assert len(secret) == 43
    assert await sessions.user(secret) == bob
    assert await sessions.user("") is None
    assert await sessions.user(secret[:-1]) is None
    async with database.read() as session:
        (row,) = (await session.scalars(select(SessionRow))).all()
    assert (row.id_hash, row.address, row.user_agent) == (hash_of(secret), "192.0.2.7", "Mozilla/5.0")


async def test_a_session_that_is_not_used_ends(sessions: SessionStore, bob: User, clock: Clock) -> None:
    secret = await sessions.begin(bob)
    clock.advance(hours=11, minutes=59)
    assert await sessions.user(secret) == bob
    clock.advance(hours=11, minutes=59)
    assert await sessions.user(secret) == bob
    clock.advance(hours=12)
    assert await sessions.user(secret) is None


async def test_a_session_that_is_used_ends_after_a_week(sessions: SessionStore, bob: User, clock: Clock) -> None:
    secret = await sessions.begin(bob)
    for _ in range(7 * 4 - 1):
        clock.advance(hours=6)
        assert await sessions.user(secret) == bob
    clock.advance(hours=6)
    assert await sessions.user(secret) is None


async def test_who_signs_out_is_signed_out_there(sessions: SessionStore, bob: User) -> None:
    here, there = await sessions.begin(bob), await sessions.begin(bob)
    await sessions.end(here)
    await sessions.end(here)
    assert await sessions.user(here) is None
    assert await sessions.user(there) == bob


async def test_who_signs_out_everywhere_is_signed_out_everywhere(
    sessions: SessionStore, bob: User, database: Database
) -> None:
    eve = await UserStore(database, QUICK).create("eve", None, "viewer", ADA)
    secrets = [await sessions.begin(bob) for _ in range(3)]
    others = await sessions.begin(eve)
    assert await sessions.end_all(bob) == 3
    assert [await sessions.user(secret) for secret in secrets] == [None] * 3
    assert await sessions.user(others) == eve


async def test_of_too_many_sessions_the_least_recently_used_ends(
    sessions: SessionStore, bob: User, clock: Clock
) -> None:
    secrets = []
    for _ in range(MAX_PER_USER + 1):
        secrets.append(await sessions.begin(bob))
        clock.advance(seconds=1)
    assert await sessions.user(secrets[0]) is None
    assert [await sessions.user(secret) for secret in secrets[1:]] == [bob] * MAX_PER_USER


async def test_sessions_that_expired_are_cleared_away(
    sessions: SessionStore, bob: User, clock: Clock, database: Database
) -> None:
    await sessions.begin(bob)
    clock.advance(hours=13)
    secret = await sessions.begin(bob)
    async with database.read() as session:
        assert list(await session.scalars(select(SessionRow.id_hash))) == [hash_of(secret)]


async def test_a_user_sees_his_sessions_and_ends_one_of_them(
    sessions: SessionStore, bob: User, database: Database, clock: Clock
) -> None:
    eve = await UserStore(database, QUICK).create("eve", None, "viewer", ADA)
    first, hers = await sessions.begin(bob, "192.0.2.7", "Mozilla/5.0"), await sessions.begin(eve)
    clock.advance(minutes=6)
    second = await sessions.begin(bob)
    assert [session.id for session in await sessions.all_of(bob)] == [id_of(second), id_of(first)]
    assert (await sessions.all_of(bob))[1].address == "192.0.2.7"
    with pytest.raises(NotStored, match="there is no such session"):
        await sessions.end_one(bob, id_of(hers))
    await sessions.end_one(bob, id_of(first))
    assert [await sessions.user(secret) for secret in (first, second, hers)] == [None, bob, eve]
    clock.advance(hours=12)
    assert await sessions.all_of(bob) == []


async def test_a_login_is_in_the_audit(sessions: SessionStore, bob: User, database: Database) -> None:
    secret = await sessions.begin(bob, "192.0.2.7")
    (noted,) = await AuditStore(database).page(what="session.begin")
    assert (noted.who, noted.target, noted.address) == ("bob", "bob", "192.0.2.7")
    assert secret not in repr(noted)
