"""
What is done to a number as a whole.

    GET  /console/numbers/{number}/manage      how long its calls are kept; greetings; export; delete   (viewer)
    POST /console/numbers/{number}/retention   keep it for so many days                              (operator)
    POST /console/numbers/{number}/delete      the number and its versions, once it was typed        (operator)

    GET  /console/numbers/{number}/greetings/{key}.wav    how a greeting that is kept sounds          (viewer)
    POST /console/numbers/{number}/greetings/drop         the next call gives another one             (operator)
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from phonebot.audio import wav
from phonebot.errors import NotStored
from phonebot.store.greetings import GreetingStore
from phonebot.store.numbers import NumberStore
from phonebot.store.users import Role
from phonebot.web.console.frame import Frame
from phonebot.web.console.guard import Guard, Handler, Visitor
from phonebot.web.console.numbers import found, page_of
from phonebot.web.console.queries import whole_number

RATE_HZ = 8_000
MAX_RETENTION_DAYS = 36_500
NOT_DAYS = f"It must be a whole number of days from 1 to {MAX_RETENTION_DAYS}, or empty."
_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class ManagePages:
    """Retention, the greetings that are kept, and the end of a number."""

    def __init__(self, numbers: NumberStore, greetings: GreetingStore, guard: Guard, frame: Frame) -> None:
        self._numbers = numbers
        self._greetings = greetings
        self._guard = guard
        self._frame = frame

    def routes(self) -> list[BaseRoute]:
        path = "/console/numbers/{number}"
        gets: dict[str, Handler] = {f"{path}/manage": self._show, f"{path}/greetings/{{key}}.wav": self._hear}
        posts: dict[str, Handler] = {
            f"{path}/retention": self._retain,
            f"{path}/greetings/drop": self._drop,
            f"{path}/delete": self._delete,
        }

        def route(path: str, role: Role, method: str, handler: Handler) -> Route:
            return Route(path, self._guard.require(role, found(handler, self._frame)), methods=[method])

        return [
            *(route(path, "viewer", "GET", handler) for path, handler in gets.items()),
            *(route(path, "operator", "POST", handler) for path, handler in posts.items()),
        ]

    async def _show(self, request: Request, visitor: Visitor) -> Response:
        told = {name: request.query_params.get(name) == "yes" for name in ("kept", "dropped")}
        return await self._page(request, visitor, **told)

    async def _retain(self, request: Request, visitor: Visitor) -> Response:
        number, typed = request.path_params["number"], visitor.form.get("days", "").strip()
        days = whole_number(typed)
        if typed and (days is None or not 1 <= days <= MAX_RETENTION_DAYS):
            return await self._page(request, visitor, 422, days=typed, days_problem=NOT_DAYS)
        await self._numbers.set_retention(number, days, visitor.actor)
        return self._frame.moved(request, f"{page_of(number, 'manage')}?kept=yes")

    async def _delete(self, request: Request, visitor: Visitor) -> Response:
        number, typed = request.path_params["number"], visitor.form.get("typed", "").strip()
        if typed != number:
            return await self._page(request, visitor, 422, typed=typed, problem=f"This is not {number}.")
        await self._numbers.delete(number, visitor.actor)
        return self._frame.moved(request, f"console/numbers?gone={page_of(number).rpartition('/')[2]}")

    async def _hear(self, request: Request, visitor: Visitor) -> Response:
        entry = await self._numbers.entry(request.path_params["number"])
        kept, key = await self._greetings.of(entry.answering), request.path_params["key"]
        audio = await self._greetings.audio(key) if any(each.key == key for each in kept) else None
        if audio is None:
            raise NotStored("this greeting is not kept, or not any more")
        recording = wav.encode(wav.Wav("pcmu", RATE_HZ, 1, audio))
        return Response(recording, media_type="audio/wav", headers=_HEADERS)

    async def _drop(self, request: Request, visitor: Visitor) -> Response:
        number = request.path_params["number"]
        entry = await self._numbers.entry(number)
        await self._greetings.drop(number, entry.answering, visitor.actor)
        return self._frame.moved(request, f"{page_of(number, 'manage')}?dropped=yes")

    async def _page(self, request: Request, visitor: Visitor, status: int = 200, **values: object) -> Response:
        number = request.path_params["number"]
        entry = await self._numbers.entry(number)
        return self._frame.page(
            request,
            "number_manage.html",
            status,
            visitor=visitor,
            here="numbers",
            tab="manage",
            number=number,
            page=page_of(number),
            entry=entry,
            greetings=await self._greetings.of(entry.answering),
            may_edit=visitor.user.may("operator"),
            **values,
        )
