"""How messages of services become events: oddities are taken, faults are named."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from phonebot.errors import ModelProtocolError
from phonebot.realtime import events as e
from phonebot.realtime.wire import EVENT_TYPES, decode, dialect_of
from phonebot.realtime.wire_items import MAX_TOKENS

PLACE = {"response_id": "resp_1", "item_id": "item_1", "output_index": 1, "content_index": 2}


def read(type_: str, **fields: Any) -> e.Event:
    return decode(json.dumps({"type": type_, "event_id": "event_1", **fields}))


@pytest.mark.parametrize(
    ("old", "new", "fields", "event"),
    [
        ("audio.delta", "output_audio.delta", {"delta": "AAA="}, e.AudioDelta("resp_1", "item_1", 1, 2, "AAA=")),
        ("audio.done", "output_audio.done", {}, e.AudioDone("resp_1", "item_1", 1, 2)),
        ("text.delta", "output_text.delta", {"delta": "Hi"}, e.TextDelta("resp_1", "item_1", 1, 2, "Hi")),
        ("text.done", "output_text.done", {"text": "Hi"}, e.TextDone("resp_1", "item_1", 1, 2, "Hi")),
        (
            "audio_transcript.delta",
            "output_audio_transcript.delta",
            {"delta": "Hi"},
            e.SpokenTextDelta("resp_1", "item_1", 1, 2, "Hi"),
        ),
        (
            "audio_transcript.done",
            "output_audio_transcript.done",
            {"transcript": "Hi"},
            e.SpokenTextDone("resp_1", "item_1", 1, 2, "Hi"),
        ),
    ],
)
def test_old_and_new_names_are_the_same_event(old: str, new: str, fields: dict[str, str], event: e.Event) -> None:
    assert read(f"response.{old}", **PLACE, **fields) == read(f"response.{new}", **PLACE, **fields) == event


@pytest.mark.parametrize("type_", ["conversation.item.created", "conversation.item.added"])
def test_item_of_either_dialect_is_the_same_item(type_: str) -> None:
    for part in ("text", "output_text"):
        item = {"type": "message", "role": "assistant", "id": "item_1", "content": [{"type": part, "text": "Hi"}]}
        expected = e.Message("assistant", (e.Part("output_text", text="Hi"),), "item_1")
        assert read(type_, item=item, previous_item_id="item_0") == e.ItemAdded(expected, "item_0")


def test_short_part_names_of_a_user_mean_input() -> None:
    """Retrieved audio of the caller is shown as a part of type "audio"."""
    item = {"type": "message", "role": "user", "content": [{"type": "audio", "audio": "AAA=", "format": "pcm16"}]}
    expected = e.Message("user", (e.Part("input_audio", audio="AAA="),))
    assert read("conversation.item.retrieved", item=item) == e.ItemRetrieved(expected)


def test_part_of_a_response_has_short_names_in_both_dialects() -> None:
    done = read("response.content_part.done", **PLACE, part={"type": "audio", "transcript": "Hi"})
    assert done == e.PartDone("resp_1", "item_1", 1, 2, e.Part("output_audio", transcript="Hi"))


def test_response_done_is_read_whole() -> None:
    call = {"type": "function_call", "id": "item_2", "status": "completed", "name": "look_up", "call_id": "call_1"}
    response = {
        "object": "realtime.response",
        "id": "resp_1",
        "status": "failed",
        "status_details": {"type": "failed", "error": {"type": "server_error", "code": None, "message": "Oops"}},
        "output": [{**call, "arguments": "{}"}],
        "conversation_id": None,
        "usage": {"total_tokens": 190, "input_tokens": 150, "output_tokens": 40},
        "metadata": {"topic": "x"},
    }
    assert read("response.done", response=response) == e.ResponseDone(
        e.Response(
            id="resp_1",
            status="failed",
            error=e.ErrorDetail("Oops", "server_error"),
            output=(e.FunctionCall("look_up", "call_1", "{}", "item_2", "completed"),),
            usage=e.Usage(total=190, input=150, output=40),
            metadata={"topic": "x"},
        )
    )


def test_response_ended_with_a_status_from_the_future_did_not_complete() -> None:
    event = read("response.done", response={"id": "resp_1", "status": "postponed"})
    assert event == e.ResponseDone(e.Response("resp_1", "incomplete"))


def test_mcp_item_keeps_its_fields() -> None:
    item = {"type": "mcp_call", "id": "item_1", "server_label": "crm", "name": "find", "arguments": "{}"}
    fields = {"server_label": "crm", "name": "find", "arguments": "{}"}
    assert read("conversation.item.added", item=item) == e.ItemAdded(e.McpItem("mcp_call", "item_1", fields))


@pytest.mark.parametrize(
    ("type_", "fields", "event"),
    [
        (
            "input_audio_buffer.speech_stopped",
            {"audio_start_ms": 2000, "item_id": "item_1"},
            e.SpeechStopped(2000, "item_1"),
        ),
        ("input_audio_buffer.speech_started", {"audio_start_ms": 640.0}, e.SpeechStarted(640)),
        ("response.text.done", {**PLACE, "delta": "Hi"}, e.TextDone("resp_1", "item_1", 1, 2, "Hi")),
        (
            "response.audio.delta",
            {**PLACE, "output_index": "0", "delta": "AAA="},
            e.AudioDelta("resp_1", "item_1", 0, 2, "AAA="),
        ),
        (
            "response.audio.delta",
            {"response_id": "resp_1", "item_id": "item_1", "delta": "AAA=", "content_index": None},
            e.AudioDelta("resp_1", "item_1", 0, 0, "AAA="),
        ),
        (
            "response.function_call_arguments.done",
            {"response_id": "resp_1", "item_id": "item_1", "call_id": "call_1", "arguments": "{}"},
            e.ArgumentsDone("resp_1", "item_1", 0, "call_1", "{}", None),
        ),
        ("error", {"error": {"message": "No", "event_id": ["c-1"]}}, e.ErrorEvent(e.ErrorDetail("No"))),
        ("error", {"error": {"message": "No", "code": 429}}, e.ErrorEvent(e.ErrorDetail("No", code="429"))),
        ("error", {"error": "quota used up"}, e.ErrorEvent(e.ErrorDetail("quota used up"))),
        (
            "rate_limits.updated",
            {"rate_limits": [{"name": "requests_per_min", "limit": 60, "remaining": 59, "reset_seconds": 1}]},
            e.RateLimitsUpdated((e.RateLimit("requests_per_min", 60, 59, 1.0),)),
        ),
        ("rate_limits.updated", {"rate_limits": []}, e.RateLimitsUpdated(())),
        (
            "conversation.item.input_audio_transcription.completed",
            {"item_id": "item_1", "content_index": 0, "transcript": None},
            e.TranscriptionCompleted("item_1", 0, ""),
        ),
        ("mcp_list_tools.failed", {"item_id": "item_1"}, e.McpToolsListed("item_1", "failed")),
        ("output_audio_buffer.cleared", {"response_id": "resp_1"}, e.OutputAudioChanged("resp_1", "cleared")),
    ],
)
def test_oddity_of_a_service_is_taken(type_: str, fields: dict[str, Any], event: e.Event) -> None:
    assert read(type_, **fields) == event


def test_unknown_fields_are_ignored_even_where_they_nest() -> None:
    fields = {**PLACE, "delta": "AAA=", "obfuscation": "xyz", "later": {"a": [1, {"b": None}]}}
    assert read("response.audio.delta", **fields) == e.AudioDelta("resp_1", "item_1", 1, 2, "AAA=")


def test_type_may_stand_last() -> None:
    text = '{"delta":"AAA=","item_id":"i","response_id":"r","type":"response.output_audio.delta"}'
    assert decode(text) == e.AudioDelta("r", "i", 0, 0, "AAA=")


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ('{"type":"session.translated","delta":{"a":1}}', e.UnknownEvent("session.translated")),
        (
            '{"type":"response.content_part.added","response_id":"r","item_id":"i","part":{"type":"hologram"}}',
            e.UnknownEvent("response.content_part.added"),
        ),
        (
            '{"type":"conversation.item.added","item":{"type":"hologram","id":"item_1"}}',
            e.ItemAdded(e.UnknownItem("hologram", "item_1")),
        ),
    ],
)
def test_what_is_newer_than_this_code_is_unknown_and_no_error(text: str, event: e.Event) -> None:
    assert decode(text) == event


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        (b'{"type":"\xff"}', "not JSON"),
        ('{"type":"session.translated",', "not JSON"),
        ('{"type":"error","error":7,', "not JSON"),
        ('{"type":"session.translated","a":' + "[" * 100_000, "nested too deeply"),
        ("[]", "Expected `object`"),
        ('"session.created"', "Expected `object`"),
        ("{}", "`type`"),
        ('{"type":7}', "`type`"),
        ("[" * 100_000, "Expected `object`"),
        ('{"type":"session.created","session":{"tracing":' + "[" * 100_000, "nested too deeply"),
        ('{"type":"response.audio.delta","item_id":"i","delta":"A"}', "response.audio.delta: .*`response_id`"),
        ('{"type":"response.audio.delta","response_id":"r","item_id":"i","delta":7}', "`str`.*`delta`"),
        ('{"type":"response.audio.delta","response_id":"r","item_id":"i"}', "`delta`"),
        (
            '{"type":"response.audio.delta","response_id":"r","item_id":"i","delta":"","output_index":"one"}',
            "response.audio.delta: .*'one'",
        ),
        ('{"type":"input_audio_buffer.speech_started"}', "speech_started: .*`audio_start_ms`"),
        ('{"type":"input_audio_buffer.speech_stopped"}', "speech_stopped: .*`audio_end_ms`"),
        ('{"type":"response.done","response":{"output":[]}}', r"response.done: .*`id`.*`response`"),
        ('{"type":"response.done","response":{"id":"r","output":[{"type":7}]}}', r"`response.output\[0\].type`"),
        ('{"type":"conversation.item.added","item":{"type":"function_call","name":"f"}}', "`call_id`"),
        ('{"type":"error"}', "error: .*`error`"),
    ],
)
def test_malformed_message_is_refused_by_event_and_field(text: str | bytes, named: str) -> None:
    with pytest.raises(ModelProtocolError, match=named):
        decode(text)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = """session item response part error delta audio item_id response_id output_index type role content output
id usage status_details tools tool_choice turn_detection audio_start_ms audio_end_ms rate_limits transcript format
voice input name call_id"""
FIELDS = st.sampled_from(NAMES.split())
OBJECTS = st.recursive(
    st.dictionaries(FIELDS, JSON, max_size=5),
    lambda inner: st.dictionaries(FIELDS, inner | JSON, max_size=5),
    max_leaves=10,
)


@given(type_=st.sampled_from(sorted(EVENT_TYPES)), fields=OBJECTS)
def test_decoder_never_fails_in_another_way_than_it_says(type_: str, fields: dict[str, Any]) -> None:
    try:
        outcome: e.Event | str = decode(json.dumps({**fields, "type": type_}))
    except ModelProtocolError as refused:
        outcome = str(refused)
    assert outcome.startswith(f"{type_}: ") if isinstance(outcome, str) else isinstance(outcome, e.Event)


# ------------------------------------------------------------------------------------------- sessions

GA_ECHO: dict[str, Any] = {
    "type": "realtime",
    "object": "realtime.session",
    "id": "sess_1",
    "model": "local-1",
    "output_modalities": ["audio"],
    "instructions": "...",
    "tools": [],
    "tool_choice": "auto",
    "max_output_tokens": "inf",
    "tracing": None,
    "truncation": "auto",
    "prompt": None,
    "expires_at": 1795200000,
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "transcription": None,
            "noise_reduction": None,
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.5,
                "prefix_padding_ms": 300,
                "silence_duration_ms": 200,
                "idle_timeout_ms": None,
                "create_response": True,
                "interrupt_response": True,
            },
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin", "speed": 1.0},
    },
    "include": None,
}
BETA_ECHO: dict[str, Any] = {
    "object": "realtime.session",
    "id": "sess_1",
    "model": "local-1",
    "modalities": ["audio", "text"],
    "instructions": "...",
    "voice": "marin",
    "input_audio_format": "pcm16",
    "output_audio_format": "pcm16",
    "input_audio_transcription": None,
    "input_audio_noise_reduction": None,
    "turn_detection": GA_ECHO["audio"]["input"]["turn_detection"],
    "tools": [],
    "tool_choice": "auto",
    "max_response_output_tokens": "inf",
    "speed": 1.0,
    "tracing": None,
    "truncation": "auto",
    "prompt": None,
    "include": None,
    "expires_at": 1795200000,
}


def echo(session: dict[str, Any]) -> e.Session:
    event = read("session.updated", session=session)
    assert isinstance(event, e.SessionUpdated)
    return event.session


def test_echo_means_the_same_in_both_dialects() -> None:
    session = echo(GA_ECHO)
    assert session == echo(BETA_ECHO)
    assert (session.input_format, session.output_format) == ("pcm24k", "pcm24k")
    assert session.turn_detection == e.TurnDetection("server_vad", 0.5, 300, 200, None, UNSET, True, True)
    assert (session.transcription, session.noise_reduction, session.expires_at_s) == (None, None, 1795200000)


def test_echo_of_little_leaves_the_rest_unsaid() -> None:
    assert echo({"id": "sess_1"}) == e.Session(id="sess_1")


@pytest.mark.parametrize(
    ("format_", "name"),
    [
        ({"type": "audio/pcmu"}, "pcmu"),
        ({"type": "audio/pcmu", "rate": 8000}, "pcmu"),
        ({"type": "audio/pcm"}, "pcm24k"),
        ("g711_alaw", "pcma"),
        ({"type": "audio/pcm", "rate": 16000}, UNSET),
        ({"type": "audio/opus"}, UNSET),
        (None, UNSET),
    ],
)
def test_echoed_format_is_known_or_unsaid(format_: Any, name: Any) -> None:
    assert echo({"audio": {"output": {"format": format_}}}).output_format == name


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("required", "required"),
        ("look_up", e.ToolChoice("look_up")),
        ({"type": "function", "name": "look_up"}, e.ToolChoice("look_up")),
        ({"type": "function", "function": {"name": "look_up"}}, e.ToolChoice("look_up")),
        ({"type": "mcp", "server_label": "crm"}, e.ToolChoice(server_label="crm")),
        ({"type": "mcp", "server_label": "crm", "name": "find"}, e.ToolChoice("find", "crm")),
        ({"type": "whim"}, UNSET),
    ],
)
def test_echoed_tool_choice_is_taken_in_every_form(choice: Any, expected: Any) -> None:
    assert echo({"tool_choice": choice}).tool_choice == expected


def test_echo_with_words_from_the_future_leaves_them_unsaid() -> None:
    session = echo(
        {
            "turn_detection": {"type": "mind_reading"},
            "input_audio_noise_reduction": {"type": "underwater"},
            "tools": [{"type": "telepathy"}, {"type": "mcp", "server_label": "crm", "server_url": "https://x"}],
            "max_output_tokens": "plenty",
            "voice": {"id": "voice_1"},
        }
    )
    assert session == e.Session(voice="voice_1", tools=(e.McpTool("crm", {"server_url": "https://x"}),))


@pytest.mark.parametrize(
    ("session", "dialect"),
    [
        (GA_ECHO, "ga"),
        (BETA_ECHO, "beta"),
        ({"type": "transcription"}, "ga"),
        ({"audio": {}}, "ga"),
        ({"output_modalities": ["text"]}, "ga"),
        ({"input_audio_format": "pcm16"}, "beta"),
        ({"id": "sess_1", "model": "m"}, None),
    ],
)
def test_dialect_shows_in_the_first_session(session: dict[str, Any], dialect: str | None) -> None:
    assert dialect_of(json.dumps({"type": "session.created", "session": session})) == dialect


@pytest.mark.parametrize(("told", "taken"), [(-5, 0), (7, 7), (10**400, MAX_TOKENS)])
def test_a_number_of_tokens_that_no_response_can_have_is_the_nearest_that_one_can(told: int, taken: int) -> None:
    """It is reckoned with: what is too big for that would end the call."""
    event = read("response.done", response={"id": "resp_1", "status": "completed", "usage": {"input_tokens": told}})
    assert isinstance(event, e.ResponseDone)
    assert event.response.usage == e.Usage(input=taken)
