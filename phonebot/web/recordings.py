"""
The door to a recording for whoever has a link to it: the program that was told of the call.

    GET /recordings/TOKEN      stereo, WAV: the caller left, what he heard right

A link is signed and expires (store/links.py). Whatever is wrong with one, the answer is the same.
"""

import asyncio
import logging

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from phonebot.callbook import CallBook
from phonebot.errors import NotStored, StoreError
from phonebot.replay.log import LogError
from phonebot.store.links import RecordingLinks
from phonebot.web.call_files import Making, made, write_heard_of

PATH = "recordings"

log = logging.getLogger(__name__)


class RecordingDoor:
    """A file is made for each request; of those at once there are a few, and who comes too late is told so."""

    def __init__(self, book: CallBook, links: RecordingLinks) -> None:
        self._book = book
        self._links = links
        self._making = Making()

    def routes(self) -> list[BaseRoute]:
        return [Route(f"/{PATH}/{{token}}", self._answer, methods=["GET"])]

    async def _answer(self, request: Request) -> Response:
        call_sid = self._links.read(request.path_params["token"])
        if call_sid is None:
            return _missing()
        if self._making.is_full:
            return _away("many recordings are being asked for right now")
        name = f"{call_sid}.wav"
        try:
            async with self._making.turn(), self._book.log(call_sid) as folder:
                return await asyncio.to_thread(made, folder, name, "audio/wav", write_heard_of, inline=True)
        except NotStored:
            return _missing()
        except (StoreError, LogError, OSError) as error:
            log.warning("the recording of call %.40r cannot be given to who has a link: %s", call_sid, error)
            return _away("the recording cannot be read right now")


def _missing() -> Response:
    return PlainTextResponse("There is no such recording, or the link has expired.", 404)


def _away(why: str) -> Response:
    return PlainTextResponse(f"Try again in a moment: {why}.", 503, {"retry-after": "10"})
