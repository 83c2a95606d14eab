"""
Logins of users.

    sessions = SessionStore(database)
    secret = await sessions.begin(user, "192.0.2.7", "Mozilla/5.0")
    user = await sessions.user(secret)

A session ends IDLE after it was last used, and LIFETIME after it began however it is used. Of its secret, the
cookie, only a hash is kept.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select, update

from phonebot.store import bearer
from phonebot.store.database import Database
from phonebot.store.tables import SessionRow, UserRow
from phonebot.store.users import User, user_of

IDLE = timedelta(hours=12)
LIFETIME = timedelta(days=7)
TOUCH = timedelta(minutes=5)
"""How often at most it is written that a session is used: a page need not cost a write."""
MAX_PER_USER = 10


class SessionStore:
    """All methods raise StoreUnavailable when the database is away. `clock` gives the time in UTC."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._clock = clock

    async def begin(self, user: User, address: str = "", user_agent: str = "") -> str:
        """
        The secret of a new session. Of more than MAX_PER_USER of a user the one that was used longest ago ends.

        Raises SQLAlchemy's IntegrityError when the user was deleted meanwhile.
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
