"""Secrets that whoever brings them is let in by: made here, given away once, kept as a hash."""

import hashlib
import secrets

SECRET_BYTES = 32


def make() -> str:
    """A new one of 256 random bits, in characters that a URL, a header and a cookie take."""
    return secrets.token_urlsafe(SECRET_BYTES)


def hash_of(secret: str) -> str:
    """
    Under which it is kept: SHA-256 in hexadecimal.

    A fast hash is enough for 256 random bits, which nobody finds by trying. It is looked up by this hash, so how
    long that takes tells nothing of the secret.
    """
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
