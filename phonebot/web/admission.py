"""
Which stream belongs to which call.

A valid signature says that the carrier sent the request, not that the stream is the one our TwiML asked for. So the
TwiML carries a token, signed and dated, that names the call; the stream brings it back in its start message
(`<Parameter>`), and it opens one stream once.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from itsdangerous import BadSignature, SignatureExpired, TimestampSigner, URLSafeTimedSerializer

from phonebot.agents.profile import Profile
from phonebot.call.plan import EarlierLine
from phonebot.carrier.messages import Start
from phonebot.errors import PhonebotError
from phonebot.replay.log import Kind

TOKEN_AGE_S = 60  # the carrier opens the stream at once; a minute covers its retries
TOKEN_PARAMETER = "token"  # noqa: S105  (a name)


class Refused(PhonebotError):
    """A stream that is not let in. The sentence is for the log: the peer is told nothing."""


class Admission(msgspec.Struct, frozen=True):
    """
    What a token says: for which call it was made, and what its webhook knew.

    `kind` says which side dialled. `profile_version` is what the number's profile was then. The call is answered by
    what it is when the stream comes, perhaps to another process; if that is something else, the log says so.
    `returned` says what a call comes back from (transfers/after.py); "": it is a new one.
    """

    call_sid: str
    caller: str
    number: str
    profile_version: str
    kind: Kind = "twilio"
    returned: str = ""


@dataclass(frozen=True, slots=True)
class Arrival:
    """
    A call that was let in: by which way it came, who calls whom, and the profile that answers.

    `earlier`: what was said before it came back; none: it is a new one.
    """

    caller: str
    number: str
    profile: Profile
    kind: Kind = "twilio"
    earlier: tuple[EarlierLine, ...] = ()


class _Signer(TimestampSigner):
    """Dates tokens by a clock that is given."""

    def __init__(self, *args: Any, clock: Callable[[], float], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._clock = clock

    def get_timestamp(self) -> int:
        return int(self._clock())


class Tokens:
    """
    Signed and dated tokens that are taken once. Those made with another `salt` are not ours.

    `clock` gives seconds and is time.time but in tests.
    """

    def __init__(self, secret_key: str, salt: str, age_s: int, clock: Callable[[], float] = time.time) -> None:
        self._signer = URLSafeTimedSerializer(secret_key, salt=salt, signer=_Signer, signer_kwargs={"clock": clock})
        self._age_s = age_s
        self._clock = clock
        # Tokens that came back, with the time at which they would expire anyway.
        self._used: dict[str, float] = {}

    def issue(self, *fields: str) -> str:
        """A token that says these."""
        return str(self._signer.dumps([secrets.token_urlsafe(8), *fields]))

    def read(self, token: str | None) -> tuple[str, list[str]]:
        """
        The token's own name, to be given to `use` once it is known to be in the right hands, and its fields.

        Raises `Refused` when there is none, it is forged, or too old.
        """
        if not token:
            raise Refused("the stream has no token")
        try:
            nonce, *fields = self._signer.loads(token, max_age=self._age_s)
        except SignatureExpired:
            raise Refused(f"the stream's token is older than {self._age_s} s") from None
        except BadSignature:
            raise Refused("the stream's token is not ours") from None
        return nonce, fields

    def use(self, nonce: str) -> None:
        """Take the token of that name. Raises `Refused` when it was taken before."""
        now = self._clock()
        for old in [used for used, expires in self._used.items() if expires < now]:
            del self._used[old]
        if nonce in self._used:
            raise Refused("the stream's token was used before")
        self._used[nonce] = now + self._age_s + 1


def check_call(call_sid: str, start: Start) -> None:
    """Raises `Refused` when a token's call is not that of the start message."""
    if not secrets.compare_digest(call_sid.encode(), start.call_sid.encode()):
        raise Refused("the stream's token belongs to another call")


class Gate:
    """Makes the tokens of the carrier's streams and takes each of them once."""

    def __init__(self, secret_key: str, clock: Callable[[], float] = time.time) -> None:
        self._tokens = Tokens(secret_key, "media-stream", TOKEN_AGE_S, clock)

    def issue(self, admission: Admission) -> str:
        """A token for one stream; at most 499 characters with its name, as a `<Parameter>` may have."""
        return self._tokens.issue(*msgspec.structs.astuple(admission))

    def admit(self, start: Start) -> Admission:
        """
        The admission that the start message's token grants.

        Raises `Refused` when there is none, it is forged, too old, was used before, or is another call's.
        """
        nonce, fields = self._tokens.read(start.parameters.get(TOKEN_PARAMETER))
        call_sid, caller, number, version, dialled, returned = fields
        kind: Kind = "outbound" if dialled == "outbound" else "twilio"
        admission = Admission(call_sid, caller, number, version, kind, returned)
        check_call(admission.call_sid, start)
        self._tokens.use(nonce)
        return admission
