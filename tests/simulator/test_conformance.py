"""
The embedded server's events against types that its authors did not write: those of the `openai` package.

Its models ignore unknown keys, so these are looked for separately: a misspelt field would be one.
"""

import base64
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from model_driver import Answers, Event, ModelDriver, tone
from openai.types import realtime as ga_types
from openai.types.beta import realtime as beta_types
from pydantic import BaseModel

from phonebot.simulator.config import Dialect
from phonebot.simulator.mind import Call, Context, Say
from phonebot.simulator.outputs import Options

# Keys that the service sends and the package leaves out of its models.
EXTRA_KEYS = {
    "ga": {"session.id", "session.object", "session.expires_at"},
    "beta": {
        "session.object",
        "session.expires_at",
        "session.include",
        "session.truncation",
        "session.prompt",
        "session.turn_detection.idle_timeout_ms",
    },
}
# Events that the beta dialect got after the package's beta models were made.
NEWER_THAN_BETA_MODELS = {"input_audio_buffer.timeout_triggered"}


def event_models(dialect: Dialect) -> dict[str, type[BaseModel]]:
    union = ga_types.RealtimeServerEvent if dialect == "ga" else beta_types.RealtimeServerEvent
    members = get_args(get_args(union)[0])
    return {get_args(member.model_fields["type"].annotation)[0]: member for member in members}


def extra_keys(value: Any, path: str = "") -> Iterator[str]:
    """The paths of all keys that a model did not know."""
    if isinstance(value, BaseModel):
        yield from (f"{path}{key}" for key in value.model_extra or {})
        for name in type(value).model_fields:
            yield from extra_keys(getattr(value, name), f"{path}{name}.")
    elif isinstance(value, list):
        for each in value:
            yield from extra_keys(each, path)


def check(event: Event, dialect: Dialect) -> None:
    model = event_models(dialect)[event["type"]]
    unknown = set(extra_keys(model.model_validate(event))) - EXTRA_KEYS[dialect]
    assert not unknown, f"{event['type']}: {unknown}"


class Told:
    """A mind that calls, writes or speaks as its request says."""

    def answer(self, context: Context) -> tuple[Say | Call, ...]:
        if context.request == "fail":
            raise RuntimeError
        if context.request == "call":
            return (Say("One moment."), Call("a", {"text": "x" * 40}), Call("b", {"text": "y" * 40}))
        return (Say("Good morning, how can I help you?"),)


def whole_session(dialect: Dialect) -> list[Event]:
    """A session in which about everything happens."""
    model = ModelDriver(dialect, Told(), model="gpt-realtime", options=Options(speed=2, seed=1), limit_ms=600_000)
    transcription = {"model": "gpt-4o-mini-transcribe", "language": "en"}
    tools = [
        {"type": "function", "name": name, "description": "It.", "parameters": {"type": "object"}} for name in "ab"
    ]
    common = {"instructions": "Be brief.", "tools": tools, "tool_choice": "auto", "tracing": "auto"}
    if dialect == "ga":
        listen = {"transcription": transcription, "noise_reduction": {"type": "near_field"}}
        model.configure(**common, audio={"input": listen}, max_output_tokens=1024, truncation="auto")
    else:
        listen = {"input_audio_transcription": transcription, "input_audio_noise_reduction": {"type": "near_field"}}
        model.configure(**common, **listen, max_response_output_tokens=1024, temperature=0.7)
    model.use_ulaw(idle_timeout_ms=5000)
    model.hear(600, 400)
    model.run(500)
    model.hear(200, 300)  # interrupts
    model.run(3000)
    speech = model.of_type("response.done")[0]["response"]["output"][0]["id"]
    model.send("conversation.item.truncate", item_id=speech, content_index=0, audio_end_ms=100)
    model.send("conversation.item.retrieve", item_id=speech)
    model.send("conversation.item.delete", item_id=speech)
    text = {"type": "input_text", "text": "What is the weather?"}
    model.send("conversation.item.create", item={"type": "message", "role": "user", "content": [text]})
    audio = {"type": "input_audio", "audio": base64.b64encode(tone(300)).decode()}
    model.send("conversation.item.create", item={"type": "message", "role": "user", "content": [audio]})
    model.send("response.create", response={"instructions": "call"})
    model.run(4000)
    for call in model.of_type("response.done")[-1]["response"]["output"][1:]:
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "{}"}
        model.send("conversation.item.create", item=output)
    modalities = "output_modalities" if dialect == "ga" else "modalities"
    wish = {"conversation": "none", modalities: ["text"], "metadata": {"topic": "x"}}
    model.send("response.create", response=wish)
    model.run(3000)
    model.send("response.create", response={"instructions": "fail"})
    model.send("response.create", response={"max_output_tokens": 5})
    model.run(500)
    model.send("response.create")
    model.send("response.create", event_id="refused")
    model.send("response.cancel")
    model.hear(200)
    model.send("input_audio_buffer.clear")
    model.hear(200)
    model.send("input_audio_buffer.commit")
    model.configure(
        **(
            {
                "audio": {
                    "input": {"turn_detection": {"type": "semantic_vad"}, "transcription": {"model": "whisper-1"}}
                }
            }
            if dialect == "ga"
            else {"turn_detection": {"type": "semantic_vad"}, "input_audio_transcription": {"model": "whisper-1"}}
        )
    )
    model.hold = True
    model.hear(600, 900)
    model.fail(model.held.pop(0), RuntimeError("deaf"))
    model.use_ulaw(idle_timeout_ms=5000)
    model.hold = False
    model.send("response.cancel")
    model.send("response.create")
    model.run(600_000)
    model.check()
    return model.events


@pytest.mark.parametrize("dialect", ["ga", "beta"])
def test_every_event_of_a_whole_session_is_one_the_openai_package_knows(dialect: Dialect) -> None:
    events = whole_session(dialect)
    for event in events:
        if dialect == "ga" or event["type"] not in NEWER_THAN_BETA_MODELS:
            check(event, dialect)


# What the server never sends over a WebSocket, to a session of its own kind, or without MCP tools.
NEVER_SENT = {
    "ga": {
        "conversation.created",
        "conversation.item.created",
        "conversation.item.input_audio_transcription.segment",
        "input_audio_buffer.dtmf_event_received",
        "mcp_list_tools.completed",
        "mcp_list_tools.failed",
        "mcp_list_tools.in_progress",
        "output_audio_buffer.cleared",
        "output_audio_buffer.started",
        "output_audio_buffer.stopped",
        "response.mcp_call.completed",
        "response.mcp_call.failed",
        "response.mcp_call.in_progress",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
    },
    "beta": {
        "output_audio_buffer.cleared",
        "output_audio_buffer.started",
        "output_audio_buffer.stopped",
        "transcription_session.updated",
    },
}


@pytest.mark.parametrize("dialect", ["ga", "beta"])
def test_the_whole_session_has_every_event_that_the_package_knows_and_the_server_sends(dialect: Dialect) -> None:
    sent = {event["type"] for event in whole_session(dialect)}
    assert set(event_models(dialect)) - sent == NEVER_SENT[dialect]
    assert sent - set(event_models(dialect)) == (NEWER_THAN_BETA_MODELS if dialect == "beta" else set())


def test_a_transcription_session_is_one_the_openai_package_knows() -> None:
    model = ModelDriver("ga", kind="transcription")
    listen = {
        "format": {"type": "audio/pcmu"},
        "transcription": {"model": "whisper-1"},
        "turn_detection": {"type": "server_vad", "silence_duration_ms": 200},
    }
    model.send("session.update", session={"type": "transcription", "audio": {"input": listen}})
    model.hear(400, 300)
    for event in model.events:
        check(event, "ga")


@pytest.mark.parametrize("dialect", ["ga", "beta"])
def test_a_misspelt_field_would_be_found(dialect: Dialect) -> None:
    """The check above can fail."""
    model = ModelDriver(dialect, Answers(Say("Hello")), model="gpt-realtime")
    model.send("response.create")
    model.run()
    done = model.of_type("response.done")[0]
    done["response"]["output"][0]["content"][0]["transcipt"] = "Hello"
    with pytest.raises(AssertionError, match=r"response\.output\.content\.transcipt"):
        check(done, dialect)
