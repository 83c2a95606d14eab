"""
The calls that we make, where they meet the calls that this process holds.

    outgoing.expect(call_sid, "12-1")                   # the voice webhook: the call has been answered
    call = await outgoing.order(call_sid)               # its stream has come: why it was made
    with outgoing.holding(call_sid, callee, order): ... # while it is in progress
    await outgoing.detected("12-1", form)               # the carrier found out who answered

Who answered is told to any process. It is kept in the database, where the process that holds the call finds it when
its stream comes; and if that has come already it is told over the board.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

import msgspec

from phonebot.agents.outbound import Outbound
from phonebot.call.actions import Action, Line
from phonebot.call.inputs import AnsweredBy, Input, Leave
from phonebot.errors import StoreError
from phonebot.outbound.policy import is_machine
from phonebot.outbound.progress import Attempted, Progress
from phonebot.store.outbound import OutboundCall, OutboundStore
from phonebot.tasks import Tasks
from phonebot.web.board import Board

log = logging.getLogger(__name__)

ORDER_S = 1.0
"""For so long at most a call waits to be told why it was made."""
STORE_S = 5.0
TELL_S, TELL_EVERY_S = 20.0, 0.5
"""For so long a call whose stream has yet to come is told who answered."""
MAX_EXPECTED = 500

Who: TypeAlias = Literal["human", "machine", "fax", "unknown"]
Answered: TypeAlias = Callable[[AnsweredBy], object]
"""Tells a call who answered it."""


class Detected(msgspec.Struct, frozen=True, tag="answered_by", tag_field="carrier"):
    """What one process tells another: `answered_by` is Twilio's AnsweredBy."""

    answered_by: str


class Callee:
    """
    The other side of a call that we made, while it is in progress. Who it is is told to the call once.

    It is a journal of the call's bridge: it notes whether the message was heard to its end.
    """

    def __init__(self, rules: Outbound, message: str, answered: Answered) -> None:
        self._rules, self._message, self._answered = rules, message, answered
        self._is_known = self._leaves_message = False
        self.has_message = False
        """The message was said to a machine, to its end."""

    def is_found_out(self, answered_by: str) -> None:
        """`answered_by` is Twilio's AnsweredBy."""
        if self._is_known:
            return
        self._is_known = True
        who, leave = _who(answered_by), None
        if who == "fax" or (who == "machine" and self._rules.machine == "hang_up"):
            leave = Leave()
        elif who == "machine" and self._rules.machine == "leave_message":
            leave = Leave(self._message)
            self._leaves_message = True
        self._answered(AnsweredBy(who, leave))

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        if self._leaves_message:
            said = (each for each in actions if isinstance(each, Line) and each.role == "bot")
            self.has_message |= any(not line.cut for line in said)


class Outgoing:
    """Of one process. What it has begun ends when its block does."""

    def __init__(self, store: OutboundStore, progress: Progress, board: Board) -> None:
        self._store = store
        self._progress = progress
        self._board = board
        self._callees: dict[str, Callee] = {}
        # By CallSid: what finds out which call it is, from the webhook until its stream comes.
        self._expected: OrderedDict[str, asyncio.Task[OutboundCall | None]] = OrderedDict()
        self._asking, self._noting = Tasks(), Tasks()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What is to be noted is; nobody waits for who answered."""
        await self._asking.cancel()
        await self._noting.finish()

    # ------------------------------------------------------------------------------ a call in progress

    def expect(self, call_sid: str, attempt: str) -> None:
        """The carrier asks what to do with an attempt that was answered."""
        attempted = Attempted.read(attempt)
        if attempted is None or call_sid in self._expected:
            return
        found = self._store.seen(attempted.call_id, attempted.number, call_sid)
        self._expected[call_sid] = self._asking.begin(_in_time(found), f"find outbound call {attempt}")
        while len(self._expected) > MAX_EXPECTED:
            self._expected.popitem(last=False)

    async def order(self, call_sid: str) -> OutboundCall | None:
        """The order by which a call is made; None when it cannot be known now."""
        task = self._expected.pop(call_sid, None)
        if task is None:  # the webhook came to another process
            task = self._asking.begin(_in_time(self._store.of_call(call_sid)), f"find outbound call of {call_sid}")
        await asyncio.wait({task}, timeout=ORDER_S)
        return task.result() if task.done() and not task.cancelled() else None

    @contextmanager
    def holding(self, call_sid: str, callee: Callee, order: OutboundCall | None) -> Iterator[None]:
        """The call is in progress while the block runs; who answered may be in the order already."""
        self._callees[call_sid] = callee
        if order and order.answered_by:  # told as soon as the call has begun
            asyncio.get_running_loop().call_soon(callee.is_found_out, order.answered_by)
        try:
            yield
        finally:
            del self._callees[call_sid]

    def ended(self, call_sid: str) -> None:
        """A call has left its stream."""
        callee = self._callees.get(call_sid)
        if callee and callee.has_message:
            self._noting.begin(_in_time(self._progress.message_left(call_sid)), f"note message left in {call_sid}")

    # ------------------------------------------------------------------------------ what the carrier tells

    async def status(self, attempt: str, form: Mapping[str, str]) -> None:
        """How an attempt stands. What cannot be kept now is asked for later."""
        attempted, call_sid = Attempted.read(attempt), form.get("CallSid", "")
        if attempted and call_sid:
            await _in_time(self._progress.status(attempted, call_sid, form.get("CallStatus", "")))

    async def detected(self, attempt: str, form: Mapping[str, str]) -> None:
        """Who answered an attempt: the call is told, wherever it is held."""
        attempted, call_sid = Attempted.read(attempt), form.get("CallSid", "")
        answered_by = form.get("AnsweredBy", "")[:24]
        if attempted is None or not call_sid or not answered_by:
            return
        log.info("the outbound call %s was answered by %.24r", attempted, answered_by)
        is_here = self._found_out(call_sid, answered_by)
        await _in_time(self._progress.detected(attempted, call_sid, answered_by))
        if not is_here:
            self._asking.begin(self._tell(call_sid, answered_by), f"tell who answered {call_sid}")

    def told(self, call_sid: str, wish: str) -> bool:
        """Another process tells something of a call that is held here; whether it was this."""
        try:
            detected = msgspec.json.decode(wish, type=Detected)
        except msgspec.DecodeError:
            return False
        return self._found_out(call_sid, detected.answered_by)

    def _found_out(self, call_sid: str, answered_by: str) -> bool:
        callee = self._callees.get(call_sid)
        if callee:
            callee.is_found_out(answered_by)
        return callee is not None

    async def _tell(self, call_sid: str, answered_by: str) -> None:
        """Tell the call, once its stream has come; a call that never comes has nobody to be told."""
        wish = msgspec.json.encode(Detected(answered_by)).decode()
        loop = asyncio.get_running_loop()
        until_s = loop.time() + TELL_S
        while loop.time() < until_s and not self._found_out(call_sid, answered_by):
            try:
                if await self._board.tell(call_sid, wish):
                    return
            except StoreError as error:
                log.debug("who answered call %.40r is told later: %s", call_sid, error)
            await asyncio.sleep(TELL_EVERY_S)


async def _in_time(work: Coroutine[Any, Any, Any]) -> Any:
    """What a query comes to; None when the database is away, or too slow: a call does without."""
    try:
        async with asyncio.timeout(STORE_S):
            return await work
    except (StoreError, TimeoutError) as error:
        log.warning("an outbound call cannot be looked up or noted now: %s", error or "the database is too slow")
        return None


def _who(answered_by: str) -> Who:
    match answered_by:
        case "human" | "fax":
            return "human" if answered_by == "human" else "fax"
        case _:
            return "machine" if is_machine(answered_by) else "unknown"
