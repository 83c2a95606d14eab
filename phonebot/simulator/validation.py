"""
What clients may send: one table per event, for each dialect.

All raise `schema.Refused` for the first fault. Rules that need the session's state (an unknown item, a locked
voice) are the session's. The shapes are those of the Realtime API's public reference: client events.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec

from phonebot.simulator.config import BETA_FORMATS, GA_FORMATS, Config, Dialect
from phonebot.simulator.schema import (
    Check,
    Record,
    Refused,
    Tagged,
    array,
    boolean,
    by_type,
    choice,
    integer,
    invalid,
    mapping,
    nullable,
    number,
    text,
)

VOICES = ("alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar")

MAX_ID_LENGTH = 32
MAX_EVENT_ID_LENGTH = 512
MAX_APPEND_BYTES = 15 * 1024 * 1024

# ------------------------------------------------------------------------------------------- shared values

_voice = by_type("a string or an object", str=choice(*VOICES), dict=Record({"id": text()}, required=["id"]))
_tokens = by_type("an integer or 'inf'", int=integer(1, 4096), str=choice("inf"))
_noise_reduction = nullable(
    Record({"type": choice("near_field", "far_field"), "strength": number(0.0, 1.0)}, required=["type"])
)
_transcription = nullable(
    Record(
        {
            "model": text(),
            "language": nullable(text()),
            "languages": array(text()),
            "prompt": nullable(text()),
            "keywords": array(text()),
            "delay": choice("minimal", "low", "medium", "high", "xhigh"),
        },
        required=["model"],
    )
)
_turn_detection = nullable(
    Tagged(
        "type",
        {
            "server_vad": Record(
                {
                    "type": text(),
                    "threshold": number(0.0, 1.0),
                    "prefix_padding_ms": integer(0),
                    "silence_duration_ms": integer(0),
                    "idle_timeout_ms": nullable(integer(5000, 30000)),
                    "create_response": boolean,
                    "interrupt_response": boolean,
                }
            ),
            "semantic_vad": Record(
                {
                    "type": text(),
                    "eagerness": choice("low", "medium", "high", "auto"),
                    "create_response": boolean,
                    "interrupt_response": boolean,
                }
            ),
        },
    )
)
_function = Record(
    {"type": text(), "name": text(64), "description": nullable(text()), "parameters": nullable(mapping)},
    required=["name"],
)
_tools = array(Tagged("type", {"function": _function}))  # MCP tools would have to be called by this server
_tracing = nullable(
    by_type(
        "'auto' or an object",
        str=choice("auto"),
        dict=Record({"workflow_name": text(), "group_id": text(), "metadata": mapping}),
    )
)
_truncation = by_type(
    "a string or an object",
    str=choice("auto", "disabled"),
    dict=Record(
        {
            "type": choice("retention_ratio"),
            "retention_ratio": number(0.0, 1.0),
            "token_limits": nullable(Record({"post_instructions": integer(0)})),
        },
        required=["type", "retention_ratio"],
    ),
)
_include = nullable(array(choice("item.input_audio_transcription.logprobs")))
_prompt = nullable(
    Record({"id": text(), "version": nullable(text()), "variables": nullable(mapping)}, required=["id"])
)
_reasoning = Record({"effort": choice("minimal", "low", "medium", "high", "xhigh")})
_speed = number(0.25, 1.5)


def _metadata(value: Any, path: str) -> None:
    mapping(value, path)
    if len(value) > 16:
        raise invalid(path, f"at most 16 pairs are allowed, not {len(value)}")
    for key, each in value.items():
        if len(key) > 64:
            raise invalid(path, "a key is longer than 64 characters")
        if not isinstance(each, str):
            raise Refused("invalid_type", f"Invalid type for '{path}': every value must be a string.", path)
        if len(each) > 512:
            raise invalid(path, "a value is longer than 512 characters")


# ------------------------------------------------------------------------------------------- GA sessions


def _ga_modalities(value: Any, path: str) -> None:
    array(choice("text", "audio"))(value, path)
    if len(value) != 1:
        raise invalid(path, "it is either ['audio'] or ['text']")


_G711 = Record({"type": text(), "rate": by_type("8000", int=integer(8000, 8000))})
_ga_format = Tagged(
    "type",
    {
        "audio/pcm": Record({"type": text(), "rate": integer(24000, 24000)}, required=["rate"]),
        "audio/pcmu": _G711,  # the rate goes without saying, yet some clients say it
        "audio/pcma": _G711,
    },
)
assert set(_ga_format.checks) == set(GA_FORMATS)  # both name the formats of the dialect

_ga_tool_choice = by_type(
    "a string or an object",
    str=choice("auto", "none", "required"),
    dict=Tagged("type", {"function": Record({"type": text(), "name": text()}, required=["name"])}),
)
_ga_input = Record(
    {
        "format": _ga_format,
        "transcription": _transcription,
        "noise_reduction": _noise_reduction,
        "turn_detection": _turn_detection,
    }
)
_ga_session = Tagged(
    "type",
    {
        "realtime": Record(
            {
                "type": text(),
                "model": text(),
                "output_modalities": _ga_modalities,
                "instructions": text(),
                "audio": Record(
                    {
                        "input": _ga_input,
                        "output": Record({"format": _ga_format, "voice": _voice, "speed": _speed}),
                    }
                ),
                "tools": _tools,
                "tool_choice": _ga_tool_choice,
                "parallel_tool_calls": boolean,
                "reasoning": _reasoning,
                "max_output_tokens": _tokens,
                "truncation": _truncation,
                "tracing": _tracing,
                "include": _include,
                "prompt": _prompt,
            }
        ),
        "transcription": Record({"type": text(), "audio": Record({"input": _ga_input}), "include": _include}),
    },
)

# ------------------------------------------------------------------------------------------- beta sessions


def _beta_modalities(value: Any, path: str) -> None:
    array(choice("text", "audio"))(value, path)
    if "text" not in value or len(set(value)) != len(value):
        raise invalid(path, "it is either ['audio', 'text'] or ['text']")


_beta_format = choice(*BETA_FORMATS)
_beta_tool_choice = by_type(
    "a string or an object",
    str=text(),
    dict=Tagged(
        "type",
        {
            "function": Record(
                {"type": text(), "name": text(), "function": Record({"name": text()}, required=["name"])}
            )
        },
    ),
)


def _beta_choice(value: Any, path: str) -> None:
    _beta_tool_choice(value, path)
    if isinstance(value, dict) and "name" not in value and "function" not in value:
        raise Refused("missing_required_parameter", f"Missing required parameter: '{path}.name'.", f"{path}.name")


_beta_session = Record(
    {
        "model": text(),
        "modalities": _beta_modalities,
        "instructions": text(),
        "voice": _voice,
        "input_audio_format": _beta_format,
        "output_audio_format": _beta_format,
        "input_audio_transcription": _transcription,
        "input_audio_noise_reduction": _noise_reduction,
        "turn_detection": _turn_detection,
        "tools": _tools,
        "tool_choice": _beta_choice,
        "temperature": number(0.6, 1.2),
        "max_response_output_tokens": _tokens,
        "max_output_tokens": _tokens,  # the name some gateways document
        "speed": _speed,
        "tracing": _tracing,
        "truncation": _truncation,
        "prompt": _prompt,
        "include": _include,
    }
)
_beta_transcription_session = Record(
    {
        "input_audio_format": _beta_format,
        "input_audio_transcription": _transcription,
        "input_audio_noise_reduction": _noise_reduction,
        "turn_detection": _turn_detection,
        "include": _include,
    }
)

# ------------------------------------------------------------------------------------------- items

_id = text(MAX_ID_LENGTH)
_input_text = Record({"type": text(), "text": text()}, required=["text"])
_input_audio = Record({"type": text(), "audio": text(), "transcript": nullable(text())}, required=["audio"])
_input_image = Record(
    {"type": text(), "image_url": text(), "detail": nullable(choice("auto", "low", "high"))}, required=["image_url"]
)
_output_text = Record({"type": text(), "text": text()}, required=["text"])


def _message(role: str, **parts: Check) -> Record:
    keys = _item_keys | {"role": choice(role), "content": array(Tagged("type", parts))}
    return Record(keys, required=["role", "content"])


_item_keys: dict[str, Check] = {
    "id": _id,
    "type": text(),
    "object": choice("realtime.item"),
    "status": choice("completed", "incomplete", "in_progress"),
}


def _item(messages: Mapping[str, Check]) -> Tagged:
    return Tagged(
        "type",
        {
            "message": Tagged("role", messages),
            "function_call": Record(
                _item_keys | {"name": text(), "call_id": _id, "arguments": text()},
                required=["name", "call_id", "arguments"],
            ),
            "function_call_output": Record(
                _item_keys | {"call_id": _id, "output": text()}, required=["call_id", "output"]
            ),
        },
    )


_item_reference = Record(_item_keys | {"id": _id}, required=["id"])


def _response_item(item: Tagged) -> Tagged:
    return Tagged("type", {**item.checks, "item_reference": _item_reference})


_ga_item = _item(
    {
        "system": _message("system", input_text=_input_text),
        "user": _message("user", input_text=_input_text, input_audio=_input_audio, input_image=_input_image),
        "assistant": _message("assistant", output_text=_output_text),
    }
)
_beta_item = _item(
    {
        "system": _message("system", input_text=_input_text),
        "user": _message("user", input_text=_input_text, input_audio=_input_audio),
        "assistant": _message("assistant", text=_output_text),
    }
)

# ------------------------------------------------------------------------------------------- responses

_response_keys: dict[str, Check] = {
    "instructions": text(),
    "tools": _tools,
    "max_output_tokens": _tokens,
    "conversation": choice("auto", "none"),
    "metadata": nullable(_metadata),
    "prompt": _prompt,
}
_ga_response = Record(
    _response_keys
    | {
        "output_modalities": _ga_modalities,
        "audio": Record({"output": Record({"voice": _voice, "format": _ga_format})}),
        "tool_choice": _ga_tool_choice,
        "input": array(_response_item(_ga_item)),
        "parallel_tool_calls": boolean,
        "reasoning": _reasoning,
    }
)
_beta_response = Record(
    _response_keys
    | {
        "modalities": _beta_modalities,
        "voice": _voice,
        "output_audio_format": _beta_format,
        "tool_choice": _beta_choice,
        "input": array(_response_item(_beta_item)),
        "temperature": number(0.6, 1.2),
        "max_response_output_tokens": _tokens,
    }
)

# ------------------------------------------------------------------------------------------- events


def _event(required: tuple[str, ...] = (), **keys: Check) -> Record:
    return Record({"type": text(), "event_id": text(MAX_EVENT_ID_LENGTH)} | keys, required)


def _events(session: Check, item: Check, response: Check) -> dict[str, Record]:
    return {
        "session.update": _event(("session",), session=session),
        "input_audio_buffer.append": _event(("audio",), audio=text()),
        "input_audio_buffer.commit": _event(),
        "input_audio_buffer.clear": _event(),
        "conversation.item.create": _event(("item",), item=item, previous_item_id=nullable(text())),
        "conversation.item.retrieve": _event(("item_id",), item_id=text()),
        "conversation.item.truncate": _event(
            ("item_id", "content_index", "audio_end_ms"),
            item_id=text(),
            content_index=integer(0),
            audio_end_ms=integer(0),
        ),
        "conversation.item.delete": _event(("item_id",), item_id=text()),
        "response.create": _event(response=nullable(response)),
        "response.cancel": _event(response_id=nullable(text())),
    }


_EVENTS: dict[Dialect, dict[str, Record]] = {
    "ga": _events(_ga_session, _ga_item, _ga_response),
    "beta": _events(_beta_session, _beta_item, _beta_response),
}
_BETA_TRANSCRIPTION = {"transcription_session.update": _event(("session",), session=_beta_transcription_session)}

# The service reasons only with these; any other model refuses the two keys.
REASONING_MODELS = "gpt-realtime-2"


def parse_event(text: str | bytes) -> dict[str, Any]:
    """Turn a frame into a JSON object. Raises Refused."""
    if isinstance(text, bytes):
        raise Refused("invalid_event", "Events are JSON in text frames; a binary frame was received.")
    try:
        event = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise Refused("invalid_json", "We could not parse the JSON of your event.") from problem
    if not isinstance(event, dict):
        raise Refused("invalid_json", "An event must be a JSON object.")
    return event


def check_type(event: Mapping[str, Any]) -> None:
    """Check that an event says what it is. Raises Refused."""
    if "type" not in event:
        raise Refused("invalid_event", "The server could not understand the event: the 'type' field is missing.")
    text()(event["type"], "type")


def decode_audio(audio: str, path: str) -> bytes:
    """The bytes of base64 text. Raises Refused."""
    try:
        return base64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError) as problem:
        raise invalid(path, "the audio is not valid base64") from problem


def check_event(event: Mapping[str, Any], dialect: Dialect, config: Config) -> None:
    """Check the fields of a client's event whose type was checked. Raises Refused."""
    kind = event["type"]
    known = _EVENTS[dialect]
    if dialect == "beta" and config.kind == "transcription":
        known = known | _BETA_TRANSCRIPTION
    if kind not in known:
        raise invalid("type", f"'{str(kind)[:100]}' is no event that a client may send over a WebSocket")
    known[kind](event, "")
    body_key = {"session.update": "session", "response.create": "response"}.get(kind)
    if body_key and not config.model.startswith(REASONING_MODELS):
        for key in ("reasoning", "parallel_tool_calls"):
            if key in (event.get(body_key) or {}):
                where = f"{body_key}.{key}"
                raise Refused("unknown_parameter", f"'{where}': this model does not reason.", where)


def belongs_to_other_dialect(session: Mapping[str, Any], dialect: Dialect) -> bool:
    """Whether the body of a `session.update` is clearly of the other dialect."""
    if dialect == "beta":
        return "type" in session or "audio" in session or "output_modalities" in session
    shared = {"model", "instructions", "tools", "tool_choice", "max_output_tokens", "truncation", "tracing"}
    return "type" not in session and any(key in _beta_session.keys and key not in shared for key in session)
