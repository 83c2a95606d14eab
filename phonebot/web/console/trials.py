"""
What an operator is about to try: a number's profile as it is saved, or as it stands in his editor.

    POST /console/try -> Trials.issue -> token -> the phone's start message -> Trials.admit -> who answers

The edited profile itself stays here, in this process; the page gets a token that names it. A token opens one call,
of the user it was made for.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from phonebot.agents.profile import Profile
from phonebot.carrier.messages import Start
from phonebot.web.admission import TOKEN_PARAMETER, Refused, Tokens, check_call

TRIAL_AGE_S = 600  # between the click and the call lies a question of the browser's, which people read
MAX_DRAFTS = 50
"""Edited profiles that are kept in all; the oldest goes first."""
MAX_DRAFTS_OF_A_USER = 5


@dataclass(frozen=True, slots=True)
class Ticket:
    """What the page needs to call."""

    token: str
    call_sid: str


@dataclass(frozen=True, slots=True)
class Trial:
    """What a token grants. `profile` None: the number's saved one."""

    user: str
    number: str
    profile: Profile | None


class Trials:
    """Makes the tokens of the browser's phone and takes each of them once. `clock` is time.time but in tests."""

    def __init__(self, secret_key: str, clock: Callable[[], float] = time.time) -> None:
        self._tokens = Tokens(secret_key, "console-media", TRIAL_AGE_S, clock)
        self._drafts = Drafts(clock)

    def issue(self, user: str, number: str, profile: Profile | None = None) -> Ticket:
        """`user` may call `number` once. `profile` answers; None: the one that is saved when he calls."""
        call_sid = f"CA{secrets.token_hex(16)}"
        draft = self._drafts.keep(user, profile) if profile else ""
        return Ticket(self._tokens.issue(user, call_sid, number, draft)[0], call_sid)

    def admit(self, start: Start, user: str) -> Trial:
        """
        What the start message's token grants to `user`.

        Raises `Refused` when there is none, it is forged, too old, was used before, is another user's or another
        call's, or when its profile is no longer kept.
        """
        nonce, (owner, call_sid, number, draft) = self._tokens.read(start.parameters.get(TOKEN_PARAMETER))
        if owner != user:
            raise Refused("the stream's token belongs to another user")
        check_call(call_sid, start)
        self._tokens.use(nonce)
        return Trial(user, number, self._drafts.take(draft) if draft else None)


class Drafts:
    """Edited profiles until they are tried: each once, for TRIAL_AGE_S, and so many at most."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        # By name, oldest first: until when, whose, what.
        self._kept: OrderedDict[str, tuple[float, str, Profile]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, user: str, profile: Profile) -> str:
        """Its name."""
        self._forget_old()
        own = [name for name, (_, owner, _) in self._kept.items() if owner == user]
        if len(own) >= MAX_DRAFTS_OF_A_USER:
            del self._kept[own[0]]
        if len(self._kept) >= MAX_DRAFTS:
            self._kept.popitem(last=False)
        name = secrets.token_urlsafe(8)
        self._kept[name] = (self._clock() + TRIAL_AGE_S + 1, user, profile)
        return name

    def take(self, name: str) -> Profile:
        """The profile, which is not kept any longer. Raises `Refused` when it is not."""
        self._forget_old()
        if name not in self._kept:
            raise Refused("the profile to be tried is no longer kept")
        return self._kept.pop(name)[2]

    def _forget_old(self) -> None:
        while self._kept:
            name, (until_s, _, _) = next(iter(self._kept.items()))
            if until_s >= self._clock():
                return
            del self._kept[name]
