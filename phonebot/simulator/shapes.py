"""
The JSON that the embedded server sends: session, item, response and usage objects in both dialects.

Sources: the Realtime API's public reference, server events, and its session, item and response objects; the beta
shapes are those of 2024.
"""

import base64
from collections.abc import Mapping
from typing import Any

from phonebot.audio.transcode import transcoder
from phonebot.simulator.config import BETA_FORMATS, GA_FORMATS, Config, Dialect, Format, TurnDetection
from phonebot.simulator.conversation import Item, Part
from phonebot.simulator.tokens import Tokens, Usage

Json = dict[str, Any]

_BETA_EVENTS = {
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
    "conversation.item.added": "conversation.item.created",
}
_BETA_PARTS = {"output_text": "text", "output_audio": "audio"}
_GA_FORMAT_NAMES = {value: key for key, value in GA_FORMATS.items()}
_BETA_FORMAT_NAMES = {value: key for key, value in BETA_FORMATS.items()}


def event_json(ga_type: str, dialect: Dialect, event_id: str, fields: Json) -> Json | None:
    """An event named as in GA, in the dialect; None when the dialect has no such event."""
    if dialect == "ga":
        return {"type": ga_type, "event_id": event_id, **fields}
    if ga_type == "conversation.item.done":
        return None
    if ga_type == "response.function_call_arguments.done":
        fields = {key: value for key, value in fields.items() if key != "name"}  # the item tells it
    return {"type": _BETA_EVENTS.get(ga_type, ga_type), "event_id": event_id, **fields}


# ------------------------------------------------------------------------------------------- the session


def session_json(config: Config, dialect: Dialect, session_id: str, expires_at_s: int) -> Json:
    """The whole effective configuration, as `session.created` and `session.updated` carry it."""
    if config.kind == "transcription":
        shape = _ga_transcription_session if dialect == "ga" else _beta_transcription_session
    else:
        shape = _ga_session if dialect == "ga" else _beta_session
    return {"id": session_id, "expires_at": expires_at_s} | shape(config)


def _ga_session(config: Config) -> Json:
    session: Json = {
        "type": "realtime",
        "object": "realtime.session",
        "model": config.model,
        "output_modalities": _ga_modalities(config),
        "instructions": config.instructions,
        "tools": list(config.tools),
        "tool_choice": config.tool_choice,
        "max_output_tokens": config.max_output_tokens,
        "tracing": config.tracing,
        "truncation": config.truncation,
        "prompt": config.prompt,
        "audio": {
            "input": _ga_input(config),
            "output": _ga_output(config) | {"speed": config.speed},
        },
        "include": config.include,
    }
    if config.reasoning is not None:
        session["reasoning"] = config.reasoning
    if config.parallel_tool_calls is not None:
        session["parallel_tool_calls"] = config.parallel_tool_calls
    return session


def _ga_transcription_session(config: Config) -> Json:
    return {
        "type": "transcription",
        "object": "realtime.transcription_session",
        "audio": {"input": _ga_input(config)},
        "include": config.include,
    }


def _ga_input(config: Config) -> Json:
    return {
        "format": _ga_format(config.input_format),
        "transcription": config.transcription,
        "noise_reduction": config.noise_reduction,
        "turn_detection": _turn_detection(config.turn_detection),
    }


def _ga_output(config: Config) -> Json:
    return {"format": _ga_format(config.output_format), "voice": config.voice}


def _ga_format(name: Format) -> Json:
    shape: Json = {"type": _GA_FORMAT_NAMES[name]}
    return shape | {"rate": 24000} if name == "pcm24k" else shape


def _ga_modalities(config: Config) -> list[str]:
    return ["audio"] if config.speaks else ["text"]


def _beta_session(config: Config) -> Json:
    return {
        "object": "realtime.session",
        "model": config.model,
        "modalities": _beta_modalities(config),
        "instructions": config.instructions,
        "voice": config.voice,
        "output_audio_format": _BETA_FORMAT_NAMES[config.output_format],
        **_beta_input(config),
        "tools": list(config.tools),
        "tool_choice": config.tool_choice,
        "temperature": config.temperature,
        "max_response_output_tokens": config.max_output_tokens,
        "speed": config.speed,
        "tracing": config.tracing,
        "truncation": config.truncation,
        "prompt": config.prompt,
        "include": config.include,
    }


def _beta_transcription_session(config: Config) -> Json:
    session = {"object": "realtime.transcription_session", "modalities": ["text"], "include": config.include}
    return session | _beta_input(config)


def _beta_input(config: Config) -> Json:
    turns = _turn_detection(config.turn_detection)
    if turns is not None and turns.get("idle_timeout_ms", 0) is None:
        del turns["idle_timeout_ms"]  # newer than the dialect: shown only to a client that used it
    return {
        "input_audio_format": _BETA_FORMAT_NAMES[config.input_format],
        "input_audio_transcription": config.transcription,
        "input_audio_noise_reduction": config.noise_reduction,
        "turn_detection": turns,
    }


def _beta_modalities(config: Config) -> list[str]:
    return ["audio", "text"] if config.speaks else ["text"]


def _turn_detection(turns: TurnDetection | None) -> Json | None:
    if turns is None:
        return None
    shape: Json = {"type": turns.type}
    if turns.type == "server_vad":
        shape |= {
            "threshold": turns.threshold,
            "prefix_padding_ms": turns.prefix_padding_ms,
            "silence_duration_ms": turns.silence_duration_ms,
            "idle_timeout_ms": turns.idle_timeout_ms,
        }
    else:
        shape["eagerness"] = turns.eagerness
    return shape | {"create_response": turns.create_response, "interrupt_response": turns.interrupt_response}


# ------------------------------------------------------------------------------------------- items


def item_json(item: Item, dialect: Dialect) -> Json:
    """An item as events carry it: without audio."""
    shape: Json = {"id": item.id, "object": "realtime.item", "type": item.type, "status": item.status}
    if item.type == "message":
        return shape | {"role": item.role, "content": [_item_part(part, dialect) for part in item.parts]}
    if item.type == "function_call":
        return shape | {"name": item.name, "call_id": item.call_id, "arguments": item.arguments}
    return shape | {"call_id": item.call_id, "output": item.output}


def retrieved_item_json(item: Item, dialect: Dialect, config: Config) -> Json:
    """An item with its audio: a user's in the session's input format, an assistant's in its output format."""
    shape = item_json(item, dialect)
    for part, part_shape in zip(item.parts, shape.get("content", ()), strict=True):
        if part.type in ("input_audio", "output_audio"):
            wanted = config.input_format if part.type == "input_audio" else config.output_format
            part_shape["audio"] = base64.b64encode(_in_format(part, wanted)).decode()
    return shape


def _in_format(part: Part, wanted: Format) -> bytes:
    converter = transcoder(part.format, wanted)
    audio = bytes(part.audio)
    return audio if converter is None else converter.feed(audio) + converter.flush()


def _item_part(part: Part, dialect: Dialect) -> Json:
    name = _BETA_PARTS.get(part.type, part.type) if dialect == "beta" else part.type
    if part.type == "input_image":
        assert part.image is not None, "an image part is made of a client's image"
        return {"type": name, **part.image}
    if part.type in ("input_audio", "output_audio"):
        return {"type": name, "transcript": part.transcript}
    return {"type": name, "text": part.text}


def content_part_json(speaks: bool, text: str) -> Json:
    """The `part` of response.content_part.added and .done, which has the short names in both dialects."""
    return {"type": "audio", "transcript": text} if speaks else {"type": "text", "text": text}


# ------------------------------------------------------------------------------------------- responses


def response_json(
    config: Config,
    dialect: Dialect,
    *,
    response_id: str,
    status: str,
    status_details: Mapping[str, Any] | None,
    output: list[Json],
    conversation_id: str | None,
    metadata: Mapping[str, str] | None,
    usage: Usage | None,
) -> Json:
    """A response object; `conversation_id` None means out of band, `usage` None that it is not done."""
    shape: Json = {
        "object": "realtime.response",
        "id": response_id,
        "status": status,
        "status_details": status_details,
        "output": output,
        "conversation_id": conversation_id,
        "max_output_tokens": config.max_output_tokens,
        "metadata": metadata,
        "usage": None if usage is None else usage_json(usage, dialect),
    }
    if dialect == "ga":
        return shape | {"output_modalities": _ga_modalities(config), "audio": {"output": _ga_output(config)}}
    return shape | {
        "modalities": _beta_modalities(config),
        "voice": config.voice,
        "output_audio_format": _BETA_FORMAT_NAMES[config.output_format],
        "temperature": config.temperature,
    }


def usage_json(usage: Usage, dialect: Dialect) -> Json:
    """The `usage` of a response; the beta dialect knows no images and no details of the cached tokens."""
    entered = {**_kinds(usage.input), "cached_tokens": usage.cached.total}
    if dialect == "ga":
        entered |= {"image_tokens": 0, "cached_tokens_details": {**_kinds(usage.cached), "image_tokens": 0}}
    return {
        "total_tokens": usage.input.total + usage.output.total,
        "input_tokens": usage.input.total,
        "output_tokens": usage.output.total,
        "input_token_details": entered,
        "output_token_details": _kinds(usage.output),
    }


def _kinds(tokens: Tokens) -> Json:
    return {"text_tokens": tokens.text, "audio_tokens": tokens.audio}


def rate_limits_json(limit: int, remaining: int, reset_s: float) -> list[Json]:
    return [{"name": "tokens", "limit": limit, "remaining": remaining, "reset_seconds": reset_s}]
