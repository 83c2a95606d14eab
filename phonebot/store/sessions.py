"""
Logins of users.

    sessions = SessionStore(database)
    secret = await sessions.begin(user, "192.0.2.7", "Mozilla/5.0")
    user = await sessions.user(secret)

A session ends IDLE after it was last used, and LIFETIME after it began however it is used. Of its secret, the
cookie, only a hash is kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select, update

from phonebot.errors import NotStored
from phonebot.store import audit, bearer
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.tables import SessionRow, UserRow
from phonebot.store.users import User, user_of

IDLE = timedelta(hours=12)
LIFETIME = timedelta(days=7)
TOUCH = timedelta(minutes=5)
"""How often at most it is written that a session is used: a page need not cost a write."""
MAX_PER_USER = 10
ID_CHARACTERS = 16  # of the hash: enough to tell a user's sessions apart


@dataclass(frozen=True, slots=True)
class Session:
    """A login. `id` names it among those of its user; it opens nothing. `address` is where it began."""

    id: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    address: str
    user_agent: str


class SessionStore:
    """All methods raise StoreUnavailable when the database is away. `clock` gives the time in UTC."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._clock = clock

    async def begin(self, user: User, address: str = "", user_agent: str = "") -> str:
        """
        The secret of a new session; that it began is noted in the audit.

        Of more than MAX_PER_USER of a user the one that was used longest ago ends. Raises SQLAlchemy's
        IntegrityError when the user was deleted meanwhile.
        """
        secret, now = bearer.make(), self._clock()
        row = SessionRow(
            id_hash=bearer.hash_of(secret),
            user_id=user.id,
            created_at=now,
            last_seen_at=now,
            expires_at=now + IDLE,
            address=address[:100],
            user_agent=user_agent[:500],
        )
        async with self._database.begin() as session:
            await session.execute(delete(SessionRow).where(SessionRow.expires_at <= now))
            oldest = (
                select(SessionRow.id_hash)
                .where(SessionRow.user_id == user.id)
                .order_by(SessionRow.last_seen_at.desc(), SessionRow.created_at.desc(), SessionRow.id_hash)
                .offset(MAX_PER_USER - 1)
            )
            surplus = list(await session.scalars(oldest))
            await session.execute(delete(SessionRow).where(SessionRow.id_hash.in_(surplus)))
            session.add(row)
            audit.note(session, Actor(user.name, row.address), "session.begin", user.name)
        return secret

    async def user(self, secret: str) -> User | None:
        """Whose session it is; None: there is none, it has expired, or he is disabled. It counts as used."""
        now, id_hash = self._clock(), bearer.hash_of(secret)
        async with self._database.read() as session:
            found = (
                await session.execute(
                    select(SessionRow, UserRow)
                    .join(UserRow, UserRow.id == SessionRow.user_id)
                    .where(SessionRow.id_hash == id_hash, SessionRow.expires_at > now, UserRow.disabled.is_(False))
                )
            ).first()
        if found is None:
            return None
        row, user = found
        if now - row.last_seen_at >= TOUCH:
            await self._touch(row, now)
        return user_of(user)

    async def all_of(self, user: User) -> list[Session]:
        """Those that have not ended, the one that was used last first."""
        of_user = select(SessionRow).where(SessionRow.user_id == user.id, SessionRow.expires_at > self._clock())
        async with self._database.read() as session:
            return [
                _session(row) for row in await session.scalars(of_user.order_by(SessionRow.last_seen_at.desc()))
            ]

    async def end_one(self, user: User, session_id: str) -> None:
        """Sign out elsewhere. Raises NotStored when the user has no session of this id."""
        async with self._database.begin() as session:
            of_user = select(SessionRow).where(SessionRow.user_id == user.id)
            rows = [row for row in await session.scalars(of_user) if _id(row.id_hash) == session_id]
            if not rows:
                raise NotStored("there is no such session: it may have ended already")
            await session.delete(rows[0])

    async def end(self, secret: str) -> None:
        """Sign out; nothing happens if it has ended."""
        async with self._database.begin() as session:
            await session.execute(delete(SessionRow).where(SessionRow.id_hash == bearer.hash_of(secret)))

    async def end_all(self, user: User) -> int:
        """Sign out everywhere; how many sessions that were."""
        async with self._database.begin() as session:
            ended = await session.scalars(
                delete(SessionRow).where(SessionRow.user_id == user.id).returning(SessionRow.id_hash)
            )
            return len(ended.all())

    async def _touch(self, row: SessionRow, now: datetime) -> None:
        expires_at = min(now + IDLE, row.created_at + LIFETIME)
        async with self._database.begin() as session:
            await session.execute(
                update(SessionRow)
                .where(SessionRow.id_hash == row.id_hash)
                .values(last_seen_at=now, expires_at=expires_at)
            )


def id_of(secret: str) -> str:
    """The id of the session that has this secret, whether or not there is one."""
    return _id(bearer.hash_of(secret))


def _id(id_hash: str) -> str:
    return id_hash[:ID_CHARACTERS]


def _session(row: SessionRow) -> Session:
    return Session(_id(row.id_hash), row.created_at, row.last_seen_at, row.expires_at, row.address, row.user_agent)
