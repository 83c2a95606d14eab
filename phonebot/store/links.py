"""
Links that let in whoever has one: once, as a user who chooses his password; or for some days, to a recording.

    links = OneTimeLinks(database, secret_key)
    token = links.make("password", "bob", state)
    link = links.read(token)              # may be asked again and again: a page is loaded
    await links.spend(token)              # True once, on all processes together

    token = RecordingLinks(secret_key).make("CA1", days=7)
"""

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

from itsdangerous import BadData, URLSafeSerializer
from sqlalchemy.exc import IntegrityError

from phonebot.store.database import Database
from phonebot.store.spent_tokens import sweep
from phonebot.store.tables import SpentToken

Purpose: TypeAlias = Literal["setup", "sign-in", "password"]
LIFETIMES: Mapping[Purpose, timedelta] = {
    "setup": timedelta(hours=1),
    "sign-in": timedelta(hours=1),
    "password": timedelta(days=3),
}
"""Who starts phonebot has the first two before him; the third is sent to somebody."""


@dataclass(frozen=True, slots=True)
class Link:
    """
    What a link is for: "setup", the first admin's password; "sign-in"; "password", that of `user`.

    `state`: of the user when it was made (`UserStore.state`); it is void once that has changed.
    """

    purpose: Purpose
    user: str = ""
    state: str = ""


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

    def make(self, purpose: Purpose, user: str = "", state: str = "") -> str:
        """A new token."""
        expires = int((self._clock() + LIFETIMES[purpose]).timestamp())
        return str(self._serializer.dumps([purpose, secrets.token_urlsafe(16), expires, user, state]))

    def read(self, token: str) -> Link | None:
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
                await sweep(session, self._clock())
                session.add(SpentToken(nonce=nonce, expires_at=expires_at))
        except IntegrityError:
            return False
        return True

    def _read(self, token: str) -> tuple[Link, str, datetime] | None:
        try:
            purpose, nonce, expires, user, state = self._serializer.loads(token)
        except BadData:
            return None
        expires_at = datetime.fromtimestamp(expires, UTC)
        known = purpose in LIFETIMES and self._clock() < expires_at
        return (Link(purpose, user, state), nonce, expires_at) if known else None


class RecordingLinks:
    """
    Tokens that open the recording of one call for some days: a program that was told of the call gets it by one.

    `secret_key` signs them, see OneTimeLinks. Nothing is kept of them: a call that is deleted has no recording.
    """

    def __init__(self, secret_key: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._serializer = URLSafeSerializer(
            secret_key, salt="phonebot recording link", signer_kwargs={"digest_method": hashlib.sha256}
        )
        self._clock = clock

    def make(self, call_sid: str, days: int) -> str:
        """A new token."""
        return str(self._serializer.dumps([call_sid, int((self._clock() + timedelta(days=days)).timestamp())]))

    def read(self, token: str) -> str | None:
        """Whose recording it opens; None: it is no token of ours, or has expired."""
        try:
            call_sid, expires = self._serializer.loads(token)
        except BadData:
            return None
        return str(call_sid) if self._clock().timestamp() < expires else None
