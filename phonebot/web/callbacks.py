"""
Status callbacks of calls, for those in this process who wait for them.

    with statuses.expecting(call_sid) as told:      # before what is to be told of is begun
        await account.hang_up(call_sid)
        form = await told.final(within_s=10)        # the callback's fields; None: it did not come

The carrier sends them in any order, and some twice (Twilio, Call resource, StatusCallback, SequenceNumber): what is
final stays so.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from phonebot.carrier.account import FINAL

Form = Mapping[str, str]


class Expected:
    """What is told of one call. `listener` is given the fields of each callback as it comes."""

    def __init__(self, listener: Callable[[Form], object] | None = None) -> None:
        self._listener = listener
        self._final: asyncio.Future[Form] = asyncio.get_running_loop().create_future()

    def tell(self, form: Form) -> None:
        if self._final.done():  # what comes later happened earlier, or was told before
            return
        if self._listener:
            self._listener(form)
        if form.get("CallStatus") in FINAL:
            self._final.set_result(form)

    async def final(self, within_s: float) -> Form | None:
        """The callback that tells of the call's end; None when there was none in time."""
        await asyncio.wait({self._final}, timeout=within_s)
        return self._final.result() if self._final.done() else None


class Statuses:
    """Who waits for which call, by CallSid."""

    def __init__(self) -> None:
        self._expected: dict[str, list[Expected]] = {}

    @contextmanager
    def expecting(self, call_sid: str, listener: Callable[[Form], object] | None = None) -> Iterator[Expected]:
        """What is told of the call while the block runs."""
        expected = Expected(listener)
        self._expected.setdefault(call_sid, []).append(expected)
        try:
            yield expected
        finally:
            waiting = self._expected[call_sid]
            waiting.remove(expected)
            if not waiting:
                del self._expected[call_sid]

    async def told(self, form: Form) -> None:
        """A callback has come."""
        for expected in list(self._expected.get(form.get("CallSid", ""), ())):
            expected.tell(form)
