"""Who may log in, on both databases."""

import pytest
from argon2 import PasswordHasher
from sign_in import PASSWORD, QUICK
from sqlalchemy import select

from phonebot.errors import NotStored
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.sessions import SessionStore
from phonebot.store.tables import AuditRow, UserRow
from phonebot.store.users import HASHER, ROLES, Role, UserRefused, UserStore

ADA = Actor("ada", "192.0.2.7")
OTHER = "another password of his"


@pytest.fixture
def users(database: Database) -> UserStore:
    return UserStore(database, QUICK)


async def hash_of(database: Database, name: str) -> str | None:
    async with database.read() as session:
        return await session.scalar(select(UserRow.password_hash).where(UserRow.name == name))


async def test_a_user_is_verified_by_name_and_password(users: UserStore, database: Database) -> None:
    bob = await users.create("Bob", PASSWORD, "viewer", ADA)
    assert (bob.name, bob.role, bob.has_password) == ("bob", "viewer", True)
    assert await users.verify("BOB", PASSWORD) == bob
    assert await users.verify("bob", OTHER) is None
    assert await users.verify("eve", PASSWORD) is None
    kept = await hash_of(database, "bob")
    assert kept is not None
    assert kept.startswith("$argon2id$")


@pytest.mark.parametrize("name", ["", "a b", "-a", "a" * 101, "é", "a\n"])
async def test_a_name_that_cannot_be_is_refused(users: UserStore, name: str) -> None:
    with pytest.raises(UserRefused, match="choose another name"):
        await users.create(name, PASSWORD, "viewer", ADA)


@pytest.mark.parametrize("password", ["", "elevenchars", "a" * 1001, "\ud800" * 12])
async def test_a_password_that_cannot_be_is_refused(users: UserStore, password: str) -> None:
    with pytest.raises(UserRefused, match="choose"):
        await users.create("bob", password, "viewer", ADA)


async def test_a_name_is_given_once(users: UserStore) -> None:
    await users.create("bob", PASSWORD, "viewer", ADA)
    with pytest.raises(UserRefused, match="there is a user bob already"):
        await users.create("BOB", PASSWORD, "admin", ADA)


async def test_an_unknown_name_costs_a_whole_verification(
    users: UserStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await users.create("bob", PASSWORD, "viewer", ADA)
    await users.create("off", PASSWORD, "viewer", ADA)
    await users.create("new", None, "viewer", ADA)
    await users.disable("off", ADA)
    verified: list[str] = []
    verify = PasswordHasher.verify

    def spy(hasher: PasswordHasher, kept: str, password: str | bytes) -> bool:
        verified.append(kept.rpartition("$")[0].rpartition("$")[0])
        return verify(hasher, kept, password)

    monkeypatch.setattr(PasswordHasher, "verify", spy)
    for name in ("bob", "off", "new", "eve"):
        assert await users.verify(name, OTHER) is None
    assert verified == ["$argon2id$v=19$m=8,t=1,p=1"] * 4


async def test_a_hash_of_old_parameters_is_replaced_at_the_next_login(database: Database) -> None:
    await UserStore(database, QUICK).create("bob", PASSWORD, "viewer", ADA)
    assert await UserStore(database, HASHER).verify("bob", PASSWORD) is not None
    kept = await hash_of(database, "bob")
    assert kept is not None
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert await UserStore(database, HASHER).verify("bob", PASSWORD) is not None


async def test_the_same_letter_typed_in_two_ways_is_the_same(users: UserStore) -> None:
    await users.create("bob", "a caf\u00e9 in the sun", "viewer", ADA)
    assert await users.verify("bob", "a cafe\u0301 in the sun") is not None


async def test_a_new_password_ends_the_sessions(users: UserStore, database: Database) -> None:
    bob, sessions = await users.create("bob", PASSWORD, "viewer", ADA), SessionStore(database)
    secret = await sessions.begin(bob)
    await users.change_password("bob", OTHER, ADA)
    assert await sessions.user(secret) is None
    assert await users.verify("bob", PASSWORD) is None
    assert await users.verify("bob", OTHER) == bob


async def test_who_is_disabled_may_not_log_in_until_he_is_enabled(users: UserStore, database: Database) -> None:
    bob, sessions = await users.create("bob", PASSWORD, "viewer", ADA), SessionStore(database)
    secret = await sessions.begin(bob)
    assert (await users.disable("bob", ADA)).disabled
    assert await users.verify("bob", PASSWORD) is None
    assert await sessions.user(secret) is None
    await users.disable("bob", ADA, disabled=False)
    assert await users.verify("bob", PASSWORD) == bob
    assert await sessions.user(secret) is None


async def test_the_only_admin_stays_one(users: UserStore) -> None:
    admin = await users.create("admin", PASSWORD, "admin", ADA)
    for change in (users.disable("admin", ADA), users.change_role("admin", "viewer", ADA)):
        with pytest.raises(UserRefused, match="admin is the only admin: make somebody else an admin first"):
            await change
    assert await users.get("admin") == admin
    await users.create("bob", PASSWORD, "admin", ADA)
    assert (await users.change_role("admin", "viewer", ADA)).role == "viewer"


async def test_the_first_admin_is_made_once(users: UserStore) -> None:
    assert await users.lacks_admin()
    admin = await users.first_admin(PASSWORD, ADA)
    assert admin is not None
    assert not await users.lacks_admin()
    assert await users.first_admin(OTHER, ADA) is None
    assert await users.verify("admin", PASSWORD) == admin


async def test_an_admin_without_a_password_does_not_count_as_the_first(users: UserStore) -> None:
    some = await users.some_admin(ADA)
    assert (some.name, some.role, some.has_password) == ("admin", "admin", False)
    assert await users.some_admin(ADA) == some
    assert await users.lacks_admin()
    assert await users.first_admin(PASSWORD, ADA) is not None


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("viewer", ["viewer"]),
        ("operator", ["viewer", "operator"]),
        ("admin", ["viewer", "operator", "admin"]),
    ],
)
async def test_a_role_may_what_lesser_ones_may(users: UserStore, role: Role, may: list[Role]) -> None:
    user = await users.create("bob", None, role, ADA)
    assert [each for each in ROLES if user.may(each)] == may


async def test_changes_are_audited_without_passwords(users: UserStore, database: Database) -> None:
    await users.create("bob", PASSWORD, "viewer", ADA)
    await users.change_role("bob", "operator", ADA)
    await users.change_role("bob", "operator", ADA)
    await users.change_password("bob", OTHER, ADA)
    await users.disable("bob", ADA)
    async with database.read() as session:
        rows = (await session.scalars(select(AuditRow).order_by(AuditRow.id))).all()
    assert [(row.who, row.what, row.target, row.before, row.after) for row in rows] == [
        ("ada", "user.create", "bob", None, {"role": "viewer"}),
        ("ada", "user.role", "bob", {"role": "viewer"}, {"role": "operator"}),
        ("ada", "user.password", "bob", None, None),
        ("ada", "user.disabled", "bob", {"disabled": False}, {"disabled": True}),
    ]


async def test_what_is_asked_of_nobody_says_so(users: UserStore) -> None:
    with pytest.raises(NotStored, match="there is no user eve: check the name"):
        await users.disable("eve", ADA)


async def test_a_users_state_changes_with_what_he_logs_in_by(users: UserStore) -> None:
    await users.create("bob", None, "viewer", ADA)
    states = [await users.state("bob"), await users.state("BOB")]
    await users.change_password("bob", PASSWORD, ADA)
    states.append(await users.state("bob"))
    await users.disable("bob", ADA)
    states.append(await users.state("bob"))
    await users.change_role("bob", "operator", ADA)
    states.append(await users.state("bob"))
    assert states[0] == states[1]
    assert states[3] == states[4]
    assert len(set(states)) == 3
    with pytest.raises(NotStored):
        await users.state("eve")
