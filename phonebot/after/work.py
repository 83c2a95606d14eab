"""
Does what is to be done after calls, and tells of messages, beside the calls of this process.

    async with AfterWork(store.after, store.calls, store.messages, book, scribe, courier, who=process) as work:
        async with Filer(..., afterwards=work): ...

The queue is in the database, and all processes work at it: each takes jobs that are due, under a lease. A text is
kept as soon as it is made, so whoever goes on with a job does not make it again. While the database is away all of
it waits.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from phonebot.after.delivery import Courier, Outcome, Result, retry_s
from phonebot.after.texts import Scribe
from phonebot.after.wishes import WishBook
from phonebot.agents.after_call import Wishes
from phonebot.agents.destination import Destination
from phonebot.discretion import Personal
from phonebot.errors import (
    ModelError,
    ModelProtocolError,
    ModelUnreachable,
    NotStored,
    SettingsError,
    StoreUnavailable,
)
from phonebot.leased import LeasedWork, Terms
from phonebot.store.after import KINDS, AfterStore, Job, Kind
from phonebot.store.calls import CallStore
from phonebot.store.messages import MessageStore
from phonebot.store.tables import AfterRow, CallRow, UsageRow

log = logging.getLogger(__name__)

AT_ONCE = 16  # each waits for others nearly all of its time
POLL_S = 5.0
"""How often it looks for what other processes left, or whose time has come."""
JOB_S = 300.0  # all steps together, each of which has a deadline of its own; the lease is renewed before each
MAX_WRITE_ATTEMPTS = 5
"""How often a model that is away is asked for a text: for some three minutes, then the text is given up."""


class AfterWork(LeasedWork[Job]):
    """`who` is this process, `counted` is told what came of each delivery. Moments are the database's."""

    def __init__(
        self,
        after: AfterStore,
        calls: CallStore,
        messages: MessageStore,
        book: WishBook,
        scribe: Scribe,
        courier: Courier,
        *,
        who: str,
        counted: Callable[[Result], None] = lambda result: None,
    ) -> None:
        super().__init__(
            after,
            Terms(
                who,
                AT_ONCE,
                POLL_S,
                "after call",
                "what is to be done after calls waits for the database",
                "what is to be done after calls is not begun",
            ),
        )
        self._after, self._calls, self._messages, self.book = after, calls, messages, book
        self._scribe, self._courier = scribe, courier
        self._counted = counted

    # ------------------------------------------------------------------------------ who files calls

    async def wishes(self, call: CallRow) -> dict[str, Any]:
        """What is to be done after a call that is about to be filed. Raises StoreUnavailable."""
        return await self.book.of(call)

    # ------------------------------------------------------------------------------ one job

    async def _do(self, job: Job) -> None:
        try:
            async with asyncio.timeout(JOB_S):
                await self._work(job)
        except NotStored:
            pass  # the call was deleted, and its messages with it
        except (StoreUnavailable, TimeoutError) as error:
            log.warning("what is to be done after call %s is done later: %s", job.call_sid, error or "too slow")
        except Exception:
            # A fault over one call must not keep the others from being done. Its lease keeps it away for a while.
            log.exception("after call %s something went wrong", job.call_sid)

    async def _work(self, job: Job) -> None:
        if job.message_id is None:
            await self._work_on_call(job)
        else:
            await self._tell_of_message(job, job.message_id)

    async def _work_on_call(self, job: Job) -> None:
        call = await self._calls.get(job.call_sid)
        if call.after is None:
            return
        try:
            wishes = Wishes.model_validate(call.after.wishes)
        except ValidationError as error:
            await self._after.give_up(job, f"its wishes cannot be read: {error.errors()[0]['msg']}")
            return
        for kind in KINDS:
            if _is_missing(call.after, kind) and not await self._write(job, kind, call, call.after, wishes):
                return
        if wishes.after_call is None:
            await self._after.done(job)
        else:
            await self._deliver(job, wishes)

    async def _write(self, job: Job, kind: Kind, call: CallRow, after: AfterRow, wishes: Wishes) -> bool:
        """Make a text and keep it, or why there is none; whether to go on with the job."""
        if not await self._after.renew(job):
            return False
        spent: list[UsageRow] = []
        value, problem = None, None
        try:
            value = await self._made(kind, call, wishes, spent)
        except (ModelUnreachable, ModelProtocolError) as error:
            if after.write_attempts + 1 < MAX_WRITE_ATTEMPTS:
                log.info("the %s of call %s is made later: %s", KINDS[kind], job.call_sid, error)
                await self._after.keep_spent(job, spent)
                await self._after.write_later(job, retry_s(after.write_attempts + 1))
                return False
            problem = str(error)
        except (ModelError, SettingsError) as error:
            problem = str(error)
        return await self._after.keep_text(job, kind, value, problem=problem, spent=spent)

    async def _made(self, kind: Kind, call: CallRow, wishes: Wishes, spent: list[UsageRow]) -> Any:
        if kind == "summary":
            assert wishes.summary is not None, "it is wanted"
            return await self._scribe.summary(call, wishes.summary, spent)
        assert wishes.extract is not None, "it is wanted"
        return await self._scribe.extract(call, wishes.extract, spent)

    async def _deliver(self, job: Job, wishes: Wishes) -> None:
        assert wishes.after_call is not None, "somebody is to be told"
        attempt = await self._after.attempt(job)
        if attempt is None:
            return
        call = await self._calls.get(job.call_sid)  # with the texts, and what they cost
        assert call.after is not None, "its row goes with it alone"
        outcome = await self._courier.deliver(call, call.after, wishes.after_call, attempt)
        self._counted(outcome.result)
        await self._settle(job, attempt, outcome)

    async def _tell_of_message(self, job: Job, message_id: str) -> None:
        message = await self._messages.get(message_id)
        assert message.after is not None, "the job is of its row"
        try:
            to = Destination.model_validate(message.after.wishes.get("message"))
        except ValidationError as error:
            await self._after.give_up(job, f"whom to tell cannot be read: {error.errors()[0]['msg']}")
            return
        attempt = await self._after.attempt(job)
        if attempt is None:
            return
        outcome = await self._courier.deliver_message(message, message.after, to, attempt)
        self._counted(outcome.result)
        await self._settle(job, attempt, outcome)

    async def _settle(self, job: Job, attempt: int, outcome: Outcome) -> None:
        match outcome.result:
            case "delivered":
                await self._after.delivered(job)
                return
            case "refused":
                await self._after.give_up(job, outcome.problem)
            case "failed":
                await self._after.failed(job, outcome.problem, retry_s(attempt))
        what = "call" if job.message_id is None else "a message of call"
        why = Personal(outcome.problem)
        log.info("%s %s was not taken, attempt %d: %s", what, job.call_sid, attempt, why)


def _is_missing(after: AfterRow, kind: Kind) -> bool:
    """Whether a text is wanted and was not made yet, nor given up."""
    made = getattr(after, kind) is not None or getattr(after, f"{kind}_problem") is not None
    return KINDS[kind] in after.wishes and not made
