"""
The files of a call, to be heard or taken away.

    GET /console/calls/SID/heard.wav                    (viewer)      stereo: the caller left, what he heard right
    GET /console/calls/SID/log.zip, ?redacted=yes       (operator)

They are made for each request in a thread, in a folder of their own that goes when they have been sent. A browser
asks for parts of a recording (RFC 9110, 14): Starlette's FileResponse answers that.
"""

import asyncio
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from phonebot.callbook import CallBook
from phonebot.errors import NotStored
from phonebot.replay.export import export
from phonebot.replay.heard import write_heard
from phonebot.replay.log import LogError
from phonebot.replay.reader import read
from phonebot.web.console.call_page import sid_of
from phonebot.web.console.calls_page import PATH
from phonebot.web.console.frame import Frame
from phonebot.web.console.guard import Guard, Visitor

MADE_AT_ONCE = 2
MOST_WAITING = 20
"""Who comes when so many files are being made or wait for it is told to come again."""
_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class CallFiles:
    def __init__(self, book: CallBook, guard: Guard, frame: Frame) -> None:
        self._guard = guard
        self._book = book
        self._frame = frame
        self._making = asyncio.Semaphore(MADE_AT_ONCE)
        self._waiting = 0

    def routes(self) -> list[BaseRoute]:
        require, path = self._guard.require, f"/{PATH}/{{call_sid}}"
        return [
            Route(f"{path}/heard.wav", require("viewer", self._heard), methods=["GET"]),
            Route(f"{path}/log.zip", require("operator", self._log), methods=["GET"]),
        ]

    async def _heard(self, request: Request, visitor: Visitor) -> Response:
        return await self._answer(request, visitor, "heard.wav", "audio/wav", write_heard_of)

    async def _log(self, request: Request, visitor: Visitor) -> Response:
        redacted = request.query_params.get("redacted") == "yes"
        name = "redacted.zip" if redacted else "log.zip"
        return await self._answer(request, visitor, name, "application/zip", partial(export, redacted=redacted))

    async def _answer(
        self, request: Request, visitor: Visitor, name: str, kind: str, make: Callable[[Path, Path], None]
    ) -> Response:
        """`make` writes the file, given the call's log and where to."""
        if self._waiting >= MOST_WAITING:
            sentence = "Many recordings are being asked for right now. Try again in a moment."
            return self._frame.refused(request, 503, "Busy", sentence, visitor=visitor, here="calls")
        self._waiting += 1
        try:
            call_sid = sid_of(request)
            async with self._making, self._book.log(call_sid) as log:
                return await asyncio.to_thread(made, log, f"{call_sid}-{name}", kind, make)
        except NotStored:
            sentence = "The log and the recording of this call are not kept, or not any more."
            return self._frame.refused(request, 404, "Not there", sentence, visitor=visitor, here="calls")
        except LogError as error:
            sentence = f"The log of this call cannot be read: {error}."
            return self._frame.refused(request, 500, "Not readable", sentence, visitor=visitor, here="calls")
        finally:
            self._waiting -= 1


class _PassingFile(FileResponse):
    """A file whose folder goes when it has been sent, or was not."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            shutil.rmtree(Path(self.path).parent, ignore_errors=True)


def made(log: Path, name: str, kind: str, make: Callable[[Path, Path], None]) -> Response:
    """The answer with a file of this name, which `make` writes; it blocks."""
    folder = Path(mkdtemp(prefix="phonebot-call-"))
    try:
        make(log, folder / name)
        disposition = "inline" if kind == "audio/wav" else "attachment"
        return _PassingFile(
            folder / name, media_type=kind, filename=name, headers=_HEADERS, content_disposition_type=disposition
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def write_heard_of(log: Path, target: Path) -> None:
    """The recording of the call whose log it is."""
    write_heard(read(log), target)
