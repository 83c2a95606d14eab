"""
The greetings that are kept of a number, on the page that manages it.

    GET  /console/numbers/{number}/greetings/{key}.wav    how one sounds                              (viewer)
    POST /console/numbers/{number}/greetings/drop         the next call of each gives another one     (operator)
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from phonebot.audio import wav
from phonebot.audio.wav import Wav
from phonebot.errors import NotStored
from phonebot.store.greetings import GreetingStore
from phonebot.store.numbers import NumberStore
from phonebot.web.console.frame import Frame
from phonebot.web.console.guard import Guard, Visitor
from phonebot.web.console.numbers import page_of
from phonebot.web.console.versions import found

RATE_HZ = 8_000
_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class GreetingPages:
    """Lets an operator hear and drop what callers are greeted with."""

    def __init__(self, numbers: NumberStore, greetings: GreetingStore, guard: Guard, frame: Frame) -> None:
        self._numbers = numbers
        self._greetings = greetings
        self._guard = guard
        self._frame = frame

    def routes(self) -> list[BaseRoute]:
        path, may = "/console/numbers/{number}/greetings", self._guard.require
        return [
            Route(f"{path}/{{key}}.wav", may("viewer", found(self._hear, self._frame)), methods=["GET"]),
            Route(f"{path}/drop", may("operator", found(self._drop, self._frame)), methods=["POST"]),
        ]

    async def _hear(self, request: Request, visitor: Visitor) -> Response:
        entry = await self._numbers.entry(request.path_params["number"])
        kept, key = await self._greetings.of(entry.answering), request.path_params["key"]
        audio = await self._greetings.audio(key) if any(each.key == key for each in kept) else None
        if audio is None:
            raise NotStored("this greeting is not kept, or not any more")
        return Response(wav.encode(Wav("pcmu", RATE_HZ, 1, audio)), media_type="audio/wav", headers=_HEADERS)

    async def _drop(self, request: Request, visitor: Visitor) -> Response:
        number = request.path_params["number"]
        entry = await self._numbers.entry(number)
        await self._greetings.drop(number, entry.answering, visitor.actor)
        return self._frame.moved(request, f"{page_of(number, 'manage')}?dropped=yes")
