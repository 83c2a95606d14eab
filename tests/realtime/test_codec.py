"""What commands look like on the wire, in both dialects."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonebot.realtime import events as e
from phonebot.realtime.beta import BETA
from phonebot.realtime.codec import Codec
from phonebot.realtime.ga import GA

LOOK_UP = e.FunctionTool("look_up", "Find an order.", {"type": "object"})
SESSION = e.Session(
    instructions="Speak briefly.",
    modality="audio",
    voice="alloy",
    input_format="pcmu",
    output_format="pcmu",
    noise_reduction=None,
    transcription=e.Transcription("whisper-1"),
    turn_detection=e.TurnDetection("server_vad", threshold=0.5, create_response=True),
    tools=(LOOK_UP,),
    tool_choice="auto",
    temperature=0.8,
    max_output_tokens=1024,
)
FUNCTION = {
    "type": "function",
    "name": "look_up",
    "description": "Find an order.",
    "parameters": {"type": "object"},
}


def body(codec: Codec, command: e.Command) -> Any:
    return json.loads(codec.encode(command))


def test_ga_session_update_nests_the_audio_and_has_no_temperature() -> None:
    assert body(GA, e.UpdateSession(SESSION, event_id="c-1")) == {
        "type": "session.update",
        "event_id": "c-1",
        "session": {
            "type": "realtime",
            "output_modalities": ["audio"],
            "instructions": "Speak briefly.",
            "audio": {
                "input": {
                    "format": {"type": "audio/pcmu"},
                    "noise_reduction": None,
                    "transcription": {"model": "whisper-1"},
                    "turn_detection": {"type": "server_vad", "threshold": 0.5, "create_response": True},
                },
                "output": {"format": {"type": "audio/pcmu"}, "voice": "alloy"},
            },
            "tools": [FUNCTION],
            "tool_choice": "auto",
            "max_output_tokens": 1024,
        },
    }


def test_beta_session_update_is_flat() -> None:
    assert body(BETA, e.UpdateSession(SESSION)) == {
        "type": "session.update",
        "session": {
            "modalities": ["audio", "text"],
            "instructions": "Speak briefly.",
            "voice": "alloy",
            "input_audio_format": "g711_ulaw",
            "output_audio_format": "g711_ulaw",
            "input_audio_noise_reduction": None,
            "input_audio_transcription": {"model": "whisper-1"},
            "turn_detection": {"type": "server_vad", "threshold": 0.5, "create_response": True},
            "tools": [FUNCTION],
            "tool_choice": "auto",
            "temperature": 0.8,
            "max_response_output_tokens": 1024,
        },
    }


def test_session_update_of_nothing_changes_nothing() -> None:
    assert body(GA, e.UpdateSession(e.Session())) == {"type": "session.update", "session": {"type": "realtime"}}
    assert body(BETA, e.UpdateSession(e.Session())) == {"type": "session.update", "session": {}}


def test_turn_detection_switched_off_is_null_in_both_dialects() -> None:
    off = e.UpdateSession(e.Session(turn_detection=None))
    assert body(GA, off)["session"]["audio"] == {"input": {"turn_detection": None}}
    assert body(BETA, off)["session"] == {"turn_detection": None}


def test_idle_timeout_switched_off_is_null() -> None:
    session = e.Session(turn_detection=e.TurnDetection("server_vad", idle_timeout_ms=None))
    detection = body(GA, e.UpdateSession(session))["session"]["audio"]["input"]["turn_detection"]
    assert detection == {"type": "server_vad", "idle_timeout_ms": None}


def test_ga_pcm_states_its_rate() -> None:
    session = body(GA, e.UpdateSession(e.Session(output_format="pcm24k")))["session"]
    assert session["audio"]["output"] == {"format": {"type": "audio/pcm", "rate": 24000}}


def test_echoed_fields_are_never_sent() -> None:
    session = e.Session(id="sess_1", model="gpt-realtime-2.1", expires_at_s=1)
    assert body(GA, e.UpdateSession(session))["session"] == {"type": "realtime"}
    assert body(BETA, e.UpdateSession(session))["session"] == {}


@pytest.mark.parametrize(("wanted", "sent"), [(0.1, 0.6), (0.6, 0.6), (0.9, 0.9), (2.0, 1.2)])
def test_beta_temperature_stays_in_its_range(wanted: float, sent: float) -> None:
    assert body(BETA, e.UpdateSession(e.Session(temperature=wanted)))["session"] == {"temperature": sent}


def test_beta_leaves_out_what_only_ga_has() -> None:
    tools = (LOOK_UP, e.McpTool("crm", {"server_url": "https://crm.example"}))
    session = e.Session(
        tools=tools,
        tool_choice=e.ToolChoice(server_label="crm"),
        parallel_tool_calls=True,
        reasoning_effort="low",
    )
    assert body(BETA, e.UpdateSession(session))["session"] == {"tools": [FUNCTION]}


@pytest.mark.parametrize(
    ("choice", "ga"),
    [
        (e.ToolChoice("look_up"), {"type": "function", "name": "look_up"}),
        (e.ToolChoice(server_label="crm"), {"type": "mcp", "server_label": "crm"}),
        (e.ToolChoice("find", "crm"), {"type": "mcp", "server_label": "crm", "name": "find"}),
        ("required", "required"),
    ],
)
def test_ga_tool_choice_forces_a_function_or_an_mcp_tool(choice: Any, ga: Any) -> None:
    assert body(GA, e.CreateResponse(e.ResponseOptions(tool_choice=choice)))["response"] == {"tool_choice": ga}


def test_beta_tool_choice_nests_the_function() -> None:
    options = e.ResponseOptions(tool_choice=e.ToolChoice("look_up"))
    forced = {"type": "function", "function": {"name": "look_up"}}
    assert body(BETA, e.CreateResponse(options))["response"] == {"tool_choice": forced}


def test_transcription_session_is_updated_by_the_event_of_its_dialect() -> None:
    session = e.Session(kind="transcription", input_format="pcmu")
    ga = {"type": "transcription", "audio": {"input": {"format": {"type": "audio/pcmu"}}}}
    beta = {"type": "transcription_session.update", "session": {"input_audio_format": "g711_ulaw"}}
    for command in (e.UpdateSession(session), e.UpdateTranscriptionSession(e.Session(input_format="pcmu"))):
        assert body(GA, command) == {"type": "session.update", "session": ga}
        assert body(BETA, command) == beta


def test_response_without_options_has_no_response_object() -> None:
    assert body(GA, e.CreateResponse()) == body(BETA, e.CreateResponse()) == {"type": "response.create"}


def test_response_with_an_empty_context_says_so() -> None:
    options = e.ResponseOptions(input=(), conversation="none")
    assert body(GA, e.CreateResponse(options))["response"] == {"input": [], "conversation": "none"}


def test_assistant_text_has_the_word_of_its_dialect() -> None:
    command = e.CreateItem(e.Message("assistant", (e.Part("output_text", text="Hi"),)))
    assert body(GA, command)["item"]["content"] == [{"type": "output_text", "text": "Hi"}]
    assert body(BETA, command)["item"]["content"] == [{"type": "text", "text": "Hi"}]


@pytest.mark.parametrize("item", [e.McpItem("mcp_call", "item_1"), e.UnknownItem("hologram", "item_1")])
def test_item_of_the_servers_making_cannot_be_sent(item: e.Item) -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        GA.encode(e.CreateItem(item))


@given(audio=st.text(st.characters(codec=None)), event_id=st.none() | st.text(max_size=20))
def test_appended_audio_stays_one_string_whatever_the_carrier_sent(audio: str, event_id: str | None) -> None:
    expected = {"type": "input_audio_buffer.append", "audio": audio}
    if event_id is not None:
        expected["event_id"] = event_id
    for codec in (GA, BETA):
        assert json.loads(codec.encode(e.AppendAudio(audio, event_id))) == expected


def test_appended_audio_passes_through_untouched() -> None:
    assert GA.encode(e.AppendAudio("f/9+/w==")) == '{"type":"input_audio_buffer.append","audio":"f/9+/w=="}'


def test_lone_surrogate_in_a_tools_answer_is_replaced() -> None:
    """JSON may hold half a character; a message of the protocol is UTF-8 and may not."""
    text = GA.encode(e.CreateItem(e.FunctionCallOutput("call_1", "caf\ud800é")))
    assert json.loads(text.encode())["item"]["output"] == "caf?é"
