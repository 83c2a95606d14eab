"""Calls in progress, of all processes: which there are, what happens in them, and how one is ended."""

from typing import Any

import msgspec
from fastapi import APIRouter, Response

from phonebot.errors import NotStored
from phonebot.web.api.parts import Asker, UsedParts
from phonebot.web.api.route import ApiRoute, terms
from phonebot.web.api.streams import WAV
from phonebot.web.api.values import CallSidInPath

router = APIRouter(route_class=ApiRoute, tags=["live"])

SNAPSHOT = {"$ref": "#/components/schemas/Snapshot"}
_STREAM = {
    "responses": {
        "200": {
            "description": "Server-Sent Events. `event` is the `type` of what is in `data`, a LiveEvent as JSON.",
            "content": {
                "text/event-stream": {
                    "schema": {
                        "type": "object",
                        "description": "One event of the stream.",
                        "required": ["event", "data"],
                        "properties": {
                            "event": {"type": "string", "description": "The `type` of what is in `data`."},
                            "data": {
                                "type": "string",
                                "contentMediaType": "application/json",
                                "contentSchema": {"$ref": "#/components/schemas/LiveEvent"},
                            },
                        },
                    }
                }
            },
        }
    }
}


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


@router.get("/live/events", operation_id="watchCalls", response_class=Response, **terms("read", document=_STREAM))
async def watch_calls(parts: UsedParts) -> Response:
    """
    What happens in all calls, as it happens: Server-Sent Events.

    First comes a `snapshot` of each call in progress, and of each that begins. After `lost` the stream ends: its
    client was too slow, and connects again. It ends after an hour, too.
    """
    return parts.streams.response(None)


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
    **terms("read", 404, document=_STREAM),
)
async def watch_call(call_sid: CallSidInPath, parts: UsedParts) -> Response:
    """What happens in a call, as it happens: Server-Sent Events, a `snapshot` first, `ended` or `lost` last."""
    if await parts.streams.board.call(call_sid) is None:
        raise _not_in_progress(call_sid)
    return parts.streams.response(call_sid)


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


def _answer(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def _not_in_progress(call_sid: str) -> NotStored:
    return NotStored(f"there is no call {call_sid} in progress: finished ones are at /calls")
