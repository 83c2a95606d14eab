"""
Messages that callers left.

    GET  /console/messages?state=&text=&number=&cursor=     (viewer)   `state`: new (also without), done, all
    GET  /console/messages/ID                               (viewer)
    POST /console/messages/ID/done, /reopen                 (operator)
    POST /console/messages/ID/deliver, /give-up             (operator) tell of it once more, or no more
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from phonebot.errors import NotStored, StoreError, StoreUnavailable
from phonebot.store.after import AfterStore, NothingToDo
from phonebot.store.calls import CallStore
from phonebot.store.messages import MessageFilters, MessageStore
from phonebot.store.search import MAX_QUERY_CHARACTERS
from phonebot.store.tables import NUMBER_CHARACTERS, MessageRow
from phonebot.web.console.afterwards import Delivery, delivery_view
from phonebot.web.console.frame import Frame, sentence
from phonebot.web.console.guard import Guard, Visitor
from phonebot.web.console.queries import text_in, with_chosen

PATH = "console/messages"
STATES = {"new": False, "done": True, "all": None}
_ID = re.compile(r"[0-9a-f-]{36}")
_DIALLED = re.compile(r"\+?[0-9][0-9 ()/.-]{2,38}")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a visitor asked for."""

    state: str = "new"
    text: str = ""
    number: str = ""
    cursor: str = ""

    @property
    def is_narrow(self) -> bool:
        """Whether it asks for some messages of this state and not for all."""
        return bool(self.text or self.number)

    def filters(self) -> MessageFilters:
        return MessageFilters(is_done=STATES[self.state], number=self.number or None, text=self.text)

    def path(self, state: str | None = None, cursor: str = "") -> str:
        """Where the page is that asks so, with another state or cursor."""
        state = state or self.state
        values = {"state": "" if state == "new" else state, "text": self.text, "number": self.number}
        query = urlencode({name: value for name, value in (values | {"cursor": cursor}).items() if value})
        return f"{PATH}?{query}" if query else PATH


@dataclass(frozen=True, slots=True)
class MessageView:
    """A message as pages show it. `dial`: a number that can be dialled; "": there is none."""

    row: MessageRow
    delivery: Delivery | None
    dial: str

    @classmethod
    def of(cls, row: MessageRow) -> "MessageView":
        dial = re.sub(r"[^+0-9]", "", row.call_back) if _DIALLED.fullmatch(row.call_back) else ""
        to = row.after.wishes.get("message", {}) if row.after else {}
        return cls(row, delivery_view(row.after, to) if row.after else None, dial)


class MessagePages:
    """Lists and shows messages, and does what is done to one."""

    def __init__(
        self, messages: MessageStore, after: AfterStore, calls: CallStore, guard: Guard, frame: Frame
    ) -> None:
        self._messages, self._after, self._calls = messages, after, calls
        self._guard, self._frame = guard, frame

    def routes(self) -> list[BaseRoute]:
        require, path = self._guard.require, f"/{PATH}/{{message_id}}"

        def does(name: str, change: Callable[[str, Visitor], Awaitable[Any]]) -> BaseRoute:
            async def answer(request: Request, visitor: Visitor) -> Response:
                return await self._change(request, visitor, change)

            return Route(f"{path}/{name}", require("operator", answer), methods=["POST"])

        return [
            Route(f"/{PATH}", require("viewer", self._list), methods=["GET"]),
            Route(path, require("viewer", self._show), methods=["GET"]),
            does("done", lambda each, visitor: self._messages.mark(each, True, visitor.actor)),
            does("reopen", lambda each, visitor: self._messages.mark(each, False, visitor.actor)),
            does("deliver", lambda each, visitor: self._after.message_again(each, visitor.actor)),
            does("give-up", lambda each, visitor: self._after.stop_message(each, visitor.actor)),
        ]

    async def _list(self, request: Request, visitor: Visitor) -> Response:
        asked = asked_by(request.query_params)
        try:
            page = await self._messages.page(asked.filters(), asked.cursor or None)
        except StoreUnavailable:
            raise
        except StoreError:  # the cursor is none of ours
            return self._frame.moved(request, asked.path())
        response = self._frame.page(
            request,
            "messages.html",
            visitor=visitor,
            here="messages",
            asked=asked,
            numbers=with_chosen(await self._calls.numbers(), asked.number),
            messages=[MessageView.of(row) for row in page.messages],
            new=await self._messages.new(),
            older=asked.path(cursor=page.cursor) if page.cursor else None,
            newest=asked.path() if asked.cursor else None,
        )
        response.headers["hx-replace-url"] = asked.path(cursor=asked.cursor).removeprefix("console/")
        return response

    async def _show(self, request: Request, visitor: Visitor) -> Response:
        return await self._page(request, visitor)

    async def _change(
        self, request: Request, visitor: Visitor, change: Callable[[str, Visitor], Awaitable[Any]]
    ) -> Response:
        """From a page's script what comes back is the page, of which it takes the message."""
        try:
            await change(_id_of(request), visitor)
        except NotStored:
            return self._missing(request, visitor)
        except NothingToDo as error:
            return await self._page(request, visitor, problem=sentence(error), status=409)
        if "hx-request" in request.headers:
            return await self._page(request, visitor)
        return self._frame.moved(request, f"{PATH}/{_id_of(request)}")

    async def _page(self, request: Request, visitor: Visitor, *, problem: str = "", status: int = 200) -> Response:
        try:
            row = await self._messages.get(_id_of(request))
        except NotStored:
            return self._missing(request, visitor)
        return self._frame.page(
            request,
            "message.html",
            status,
            visitor=visitor,
            here="messages",
            message=MessageView.of(row),
            problem=problem,
        )

    def _missing(self, request: Request, visitor: Visitor) -> Response:
        said = "There is no such message: it went with its call when that was deleted, or its address is wrong."
        return self._frame.refused(request, 404, "No such message", said, visitor=visitor, here="messages")


def asked_by(query: QueryParams) -> Asked:
    """What of a query can be used."""
    state = text_in(query, "state", 10)
    return Asked(
        state if state in STATES else "new",
        text_in(query, "text", MAX_QUERY_CHARACTERS),
        text_in(query, "number", NUMBER_CHARACTERS),
        text_in(query, "cursor", 100),
    )


def _id_of(request: Request) -> str:
    """The id in the request's path. Raises NotStored for what cannot be one."""
    message_id = str(request.path_params["message_id"])
    if not _ID.fullmatch(message_id):
        raise NotStored("there is no such message: check its id")
    return message_id
