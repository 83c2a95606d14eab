"""
Who may log in.

    users = UserStore(database)
    await users.create("ada", "a password of hers", "operator", Actor("admin"))
    user = await users.verify("ada", "a password of hers")

Passwords are kept as Argon2id hashes (RFC 9106). To verify one takes the same time whether or not there is such a
user: otherwise the time would tell names.
"""

import asyncio
import base64
import hashlib
import re
import secrets
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias, get_args

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import ColumnElement, and_, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from phonebot.errors import NotStored, StoreError
from phonebot.store import audit
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.tables import SessionRow, UserRow

Role: TypeAlias = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""From the one that may do least; each may do what those before it may."""

FIRST_ADMIN = "admin"
MIN_PASSWORD_CHARACTERS = 12
MAX_PASSWORD_CHARACTERS = 1000
STATE_CHARACTERS = 16
# One lane: calls are held by the same machine, and a password is never worth a late frame.
HASHER = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)

_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,99}")
_MAY_SIGN_IN: ColumnElement[bool] = and_(UserRow.role == "admin", UserRow.disabled.is_(False))


@dataclass(frozen=True, slots=True)
class User:
    """Who may log in, unless `disabled`. `has_password`: without one he cannot."""

    id: int
    name: str
    role: Role
    created_at: datetime
    disabled: bool
    has_password: bool

    def may(self, role: Role) -> bool:
        """Whether he may do what takes this role."""
        return ROLES.index(self.role) >= ROLES.index(role)


class UserRefused(StoreError):
    """A user cannot be as it was asked: the name, the password, or nobody would be left to administer."""


class UserStore:
    """
    Each change writes the audit in its transaction.

    All methods raise StoreUnavailable when the database is away; those that change a user NotStored when there is
    none of the name. Names are taken in lower case. `clock` gives the time in UTC.
    """

    def __init__(
        self,
        database: Database,
        hasher: PasswordHasher = HASHER,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._clock = clock
        self._nobodys = _hash_of_nobody(hasher)
        # One at a time: each takes the hasher's memory (64 MiB) and a core for about 0.1 s.
        self._turn = asyncio.Lock()

    async def all(self) -> list[User]:
        """By name."""
        async with self._database.read() as session:
            return [user_of(row) for row in await session.scalars(select(UserRow).order_by(UserRow.name))]

    async def get(self, name: str) -> User:
        async with self._database.read() as session:
            return user_of(await _row(session, name))

    async def state(self, name: str) -> str:
        """Changes when he gets another password, or is disabled or let in again; it tells neither."""
        async with self._database.read() as session:
            row = await _row(session, name)
        kept = f"{row.id}\0{row.disabled}\0{row.password_hash or ''}"
        return hashlib.sha256(kept.encode()).hexdigest()[:STATE_CHARACTERS]

    async def create(self, name: str, password: str | None, role: Role, actor: Actor) -> User:
        """Raises UserRefused for a name or a password that cannot be, and for a name that is taken."""
        name = checked_name(name)
        hashed = None if password is None else await self._hash(checked_password(password))
        row = UserRow(name=name, password_hash=hashed, role=role, created_at=self._clock(), disabled=False)
        try:
            async with self._database.begin() as session:
                session.add(row)
                audit.note(session, actor, "user.create", name, after={"role": role})
                await session.flush()
        except IntegrityError:
            raise UserRefused(f"there is a user {name} already: choose another name") from None
        return user_of(row)

    async def verify(self, name: str, password: str) -> User | None:
        """
        The user of this name and password; None: there is none, or he is disabled, or has another password.

        A hash of other parameters than today's is replaced.
        """
        async with self._database.read() as session:
            row = await session.scalar(select(UserRow).where(UserRow.name == name.lower()[:100]))
        kept = row.password_hash if row is not None and not row.disabled else None
        matches = await self._matches(kept or self._nobodys, password)
        if row is None or kept is None or not matches:
            return None
        if self._hasher.check_needs_rehash(kept):
            await self._replace_hash(row.id, kept, await self._hash(_normal(password)))
        return user_of(row)

    async def change_password(self, name: str, password: str, actor: Actor) -> None:
        """His sessions end, all of them. Raises UserRefused for a password that cannot be."""
        hashed = await self._hash(checked_password(password))
        async with self._database.begin() as session:
            row = await _row(session, name)
            row.password_hash = hashed
            await _end_sessions(session, row)
            audit.note(session, actor, "user.password", row.name)

    async def change_role(self, name: str, role: Role, actor: Actor) -> User:
        """Raises UserRefused if no admin would be left."""
        return await self._change(name, actor, "role", role)

    async def disable(self, name: str, actor: Actor, disabled: bool = True) -> User:
        """He may no longer log in, and his sessions end. Raises UserRefused if no admin would be left."""
        return await self._change(name, actor, "disabled", disabled)

    async def lacks_admin(self) -> bool:
        """Whether nobody can log in as an admin: so it is at the first start."""
        async with self._database.read() as session:
            return await _lacks_admin(session)

    async def first_admin(self, password: str, actor: Actor) -> User | None:
        """
        Let `admin` log in with this password; None: somebody can log in as an admin already, nothing is changed.

        Raises UserRefused for a password that cannot be.
        """
        hashed = await self._hash(checked_password(password))
        try:
            async with self._database.begin() as session:
                if not await _lacks_admin(session):
                    return None
                row = await self._admin_row(session, actor)
                row.password_hash, row.role, row.disabled = hashed, "admin", False
                audit.note(session, actor, "user.password", row.name)
                await _end_sessions(session, row)
                await session.flush()
        except IntegrityError:  # another process was faster
            return None
        return user_of(row)

    async def some_admin(self, actor: Actor) -> User:
        """An admin who is not disabled, the oldest; without one `admin` becomes it, without a password."""
        async with self._database.begin() as session:
            row = await session.scalar(select(UserRow).where(_MAY_SIGN_IN).order_by(UserRow.id).limit(1))
            if row is None:
                row = await self._admin_row(session, actor)
                row.role, row.disabled = "admin", False
                await session.flush()
        return user_of(row)

    async def _admin_row(self, session: AsyncSession, actor: Actor) -> UserRow:
        row = await session.scalar(select(UserRow).where(UserRow.name == FIRST_ADMIN))
        if row is None:
            row = UserRow(
                name=FIRST_ADMIN, password_hash=None, role="admin", created_at=self._clock(), disabled=False
            )
            session.add(row)
            audit.note(session, actor, "user.create", FIRST_ADMIN, after={"role": "admin"})
        return row

    async def _change(self, name: str, actor: Actor, key: str, value: Any) -> User:
        async with self._database.begin() as session:
            # Locked, so that two who take the role from each other leave one of them.
            await session.scalars(select(UserRow.id).where(_MAY_SIGN_IN).with_for_update())
            row = await _row(session, name)
            before = getattr(row, key)
            if before == value:
                return user_of(row)
            had_admin = await _admins(session)
            setattr(row, key, value)
            await session.flush()
            if had_admin and not await _admins(session):
                raise UserRefused(f"{row.name} is the only admin: make somebody else an admin first")
            if row.disabled:
                await _end_sessions(session, row)
            audit.note(session, actor, f"user.{key}", row.name, before={key: before}, after={key: value})
        return user_of(row)

    async def _replace_hash(self, user_id: int, before: str, after: str) -> None:
        """Unless it was changed meanwhile."""
        async with self._database.begin() as session:
            await session.execute(
                update(UserRow)
                .where(UserRow.id == user_id, UserRow.password_hash == before)
                .values(password_hash=after)
            )

    async def _hash(self, password: str) -> str:
        async with self._turn:
            return await asyncio.to_thread(self._hasher.hash, password.encode())

    async def _matches(self, kept: str, password: str) -> bool:
        try:
            async with self._turn:
                given = _normal(password[:MAX_PASSWORD_CHARACTERS]).encode(errors="replace")
                return await asyncio.to_thread(self._hasher.verify, kept, given)
        except (VerificationError, InvalidHashError):
            return False


def checked_name(name: str) -> str:
    """As it is kept. Raises UserRefused."""
    if not _NAME.fullmatch(name.lower()):
        raise UserRefused(
            "a user's name is 1 to 100 letters, digits and . _ @ + -, and begins with a letter or digit: "
            "choose another name"
        )
    return name.lower()


def checked_password(password: str) -> str:
    """As it is hashed. Raises UserRefused for one that is too short or too long."""
    if not MIN_PASSWORD_CHARACTERS <= len(password) <= MAX_PASSWORD_CHARACTERS:
        raise UserRefused(
            f"the password has {len(password)} characters: "
            f"choose one of {MIN_PASSWORD_CHARACTERS} to {MAX_PASSWORD_CHARACTERS}"
        )
    try:
        password.encode()
    except UnicodeEncodeError:
        raise UserRefused("the password holds a character that cannot be written: choose another") from None
    return _normal(password)


def _normal(password: str) -> str:
    """Keyboards write the same letter in different ways (NIST SP 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def _hash_of_nobody(hasher: PasswordHasher) -> str:
    """A hash that takes as long to verify as a user's, and which no password has: it is random."""
    salt, hashed = (
        base64.b64encode(secrets.token_bytes(n)).rstrip(b"=").decode() for n in (hasher.salt_len, hasher.hash_len)
    )
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${cost}${salt}${hashed}"


async def _row(session: AsyncSession, name: str) -> UserRow:
    row = await session.scalar(select(UserRow).where(UserRow.name == name.lower()))
    if row is None:
        raise NotStored(f"there is no user {name[:100]}: check the name")
    return row


async def _admins(session: AsyncSession, *further: ColumnElement[bool]) -> int:
    return await session.scalar(select(func.count()).select_from(UserRow).where(_MAY_SIGN_IN, *further)) or 0


async def _lacks_admin(session: AsyncSession) -> bool:
    return not await _admins(session, UserRow.password_hash.is_not(None))


async def _end_sessions(session: AsyncSession, row: UserRow) -> None:
    if row.id is not None:  # one that is new has none
        await session.execute(delete(SessionRow).where(SessionRow.user_id == row.id))


def user_of(row: UserRow) -> User:
    """The user whom a row holds."""
    role: Any = row.role  # the table holds no other
    return User(row.id, row.name, role, row.created_at, row.disabled, row.password_hash is not None)
