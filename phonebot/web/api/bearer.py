"""
Who asks, by a bearer token (RFC 6750), and whether he may.

The console's cookie opens nothing here: no page of another site can make a browser send a token.
"""

from collections import OrderedDict
from dataclasses import dataclass

from starlette.requests import Request

from phonebot.errors import StoreError
from phonebot.store import bearer
from phonebot.store.audit import Actor
from phonebot.store.tokens import Scope, Token, TokenStore
from phonebot.web.api.problems import Refused
from phonebot.web.attempts import Attempts, network

REALM = 'Bearer realm="phonebot"'
MAX_FAILURES, WINDOW_S = 20, 300.0
MAX_KNOWN = 1_000
"""Tokens that were right: theirs are no attempts, whatever others try from the same address."""
MAX_SECRET_CHARACTERS = 200
UNKNOWN = "the token is not known here or has expired: an admin makes a new one"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a token, from an address."""

    token: Token
    address: str

    @property
    def actor(self) -> Actor:
        """For the audit. A user may have the same name."""
        return Actor(f"token {self.token.name}", self.address)

    def require(self, scope: Scope) -> None:
        """Raises Refused 403 without the scope."""
        if scope not in self.token.scopes:
            raise Refused(
                403,
                "missing_scope",
                f"this takes a token with the scope {scope}, which {self.token.name!r} has not: use another token",
                {"www-authenticate": f'{REALM}, error="insufficient_scope", scope="{scope}"'},
                scope=scope,
            )


class Bearers:
    """Lets those in who bring a token."""

    def __init__(self, tokens: TokenStore, failures: Attempts | None = None) -> None:
        self._tokens = tokens
        self._failures = failures or Attempts(MAX_FAILURES, WINDOW_S)
        self._known: OrderedDict[str, None] = OrderedDict()  # hashes of secrets that were right

    async def admit(self, request: Request, scope: Scope | None) -> Caller:
        """
        Who asks, by a token that has the scope; None: any token will do.

        Raises Refused 401 without a token that is known, 403 without the scope, 429 for an address with too many
        wrong ones; and StoreUnavailable.
        """
        secret = _secret(request)
        address = request.client.host if request.client else ""
        token = await self._verified(secret, network(address))
        caller = Caller(token, address)
        if scope is not None:
            caller.require(scope)
        return caller

    async def _verified(self, secret: str, address: str) -> Token:
        hashed = bearer.hash_of(secret)
        if hashed not in self._known:
            if wait_s := self._failures.wait_s(address):
                raise Refused(
                    429,
                    "too_many_attempts",
                    f"too many wrong tokens came from this address: try again in {wait_s} s",
                    {"retry-after": str(wait_s)},
                )
            # Counted before it is looked at: those that come at once are counted, too.
            self._failures.count(address)
        try:
            token = await self._tokens.verify(secret)
        except StoreError:
            self._failures.forget(address)  # nobody knows whether it was wrong
            raise
        if token is None:
            self._known.pop(hashed, None)
            raise Refused(401, "invalid_token", UNKNOWN, {"www-authenticate": f'{REALM}, error="invalid_token"'})
        if hashed not in self._known:
            self._failures.forget(address)
            self._known[hashed] = None
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        return token


def _secret(request: Request) -> str:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not 1 <= len(secret) <= MAX_SECRET_CHARACTERS:
        raise Refused(
            401,
            "no_token",
            "this takes a token: send the header Authorization: Bearer TOKEN",
            {"www-authenticate": REALM},
        )
    return secret
