"""Bearer tokens and one-time links, on both databases."""

import asyncio

import pytest
from sign_in import Clock
from sqlalchemy import select

from phonebot.errors import NotStored
from phonebot.store.audit import Actor
from phonebot.store.bearer import hash_of
from phonebot.store.database import Database
from phonebot.store.links import Link, OneTimeLinks
from phonebot.store.tables import ApiTokenRow
from phonebot.store.tokens import TokenRefused, TokenStore

ADA = Actor("ada")
KEY = "a key that all processes have"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(database: Database, clock: Clock) -> TokenStore:
    return TokenStore(database, clock)


async def test_a_token_is_verified_by_its_secret_of_which_a_hash_is_kept(
    tokens: TokenStore, clock: Clock, database: Database
) -> None:
    token, secret = await tokens.create(" export ", ["read", "operate"], ADA)
    assert (token.name, sorted(token.scopes), token.created_by) == ("export", ["operate", "read"], "ada")
    assert secret.startswith("phonebot_")
    assert await tokens.verify(secret) == token
    assert await tokens.verify("phonebot_" + "A" * 43) is None
    (listed,) = await tokens.all()
    assert listed.last_used_at == clock.now
    async with database.read() as session:
        assert await session.scalar(select(ApiTokenRow.hash)) == hash_of(secret)


@pytest.mark.parametrize(("name", "scopes"), [("", ["read"]), ("a" * 101, ["read"]), ("a", []), ("a", ["all"])])
async def test_a_token_that_cannot_be_is_refused(tokens: TokenStore, name: str, scopes: list[str]) -> None:
    with pytest.raises(TokenRefused, match="choose"):
        await tokens.create(name, scopes, ADA)


async def test_a_tokens_name_is_given_once(tokens: TokenStore) -> None:
    await tokens.create("export", ["read"], ADA)
    with pytest.raises(TokenRefused, match="there is a token 'export' already"):
        await tokens.create("export", ["read"], ADA)


async def test_a_token_ends_when_it_expires_or_is_revoked(tokens: TokenStore, clock: Clock) -> None:
    clock.advance(days=1)
    expires_at = clock.now
    clock.advance(days=-1)
    _, first = await tokens.create("first", ["read"], ADA, expires_at)
    token, second = await tokens.create("second", ["read"], ADA)
    clock.advance(days=1)
    assert await tokens.verify(first) is None
    assert await tokens.verify(second) == token
    await tokens.revoke(token.id, ADA)
    assert await tokens.verify(second) is None
    with pytest.raises(NotStored):
        await tokens.revoke(token.id, ADA)


async def test_a_link_is_spent_once_on_all_processes(database: Database, clock: Clock) -> None:
    one, other = OneTimeLinks(database, KEY, clock), OneTimeLinks(database, KEY, clock)
    token = one.make("setup")
    assert one.read(token) == other.read(token) == Link("setup")
    spent = await asyncio.gather(*(links.spend(token) for links in (one, other, one, other)))
    assert sorted(spent) == [False, False, False, True]


async def test_a_link_of_another_key_or_of_yesterday_is_none(database: Database, clock: Clock) -> None:
    links = OneTimeLinks(database, KEY, clock)
    token = links.make("sign-in")
    forged = OneTimeLinks(database, "another key", clock).make("sign-in")
    for wrong in (forged, "", "é", token[:-1], token + "A"):
        assert links.read(wrong) is None
        assert not await links.spend(wrong)
    clock.advance(hours=1)
    assert links.read(token) is None
    assert not await links.spend(token)


async def test_a_link_for_a_password_lasts_three_days_and_says_whose(database: Database, clock: Clock) -> None:
    links = OneTimeLinks(database, KEY, clock)
    token = links.make("password", "bob", "state")
    clock.advance(hours=71)
    assert links.read(token) == Link("password", "bob", "state")
    clock.advance(hours=1)
    assert links.read(token) is None
