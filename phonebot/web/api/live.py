"""Calls in progress, of all processes: which there are, what happens in them, what is done to them."""

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import Field

from phonebot.call.inputs import MAX_TYPED_CHARACTERS
from phonebot.errors import NotStored, TextRefused
from phonebot.hooks.events import USUAL
from phonebot.tools.typist import PER_S
from phonebot.web.api.parts import Asker, UsedParts
from phonebot.web.api.problems import Refused
from phonebot.web.api.route import JSON_BODY, ApiRoute, terms
from phonebot.web.api.streams import WAV
from phonebot.web.api.values import TEXT_PATTERN, CallSidInPath, Sent
from phonebot.web.held import TextWish

router = APIRouter(route_class=ApiRoute, tags=["live"])

SNAPSHOT = {"$ref": "#/components/schemas/Snapshot"}


def _stream(schema: str) -> dict[str, Any]:
    """A stream of events, each of which is as a schema of this name says."""
    one = {
        "type": "object",
        "description": "One event of the stream.",
        "required": ["event", "data"],
        "properties": {
            "event": {"type": "string", "description": "The `type` of what is in `data`."},
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": {"$ref": f"#/components/schemas/{schema}"},
            },
        },
    }
    description = f"Server-Sent Events. `event` is the `type` of what is in `data`, a {schema} as JSON."
    return {"responses": {"200": {"description": description, "content": {"text/event-stream": {"schema": one}}}}}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    return {"responses": {"200": {"description": "As it is now.", "content": content}}}


@router.get(
    "/live",
    operation_id="listLiveCalls",
    response_class=Response,
    **terms(
        "read",
        document=_json(
            {
                "type": "object",
                "required": ["items"],
                "properties": {"items": {"type": "array", "items": SNAPSHOT}},
            }
        ),
    ),
)
async def list_live_calls(parts: UsedParts) -> Response:
    """The calls in progress, the oldest first, with what was said so far."""
    return _answer({"items": await parts.streams.board.calls()})


@router.get(
    "/live/events",
    operation_id="watchCalls",
    response_class=Response,
    **terms("read", document=_stream("LiveEvent")),
)
async def watch_calls(parts: UsedParts) -> Response:
    """
    What happens in all calls, as it happens: Server-Sent Events.

    First comes a `snapshot` of each call in progress, and of each that begins. After `lost` the stream ends: its
    client was too slow, and connects again. It ends after an hour, too.
    """
    return await parts.streams.response(None)


@router.get(
    "/live/{call_sid}",
    operation_id="getLiveCall",
    response_class=Response,
    **terms("read", 404, document=_json(SNAPSHOT)),
)
async def get_live_call(call_sid: CallSidInPath, parts: UsedParts) -> Response:
    """A call in progress, with what was said so far."""
    found = await parts.streams.board.call(call_sid)
    if found is None:
        raise _not_in_progress(call_sid)
    return _answer(found)


@router.get(
    "/live/{call_sid}/events",
    operation_id="watchCall",
    response_class=Response,
    **terms("read", 404, document=_stream("LiveEvent")),
)
async def watch_call(call_sid: CallSidInPath, parts: UsedParts) -> Response:
    """What happens in a call, as it happens: Server-Sent Events, a `snapshot` first, `ended` or `lost` last."""
    if await parts.streams.board.call(call_sid) is None:
        raise _not_in_progress(call_sid)
    return await parts.streams.response(call_sid)


@router.get(
    "/live/{call_sid}/session-events",
    operation_id="followSession",
    response_class=Response,
    **terms("read", 404, 409, document=_stream("SessionEvent")),
)
async def follow_session(
    call_sid: CallSidInPath,
    parts: UsedParts,
    asker: Asker,
    audio: Annotated[
        bool, Query(description="Also `audio`, the bot's: takes the scope `operate`, and is in the audit.")
    ] = False,
    raw: Annotated[bool, Query(description="Also `raw_model_event`: each event of the model.")] = False,
) -> Response:
    """
    What happens in a call, as it happens, under the names of the OpenAI Agents SDK: Server-Sent Events.

    `history_updated` comes first, `call_end` last. After `dropped` so many events before the next one are missing:
    the client was too slow. Of a call that another process holds events come one to two seconds late; `audio` and
    `raw` are answered with 409 then, and `audio` also where the profile has `record = false`.
    """
    if audio:
        asker.require("operate")
    wanted = {name for name, is_wanted in (("audio", audio), ("raw_model_event", raw)) if is_wanted}
    return await parts.streams.session(call_sid, USUAL | wanted, asker.actor)


@router.get(
    "/live/{call_sid}/audio",
    operation_id="listenIn",
    response_class=Response,
    **terms(
        "operate",
        404,
        409,
        document={
            "responses": {
                "200": {
                    "description": "Stereo, 8000 Hz, mu-law, while the call goes on; its header knows no length.",
                    "content": {WAV: {"schema": {"type": "string", "format": "binary"}}},
                }
            }
        },
    ),
)
async def listen_in(call_sid: CallSidInPath, parts: UsedParts, asker: Asker) -> Response:
    """
    Listen to a call from now on: the caller left, the bot as he hears it right.

    Of a call that another process holds it comes one to two seconds late. Who listens is in the audit. Calls whose
    profile has `record = false` cannot be listened to.
    """
    return await parts.streams.sound(call_sid, asker.actor)


@router.post(
    "/live/{call_sid}/hang-up",
    operation_id="hangUp",
    status_code=202,
    response_class=Response,
    **terms("operate", 404, 409),
)
async def hang_up(call_sid: CallSidInPath, parts: UsedParts, asker: Asker) -> Response:
    """End a call. One that another process holds ends within about a second; the stream of its events tells."""
    await parts.streams.board.hang_up(call_sid, asker.actor)
    return Response(status_code=202)


class TypedIn(Sent):
    """What is typed into a call."""

    text: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_TYPED_CHARACTERS,
            pattern=TEXT_PATTERN,
            examples=["The manager calls back within the hour. Tell him so."],
        ),
    ]
    role: Literal["user", "system"] = Field(
        default="user", description="`user`: as if the caller had said it; `system`: an instruction to the model."
    )
    interrupt: bool = Field(default=False, description="Stop the bot for it; otherwise it is answered in turn.")


@router.post(
    "/live/{call_sid}/text",
    operation_id="typeIntoCall",
    status_code=202,
    response_class=Response,
    **terms("operate", 404, body=JSON_BODY),
)
async def type_into_call(call_sid: CallSidInPath, sent: TypedIn, parts: UsedParts, asker: Asker) -> Response:
    """
    Type into a call. The transcript has it, with who typed it; the audit has that it was done, without the text.

    Ten texts within ten seconds may be typed into a call; then the answer is 429, or, of a call that another
    process holds, the text is lost. Such a call has it within about a second.
    """
    try:
        await parts.streams.board.say(call_sid, TextWish(sent.text, sent.role, sent.interrupt), asker.actor)
    except TextRefused as error:
        if error.too_many:
            raise Refused(429, "too_many_attempts", str(error), {"retry-after": str(round(PER_S))}) from None
        raise Refused(422, "invalid_request", str(error)) from None
    return Response(status_code=202)


def _answer(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def _not_in_progress(call_sid: str) -> NotStored:
    return NotStored(f"there is no call {call_sid} in progress: finished ones are at /calls")
