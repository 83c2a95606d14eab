"""
The files of a call, to be heard or taken away.

    GET /console/calls/SID/heard.wav                    (viewer)      stereo: the caller left, what he heard right
    GET /console/calls/SID/log.zip, ?redacted=yes       (operator)
"""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from phonebot.callbook import CallBook
from phonebot.errors import NotStored
from phonebot.replay.export import export
from phonebot.replay.log import LogError
from phonebot.web.call_files import Making, made, write_heard_of
from phonebot.web.console.call_page import sid_of
from phonebot.web.console.calls_page import PATH
from phonebot.web.console.frame import Frame
from phonebot.web.console.guard import Guard, Visitor

WAV = "audio/wav"


class CallFiles:
    """Makes them anew for each request."""

    def __init__(self, book: CallBook, guard: Guard, frame: Frame) -> None:
        self._guard = guard
        self._book = book
        self._frame = frame
        self._making = Making()

    def routes(self) -> list[BaseRoute]:
        require, path = self._guard.require, f"/{PATH}/{{call_sid}}"
        return [
            Route(f"{path}/heard.wav", require("viewer", self._heard), methods=["GET"]),
            Route(f"{path}/log.zip", require("operator", self._log), methods=["GET"]),
        ]

    async def _heard(self, request: Request, visitor: Visitor) -> Response:
        name = f"{request.path_params['call_sid']}-heard.wav"
        return await self._answer(request, visitor, name, WAV, write_heard_of)

    async def _log(self, request: Request, visitor: Visitor) -> Response:
        redacted = request.query_params.get("redacted") == "yes"
        # The sid is hidden in it, so it does not stand on it either.
        name = "redacted-call.zip" if redacted else f"{request.path_params['call_sid']}-log.zip"
        return await self._answer(request, visitor, name, "application/zip", partial(export, redacted=redacted))

    async def _answer(
        self, request: Request, visitor: Visitor, name: str, media_type: str, make: Callable[[Path, Path], None]
    ) -> Response:
        if self._making.is_full:
            said = "Many recordings are being asked for right now. Try again in a moment."
            return self._frame.refused(request, 503, "Busy", said, visitor=visitor, here="calls")
        try:
            async with self._making.turn(), self._book.log(sid_of(request)) as log:
                return await asyncio.to_thread(made, log, name, media_type, make, inline=media_type == WAV)
        except NotStored:
            said = "The log and the recording of this call are not kept, or not any more."
            return self._frame.refused(request, 404, "Not there", said, visitor=visitor, here="calls")
        except LogError as error:
            said = f"The log of this call cannot be read: {error}."
            return self._frame.refused(request, 500, "Not readable", said, visitor=visitor, here="calls")
