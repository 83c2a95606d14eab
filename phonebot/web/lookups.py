"""
What is asked about callers before their calls are answered, begun when the voice webhook comes.

    lookups.begin(call_sid, profile, caller, number)                    # the webhook: it has a head start
    found = await lookups.found(call_sid, profile, caller, number)      # the call is answered

The caller waits for what is left of the lookup's time, which counts from where it was begun. Where the webhook came
to another process it is begun when the call is answered.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import Self

from phonebot.agents.lookup import Lookup
from phonebot.agents.profile import Profile
from phonebot.discretion import Personal
from phonebot.tasks import Tasks
from phonebot.tools.lookup import Found, Result, failed
from phonebot.tools.workshop import Workshop

MAX_BEGUN = 500
"""Calls whose streams have yet to come; of more the oldest is given up."""
KEPT_S = 60.0
"""How long a call's stream may take to come: for so long its token is valid."""

log = logging.getLogger(__name__)


class Lookups:
    """Of one process. `count` is told what came of each. Lookups run while it is entered."""

    def __init__(self, workshop: Workshop, count: Callable[[Result], object]) -> None:
        self._workshop = workshop
        self._count = count
        # By CallSid, the oldest first: of which version of a profile, when, and what comes of it.
        self._begun: OrderedDict[str, tuple[str, float, asyncio.Task[Found]]] = OrderedDict()
        self._tasks = Tasks()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tasks.cancel()

    def begin(self, call_sid: str, profile: Profile, caller: str, number: str) -> None:
        """A call comes in, which this profile answers, if it stays so."""
        self._forget_old()
        if profile.lookup is None or call_sid in self._begun:
            return
        task = self._start(profile.lookup, call_sid, caller, number)
        self._begun[call_sid] = (profile.version, asyncio.get_running_loop().time(), task)
        while len(self._begun) > MAX_BEGUN:
            self._give_up(next(iter(self._begun)))

    async def found(self, call_sid: str, profile: Profile, caller: str, number: str) -> Found | None:
        """What was found for a call that is answered now; None: its profile looks nothing up."""
        if call_sid in self._begun and self._begun[call_sid][0] != profile.version:
            self._give_up(call_sid)  # the profile was changed meanwhile
        if profile.lookup is None:
            return None
        if call_sid in self._begun:
            _, began_s, task = self._begun.pop(call_sid)
        else:
            began_s, task = asyncio.get_running_loop().time(), self._start(profile.lookup, call_sid, caller, number)
        found = await self._in_time(profile.lookup, began_s, task)
        self._count(found.result)
        if found.problem:
            why = Personal(found.problem)
            log.warning("call %.40r, profile %r: its lookup: %s: %s", call_sid, profile.name, found.result, why)
        return found

    def _start(self, entry: Lookup, call_sid: str, caller: str, number: str) -> asyncio.Task[Found]:
        work = self._workshop.look_up(entry, caller=caller, number=number, call_sid=call_sid)
        return self._tasks.begin(work, f"look up the caller of {call_sid}")

    async def _in_time(self, entry: Lookup, began_s: float, task: asyncio.Task[Found]) -> Found:
        left_s = began_s + entry.timeout_s - asyncio.get_running_loop().time()
        try:
            await asyncio.wait({task}, timeout=max(left_s, 0))
            if not task.done():  # its own limit is the same: it is about to say so
                return failed(entry, f"no answer within {entry.timeout_s:g} s", "late")
            return task.result()
        except Exception as error:  # a fault of ours in a lookup must not end the call
            log.exception("a lookup failed")
            return failed(entry, type(error).__name__)
        finally:
            task.cancel()

    def _forget_old(self) -> None:
        oldest_s = asyncio.get_running_loop().time() - KEPT_S
        while self._begun and next(iter(self._begun.values()))[1] < oldest_s:
            self._give_up(next(iter(self._begun)))

    def _give_up(self, call_sid: str) -> None:
        self._begun.pop(call_sid)[2].cancel()
