"""
The events that a model's service sends around its audio, in the GA dialect (Realtime API reference, server events).

Each function gives what is sent together, in order; who sends them adds the event's own id.
"""

from typing import Any, Literal, TypeAlias

Json: TypeAlias = dict[str, Any]
Status: TypeAlias = Literal["completed", "incomplete"]
Reason: TypeAlias = Literal["turn_detected", "client_cancelled"]

_USAGE = {"total_tokens": 190, "input_tokens": 150, "output_tokens": 40}
_RATE_LIMITS = [{"name": "tokens", "limit": 40_000, "remaining": 39_000, "reset_seconds": 1.5}]
_PCM = {"format": {"type": "audio/pcm", "rate": 24_000}}


def session(session_id: str, update: Json) -> Json:
    """A session with what the client set; both of its formats are PCM16 if it set none."""
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": session_id,
        "model": "bench",
        "output_modalities": ["audio"],
        **update,
        "audio": {"input": _PCM, "output": _PCM, **update.get("audio", {})},
    }


def response_begins(response_id: str, metadata: Json | None = None) -> tuple[Json, ...]:
    """`metadata` is that of the request for it."""
    begun = _response(response_id, "in_progress", metadata=metadata)
    return ({"type": "response.created", "response": begun},)


def item_begins(response_id: str, item_id: str, output_index: int = 0) -> tuple[Json, ...]:
    item = _message(item_id, "in_progress")
    return (
        {"type": "response.output_item.added", **_of(response_id, output_index), "item": item},
        {"type": "conversation.item.added", "item": item},
        {"type": "response.content_part.added", **_place(response_id, item_id, output_index), "part": _part("")},
    )


def speech(response_id: str, item_id: str, word: str, audio: str, output_index: int = 0) -> tuple[Json, ...]:
    """A word and its audio, in base64."""
    place = _place(response_id, item_id, output_index)
    return (
        {"type": "response.output_audio_transcript.delta", **place, "delta": word},
        {"type": "response.output_audio.delta", **place, "delta": audio},
    )


def item_ends(
    response_id: str, item_id: str, text: str, status: Status = "completed", output_index: int = 0
) -> tuple[Json, ...]:
    place = _place(response_id, item_id, output_index)
    item = _spoken(item_id, text, status)
    return (
        {"type": "response.output_audio.done", **place},
        {"type": "response.output_audio_transcript.done", **place, "transcript": text},
        {"type": "response.content_part.done", **place, "part": _part(text)},
        {"type": "response.output_item.done", **_of(response_id, output_index), "item": item},
        {"type": "conversation.item.done", "item": item},
    )


def response_ends(response_id: str, texts: dict[str, str]) -> tuple[Json, ...]:
    """A response is complete; `texts` are what its items say, by their ids."""
    output = [_spoken(item_id, text, "completed") for item_id, text in texts.items()]
    done = _response(response_id, "completed", output=output, usage=_USAGE)
    return (
        {"type": "response.done", "response": done},
        {"type": "rate_limits.updated", "rate_limits": _RATE_LIMITS},
    )


def response_is_cancelled(response_id: str, reason: Reason) -> tuple[Json, ...]:
    details = {"type": "cancelled", "reason": reason}
    done = _response(response_id, "cancelled", status_details=details, usage=_USAGE)
    return ({"type": "response.done", "response": done},)


def caller_begins(item_id: str, start_ms: int) -> tuple[Json, ...]:
    """The caller began to speak; `start_ms` counts the audio of the session."""
    return ({"type": "input_audio_buffer.speech_started", "audio_start_ms": start_ms, "item_id": item_id},)


def caller_ends(item_id: str, end_ms: int, text: str) -> tuple[Json, ...]:
    """The caller has finished his turn: it is an item, and what it says is known at once."""
    item = _message(item_id, "completed", {"type": "input_audio", "transcript": None}, role="user")
    transcription = "conversation.item.input_audio_transcription"
    return (
        {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": end_ms, "item_id": item_id},
        {"type": "input_audio_buffer.committed", "item_id": item_id},
        {"type": "conversation.item.added", "item": item},
        {"type": "conversation.item.done", "item": item},
        {"type": f"{transcription}.delta", "item_id": item_id, "content_index": 0, "delta": text},
        {"type": f"{transcription}.completed", "item_id": item_id, "content_index": 0, "transcript": text},
    )


def error(message: str, code: str | None, event_id: str | None) -> Json:
    """A command was refused; nothing was changed."""
    detail = {
        "type": "invalid_request_error",
        "code": code,
        "message": message,
        "param": None,
        "event_id": event_id,
    }
    return {"type": "error", "error": detail}


def _of(response_id: str, output_index: int) -> Json:
    return {"response_id": response_id, "output_index": output_index}


def _place(response_id: str, item_id: str, output_index: int) -> Json:
    return {**_of(response_id, output_index), "item_id": item_id, "content_index": 0}


def _part(text: str) -> Json:
    return {"type": "audio", "transcript": text}


def _spoken(item_id: str, text: str, status: Status) -> Json:
    return _message(item_id, status, {"type": "output_audio", "transcript": text})


def _message(item_id: str, status: str, *content: Json, role: str = "assistant") -> Json:
    return {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "status": status,
        "role": role,
        "content": list(content),
    }


def _response(response_id: str, status: str, **fields: Any) -> Json:
    return {"object": "realtime.response", "id": response_id, "status": status, "output": [], **fields}
