"""
Bearer tokens of the API.

    tokens = TokenStore(database)
    token, secret = await tokens.create("nightly export", ["read"], Actor("ada"))
    token = await tokens.verify(secret)

The secret is given away once; only its hash is kept.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from phonebot.errors import NotStored, StoreError
from phonebot.store import audit, bearer
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.tables import ApiTokenRow

Scope: TypeAlias = Literal["read", "operate", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

PREFIX = "phonebot_"
"""By it those who search code and logs for secrets know one."""
TOUCH = timedelta(minutes=1)
"""How often at most it is written that a token is used."""
MAX_NAME_CHARACTERS = 90
"""So that an author or actor, of 100 characters, can be `token` and its name."""


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token, without its secret. `expires_at` None: it does not expire. No scope includes another."""

    id: int
    name: str
    scopes: frozenset[Scope]
    created_by: str
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None


class Created(NamedTuple):
    """A new token, and its secret, which nobody can ask for again."""

    token: Token
    secret: str


class TokenRefused(StoreError):
    """A token cannot be as it was asked."""


class TokenStore:
    """
    Each creation and revocation writes the audit in its transaction.

    All methods raise StoreUnavailable when the database is away. `clock` gives the time in UTC.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._clock = clock

    async def all(self) -> list[Token]:
        """By name, those that have expired too."""
        async with self._database.read() as session:
            return [_token(row) for row in await session.scalars(select(ApiTokenRow).order_by(ApiTokenRow.name))]

    async def create(
        self, name: str, scopes: Iterable[str], actor: Actor, expires_at: datetime | None = None
    ) -> Created:
        """Raises TokenRefused for a name that is taken or cannot be, and for scopes that there are not."""
        name, listed = name.strip(), sorted(set(scopes))
        if not 1 <= len(name) <= MAX_NAME_CHARACTERS:
            raise TokenRefused(f"a token's name has 1 to {MAX_NAME_CHARACTERS} characters: choose another")
        if not listed or not set(listed) <= set(SCOPES):
            raise TokenRefused(f"a token has one or more of the scopes {', '.join(SCOPES)}: choose from them")
        secret = PREFIX + bearer.make()
        row = ApiTokenRow(
            name=name,
            hash=bearer.hash_of(secret),
            scopes=listed,
            created_by=actor.name,
            created_at=self._clock(),
            expires_at=expires_at,
        )
        try:
            async with self._database.begin() as session:
                session.add(row)
                audit.note(session, actor, "token.create", name, after={"scopes": listed})
                await session.flush()
        except IntegrityError:
            raise TokenRefused(f"there is a token {name!r} already: choose another name") from None
        return Created(_token(row), secret)

    async def verify(self, secret: str) -> Token | None:
        """The token with this secret; None: there is none, or it has expired. It counts as used."""
        now = self._clock()
        async with self._database.read() as session:
            row = await session.scalar(select(ApiTokenRow).where(ApiTokenRow.hash == bearer.hash_of(secret)))
        if row is None or (row.expires_at is not None and row.expires_at <= now):
            return None
        if row.last_used_at is None or now - row.last_used_at >= TOUCH:
            async with self._database.begin() as session:
                await session.execute(update(ApiTokenRow).where(ApiTokenRow.id == row.id).values(last_used_at=now))
        return _token(row)

    async def revoke(self, token_id: int, actor: Actor) -> None:
        """From now on it opens nothing. Raises NotStored when there is none of the id."""
        async with self._database.begin() as session:
            row = await session.get(ApiTokenRow, token_id)
            if row is None:
                raise NotStored(f"there is no token {token_id}: it may have been revoked already")
            await session.delete(row)
            audit.note(session, actor, "token.revoke", row.name, before={"scopes": row.scopes})


def _token(row: ApiTokenRow) -> Token:
    scopes: Any = frozenset(row.scopes)
    return Token(row.id, row.name, scopes, row.created_by, row.created_at, row.last_used_at, row.expires_at)
