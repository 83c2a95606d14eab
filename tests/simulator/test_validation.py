"""What clients may not send."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_driver import Event, ModelDriver, both_dialects, error_of, types

from phonebot.simulator.config import Dialect

USER = {"type": "message", "role": "user"}


def ga(path: str, value: Any) -> Event:
    """A GA session of type realtime with this value at the path."""
    session: Event = {"type": "realtime"}
    place = session
    *outer, last = path.split(".")
    for key in outer:
        place = place.setdefault(key, {})
    place[last] = value
    return {"type": "session.update", "session": session}


def beta(**session: Any) -> Event:
    return {"type": "session.update", "session": session}


def item(body: Event, **fields: Any) -> Event:
    return {"type": "conversation.item.create", "item": body, **fields}


def text_part(kind: str = "input_text") -> Event:
    return {"type": kind, "text": "hello"}


TURNS = "audio.input.turn_detection"
GA_REFUSALS: list[tuple[Event, str, str | None]] = [
    ({"type": "session.update", "session": {"instructions": "x"}}, "missing_required_parameter", "session.type"),
    ({"type": "session.update", "session": {"modalities": ["text"]}}, "missing_required_parameter", "session.type"),
    ({"type": "session.update"}, "missing_required_parameter", "session"),
    ({"type": "session.update", "session": {"type": "chat"}}, "invalid_value", "session.type"),
    (ga("modalities", ["text"]), "unknown_parameter", "session.modalities"),
    (ga("temperature", 0.8), "unknown_parameter", "session.temperature"),
    (ga("voice", "ash"), "unknown_parameter", "session.voice"),
    (ga("reasoning", {"effort": "low"}), "unknown_parameter", "session.reasoning"),
    (ga("parallel_tool_calls", True), "unknown_parameter", "session.parallel_tool_calls"),
    (
        ga("audio.output.format", {"type": "audio/pcm"}),
        "missing_required_parameter",
        "session.audio.output.format.rate",
    ),
    (
        ga("audio.input.format", {"type": "audio/pcm"}),
        "missing_required_parameter",
        "session.audio.input.format.rate",
    ),
    (
        ga("audio.input.format", {"type": "audio/pcm", "rate": 8000}),
        "invalid_value",
        "session.audio.input.format.rate",
    ),
    (ga("audio.input.format", {"type": "audio/opus"}), "invalid_value", "session.audio.input.format.type"),
    (ga("audio.input.format", "pcm16"), "invalid_type", "session.audio.input.format"),
    (ga("audio.output.voice", "nova"), "invalid_value", "session.audio.output.voice"),
    (ga("audio.output.speed", 2), "invalid_value", "session.audio.output.speed"),
    (ga("audio.output.gain", 2), "unknown_parameter", "session.audio.output.gain"),
    (ga("output_modalities", ["audio", "text"]), "invalid_value", "session.output_modalities"),
    (ga("output_modalities", "audio"), "invalid_type", "session.output_modalities"),
    (ga("instructions", 7), "invalid_type", "session.instructions"),
    (ga("instructions", None), "invalid_type", "session.instructions"),
    (ga("max_output_tokens", 0), "invalid_value", "session.max_output_tokens"),
    (ga("max_output_tokens", 4097), "invalid_value", "session.max_output_tokens"),
    (ga("max_output_tokens", "many"), "invalid_value", "session.max_output_tokens"),
    (ga("max_output_tokens", 1.5), "invalid_type", "session.max_output_tokens"),
    (
        ga(TURNS, {"type": "server_vad", "idle_timeout_ms": 4999}),
        "invalid_value",
        f"session.{TURNS}.idle_timeout_ms",
    ),
    (
        ga(TURNS, {"type": "server_vad", "idle_timeout_ms": 30001}),
        "invalid_value",
        f"session.{TURNS}.idle_timeout_ms",
    ),
    (
        ga(TURNS, {"type": "semantic_vad", "idle_timeout_ms": 6000}),
        "unknown_parameter",
        f"session.{TURNS}.idle_timeout_ms",
    ),
    (ga(TURNS, {"type": "server_vad", "threshold": 1.1}), "invalid_value", f"session.{TURNS}.threshold"),
    (ga(TURNS, {"type": "server_vad", "create_response": 1}), "invalid_type", f"session.{TURNS}.create_response"),
    (
        ga(TURNS, {"type": "server_vad", "prefix_padding_ms": True}),
        "invalid_type",
        f"session.{TURNS}.prefix_padding_ms",
    ),
    (ga(TURNS, {"threshold": 0.5}), "missing_required_parameter", f"session.{TURNS}.type"),
    (ga(TURNS, {"type": "clever_vad"}), "invalid_value", f"session.{TURNS}.type"),
    (ga("tools", [{"type": "mcp", "server_label": "x"}]), "invalid_value", "session.tools[0].type"),
    (
        ga("tools", [{"type": "function", "name": "a"}, {"type": "function"}]),
        "missing_required_parameter",
        "session.tools[1].name",
    ),
    (
        ga("tools", [{"type": "function", "name": "a", "strict": True}]),
        "unknown_parameter",
        "session.tools[0].strict",
    ),
    (ga("tool_choice", "sometimes"), "invalid_value", "session.tool_choice"),
    (ga("tracing", "on"), "invalid_value", "session.tracing"),
    (
        ga("truncation", {"type": "retention_ratio", "retention_ratio": 2}),
        "invalid_value",
        "session.truncation.retention_ratio",
    ),
    ({"type": "input_audio_buffer.append", "audio": "?"}, "invalid_value", "audio"),
    ({"type": "input_audio_buffer.append", "audio": 7}, "invalid_type", "audio"),
    ({"type": "input_audio_buffer.append"}, "missing_required_parameter", "audio"),
    ({"type": "input_audio_buffer.append", "audio": "", "track": 1}, "unknown_parameter", "track"),
    ({"type": "output_audio_buffer.clear"}, "invalid_value", "type"),
    ({"type": "transcription_session.update", "session": {}}, "invalid_value", "type"),
    ({"type": "session.delete"}, "invalid_value", "type"),
    ({"type": 7}, "invalid_type", "type"),
    ({"type": "response.cancel"}, "response_cancel_not_active", None),
    ({"type": "response.cancel", "response_id": "resp_1"}, "response_cancel_not_active", None),
    ({"type": "conversation.item.delete", "item_id": "item_1"}, "item_delete_invalid_item_id", "item_id"),
    ({"type": "conversation.item.retrieve", "item_id": "item_1"}, "item_retrieve_invalid_item_id", "item_id"),
    (
        {"type": "conversation.item.truncate", "item_id": "item_1", "content_index": 0, "audio_end_ms": 0},
        "item_truncate_invalid_item_id",
        "item_id",
    ),
    (
        {"type": "conversation.item.truncate", "item_id": "known", "content_index": 0, "audio_end_ms": 0},
        "unsupported_content_type",
        None,
    ),
    (
        {"type": "conversation.item.truncate", "item_id": "known", "content_index": 1, "audio_end_ms": 0},
        "invalid_value",
        "content_index",
    ),
    (
        {"type": "conversation.item.truncate", "item_id": "known", "content_index": 0, "audio_end_ms": -1},
        "invalid_value",
        "audio_end_ms",
    ),
    (
        {"type": "conversation.item.truncate", "item_id": "known", "audio_end_ms": 0},
        "missing_required_parameter",
        "content_index",
    ),
    (item(USER | {"content": [text_part()], "id": "known"}), "invalid_value", "item.id"),
    (item(USER | {"content": [text_part()], "id": "x" * 33}), "invalid_value", "item.id"),
    (item(USER | {"content": [text_part()]}, previous_item_id="item_1"), "invalid_value", "previous_item_id"),
    (item(USER | {"content": [text_part("output_text")]}), "invalid_value", "item.content[0].type"),
    (item(USER | {"content": [{"type": "input_audio", "audio": "?"}]}), "invalid_value", "item.content[0].audio"),
    (
        item({"type": "message", "role": "assistant", "content": [text_part("text")]}),
        "invalid_value",
        "item.content[0].type",
    ),
    (item({"type": "message", "role": "teacher", "content": []}), "invalid_value", "item.role"),
    (item({"type": "message", "role": "user"}), "missing_required_parameter", "item.content"),
    (item({"type": "poem"}), "invalid_value", "item.type"),
    (item({"type": "function_call_output", "call_id": "call_1", "output": ""}), "invalid_value", "item.call_id"),
    (item({"type": "function_call", "name": "a", "arguments": "{}"}), "missing_required_parameter", "item.call_id"),
    ({"type": "response.create", "response": {"metadata": {"k": "x" * 513}}}, "invalid_value", "response.metadata"),
    ({"type": "response.create", "response": {"metadata": {"k" * 65: "x"}}}, "invalid_value", "response.metadata"),
    (
        {"type": "response.create", "response": {"metadata": {str(n): "x" for n in range(17)}}},
        "invalid_value",
        "response.metadata",
    ),
    ({"type": "response.create", "response": {"metadata": {"k": 1}}}, "invalid_type", "response.metadata"),
    ({"type": "response.create", "response": {"modalities": ["text"]}}, "unknown_parameter", "response.modalities"),
    ({"type": "response.create", "response": {"conversation": "new"}}, "invalid_value", "response.conversation"),
    (
        {"type": "response.create", "response": {"input": [{"type": "item_reference", "id": "item_1"}]}},
        "invalid_value",
        "response.input[0].id",
    ),
    ({"type": "response.create", "event_id": "x" * 513}, "invalid_value", "event_id"),
]
BETA_REFUSALS: list[tuple[Event, str, str | None]] = [
    (ga("instructions", "x"), "unknown_parameter", "session.type"),
    (beta(audio={}), "unknown_parameter", "session.audio"),
    (beta(modalities=["audio"]), "invalid_value", "session.modalities"),
    (beta(input_audio_format="pcmu"), "invalid_value", "session.input_audio_format"),
    (beta(temperature=0.5), "invalid_value", "session.temperature"),
    (beta(max_response_output_tokens=0), "invalid_value", "session.max_response_output_tokens"),
    (beta(voice="nova"), "invalid_value", "session.voice"),
    (beta(tool_choice={"type": "function"}), "missing_required_parameter", "session.tool_choice.name"),
    (beta(turn_detection={"type": "none"}), "invalid_value", "session.turn_detection.type"),
    (
        item({"type": "message", "role": "assistant", "content": [text_part("output_text")]}),
        "invalid_value",
        "item.content[0].type",
    ),
    (
        {"type": "response.create", "response": {"output_modalities": ["text"]}},
        "unknown_parameter",
        "response.output_modalities",
    ),
]


@pytest.mark.parametrize(
    ("dialect", "event", "code", "param"),
    [("ga", *case) for case in GA_REFUSALS] + [("beta", *case) for case in BETA_REFUSALS],
)
def test_a_faulty_event_is_refused_with_its_code_and_place_and_changes_nothing(
    dialect: Dialect, event: Event, code: str, param: str | None
) -> None:
    model = ModelDriver(dialect)
    model.send("conversation.item.create", item=USER | {"id": "known", "content": [text_part()]})
    before = (model.session.config, model.session.lines)
    event_id = {} if "event_id" in event else {"event_id": "mine"}
    error = error_of(model.send_text(json.dumps(event | event_id)))
    assert (error["code"], error["param"]) == (code, param)
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert error["event_id"] == (event | event_id)["event_id"]
    assert (model.session.config, model.session.lines) == before
    assert model.run() == []


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("[]", "invalid_json"),
        ("7", "invalid_json"),
        ("[" * 100_000, "invalid_json"),
        ('{"type": "response.create", "response": {"instructions": "\\ud800"}}', "invalid_json"),
        ("{}", "invalid_event"),
        (b'{"type": "response.create"}', "invalid_event"),
    ],
)
def test_a_frame_that_is_no_event_is_refused_and_the_session_goes_on(frame: str | bytes, code: str) -> None:
    model = ModelDriver()
    assert error_of(model.send_text(frame))["code"] == code
    assert types(model.configure(instructions="still here")) == ["session.updated"]


def test_an_error_without_a_type_still_names_the_clients_event() -> None:
    model = ModelDriver()
    error = error_of(model.send_text('{"event_id": "e7"}'))
    assert (error["code"], error["param"], error["event_id"]) == ("invalid_event", None, "e7")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=8), values, max_size=3),
    max_leaves=8,
)
KEYS = [
    "session",
    "type",
    "audio",
    "input",
    "output",
    "format",
    "turn_detection",
    "tools",
    "tool_choice",
    "item",
    "role",
    "content",
    "call_id",
    "item_id",
    "content_index",
    "audio_end_ms",
    "response",
    "metadata",
    "instructions",
    "event_id",
    "previous_item_id",
    "voice",
]
NESTED = st.recursive(
    JSON, lambda values: st.dictionaries(st.sampled_from(KEYS), values, max_size=4), max_leaves=10
)
CLIENT_EVENTS = [
    "session.update",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "conversation.item.create",
    "conversation.item.truncate",
    "conversation.item.delete",
    "response.create",
    "response.cancel",
]


@both_dialects
@settings(max_examples=200, deadline=None)
@given(kind=st.sampled_from(CLIENT_EVENTS), fields=st.dictionaries(st.sampled_from(KEYS), NESTED, max_size=4))
def test_any_json_is_taken_or_refused(dialect: Dialect, kind: str, fields: Event) -> None:
    model = ModelDriver(dialect)
    model.send_text(json.dumps(fields | {"type": kind}))
    model.run(10_000)
    model.check()
