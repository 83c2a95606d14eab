"""
What the carrier tells of the calls that we make, as it gets on with them.

    attempt = Attempted.read("12-1")                        # from the query of a callback
    await progress.status(attempt, "CA1", "in-progress")
    await progress.detected(attempt, "CA1", "machine_end_beep")

Callbacks come out of order and more than once (Twilio, Call resource, StatusCallback): what is told of an attempt
that has ended changes nothing any more. One that never comes is made up for by the dialler, which asks.
"""

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from phonebot.agents.profile import Profile
from phonebot.outbound.policy import after, result_of
from phonebot.store.outbound import OutboundCall, OutboundStore, Over

LONGER_S = 120.0
"""How much longer than its profile allows a call may seem to go on before the carrier is asked."""
MAX_REMEMBERED = 1_000

ProfileFor = Callable[[str, str], Profile]
"""The profile of a number of ours, for a call to somebody."""

_ATTEMPT = re.compile(r"([1-9][0-9]{0,17})-([1-9][0-9]{0,3})")


@dataclass(frozen=True, slots=True)
class Attempted:
    """An attempt at an outbound call, as the URLs name it that the carrier is given."""

    call_id: int
    number: int

    @classmethod
    def read(cls, text: str) -> Self | None:
        found = _ATTEMPT.fullmatch(text)
        return cls(int(found[1]), int(found[2])) if found else None

    def __str__(self) -> str:
        return f"{self.call_id}-{self.number}"


class Progress:
    """`counted` is told how each attempt ended. All methods raise StoreUnavailable."""

    def __init__(
        self,
        store: OutboundStore,
        profile_for: ProfileFor,
        counted: Callable[[str], object] = lambda result: None,
    ) -> None:
        self._store = store
        self._profile_for = profile_for
        self._counted = counted
        # Calls, by CallSid, on whose machine the message was left: as a rule it is known before the call is over.
        self._left: OrderedDict[str, None] = OrderedDict()

    async def status(self, attempt: Attempted, call_sid: str, status: str) -> None:
        """A call has this CallStatus."""
        call = await self._store.seen(attempt.call_id, attempt.number, call_sid)
        if call is None:
            return
        profile = self._profile_for(call.from_number, call.to_number)
        if status == "in-progress":
            longest_s = profile.max_call_s + LONGER_S
            await self._store.talking(attempt.call_id, attempt.number, call_sid, longest_s)
            return
        result = result_of(status, call.answered_by, profile.outbound, call_sid in self._left)
        if result is not None:
            await self.over(attempt, after(result, attempt.number, profile.outbound))

    async def over(self, attempt: Attempted, how: Over) -> None:
        """An attempt has ended."""
        if await self._store.over(attempt.call_id, attempt.number, how):
            self._counted(how.result)

    async def detected(self, attempt: Attempted, call_sid: str, answered_by: str) -> OutboundCall | None:
        """It was found out who answered. The call; None when that does not matter any more."""
        return await self._store.detected(attempt.call_id, attempt.number, call_sid, answered_by)

    async def message_left(self, call_sid: str) -> None:
        """The message was said to a machine, to its end."""
        self._left[call_sid] = None
        if len(self._left) > MAX_REMEMBERED:
            self._left.popitem(last=False)
        await self._store.left_message(call_sid)
