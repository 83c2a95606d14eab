"""
Outbound, Calls: the calls that we make.

    GET  /console/outbound?state=&from=&cursor=   what was ordered, and a form for another one    (viewer)
    POST /console/outbound                        have somebody called                            (operator)
    GET  /console/outbound/{id}                   one of them, with its attempts                  (viewer)
    POST /console/outbound/{id}/cancel            make no further attempt                         (operator)
"""

from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from phonebot.agents.numbers import DEFAULT
from phonebot.errors import NotStored
from phonebot.outbound.orders import NO_ACCOUNT, Orders
from phonebot.store.numbers import NumberStore
from phonebot.store.outbound import MAX_REASON_CHARACTERS, DialRefused, NothingToCancel, OutboundCall, OutboundStore
from phonebot.web.console.frame import Frame, sentence
from phonebot.web.console.guard import Guard, Visitor
from phonebot.web.console.outcomes import Ending
from phonebot.web.console.queries import phone_number, whole_number

PATH = "console/outbound"
PAGE_ROWS = 25
STATES = {
    "open": "Not over",
    "done": "Reached",
    "failed": "Not reached",
    "cancelled": "Cancelled",
}
STANDINGS: dict[str, Ending] = {
    "queued": Ending("Waiting", "", "It is made as soon as may be."),
    "dialling": Ending("Ringing", "warning", "The carrier calls."),
    "talking": Ending("Talking", "warning", "Somebody, or something, has answered."),
    "answered": Ending("Answered", "success", "Somebody answered and the bot talked."),
    "message_left": Ending("Message left", "success", "The message was left on an answering machine, to its end."),
    "machine": Ending("Machine", "warning", "An answering machine answered, and was hung up on."),
    "fax": Ending("Fax", "warning", "A fax machine answered."),
    "busy": Ending("Busy", "warning", "The line was busy."),
    "no_answer": Ending("No answer", "warning", "Nobody answered."),
    "failed": Ending("Failed", "danger", "The network could not connect the call."),
    "refused": Ending("Refused", "danger", "The carrier refused to place the call."),
    "opted_out": Ending("Opted out", "", "The number is among those that are not called."),
    "expired": Ending("Expired", "warning", "It could not be made for too long."),
    "cancelled": Ending("Cancelled", "", "Somebody wanted no further attempt."),
}


class OutboundPages:
    """Orders, lists and cancels them."""

    def __init__(
        self, orders: Orders, outbound: OutboundStore, numbers: NumberStore, guard: Guard, frame: Frame
    ) -> None:
        self._orders = orders
        self._outbound = outbound
        self._numbers = numbers
        self._guard = guard
        self._frame = frame

    def routes(self) -> list[BaseRoute]:
        path, may = f"/{PATH}", self._guard.require
        return [
            Route(path, may("viewer", self._list), methods=["GET"]),
            Route(path, may("operator", self._order), methods=["POST"]),
            Route(f"{path}/{{id:row}}", may("viewer", self._show), methods=["GET"]),
            Route(f"{path}/{{id:row}}/cancel", may("operator", self._cancel), methods=["POST"]),
        ]

    async def _list(self, request: Request, visitor: Visitor) -> Response:
        return await self._page(request, visitor, from_number=request.query_params.get("from", "")[:20])

    async def _order(self, request: Request, visitor: Visitor) -> Response:
        to_number, from_number = (phone_number(visitor.form.get(name, "")) for name in ("to", "from"))
        reason = visitor.form.get("reason", "").replace("\r\n", "\n").strip()
        try:
            call = await self._orders.place(to_number, from_number, visitor.actor, reason)
        except DialRefused as error:
            return await self._page(
                request,
                visitor,
                422,
                to_number=to_number,
                from_number=from_number,
                reason=reason,
                problem=sentence(error),
            )
        return self._frame.moved(request, f"{PATH}/{call.id}")

    async def _show(self, request: Request, visitor: Visitor) -> Response:
        return await self._one(request, visitor)

    async def _cancel(self, request: Request, visitor: Visitor) -> Response:
        call_id = request.path_params["id"]
        try:
            await self._orders.cancel(call_id, visitor.actor)
        except NothingToCancel as error:
            return await self._one(request, visitor, 409, refused=sentence(error))
        except NotStored as error:
            return self._frame.refused(request, 404, "Not there", sentence(error), visitor=visitor)
        return self._frame.moved(request, f"{PATH}/{call_id}")

    async def _one(self, request: Request, visitor: Visitor, status: int = 200, refused: str = "") -> Response:
        try:
            call = await self._outbound.get(request.path_params["id"])
        except NotStored as error:
            return self._frame.refused(request, 404, "Not there", sentence(error), visitor=visitor)
        return self._frame.page(
            request,
            "outbound_call.html",
            status,
            visitor=visitor,
            here="outbound",
            call=call,
            standing=standing(call),
            standings=STANDINGS,
            refused=refused,
            may_edit=visitor.user.may("operator"),
        )

    async def _page(self, request: Request, visitor: Visitor, status: int = 200, **values: Any) -> Response:
        query = request.query_params
        state = query.get("state", "") if query.get("state", "") in STATES else ""
        cursor = whole_number(query.get("cursor", ""))
        found = await self._outbound.page(state=state or None, before_id=cursor, limit=PAGE_ROWS + 1)
        calls = found[:PAGE_ROWS]
        entries = await self._numbers.entries()
        return self._frame.page(
            request,
            "outbound.html",
            status,
            visitor=visitor,
            here="outbound",
            tab="calls",
            lines=[(call, standing(call)) for call in calls],
            state=state,
            states=STATES,
            older=_path(state, calls[-1].id) if len(found) > PAGE_ROWS else None,
            newest=_path(state) if cursor else None,
            here_path=_path(state, cursor),
            is_moving=any(not call.is_over for call in calls),
            known=[entry.number for entry in entries if entry.number != DEFAULT],
            lacks="" if self._orders.has_account else f"{NO_ACCOUNT}.",
            longest_reason=MAX_REASON_CHARACTERS,
            may_edit=visitor.user.may("operator"),
            **values,
        )


def standing(call: OutboundCall) -> Ending:
    """How a call stands: what became of it or, while it is not over, what is done."""
    name = call.result or call.state if call.is_over else call.state
    return STANDINGS.get(name) or Ending(name.replace("_", " ").capitalize(), "", "")


def _path(state: str, cursor: int | None = None) -> str:
    query = urlencode({name: value for name, value in (("state", state), ("cursor", cursor)) if value})
    return f"{PATH}?{query}" if query else PATH
