"""
Which stream belongs to which call.

A valid signature says that the carrier sent the request, not that the stream is the one our TwiML asked for. So the
TwiML carries a token, signed and dated, that names the call; the stream brings it back in its start message
(`<Parameter>`), and it opens one stream once, in whichever process that comes to. Once the carrier has told that a
call is over no token opens a stream of it: signatures have no date, so its webhook could be sent again for ever.
"""

import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from itsdangerous import BadSignature, TimestampSigner, URLSafeTimedSerializer

from phonebot.agents.profile import Profile
from phonebot.carrier.account import FINAL
from phonebot.carrier.messages import Start
from phonebot.errors import PhonebotError, StoreError
from phonebot.replay.log import Kind
from phonebot.store.admissions import AdmissionStore
from phonebot.transfers.after import Resumed

TOKEN_AGE_S = 60  # the carrier opens the stream at once; a minute covers its retries
SKEW_S = 60  # the clock of the process that made a token may be so far ahead, or have been set back since
TOKEN_PARAMETER = "token"  # noqa: S105  (a name)
MAX_OVER = 10_000
"""Of so many calls a process knows that they are over without asking."""

log = logging.getLogger(__name__)


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

    `stream` is the name that its token gave the stream; "": it has none. `resumed`: the call has come back; None:
    it is a new one.
    """

    caller: str
    number: str
    profile: Profile
    kind: Kind = "twilio"
    stream: str = ""
    resumed: Resumed | None = None


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

    def issue(self, *fields: str) -> tuple[str, str]:
        """A token that says these, and its own name."""
        nonce = secrets.token_urlsafe(16)
        return str(self._signer.dumps([nonce, *fields])), nonce

    def read(self, token: str | None) -> tuple[str, list[str]]:
        """
        The token's own name, to be given to `use` once it is known to be in the right hands, and its fields.

        Raises `Refused` when there is none, it is forged, or too old.
        """
        if not token:
            raise Refused("the stream has no token")
        try:
            (nonce, *fields), signed_at = self._signer.loads(token, return_timestamp=True)
        except BadSignature:
            raise Refused("the stream's token is not ours") from None
        age_s = self._clock() - signed_at.timestamp()
        if age_s >= self._age_s + 1:  # it is dated to the second
            raise Refused(f"the stream's token is older than {self._age_s} s")
        if age_s < -SKEW_S:
            raise Refused("the stream's token is dated in the future: set the clocks of all processes")
        return nonce, fields

    def use(self, nonce: str) -> None:
        """Take the token of that name. Raises `Refused` when it was taken before."""
        now = self._clock()
        for old in [used for used, expires in self._used.items() if expires < now]:
            del self._used[old]
        if nonce in self._used:
            raise Refused("the stream's token was used before")
        self._used[nonce] = self.void_at()

    def void_at(self) -> float:
        """When a token that was made just now is void by itself, whoever's clock is ahead: by the clock."""
        return self._clock() + self._age_s + SKEW_S + 1


def check_call(call_sid: str, start: Start) -> None:
    """Raises `Refused` when a token's call is not that of the start message."""
    if not secrets.compare_digest(call_sid.encode(), start.call_sid.encode()):
        raise Refused("the stream's token belongs to another call")


class Gate:
    """
    Makes the tokens of the carrier's streams and takes each of them once.

    `store` is what all processes share; None: there is one. Whether another process has taken a token is found by
    `claim`, which whoever was given it at `admit` has to call.
    """

    def __init__(
        self, secret_key: str, clock: Callable[[], float] = time.time, store: AdmissionStore | None = None
    ) -> None:
        self._tokens = Tokens(secret_key, "media-stream", TOKEN_AGE_S, clock)
        self._clock = clock
        self._store = store
        # Tokens that were made here, oldest first, with the time at which they expire.
        self._issued: OrderedDict[str, float] = OrderedDict()
        self._over: OrderedDict[str, None] = OrderedDict()

    def issue(self, admission: Admission) -> tuple[str, str]:
        """
        A token for one stream, and the name that it gives the stream.

        The token has at most 499 characters with its parameter's name, as a `<Parameter>` may have.
        """
        token, nonce = self._tokens.issue(*msgspec.structs.astuple(admission))
        now = self._clock()
        while self._issued and next(iter(self._issued.values())) < now:
            self._issued.popitem(last=False)
        self._issued[nonce] = now + TOKEN_AGE_S
        return token, nonce

    def admit(self, start: Start) -> "Admitted":
        """
        What the start message's token grants, as far as this process knows.

        Raises `Refused` when there is none, it is forged, too old, was used before, is another call's, or the call
        is over.
        """
        nonce, fields = self._tokens.read(start.parameters.get(TOKEN_PARAMETER))
        call_sid, caller, number, version, dialled, returned = fields
        kind: Kind = "outbound" if dialled == "outbound" else "twilio"
        admission = Admission(call_sid, caller, number, version, kind, returned)
        check_call(admission.call_sid, start)
        if self.is_over(call_sid):
            raise Refused("the stream's call is over")
        self._tokens.use(nonce)
        return Admitted(admission, nonce, nonce in self._issued)

    async def claim(self, admitted: "Admitted") -> None:
        """
        Let all processes know that the token is used; takes half a second at most.

        Raises `Refused` when another one has taken it, or the call is over. While the database is away what this
        process knows has to do.
        """
        if self._store is None:
            return
        call_sid = admitted.admission.call_sid
        try:
            taken = await self._store.take(admitted.stream, call_sid, self._expires_at())
        except StoreError as error:
            log.warning("whether the token of call %.40r was used elsewhere is not known: %s", call_sid, error)
            return
        if taken == "used":
            raise Refused("the stream's token was used before")
        if taken == "over":
            raise Refused("the stream's call is over")

    async def shut(self, call_sid: str, stream: str) -> bool:
        """
        Let no process open a stream of this name any more; whether none has.

        Raises StoreError.
        """
        try:
            self._tokens.use(stream)
        except Refused:
            return False
        return self._store is None or await self._store.take(stream, call_sid, self._expires_at()) != "used"

    def _expires_at(self) -> datetime:
        return datetime.fromtimestamp(self._tokens.void_at(), UTC)

    def is_over(self, call_sid: str) -> bool:
        """Whether this process was told that a call has ended."""
        return call_sid in self._over

    async def told(self, form: Mapping[str, str]) -> None:
        """The carrier says how a call stands."""
        call_sid = form.get("CallSid", "")
        if form.get("CallStatus") not in FINAL or call_sid in self._over:
            return
        self._over[call_sid] = None
        if len(self._over) > MAX_OVER:
            self._over.popitem(last=False)
        if self._store:
            try:
                await self._store.over(call_sid)
            except StoreError as error:
                log.warning("that call %.40r is over is known to this process alone: %s", call_sid, error)


@dataclass(frozen=True, slots=True)
class Admitted:
    """
    A stream that was let in, by its name. `issued_here`: this process made its token, so it comes from the webhook.
    """

    admission: Admission
    stream: str
    issued_here: bool
