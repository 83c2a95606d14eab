"""
A call's page: what was said, how it sounded and what happened; note and tags, and how it is deleted.

    GET  /console/calls/SID                  (viewer)     with `log=yes` also what its log tells
    POST /console/calls/SID/note             (operator)
    POST /console/calls/SID/deliver          (operator)   what is done after the call is done once more
    POST /console/calls/SID/give-up          (operator)   or not any more
    GET  /console/calls/SID/delete, POST     (admin)

The page is made of the call's rows. Its log is read for what they do not hold, the picture of the audio and the
events; that takes longer, so the page asks for it once it is there.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from phonebot.callbook import CallBook
from phonebot.errors import NotStored, StoreError, StoreUnavailable
from phonebot.replay.log import LogError
from phonebot.replay.reader import read
from phonebot.replay.summary import TRANSCRIPTION
from phonebot.store.after import AfterStore, NothingToDo
from phonebot.store.annotations import AnnotationRefused, Annotations
from phonebot.store.audit import Actor
from phonebot.store.messages import MessageStore
from phonebot.store.numbers import NumberStore
from phonebot.store.tables import CallRow, ToolCallRow, TurnRow, UsageRow
from phonebot.web.console.afterwards import after_view
from phonebot.web.console.answer_parts import answer_parts
from phonebot.web.console.calls_page import PATH
from phonebot.web.console.frame import Frame, sentence
from phonebot.web.console.guard import Guard, Visitor
from phonebot.web.console.messages_page import MessageView
from phonebot.web.console.outcomes import ending
from phonebot.web.console.waveform import LogView, view

READS_AT_ONCE = 2  # of logs, on all pages of this process together
_SID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Said:
    """A line of the transcript: what somebody said, or a function that the model called. One of the two is None."""

    start_ms: int | None
    turn: TurnRow | None = None
    tool: ToolCallRow | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """
    Of all responses; cached ones are part of the input ones. `cost_usd` is theirs; None: no price is known.
    `beside` is what else the call has cost, by what it was for.
    """

    responses: int
    input_text: int
    input_audio: int
    cached_text: int
    cached_audio: int
    output_text: int
    output_audio: int
    cost_usd: float | None
    beside: tuple[tuple[str, float | None], ...]


class CallPage:
    """Shows a finished call, and does what is done to it."""

    def __init__(
        self,
        book: CallBook,
        annotations: Annotations,
        after: AfterStore,
        messages: MessageStore,
        numbers: NumberStore,
        guard: Guard,
        frame: Frame,
    ) -> None:
        self._after = after
        self._messages = messages
        self._guard = guard
        self._book = book
        self._annotations = annotations
        self._numbers = numbers
        self._frame = frame
        self._reading = asyncio.Semaphore(READS_AT_ONCE)

    def routes(self) -> list[BaseRoute]:
        require, path = self._guard.require, f"/{PATH}/{{call_sid}}"
        return [
            Route(path, require("viewer", self._show), methods=["GET"]),
            Route(f"{path}/note", require("operator", self._annotate), methods=["POST"]),
            Route(f"{path}/deliver", require("operator", self._deliver), methods=["POST"]),
            Route(f"{path}/give-up", require("operator", self._give_up), methods=["POST"]),
            Route(f"{path}/delete", require("admin", self._ask_to_delete), methods=["GET"]),
            Route(f"{path}/delete", require("admin", self._delete), methods=["POST"]),
        ]

    async def _show(self, request: Request, visitor: Visitor) -> Response:
        try:
            call = await self._book.get(sid_of(request))
        except NotStored:
            return self._missing(request, visitor)
        return await self._page(request, visitor, call, with_log=request.query_params.get("log") == "yes")

    async def _annotate(self, request: Request, visitor: Visitor) -> Response:
        """From the page's script what comes back is the page, of which it takes the form."""
        form = visitor.form
        note, tags = form.get("note", ""), form.get("tags", "")
        try:
            call_sid = sid_of(request)
            await self._annotations.set(call_sid, note, tags.split(","), visitor.actor)
            call = await self._book.get(call_sid)
        except NotStored:
            return self._missing(request, visitor)
        except AnnotationRefused as error:
            call = await self._book.get(call_sid)
            problem = sentence(error)
            return await self._page(request, visitor, call, problem=problem, note=note, tags=tags)
        if "hx-request" in request.headers:
            return await self._page(request, visitor, call, saved=True)
        return self._frame.moved(request, f"{PATH}/{call.call_sid}")

    async def _deliver(self, request: Request, visitor: Visitor) -> Response:
        return await self._change_after(request, visitor, self._after.again)

    async def _give_up(self, request: Request, visitor: Visitor) -> Response:
        return await self._change_after(request, visitor, self._after.stop)

    async def _change_after(
        self, request: Request, visitor: Visitor, change: Callable[[str, Actor], Awaitable[None]]
    ) -> Response:
        """From the page's script what comes back is the page, of which it takes the section."""
        problem = ""
        try:
            call_sid = sid_of(request)
            await change(call_sid, visitor.actor)
        except NothingToDo as error:
            problem = sentence(error)
        except NotStored:
            return self._missing(request, visitor)
        if problem or "hx-request" in request.headers:
            call = await self._book.get(call_sid)
            return await self._page(request, visitor, call, after_problem=problem)
        return self._frame.moved(request, f"{PATH}/{call_sid}")

    async def _ask_to_delete(self, request: Request, visitor: Visitor) -> Response:
        try:
            call = await self._book.get(sid_of(request))
        except NotStored:
            return self._missing(request, visitor)
        return self._frame.page(request, "call_delete.html", visitor=visitor, here="calls", call=call)

    async def _delete(self, request: Request, visitor: Visitor) -> Response:
        try:
            await self._book.delete(sid_of(request), visitor.actor)
        except NotStored:
            pass  # somebody else was faster
        except StoreUnavailable:
            raise
        except StoreError as error:
            return self._frame.refused(request, 409, "Not deleted", sentence(error), visitor=visitor, here="calls")
        return self._frame.moved(request, PATH)

    def _missing(self, request: Request, visitor: Visitor) -> Response:
        said = "There is no such call, or it was deleted, or it has not ended yet."
        return self._frame.refused(request, 404, "No such call", said, visitor=visitor, here="calls")

    async def _page(
        self,
        request: Request,
        visitor: Visitor,
        call: CallRow,
        *,
        with_log: bool = False,
        note: str | None = None,
        tags: str | None = None,
        problem: str = "",
        saved: bool = False,
        after_problem: str = "",
    ) -> Response:
        log, log_problem = await self._log(call.call_sid, visitor) if with_log else (None, "")
        known = await self._numbers.which(call.number, call.profile_version)
        return self._frame.page(
            request,
            "call.html",
            visitor=visitor,
            here="calls",
            call=call,
            parts=await self._book.parts(call.call_sid),
            ending=ending(call.outcome),
            said=said_in(call),
            usage=tokens_of(call.usage),
            answers=answer_parts(call),
            number_url=known and f"console/numbers/{quote(known[0], safe='+')}",
            version=known and known[1],
            log=log,
            log_problem=log_problem,
            note=call.note if note is None else note,
            tags=", ".join(call.tags) if tags is None else tags,
            problem=problem,
            saved=saved,
            after=after_view(call.after),
            messages=[MessageView.of(row) for row in await self._messages.of_call(call.call_sid)],
            after_problem=after_problem,
        )

    async def _log(self, call_sid: str, visitor: Visitor) -> tuple[LogView | None, str]:
        """What the call's log tells, or a sentence why there is nothing to be told."""
        keys = visitor.user.may("operator")
        try:
            async with self._reading, self._book.log(call_sid) as folder:
                return await asyncio.to_thread(lambda: view(read(folder), keys=keys)), ""
        except NotStored:
            return None, "The log and the recording of this call are not kept any more."
        except StoreError:
            return None, "The storage of recordings cannot be used right now: load the page again in a moment."
        except (LogError, OSError) as error:
            return None, f"The log of this call cannot be read: {error}."


def said_in(call: CallRow) -> list[Said]:
    """The transcript: lines in their order, functions where they were called."""
    lines = [Said(turn.start_ms, turn=turn) for turn in call.turns]
    for tool in call.tool_calls:
        later = (at for at, line in enumerate(lines) if line.start_ms is not None and line.start_ms > tool.start_ms)
        lines.insert(next(later, len(lines)), Said(tool.start_ms, tool=tool))
    return lines


BESIDE = {
    TRANSCRIPTION: "Writing down what the caller said",
    "summary": "The summary",
    "extract": "The data taken from it",
}
"""What stands in the place of a response's id, and what it was for."""


def tokens_of(usage: Iterable[UsageRow]) -> Tokens:
    usage = list(usage)
    rows = [row for row in usage if row.response_id not in BESIDE]
    priced = [row.cost_usd for row in rows if row.cost_usd is not None]
    beside = tuple((BESIDE[row.response_id], row.cost_usd) for row in usage if row.response_id in BESIDE)
    names = ("input_text", "input_audio", "cached_text", "cached_audio", "output_text", "output_audio")
    counts = {name: sum(getattr(row, name) for row in rows) for name in names}
    return Tokens(len(rows), cost_usd=sum(priced) if priced else None, beside=beside, **counts)


def sid_of(request: Request) -> str:
    """The CallSid in the request's path. Raises NotStored for what cannot be one."""
    call_sid = str(request.path_params["call_sid"])
    if not _SID.fullmatch(call_sid):
        raise NotStored("there is no such call: check its CallSid")
    return call_sid
