"""Finished calls: list, read, delete; what they sum up to."""

from collections.abc import Awaitable
from typing import Annotated, Any, Literal, TypeAlias, get_args

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from phonebot.call.actions import Outcome
from phonebot.store.annotations import MAX_NOTE_CHARACTERS, MAX_TAG_CHARACTERS, MAX_TAGS, AnnotationRefused
from phonebot.store.calls import Filters
from phonebot.store.search import MAX_QUERY_CHARACTERS
from phonebot.web.api.parts import Asker, Parts, UsedParts
from phonebot.web.api.problems import Refused, refusing_cursor, refusing_nothing
from phonebot.web.api.route import JSON_BODY, ApiRoute, terms
from phonebot.web.api.values import (
    DESK,
    LINE_PATTERN,
    TEXT_PATTERN,
    Asked,
    CallSidInPath,
    Cursor,
    Limit,
    Moment,
    Page,
    Sent,
)

router = APIRouter(route_class=ApiRoute, tags=["calls"])

Milliseconds = Annotated[int, Field(ge=0)]
Tokens = Annotated[int, Field(ge=0)]
CostUsd = Annotated[float | None, Field(description="In US dollars; null: the model has no price.")]


class _Row(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Call(_Row):
    """
    A call. `number` is the one of ours whose profile answered, whichever side dialled.

    `generated_ms` of speech the bot made, of which `heard_ms` were heard. `latency_*_ms`: from the caller's last
    word to the first sound of the answer.
    """

    call_sid: str = Field(examples=["CA11111111111111111111111111111111"])
    kind: Literal["twilio", "browser", "outbound"]
    from_number: str = Field(examples=["+15550100123"])
    to_number: str = Field(examples=[DESK])
    number: str = Field(examples=[DESK])
    profile_name: str
    profile_version: str = Field(description="`version` of the profile that answered.")
    provider: str | None
    model: str | None
    software_version: str = Field(description="phonebot's.")
    started_at: Moment
    ended_at: Moment | None
    duration_ms: Milliseconds | None
    outcome: str | None = Field(description="How it ended.", examples=[get_args(Outcome)[0]])
    cost_usd: CostUsd
    cost_per_minute_usd: CostUsd
    caller_talk_ms: Milliseconds
    bot_talk_ms: Milliseconds
    interruptions: int = Field(ge=0, description="Times that the caller stopped the bot's audio.")
    generated_ms: Milliseconds
    heard_ms: Milliseconds
    corrections: int = Field(ge=0, description="Heard positions that were told to the model.")
    errors: int = Field(ge=0)
    latency_p50_ms: Milliseconds | None
    latency_p95_ms: Milliseconds | None
    round_trip_ms: Milliseconds | None = Field(description="To the carrier and back, the quickest of the call.")
    has_audio: bool = Field(description="Whether its audio was recorded.")
    note: str
    tags: list[str]


class CallTurn(_Row):
    """
    A line of the transcript, in ms of the call. `text` is what was heard; the rest of a cut one is `unheard_text`.

    Of `of_ms` of the bot's speech `heard_ms` were heard. `latency_ms`: of the bot's answer, from the caller's last
    word on; null for other lines. Of that `model_ms` were the model's and `ours_us` microseconds the service's.
    `typed_by`: who typed it, in the caller's place or as an instruction; "" if it was said.
    """

    sequence: int
    who: str = Field(description="`caller`, `bot` or `instruction`.", examples=["caller"])
    text: str
    unheard_text: str
    cut: bool
    heard_ms: int | None
    of_ms: int | None
    start_ms: int | None
    end_ms: int | None
    latency_ms: int | None
    model_ms: int | None
    ours_us: int | None
    item_id: str | None
    typed_by: str


class ToolCall(_Row):
    """A function that the model called, in ms of the call. `arguments` and `result` are JSON text as it came."""

    sequence: int
    tool_call_id: str | None
    name: str
    arguments: str
    result: str | None
    error: str | None
    start_ms: int
    end_ms: int | None


class Usage(_Row):
    """The tokens of one response. Cached ones are part of the input ones."""

    sequence: int
    response_id: str | None
    at_ms: int
    input_text: Tokens
    input_audio: Tokens
    input_image: Tokens
    cached_text: Tokens
    cached_audio: Tokens
    cached_image: Tokens
    output_text: Tokens
    output_audio: Tokens
    cost_usd: CostUsd


class Afterwards(_Row):
    """
    What was done after a call. What is null was not wanted, is not made yet, or could not be made: then `*_problem`
    says why.

    `state`, `attempts` and what follows are of the request that tells of the call, where one is wanted.
    """

    state: Literal["waiting", "done", "given_up"] = Field(description="`waiting`: for `due_at`.")
    due_at: Moment
    summary: str | None
    summary_problem: str | None
    extracted: dict[str, Any] | None = Field(description="Data that fit the schema in the profile.")
    extracted_problem: str | None
    delivery_id: str = Field(description="`X-Phonebot-Delivery` of each attempt.")
    attempts: int = Field(ge=0)
    attempted_at: Moment | None
    delivered_at: Moment | None
    problem: str | None = Field(description="Why the last attempt failed.")


class FullCall(Call):
    """A call with all that was said and done in it, and after it (null: its profile wanted nothing)."""

    turns: list[CallTurn]
    tool_calls: list[ToolCall]
    usage: list[Usage]
    after: Afterwards | None
    parts: list[str] = Field(
        default=[],
        description="Where the caller's call had several streams, since he was transferred and came back or his "
        "connection broke off: the CallSids of all of them in order, this one among them.",
    )


class CallAnnotation(Sent):
    """What people add to a call; what is left out or null stays as it is."""

    note: Annotated[str, Field(max_length=MAX_NOTE_CHARACTERS, pattern=TEXT_PATTERN)] | None = Field(
        default=None, examples=["Call back on Monday."]
    )
    tags: (
        Annotated[
            list[Annotated[str, Field(max_length=MAX_TAG_CHARACTERS, pattern=LINE_PATTERN)]],
            Field(max_length=MAX_TAGS),
        ]
        | None
    ) = Field(default=None, description="All of them: others are taken away.", examples=[["lead"]])


class Turns(BaseModel):
    """The transcript of a call."""

    call_sid: str
    turns: list[CallTurn]


Since: TypeAlias = Annotated[Asked | None, Query(description="Calls that began at this moment or later.")]
Until: TypeAlias = Annotated[Asked | None, Query(description="Calls that began before this moment.")]
OfNumber: TypeAlias = Annotated[
    str | None,
    Query(max_length=100, pattern=LINE_PATTERN, description="Calls of this number of ours.", examples=[DESK]),
]


@router.get("/calls", operation_id="listCalls", **terms("read"))
async def list_calls(
    parts: UsedParts,
    number: OfNumber = None,
    caller: Annotated[
        str | None,
        Query(
            max_length=100, pattern=LINE_PATTERN, description="Calls from this number.", examples=["+15550100123"]
        ),
    ] = None,
    caller_part: Annotated[
        str | None,
        Query(
            max_length=100,
            pattern=LINE_PATTERN,
            description="Calls from numbers that have these characters in them.",
            examples=["0123"],
        ),
    ] = None,
    outcome: Annotated[
        str | None,
        Query(max_length=40, pattern=LINE_PATTERN, description="Calls that ended so.", examples=["caller_hung_up"]),
    ] = None,
    since: Since = None,
    until: Until = None,
    text: Annotated[
        str,
        Query(
            max_length=MAX_QUERY_CHARACTERS,
            description="Calls with all these words, or parts of words, in what was said, in numbers, names, tags "
            "and notes; words in double quotes are one.",
            examples=["table for four"],
        ),
    ] = "",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[Call]:
    """Finished calls, the newest first, without their transcripts."""
    filters = Filters(
        number=number,
        caller=caller,
        caller_part=caller_part,
        outcome=outcome,
        since=since,
        until=until,
        text=text,
    )
    with refusing_cursor():
        page = await parts.book.page(filters, cursor, limit)
    return Page(items=[Call.model_validate(call) for call in page.calls], next=page.cursor)


@router.get("/calls/{call_sid}", operation_id="getCall", **terms("read", 404))
async def get_call(call_sid: CallSidInPath, parts: UsedParts) -> FullCall:
    """A finished call with its turns, the functions that the model called, and the tokens of each response."""
    return await _full(parts, call_sid)


async def _full(parts: Parts, call_sid: str) -> FullCall:
    call = FullCall.model_validate(await parts.book.get(call_sid))
    return call.model_copy(update={"parts": await parts.book.parts(call_sid)})


@router.get("/calls/{call_sid}/turns", operation_id="listTurns", **terms("read", 404))
async def list_turns(call_sid: CallSidInPath, parts: UsedParts) -> Turns:
    """The transcript of a finished call: of what the bot said, what was heard."""
    call = await parts.book.get(call_sid)
    return Turns(call_sid=call.call_sid, turns=[CallTurn.model_validate(turn) for turn in call.turns])


@router.patch("/calls/{call_sid}", operation_id="annotateCall", **terms("operate", 404, body=JSON_BODY))
async def annotate_call(call_sid: CallSidInPath, sent: CallAnnotation, parts: UsedParts, asker: Asker) -> FullCall:
    """Replace a finished call's note or tags. It is found by them, too."""
    call = await parts.book.get(call_sid)
    note = call.note if sent.note is None else sent.note
    tags = call.tags if sent.tags is None else sent.tags
    try:
        await parts.annotations.set(call_sid, note, tags, asker.actor)
    except AnnotationRefused as error:
        raise Refused(422, "invalid_request", error.problem) from None
    return await _full(parts, call_sid)


@router.post("/calls/{call_sid}/deliver", operation_id="deliverCall", **terms("operate", 404, 409))
async def deliver_call(call_sid: CallSidInPath, parts: UsedParts, asker: Asker) -> FullCall:
    """Tell of a call once more, now, whatever came of it before; texts that could not be made are tried again."""
    return await _with_after(parts, call_sid, parts.store.after.again(call_sid, asker.actor))


@router.post("/calls/{call_sid}/give-up", operation_id="giveUpCall", **terms("operate", 404, 409))
async def give_up_call(call_sid: CallSidInPath, parts: UsedParts, asker: Asker) -> FullCall:
    """Do no more after a call: what waits is given up."""
    return await _with_after(parts, call_sid, parts.store.after.stop(call_sid, asker.actor))


async def _with_after(parts: Parts, call_sid: str, change: Awaitable[None]) -> FullCall:
    with refusing_nothing():
        await change
    return await _full(parts, call_sid)


@router.delete("/calls/{call_sid}", operation_id="deleteCall", status_code=204, **terms("operate", 404, 409))
async def delete_call(call_sid: CallSidInPath, parts: UsedParts, asker: Asker) -> Response:
    """Delete a call: its transcript, its log and its recordings. The audit keeps who did so, and nothing of it."""
    await parts.book.delete(call_sid, asker.actor)
    return Response(status_code=204)
