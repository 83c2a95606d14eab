"""
Outbound, Opt-outs: numbers that are not called.

    GET  /console/outbound/opt-outs?q=&after=     in order                             (viewer)
    POST /console/outbound/opt-outs               another one, or `remove` one         (operator)
"""

from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from phonebot.errors import NotStored
from phonebot.store.opt_outs import MAX_WHY_CHARACTERS, PAGE_ROWS, OptOutRefused, OptOutStore
from phonebot.web.console.frame import Frame, sentence
from phonebot.web.console.guard import Guard, Visitor
from phonebot.web.console.queries import phone_number

PATH = "console/outbound/opt-outs"


class OptOutPages:
    """Lists, adds and removes them."""

    def __init__(self, opt_outs: OptOutStore, guard: Guard, frame: Frame) -> None:
        self._opt_outs = opt_outs
        self._guard = guard
        self._frame = frame

    def routes(self) -> list[BaseRoute]:
        path, may = f"/{PATH}", self._guard.require
        return [
            Route(path, may("viewer", self._list), methods=["GET"]),
            Route(path, may("operator", self._change), methods=["POST"]),
        ]

    async def _list(self, request: Request, visitor: Visitor) -> Response:
        return await self._page(request, visitor)

    async def _change(self, request: Request, visitor: Visitor) -> Response:
        if number := phone_number(visitor.form.get("remove", "")):
            try:
                await self._opt_outs.remove(number, visitor.actor)
            except NotStored as error:
                return await self._page(request, visitor, 404, refused=sentence(error))
            return await self._page(request, visitor, told=f"{number} may be called again.")
        number, why = phone_number(visitor.form.get("number", "")), visitor.form.get("why", "")
        try:
            is_new = await self._opt_outs.add(number, visitor.actor, why)
        except OptOutRefused as error:
            return await self._page(request, visitor, 422, added=number, why=why, problem=sentence(error))
        told = f"{number} is not called any more." if is_new else f"{number} was not called before either."
        return await self._page(request, visitor, told=told)

    async def _page(self, request: Request, visitor: Visitor, status: int = 200, **values: Any) -> Response:
        query = request.query_params
        wanted, after = phone_number(query.get("q", "")), phone_number(query.get("after", ""))
        found = await self._opt_outs.page(part=wanted, after=after or None, limit=PAGE_ROWS + 1)
        rows = found[:PAGE_ROWS]
        more = {"q": wanted, "after": rows[-1].number} if len(found) > PAGE_ROWS else None
        return self._frame.page(
            request,
            "opt_outs.html",
            status,
            visitor=visitor,
            here="outbound",
            tab="opt-outs",
            rows=rows,
            wanted=wanted,
            more=f"{PATH}?{urlencode(more)}" if more else None,
            first=PATH if after else None,
            longest_why=MAX_WHY_CHARACTERS,
            may_edit=visitor.user.may("operator"),
            **values,
        )
