"""
Makes the calls that are wanted, beside the calls of this process.

    async with Dialler(store.outbound, progress, account, profile_for, public_url=..., who=process): ...

The queue is in the database, and all processes work at it: each takes calls that are due, under a lease, and gives
them back once the carrier has them. From then on callbacks tell of them; where they are silent for too long the
carrier is asked. An attempt is in the database before the carrier is asked for it. If nobody knows whether it was
placed (no answer, a process that died), it is looked for at the carrier, and made once more only when it is not
there: nobody's phone rings twice for one attempt. While the database is away nobody is called.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from phonebot.agents.outbound import Outbound
from phonebot.agents.profile import Profile
from phonebot.carrier.account import Detection
from phonebot.errors import AccountError, CarrierRefused, CarrierUnreachable, StoreUnavailable
from phonebot.leased import LeasedWork, Terms
from phonebot.outbound.policy import Drop, Wait, after, next_step
from phonebot.outbound.progress import LONGER_S, Attempted, ProfileFor, Progress
from phonebot.store.outbound import Job, OutboundCall, OutboundStore, Over

log = logging.getLogger(__name__)

AT_ONCE = 8  # each waits for the carrier nearly all of its time
POLL_S = 1.0
"""How often it looks for what others want called, or whose time has come."""
STEP_S = 60.0  # what is done with a call in one go; less than its lease
CROWDED_S = 5.0
LATER_S = 30.0
"""When the carrier is asked again which could not be reached."""
UNSURE = timedelta(seconds=90)
"""For so long a call that may have been placed is looked for: what the API shows is some time behind."""
LOOK_S = 10.0
RINGING_S = 30.0  # how much longer than it is to ring a call may seem to before the carrier is asked
LONGEST_CALL_S = 60  # beyond the profile's own limit, by which the bot ends it
MAX_REMEMBERED = 1_000

FOR_NOW = frozenset({10004, 20003, 20429})
"""Refusals of the account as it is now, and not of the call: too many calls, wrong credentials."""
REFUSED_S = 60.0
OPTED_OUT = "the number has opted out"


class Account(Protocol):
    """What is asked of the carrier: see CarrierAccount."""

    async def create_call(
        self,
        to: str,
        from_: str,
        *,
        url: str,
        status_callback: str,
        ring_s: int,
        limit_s: int,
        machine_detection: Detection | None = None,
        amd_callback: str | None = None,
    ) -> str: ...

    async def find_call(self, to: str, from_: str, since: datetime) -> str | None: ...

    async def hang_up(self, call_sid: str) -> None: ...

    async def call_state(self, call_sid: str) -> str | None: ...


class Dialler(LeasedWork[Job]):
    """
    `may_dial` is asked before each look: a process that stops begins no calls. `before` is awaited before each.

    `who` is this process, `public_url` where the carrier reaches the service.
    """

    def __init__(
        self,
        store: OutboundStore,
        progress: Progress,
        account: Account,
        profile_for: ProfileFor,
        *,
        public_url: str,
        who: str,
        may_dial: Callable[[], bool] = lambda: True,
        before: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        super().__init__(
            store,
            Terms(
                who,
                AT_ONCE,
                POLL_S,
                "outbound call",
                "calls that are to be made wait for the database",
                "calls that are to be made are not begun",
            ),
        )
        self._store, self._progress, self._account = store, progress, account
        self._profile_for, self._public_url = profile_for, public_url
        self._may_dial, self._before = may_dial, before
        # CallSids by attempt: the database may have gone before it could be told.
        self._placed: OrderedDict[Attempted, str] = OrderedDict()

    async def _may_begin(self) -> bool:
        if not self._may_dial():
            return False
        if self._before:
            await self._before()
        return True

    async def _do(self, job: Job) -> None:
        try:
            async with asyncio.timeout(STEP_S):
                await (self._attempt(job) if job.call.state == "queued" else self._look(job))
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("the outbound call %d is gone on with later: %s", job.call.id, error or "too slow")
        except Exception:
            # A fault over one call must not keep the others from being made. Its lease keeps it away for a while.
            log.exception("over the outbound call %d something went wrong", job.call.id)

    # ------------------------------------------------------------------------------ one attempt

    async def _attempt(self, job: Job) -> None:
        profile = self._profile_for(job.call.from_number, job.call.to_number)
        match next_step(profile.outbound, job.call.asked_at, datetime.now(UTC)):
            case Wait(until, why):
                await self._store.wait(job, until, why)
                return
            case Drop(result, why):
                await self._store.drop(job, result, why)
                return
        match await self._store.begin(job, at_once=profile.outbound.at_once, look_s=LOOK_S):
            case "begun":
                await self._place(job, Attempted(job.call.id, job.call.attempts + 1), profile)
            case "opted_out":
                await self._store.drop(job, "opted_out", OPTED_OUT)
            case "crowded":
                await self._store.wait(job, CROWDED_S, "other calls are on the line")

    async def _place(self, job: Job, attempt: Attempted, profile: Profile) -> None:
        call, rules = job.call, profile.outbound
        callback = f"{self._public_url}/twilio/{{}}?outbound={attempt}"
        try:
            call_sid = await self._account.create_call(
                call.to_number,
                call.from_number,
                url=callback.format("voice"),
                status_callback=callback.format("status"),
                ring_s=rules.ring_s,
                limit_s=profile.max_call_s + LONGEST_CALL_S,
                machine_detection=_detection(rules),
                amd_callback=callback.format("amd") if rules.detect else None,
            )
        except CarrierRefused as refused:
            log.warning("the outbound call %s is refused: %s", attempt, refused)
            if refused.code in FOR_NOW:
                await self._store.wait(job, REFUSED_S, str(refused), undone=True)
            else:
                await self._progress.over(attempt, Over("refused", problem=str(refused)))
        except CarrierUnreachable as error:
            log.warning("the outbound call %s is gone on with later: %s", attempt, error)
            if error.unsure:
                await self._store.look_later(job, LOOK_S, str(error))
            else:
                await self._store.wait(job, LATER_S, str(error), undone=True)
        else:
            log.info("the outbound call %s is placed as %s", attempt, call_sid)
            self._placed[attempt] = call_sid
            if len(self._placed) > MAX_REMEMBERED:
                self._placed.popitem(last=False)
            await self._store.dialled(job, call_sid, rules.ring_s + RINGING_S)

    # ------------------------------------------------------------------------------ how it stands

    async def _look(self, job: Job) -> None:
        """Ask the carrier of an attempt of which nothing was heard for too long; end one that was cancelled."""
        call = job.call
        attempt = Attempted(call.id, call.attempts)
        profile = self._profile_for(call.from_number, call.to_number)
        try:
            if call.call_sid is None:
                await self._search(job, attempt, profile)
                return
            if call.cancelled_by is not None:
                await self._account.hang_up(call.call_sid)
            status = await self._account.call_state(call.call_sid)
        except AccountError as error:
            await self._store.look_later(job, LATER_S, str(error))
            return
        if status is None:
            await self._progress.over(
                attempt, after("failed", attempt.number, profile.outbound, "the carrier does not know the call")
            )
            return
        await self._progress.status(attempt, call.call_sid, status)
        is_talking = status == "in-progress"
        await self._store.look_later(job, LONGER_S if is_talking else RINGING_S)

    async def _search(self, job: Job, attempt: Attempted, profile: Profile) -> None:
        """Find out whether an attempt was placed that has no name. Raises an AccountError."""
        call = job.call
        began = call.attempted_at or call.asked_at
        found = self._placed.get(attempt)
        if found is None:
            found = await self._account.find_call(call.to_number, call.from_number, began)
        if found is not None and await self._is_new(call, found):
            log.info("the outbound call %s was placed as %s", attempt, found)
            await self._store.dialled(job, found, LOOK_S)
        elif datetime.now(UTC) - began < UNSURE:
            await self._store.look_later(job, LOOK_S, call.problem)
        else:
            problem = "the carrier did not say whether the call was placed, and does not show it"
            await self._progress.over(attempt, after("failed", attempt.number, profile.outbound, problem))

    async def _is_new(self, call: OutboundCall, call_sid: str) -> bool:
        """Whether a call at the carrier is none that is known of already."""
        if any(each.call_sid == call_sid for each in call.tries):
            return False
        return await self._store.of_call(call_sid) is None


def _detection(rules: Outbound) -> Detection | None:
    if not rules.detect:
        return None
    return "DetectMessageEnd" if rules.machine == "leave_message" else "Enable"
