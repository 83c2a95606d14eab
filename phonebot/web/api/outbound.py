"""Calls that we make: order one, see what became of it, cancel it."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from phonebot.store.outbound import MAX_REASON_CHARACTERS, DialRefused, NothingToCancel, State
from phonebot.web.api.parts import Asker, UsedParts
from phonebot.web.api.problems import Refused
from phonebot.web.api.route import JSON_BODY, ApiRoute, terms
from phonebot.web.api.values import DESK, MAX_ID, TEXT_PATTERN, Limit, Moment, Page, Sent, page_of

router = APIRouter(route_class=ApiRoute, tags=["outbound calls"])

E164_PATTERN = r"^\+[1-9][0-9]{6,14}$"
CALLEE = "+15550100123"

IdInPath = Annotated[int, Path(ge=1, le=MAX_ID, description="The outbound call's `id`.", examples=[1])]
Number = Annotated[str, Field(pattern=E164_PATTERN)]


class NewOutboundCall(Sent):
    """A call to be made."""

    to: str = Field(pattern=E164_PATTERN, description="Whom to call, in E.164 form.", examples=[CALLEE])
    from_: str = Field(
        alias="from",
        pattern=E164_PATTERN,
        description="Your number that calls: its profile talks, and says how calls are made (`outbound`).",
        examples=[DESK],
    )
    reason: str = Field(
        default="",
        max_length=MAX_REASON_CHARACTERS,
        pattern=TEXT_PATTERN,
        description="Why: the bot is told so.",
        examples=["Confirm the table for four on Friday at 19:00."],
    )


class OutboundAttempt(BaseModel):
    """One attempt. `result` null: it has not ended; `call_sid` null: the carrier knows no such call."""

    model_config = ConfigDict(from_attributes=True)

    at: Moment
    call_sid: str | None
    result: str | None
    answered_by: str | None
    problem: str


class OutboundCallEntry(BaseModel):
    """
    A call that is to be made, is on the line, or was made.

    `state`: `queued` for `due_at`, `dialling`, `talking`; `done` (somebody talked, or a message was left),
    `failed`, `cancelled`. `result` is that of the last attempt: `answered`, `message_left`, `machine` (hung up on),
    `fax`, `busy`, `no_answer`, `failed`, `refused` (by the carrier), `opted_out`, `expired`, `cancelled`.
    """

    model_config = ConfigDict(from_attributes=True, populate_by_name=True)

    id: int
    to_number: str = Field(serialization_alias="to", examples=[CALLEE])
    from_number: str = Field(serialization_alias="from", examples=[DESK])
    reason: str
    state: State
    result: str | None
    problem: str = Field(description="Why it waits, or what went wrong, in a sentence.")
    answered_by: str | None = Field(description="As the carrier found out: `human`, `machine_start`, `unknown`...")
    call_sid: str | None = Field(description="Of the last attempt; the call has it in `/calls`, too.")
    attempts: int
    due_at: Moment = Field(description="When something is done about it next, while it is not over.")
    asked_by: str
    asked_at: Moment
    ended_at: Moment | None
    cancelled_by: str | None
    tries: tuple[OutboundAttempt, ...] = Field(description="The attempts, in their order.")


@router.post(
    "/outbound-calls", operation_id="createOutboundCall", status_code=201, **terms("operate", 409, body=JSON_BODY)
)
async def create_outbound_call(sent: NewOutboundCall, parts: UsedParts, asker: Asker) -> OutboundCallEntry:
    """
    Have somebody called, at once or as soon as the number's profile allows.

    409 if that number has opted out, or phonebot has no Twilio account. Sent twice it is two calls.
    """
    try:
        call = await parts.orders.place(sent.to, sent.from_, asker.actor, sent.reason)
    except DialRefused as error:
        raise Refused(409, "conflict", str(error)) from None
    return OutboundCallEntry.model_validate(call)


@router.get("/outbound-calls", operation_id="listOutboundCalls", **terms("read"))
async def list_outbound_calls(
    parts: UsedParts,
    state: Annotated[
        Literal["open", "queued", "dialling", "talking", "done", "failed", "cancelled"] | None,
        Query(description="Those in this state; `open`: those that are not over.", examples=["open"]),
    ] = None,
    to: Annotated[Number | None, Query(description="Calls to this number.", examples=[CALLEE])] = None,
    from_: Annotated[
        Number | None, Query(alias="from", description="Calls of this number of yours.", examples=[DESK])
    ] = None,
    cursor: Annotated[
        int | None, Query(ge=1, le=MAX_ID, description="`next` of the page before.", examples=[100])
    ] = None,
    limit: Limit = 50,
) -> Page[OutboundCallEntry]:
    """Calls that were ordered, the newest first."""
    found = await parts.store.outbound.page(
        state=state, to_number=to, from_number=from_, before_id=cursor, limit=limit + 1
    )
    return page_of(found, "id", limit, OutboundCallEntry.model_validate)


@router.get("/outbound-calls/{call_id}", operation_id="getOutboundCall", **terms("read", 404))
async def get_outbound_call(call_id: IdInPath, parts: UsedParts) -> OutboundCallEntry:
    """One of them, with its attempts."""
    return OutboundCallEntry.model_validate(await parts.store.outbound.get(call_id))


@router.delete("/outbound-calls/{call_id}", operation_id="cancelOutboundCall", **terms("operate", 404, 409))
async def cancel_outbound_call(call_id: IdInPath, parts: UsedParts, asker: Asker) -> OutboundCallEntry:
    """
    Make no further attempt, and hang up what rings or talks; 409 if it is over.

    A call that waits is cancelled at once, one that is on the line within seconds.
    """
    try:
        call = await parts.orders.cancel(call_id, asker.actor)
    except NothingToCancel as error:
        raise Refused(409, "conflict", str(error)) from None
    return OutboundCallEntry.model_validate(call)
