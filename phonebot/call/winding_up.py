"""
A call that nears a limit is brought to its end, and one that reaches it ends: politely, as far as that goes.

Near it the model is told that the call has to end. At it the bot says last words of ours, to which nobody replies,
and the call ends GRACE_MS later whatever comes of them.
"""

from phonebot.call.actions import Action, Limit, LimitNear, LimitReached, Outcome, Tell
from phonebot.call.conversation import Conversation
from phonebot.call.inputs import CapReached, Leave, ServiceStops
from phonebot.call.limits import NEAR, Spending, near_ms
from phonebot.call.plan import CallPlan
from phonebot.realtime import events

GRACE_MS = 20_000  # for the last words
REST_MS = 8_000  # of an answer that is being said, so much may be heard to its end before them
ENDS_SOON = "The call has to end {when}. Bring it to its end now: settle what matters most, and say goodbye."


class WindingUp:
    """The limits of one call."""

    def __init__(self, plan: CallPlan, talk: Conversation) -> None:
        self._plan, self._talk, self._limits = plan, talk, plan.limits
        # None: what the call costs is not watched.
        self._spending = None if plan.limits.most_usd is None else Spending(plan.tariff)
        # Limits that were told to be near.
        self._near: set[Limit] = set()
        # How the call ends, since a limit is reached, and when at the latest; None: none is.
        self._outcome: Outcome | None = None
        self._last_ms = plan.max_call_ms
        self._near_ms = near_ms(plan.max_call_ms)

    @property
    def due_ms(self) -> int:
        """When a Tick is due."""
        if self._outcome:
            # What called the last words off is over already: they are said anew.
            return self._last_ms if self._talk.farewell else self._last_ms - GRACE_MS
        return self._last_ms if "time" in self._near else self._near_ms

    def tick(self, now: int) -> list[Action]:
        if self._outcome:
            if now >= self._last_ms:
                return self._talk.hang_up(1000, self._outcome, now)
            return self._leave(self._outcome, now)
        used, most = now / 1000, self._plan.max_call_ms / 1000
        if now >= self._plan.max_call_ms:
            return self._reached("time", used, most, now)
        if now < self._near_ms:
            return []
        left_s = round(most - used)
        return self._nears("time", used, most, f"in {left_s} seconds")

    def responded(self, event: events.ResponseDone, now: int) -> list[Action]:
        """A response has ended, and cost something."""
        if self._spending is None:
            return []
        self._spending.respond(event.response.usage)
        return self._spent(self._spending, now)

    def transcribed(self, event: events.TranscriptionCompleted, now: int) -> list[Action]:
        """A turn of the caller's was written down."""
        if self._spending is None:
            return []
        self._spending.transcribe(event.usage)
        return self._spent(self._spending, now)

    def capped(self, reached: CapReached, now: int) -> list[Action]:
        """Others have spent what there was."""
        return self._reached(reached.cap, reached.spent_usd, reached.most_usd, now)

    def stopped(self, stops: ServiceStops, now: int) -> list[Action]:
        """The process ends: the call goes on in another one, or ends with last words."""
        if stops.goes_on:
            return self._talk.hang_up(1012, "moved", now)
        if self._outcome:
            return []
        self._outcome, self._last_ms = "service_stopped", now + GRACE_MS
        return self._leave(self._outcome, now)

    def _spent(self, spending: Spending, now: int) -> list[Action]:
        assert self._limits.most_usd is not None, "it is watched"
        used, most = spending.usd, self._limits.most_usd
        if used >= most:
            return self._reached("cost", used, most, now)
        return self._nears("cost", used, most, "within your next answers") if used >= most * NEAR else []

    def _nears(self, limit: Limit, used: float, most: float, when: str) -> list[Action]:
        if limit in self._near or self._outcome:
            return []
        self._near.add(limit)
        told = self._limits.warn or ENDS_SOON.format(when=when)
        message = events.Message.written("system", told)
        return [Tell(events.CreateItem(message)), LimitNear(limit, used, most)]

    def _reached(self, limit: Limit, used: float, most: float, now: int) -> list[Action]:
        if self._outcome or self._talk.ended:
            return []
        self._outcome, self._last_ms = ("time_limit" if limit == "time" else "cost_limit"), now + GRACE_MS
        return [LimitReached(limit, used, most), *self._leave(self._outcome, now)]

    def _leave(self, outcome: Outcome, now: int) -> list[Action]:
        talk = self._talk
        if talk.farewell:  # the call ends anyhow
            return []
        goodbye = self._limits.goodbye
        wish = Leave(goodbye.text, outcome, language=goodbye.language)
        leave = talk.leave_at_once if talk.unheard_ms(now) > REST_MS else talk.leave
        return leave(wish, now)
