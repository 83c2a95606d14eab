"""
One leg of a call: its life, what it asks the server, whom it tells of its status.

A leg's life is a coroutine (`Leg.live`): documents of TwiML for one who calls, ringing before it for one who is
called. At any moment it can be interrupted, by its person who hangs up or by the REST API: `Over` ends it,
`Replaced` gives it another document. What a verb does is in the modules of the verbs.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, Literal, TypeVar
from urllib.parse import urldefrag, urljoin
from uuid import uuid4

import aiohttp

from phonebot.simulator.callees import AnsweringMachine
from phonebot.simulator.caller import Caller
from phonebot.simulator.document import Document, Element, Fault, parse_twiml
from phonebot.simulator.record import CallRecord, Exchange
from phonebot.simulator.signing import Fields
from phonebot.simulator.station import Station
from phonebot.simulator.terms import Over, Replaced, Source, StatusCallback, Terms
from phonebot.simulator.webhook import (
    MAX_DOCUMENT_BYTES,
    Webhook,
    call_fields,
    end_fields,
    open_session,
    progress_fields,
)

T = TypeVar("T")
TERMINAL = ("completed", "busy", "failed", "no-answer", "canceled")


class Leg(Station):
    """
    One leg. Its `record` is all that is known of it.

    `ended` is set once it is over and its last callback was delivered.
    """

    def __init__(
        self,
        party: Caller,
        terms: Terms,
        *,
        from_number: str,
        to_number: str,
        direction: Literal["inbound", "outbound-api", "outbound-dial"] = "inbound",
        parent_sid: str | None = None,
        limit_s: float = 14_400.0,
        seed: int = 0,
    ) -> None:
        record = CallRecord(
            new_sid("CA"), from_number=from_number, to_number=to_number, direction=direction, parent_sid=parent_sid
        )
        super().__init__(party, terms, record, limit_s)
        self.status_callback: StatusCallback | None = None
        self.parted = asyncio.Event()  # it is not, or no longer, with the leg that dialled it
        self.answered = asyncio.Event()
        self.ended = asyncio.Event()
        self.rng = Random(seed)  # noqa: S311 - jitter, no secret
        self.created = datetime.now(UTC)
        self.on_answer: Callable[[], object] | None = None  # done when it is answered
        self.at_end: list[Callable[[], None]] = []  # done when it is over
        self._http: aiohttp.ClientSession | None = None  # None: it does not live yet, or no longer
        self._answered_ms: int | None = None  # when, on its person's clock; None: not yet
        self._sequence = 0  # of the next change of its status
        self._work: asyncio.Task[Any] | None = None  # what an interruption cancels
        self._cause: Over | Replaced | None = None  # why it was cancelled
        self._callbacks: list[asyncio.Task[None]] = []

    # ------------------------------------------------------------------ its life

    @property
    def sid(self) -> str:
        return self.record.call_sid

    @property
    def status(self) -> str:
        """CallStatus."""
        return self.record.status

    @property
    def is_over(self) -> bool:
        return self.status in TERMINAL

    @property
    def is_answered(self) -> bool:
        return self._answered_ms is not None

    @property
    def lasted_ms(self) -> float:
        """How long it has been since the answer, on its person's clock."""
        return 0.0 if self._answered_ms is None else self.handset.now_ms - self._answered_ms

    async def live(self, life: Callable[[], Coroutine[Any, Any, None]]) -> CallRecord:
        """Live until the end, and return how it was."""
        try:
            async with open_session() as self._http:
                try:
                    await life()
                    over = Over("bot hung up")
                except Over as end:
                    over = end
                await self._end(over)
        finally:
            self._http = None
            for callback in self._callbacks:
                callback.cancel()
            await asyncio.gather(*self._callbacks, return_exceptions=True)
            self.parted.set()
            self.ended.set()
        return self.record

    def interrupt(self, cause: Over | Replaced) -> None:
        """Give up what the leg does, for an end or for another document; of several causes an end wins."""
        if self._cause is None:
            self._cause = cause
            if self._work is not None:
                self._work.cancel()
        elif isinstance(cause, Over) and isinstance(self._cause, Replaced):
            self._cause = cause

    @property
    def interrupted_by(self) -> Over | Replaced | None:
        """Why what the leg does is being cancelled; None: it is not."""
        return self._cause

    async def interruptibly(self, work: Coroutine[Any, Any, T]) -> T:
        """Do a part of its life that `interrupt` may cut off. Raises the cause if it does."""
        if self._cause is None:
            self._work = task = asyncio.create_task(work)
            try:
                result = await task
            except asyncio.CancelledError:
                if self._cause is None:
                    raise  # it was not us: the switchboard closes
            finally:
                self._work = None
            if self._cause is None:
                return result
        else:
            work.close()
        cause, self._cause = self._cause, None
        raise cause

    async def _end(self, over: Over) -> None:
        record = self.record
        record.outcome, record.reason = over.outcome, over.reason
        party = self.handset.party
        party.call_ended()
        if isinstance(party, AnsweringMachine):
            record.message = party.message
        record.failed_steps = party.failures
        record.duration_ms = self.now_ms()
        record.status = over.status or {"rejected": "busy", "failed": "failed"}.get(over.outcome, "completed")
        self.parted.set()
        self.progress("completed", end_fields(self.lasted_ms, record.status))
        for done in self.at_end:
            done()
        await asyncio.gather(*self._callbacks)

    # ------------------------------------------------------------------ requests

    async def document(self, source: Source) -> Document:
        """The TwiML of a source. Ends the leg when there is none, nor in the fallback."""
        try:
            if source.twiml is not None:
                return self._parse(source.twiml)
            return await self._fetch(source)
        except Fault as fault:
            if source.fallback is None:
                raise Over("failed", fault.reason) from fault
            trouble = (("ErrorCode", str(fault.code)), ("ErrorUrl", source.url))
            fallback = source.fallback
            return await self.document(Source(fallback.purpose, fallback.url, fallback.method, trouble))

    async def follow(
        self, purpose: str, document: Document, address: str, verb: Element, extra: Fields = ()
    ) -> Document:
        """The TwiML at an address that a verb names."""
        return await self.document(Source(purpose, self.absolute(document, address), verb.method, extra))

    def absolute(self, document: Document, address: str) -> str:
        """An address in a document, which may be relative to it. Ends the leg when it is none."""
        try:
            url = urldefrag(urljoin(document.url, address)).url
            if not url.startswith(("http://", "https://")):
                raise ValueError("TwiML that came inline has no address to be relative to")
        except ValueError as error:
            self.violation(11100, f"{address[:200]!r} is no URL: {error}")
            raise Over("failed", f"the TwiML names {address[:200]!r}, which is no URL") from error
        return url

    async def request(
        self,
        purpose: str,
        url: str,
        extra: Fields = (),
        method: str = "POST",
        limit_bytes: int = MAX_DOCUMENT_BYTES,
    ) -> Exchange:
        """One request to the server, with what each says of a call and with `extra`."""
        exchange = await self._webhook.request(purpose, method, url, (*self.fields(), *extra), limit_bytes)
        self.record.exchanges.append(exchange)
        return exchange

    async def fetch_file(self, url: str, limit_bytes: int) -> Exchange:
        """A GET of something that is no TwiML."""
        with self.terms.clock.held():
            exchange = await self._webhook.request("file", "GET", url, (), limit_bytes)
        self.record.exchanges.append(exchange)
        return exchange

    def fields(self) -> Fields:
        """What each request says of a call."""
        record = self.record
        return call_fields(
            record.call_sid,
            record.status,
            self.terms.account_sid,
            record.from_number,
            record.to_number,
            record.direction,
            record.parent_sid,
        )

    def _parse(self, twiml: str) -> Document:
        try:
            return Document("", parse_twiml(twiml.encode()))
        except Fault as fault:
            self.violation(fault.code, fault.reason)
            raise

    async def _fetch(self, source: Source) -> Document:
        """Ask for TwiML. Raises Fault, and notes it as a violation, when what comes is none."""
        with self.terms.clock.held():
            exchange = await self.request(source.purpose, source.url, source.extra, source.method)
        try:
            return self._webhook.document(exchange)
        except Fault as fault:
            self.violation(fault.code, fault.reason)
            raise

    @property
    def _webhook(self) -> Webhook:
        assert self._http is not None, "only a leg that lives asks for something"
        return Webhook(self._http, self.terms.route, self.terms.auth_token, self.now_ms)

    # ------------------------------------------------------------------ callbacks

    def progress(self, event: str, extra: Fields = ()) -> None:
        """A change of the leg's status. Whoever wants to know of it is told, beside the call."""
        callback, sequence = self.status_callback, self._sequence
        self._sequence += 1
        if callback is None or event not in callback.events:
            return
        fields = (*self.fields(), *progress_fields(sequence), *extra)
        oddities = self.terms.callbacks
        for _ in range(2 if oddities.doubled else 1):
            before = self._callbacks[-1:] if not oddities.shuffled_ms else []
            late_s = self.rng.uniform(0, oddities.shuffled_ms) / 1000
            self._call_back("status", callback.url, callback.method, fields, before, late_s)

    def call_back(self, purpose: str, url: str, extra: Fields, method: str = "POST", *, bare: bool = False) -> None:
        """Tell a callback of the call's beside it; the leg's end awaits it. `bare`: of the call only its names."""
        of_call = tuple(field for field in self.fields() if not bare or field[0] in ("AccountSid", "CallSid"))
        self._call_back(purpose, url, method, (*of_call, *extra), (), 0.0)

    def _call_back(
        self,
        purpose: str,
        url: str,
        method: str,
        fields: Fields,
        after: Sequence[asyncio.Task[None]],
        late_s: float,
    ) -> None:
        async def tell() -> None:
            await asyncio.sleep(late_s)
            if after:
                await asyncio.wait(after)
            self.record.exchanges.append(await self._webhook.request(purpose, method, url, fields))

        if self._http is not None:  # otherwise nobody is left to tell it
            self._callbacks.append(asyncio.create_task(tell()))

    def answer(self) -> None:
        """The leg is answered, unless it is already."""
        if self._answered_ms is None:
            self._answered_ms = self.handset.now_ms
            self.record.status = "in-progress"
            self.answered.set()
            if self.on_answer is not None:
                self.on_answer()


def new_sid(kind: Literal["CA", "MZ", "CF", "RE"]) -> str:
    return kind + uuid4().hex
