"""
What is done to a number as a whole.

    GET  /console/numbers/{number}/manage      how long its calls are kept; greetings; export; delete   (viewer)
    POST /console/numbers/{number}/retention   keep it for so many days                              (operator)
    POST /console/numbers/{number}/delete      the number and its versions, once it was typed        (operator)
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from phonebot.store.greetings import GreetingStore
from phonebot.store.numbers import NumberStore
from phonebot.web.console.frame import Frame
from phonebot.web.console.guard import Guard, Visitor
from phonebot.web.console.numbers import page_of
from phonebot.web.console.versions import found, number_in

MAX_RETENTION_DAYS = 36_500
NOT_DAYS = f"It must be a whole number of days from 1 to {MAX_RETENTION_DAYS}, or empty."


class ManagePages:
    """Retention and the end of a number."""

    def __init__(self, numbers: NumberStore, greetings: GreetingStore, guard: Guard, frame: Frame) -> None:
        self._numbers = numbers
        self._greetings = greetings
        self._guard = guard
        self._frame = frame

    def routes(self) -> list[BaseRoute]:
        path, may = "/console/numbers/{number}", self._guard.require
        posts = {f"{path}/retention": self._retain, f"{path}/delete": self._delete}
        return [
            Route(f"{path}/manage", may("viewer", found(self._show, self._frame)), methods=["GET"]),
            *(
                Route(path, may("operator", found(handler, self._frame)), methods=["POST"])
                for path, handler in posts.items()
            ),
        ]

    async def _show(self, request: Request, visitor: Visitor) -> Response:
        told = {name: request.query_params.get(name) == "yes" for name in ("kept", "dropped")}
        return await self._page(request, visitor, **told)

    async def _retain(self, request: Request, visitor: Visitor) -> Response:
        number, typed = request.path_params["number"], visitor.form.get("days", "").strip()
        days = number_in(typed)
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
