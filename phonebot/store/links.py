"""
Links that let in whoever has one, once, within an hour: how the first admin chooses his password.

    links = OneTimeLinks(database, secret_key)
    token = links.make("setup")
    purpose = links.purpose(token)        # may be asked again and again: a page is loaded
    await links.spend(token)              # True once, on all processes together
"""

import hashlib
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias, get_args

from itsdangerous import BadData, URLSafeSerializer
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError

from phonebot.store.database import Database
from phonebot.store.tables import SpentToken

Purpose: TypeAlias = Literal["setup", "sign-in"]
LIFETIME = timedelta(hours=1)


class OneTimeLinks:
    """`secret_key` signs the tokens; processes that take each other's have the same. `clock` gives UTC."""

    def __init__(
        self, database: Database, secret_key: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._database = database
        self._serializer = URLSafeSerializer(
            secret_key, salt="phonebot one-time link", signer_kwargs={"digest_method": hashlib.sha256}
        )
        self._clock = clock

    def make(self, purpose: Purpose) -> str:
        """A new token."""
        expires = int((self._clock() + LIFETIME).timestamp())
        return str(self._serializer.dumps([purpose, secrets.token_urlsafe(16), expires]))

    def purpose(self, token: str) -> Purpose | None:
        """What it is for; None: it is no token of ours, or has expired. Whether it was used is not looked at."""
        read = self._read(token)
        return read and read[0]

    async def spend(self, token: str) -> bool:
        """Use it up; False: it is none, has expired, or was used. Raises StoreUnavailable."""
        read = self._read(token)
        if read is None:
            return False
        _, nonce, expires_at = read
        try:
            async with self._database.begin() as session:
                await session.execute(delete(SpentToken).where(SpentToken.expires_at <= self._clock()))
                session.add(SpentToken(nonce=nonce, expires_at=expires_at))
        except IntegrityError:
            return False
        return True

    def _read(self, token: str) -> tuple[Purpose, str, datetime] | None:
        try:
            purpose, nonce, expires = self._serializer.loads(token)
        except BadData:
            return None
        known: Any = purpose if purpose in get_args(Purpose) else None
        expires_at = datetime.fromtimestamp(expires, UTC)
        return (known, nonce, expires_at) if known and self._clock() < expires_at else None
