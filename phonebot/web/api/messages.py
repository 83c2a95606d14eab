"""Messages that callers left: list, read, mark as done, tell of them again."""

from collections.abc import Awaitable
from typing import Annotated, Literal, TypeAlias

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from phonebot.store.messages import MessageFilters
from phonebot.store.search import MAX_QUERY_CHARACTERS
from phonebot.store.tables import MessageRow
from phonebot.web.api.parts import Asker, Parts, UsedParts
from phonebot.web.api.problems import refusing_cursor, refusing_nothing
from phonebot.web.api.route import JSON_BODY, ApiRoute, terms
from phonebot.web.api.values import CALL_SID_PATTERN, DESK, LINE_PATTERN, Cursor, Limit, Moment, Page, Sent

router = APIRouter(route_class=ApiRoute, tags=["messages"])

ID_PATTERN = r"^[0-9a-f-]{36}$"
EXAMPLE_ID = "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b"
MessageIdInPath: TypeAlias = Annotated[
    str, Path(pattern=ID_PATTERN, description="The message's id.", examples=[EXAMPLE_ID])
]
State: TypeAlias = Literal["new", "done"]


class Telling(BaseModel):
    """Whether the program that the profile names has taken it. `state` `waiting`: for `due_at`."""

    model_config = ConfigDict(from_attributes=True)

    state: Literal["waiting", "done", "given_up"]
    due_at: Moment
    delivery_id: str = Field(description="`X-Phonebot-Delivery` of each attempt.")
    attempts: int = Field(ge=0)
    attempted_at: Moment | None
    delivered_at: Moment | None
    problem: str | None = Field(description="Why the last attempt failed.")


class CallersMessage(BaseModel):
    """A message that a caller left. What he did not say is "". `told` null: nobody is to be told of it."""

    message_id: str = Field(examples=[EXAMPLE_ID])
    call_sid: str = Field(description="Of the call, which may be in progress.")
    taken_at: Moment
    number: str = Field(description="The one of ours that was called.", examples=[DESK])
    profile_name: str
    from_number: str = Field(examples=["+15550100123"])
    name: str
    call_back: str = Field(description="Where the caller wants to be called back, as he said it.")
    for_whom: str
    urgent: bool
    text: str
    state: State
    done_at: Moment | None
    done_by: str | None
    told: Telling | None

    @classmethod
    def of(cls, row: MessageRow) -> "CallersMessage":
        plain = {name: getattr(row, name) for name in cls.model_fields if name not in ("state", "told")}
        told = Telling.model_validate(row.after) if row.after else None
        return cls(**plain, state="done" if row.done_at else "new", told=told)


class MessageMark(Sent):
    """Whether somebody has dealt with it."""

    state: State


@router.get("/messages", operation_id="listMessages", **terms("read"))
async def list_messages(
    parts: UsedParts,
    state: Annotated[State | None, Query(description="Messages that are new, or done.", examples=["new"])] = None,
    number: Annotated[
        str | None,
        Query(max_length=100, pattern=LINE_PATTERN, description="Left at this number of ours.", examples=[DESK]),
    ] = None,
    caller: Annotated[
        str | None,
        Query(
            max_length=100, pattern=LINE_PATTERN, description="Left from this number.", examples=["+15550100123"]
        ),
    ] = None,
    call_sid: Annotated[
        str | None,
        Query(
            pattern=CALL_SID_PATTERN,
            description="Left in this call.",
            examples=["CA11111111111111111111111111111111"],
        ),
    ] = None,
    text: Annotated[
        str,
        Query(
            max_length=MAX_QUERY_CHARACTERS,
            description="With all these words, or parts of words, in the message, in names and numbers; words in "
            "double quotes are one.",
            examples=["terrace"],
        ),
    ] = "",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[CallersMessage]:
    """Messages, the newest first."""
    is_done = None if state is None else state == "done"
    filters = MessageFilters(is_done=is_done, number=number, caller=caller, call_sid=call_sid, text=text)
    with refusing_cursor():
        page = await parts.store.messages.page(filters, cursor, limit)
    return Page(items=[CallersMessage.of(row) for row in page.messages], next=page.cursor)


@router.get("/messages/{message_id}", operation_id="getMessage", **terms("read", 404))
async def get_message(message_id: MessageIdInPath, parts: UsedParts) -> CallersMessage:
    """A message, and whether it was told."""
    return CallersMessage.of(await parts.store.messages.get(message_id))


@router.patch("/messages/{message_id}", operation_id="markMessage", **terms("operate", 404, body=JSON_BODY))
async def mark_message(
    message_id: MessageIdInPath, sent: MessageMark, parts: UsedParts, asker: Asker
) -> CallersMessage:
    """Mark a message as done, or as new again."""
    return CallersMessage.of(await parts.store.messages.mark(message_id, sent.state == "done", asker.actor))


@router.post("/messages/{message_id}/deliver", operation_id="deliverMessage", **terms("operate", 404, 409))
async def deliver_message(message_id: MessageIdInPath, parts: UsedParts, asker: Asker) -> CallersMessage:
    """Tell of a message once more, now, whatever came of it before."""
    return await _after(parts, message_id, parts.store.after.message_again(message_id, asker.actor))


@router.post("/messages/{message_id}/give-up", operation_id="giveUpMessage", **terms("operate", 404, 409))
async def give_up_message(message_id: MessageIdInPath, parts: UsedParts, asker: Asker) -> CallersMessage:
    """Tell of a message no more."""
    return await _after(parts, message_id, parts.store.after.stop_message(message_id, asker.actor))


async def _after(parts: Parts, message_id: str, change: Awaitable[None]) -> CallersMessage:
    with refusing_nothing():
        await change
    return CallersMessage.of(await parts.store.messages.get(message_id))
