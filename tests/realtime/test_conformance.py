"""What we write and read against the types of the `openai` package, which nobody here wrote."""

import json
import types
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints

import openai.types.beta.realtime as beta_types
import openai.types.beta.realtime.realtime_client_event_param as beta_client
import openai.types.beta.realtime.realtime_server_event as beta_server
import openai.types.realtime as ga_types
import openai.types.realtime.realtime_client_event_param as ga_client
import openai.types.realtime.realtime_server_event as ga_server
import pytest
from msgspec import UNSET, structs
from openai.types.realtime.response_create_event_with_references_param import ResponseCreateEventWithReferencesParam
from pydantic import BaseModel, TypeAdapter
from typing_extensions import is_typeddict

from phonebot.realtime import events as e
from phonebot.realtime.beta import BETA
from phonebot.realtime.codec import Codec
from phonebot.realtime.ga import GA

PARAMETERS = {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]}
LOOK_UP = e.FunctionTool("look_up", "Find an order.", PARAMETERS)

VAD = e.TurnDetection(
    "server_vad",
    threshold=0.55,
    prefix_padding_ms=300,
    silence_duration_ms=600,
    create_response=False,
    interrupt_response=False,
)
SESSION = e.Session(
    instructions="Speak briefly.",
    modality="audio",
    voice="marin",
    speed=1.1,
    input_format="pcmu",
    output_format="pcmu",
    turn_detection=VAD,
    transcription=e.Transcription("whisper-1", language="de", prompt="names"),
    noise_reduction="near_field",
    tools=(LOOK_UP,),
    tool_choice="auto",
    max_output_tokens=1024,
    temperature=0.8,
    tracing={"workflow_name": "calls", "group_id": "g", "metadata": {"a": "b"}},
)
GA_SESSION = structs.replace(
    SESSION,
    turn_detection=structs.replace(VAD, idle_timeout_ms=6000),
    transcription=e.Transcription("gpt-transcribe", languages=("de", "en"), keywords=("pizza",), delay="low"),
    tools=(LOOK_UP, e.McpTool("crm", {"server_url": "https://crm.example", "require_approval": "never"})),
    tool_choice=e.ToolChoice(name="look_up"),
    parallel_tool_calls=True,
    reasoning_effort="low",
    truncation={"type": "retention_ratio", "retention_ratio": 0.8, "token_limits": {"post_instructions": 8000}},
    include=("item.input_audio_transcription.logprobs",),
    prompt={"id": "pmpt_1", "version": "2", "variables": {"name": "Rosa"}},
)
SEMANTIC = e.Session(turn_detection=e.TurnDetection("semantic_vad", eagerness="low"), output_format="pcm24k")
TRANSCRIBING = e.Session(
    kind="transcription",
    input_format="pcm24k",
    transcription=e.Transcription("whisper-1"),
    turn_detection=VAD,
    noise_reduction="far_field",
    include=("item.input_audio_transcription.logprobs",),
)

ITEMS: tuple[e.Item, ...] = (
    e.Message("system", (e.Part("input_text", text="The caller pressed 1."),), id="item_1", status="completed"),
    e.Message("user", (e.Part("input_text", text="Hi"), e.Part("input_audio", audio="AAAA", transcript="Hi"))),
    e.Message("assistant", (e.Part("output_text", text="Hello!"),), id="item_3"),
    e.FunctionCall("look_up", "call_1", '{"number":"7"}', id="item_4", status="completed"),
    e.FunctionCallOutput("call_1", '{"status":"shipped"}', id="item_5"),
)
GA_ITEMS: tuple[e.Item, ...] = (
    e.Message("user", (e.Part("input_image", image_url="data:image/png;base64,AAAA", detail="low"),)),
    e.Message("assistant", (e.Part("output_audio", transcript="Hello!"),)),
    e.McpApprovalResponse("mcpr_1", True, id="item_6", reason="fine"),
)
OPTIONS = e.ResponseOptions(
    instructions='Say exactly: "One moment."',
    modality="text",
    voice="alloy",
    output_format="pcma",
    tools=(LOOK_UP,),
    tool_choice="required",
    max_output_tokens="inf",
    temperature=0.7,
    conversation="none",
    input=(e.ItemReference("item_1"), ITEMS[1]),
    metadata={"topic": "summary"},
)
GA_OPTIONS = structs.replace(
    OPTIONS,
    tool_choice=e.ToolChoice(server_label="crm", name="find"),
    parallel_tool_calls=False,
    reasoning_effort="minimal",
    prompt={"id": "pmpt_1"},
)

COMMANDS: tuple[e.Command, ...] = (
    e.UpdateSession(SESSION, event_id="c-1"),
    e.UpdateSession(SEMANTIC),
    e.UpdateTranscriptionSession(TRANSCRIBING, event_id="c-2"),
    e.AppendAudio("f39/f3==", event_id="c-3"),
    e.AppendAudio("f39/f3=="),
    e.CommitAudio("c-4"),
    e.ClearAudio(),
    e.ClearOutputAudio(),
    *(e.CreateItem(item, previous_item_id="root", event_id="c-5") for item in ITEMS),
    e.RetrieveItem("item_1", "c-6"),
    e.TruncateItem("item_1", 0, 1840, "c-7"),
    e.DeleteItem("item_1"),
    e.CreateResponse(OPTIONS, "c-8"),
    e.CreateResponse(),
    e.CancelResponse("resp_1", "c-9"),
    e.CancelResponse(),
)
GA_COMMANDS: tuple[e.Command, ...] = (
    *COMMANDS,
    e.UpdateSession(GA_SESSION),
    *(e.CreateItem(item) for item in GA_ITEMS),
    e.CreateResponse(GA_OPTIONS),
)


def faults(value: Any, wanted: Any, path: str = "$") -> list[str]:
    """Where a JSON value departs from a type: wrong or missing fields, and any field that the type lacks."""
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin in (Annotated, Required, NotRequired):
        return faults(value, arguments[0], path)
    if origin in (Union, types.UnionType):
        return min((faults(value, each, path) for each in arguments), key=len)
    if is_typeddict(wanted):
        return _departures(value, get_type_hints(wanted), wanted.__required_keys__, path)
    if origin is Literal:
        return [] if value in arguments else [f"{path}: {value!r} is none of {arguments}"]
    if origin is dict:
        return [] if isinstance(value, dict) else [f"{path}: no object"]
    if origin is not None:  # Iterable, List, SequenceNotStr
        if not isinstance(value, list):
            return [f"{path}: no list"]
        return [fault for i, each in enumerate(value) for fault in faults(each, arguments[0], f"{path}[{i}]")]
    if wanted is float:
        wanted = (int, float)
    if wanted is type(None):
        return [] if value is None else [f"{path}: not null"]
    return [] if wanted is object or isinstance(value, wanted) else [f"{path}: {value!r} is not {wanted}"]


def _departures(value: Any, hints: dict[str, Any], required: Iterable[str], path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: no object"]
    missing = [f"{path}.{name}: missing" for name in required if name not in value]
    unknown = [f"{path}.{name}: unknown" for name in value if name not in hints]
    inner = [
        fault for name in value if name in hints for fault in faults(value[name], hints[name], f"{path}.{name}")
    ]
    return missing + unknown + inner


def by_type(*unions: Any) -> dict[str, Any]:
    """The members of the unions by the event type they stand for."""
    members = (member for union in unions for member in get_args(union) or (union,))
    return {get_args(_type_of(member))[0]: member for member in members}


def _type_of(member: Any) -> Any:
    """The Literal of an event's `type` field, in a model or a typed dictionary."""
    if is_typeddict(member):
        return get_type_hints(member)["type"]
    return member.model_fields["type"].annotation


# The package's plain response.create has no references to items; its second type for the same event has them.
GA_PARAMS = by_type(ga_client.RealtimeClientEventParam, ResponseCreateEventWithReferencesParam)
BETA_PARAMS = by_type(beta_client.RealtimeClientEventParam)


def _named(command: e.Command) -> str:
    return type(command).__name__


@pytest.mark.parametrize("command", GA_COMMANDS, ids=_named)
def test_ga_command_is_what_the_openai_package_sends(command: e.Command) -> None:
    body = json.loads(GA.encode(command))
    wanted = GA_PARAMS[body["type"]]
    TypeAdapter(wanted).validate_python(body)
    assert faults(body, wanted) == []


@pytest.mark.parametrize("command", COMMANDS, ids=_named)
def test_beta_command_is_what_the_openai_package_sends(command: e.Command) -> None:
    body = json.loads(BETA.encode(command))
    wanted = BETA_PARAMS[body["type"]]
    TypeAdapter(wanted).validate_python(body)
    assert faults(body, wanted) == []


@pytest.mark.parametrize(
    ("codec", "commands", "params"), [(GA, GA_COMMANDS, GA_PARAMS), (BETA, COMMANDS, BETA_PARAMS)]
)
def test_commands_cover_every_client_event_of_the_package(
    codec: Codec, commands: tuple[e.Command, ...], params: dict[str, Any]
) -> None:
    assert {json.loads(codec.encode(command))["type"] for command in commands} == set(params)


def test_conformance_check_sees_a_wrong_field_name() -> None:
    """The check of this file, checked: one unknown key, deep inside, makes a service refuse a whole update."""
    body = json.loads(GA.encode(e.UpdateSession(SESSION)))
    turn_detection = body["session"]["audio"]["input"]["turn_detection"]
    turn_detection["silence_ms"] = turn_detection.pop("silence_duration_ms")
    assert faults(body, GA_PARAMS["session.update"]) != []


# ------------------------------------------------------------------------------------------- server events

GA_EVENTS = by_type(get_args(ga_server.RealtimeServerEvent)[0])
BETA_EVENTS = by_type(get_args(beta_server.RealtimeServerEvent)[0])

# Without these there is nothing to tell the event by, though the package calls some of them optional.
IDENTITY = frozenset({"id", "type", "role", "name", "call_id"})


def example(wanted: Any, optional: Callable[[str], bool]) -> Any:
    """A JSON value of a type; fields that may be null are null unless `optional` wants them by name."""
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin is Annotated:
        return example(arguments[0], optional)
    if origin in (Union, types.UnionType):
        return example(arguments[0], optional)
    if origin is Literal:
        return arguments[0]
    if origin is list:
        return [example(arguments[0], optional)]
    if origin is dict:
        return {"key": "value"}
    if isinstance(wanted, type) and issubclass(wanted, BaseModel):
        return {
            name: example(field.annotation, optional) if optional(name) or field.is_required() else None
            for name, field in wanted.model_fields.items()
        }
    return {str: "text", int: 7, float: 0.5, bool: True, object: {}}[wanted]


def server_events() -> list[Any]:
    return [
        pytest.param(codec, member, id=f"{codec.dialect} {name}")
        for codec, members in ((GA, GA_EVENTS), (BETA, BETA_EVENTS))
        for name, member in members.items()
    ]


@pytest.mark.parametrize(("codec", "member"), server_events())
def test_server_event_of_the_package_is_known(codec: Codec, member: Any) -> None:
    body = example(member, lambda name: True)
    member.model_validate(body)
    assert not isinstance(codec.decode(json.dumps(body)), e.UnknownEvent)


@pytest.mark.parametrize(("codec", "member"), server_events())
def test_server_event_with_all_optional_fields_null_is_known(codec: Codec, member: Any) -> None:
    body = example(member, lambda name: name in IDENTITY)
    assert not isinstance(codec.decode(json.dumps(body)), e.UnknownEvent)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("codec", "member"), server_events())
def test_server_event_without_its_optional_fields_is_known(codec: Codec, member: Any) -> None:
    body = _without_nulls(example(member, lambda name: name in IDENTITY))
    assert not isinstance(codec.decode(json.dumps(body)), e.UnknownEvent)


@pytest.mark.parametrize("member", get_args(get_args(ga_types.ConversationItem)[0]), ids=lambda m: m.__name__)
def test_item_of_the_package_is_known(member: Any) -> None:
    body = {"type": "conversation.item.added", "item": example(member, lambda name: True)}
    event = GA.decode(json.dumps(body))
    assert isinstance(event, e.ItemAdded)
    assert not isinstance(event.item, e.UnknownItem)


def test_usage_of_the_package_is_read_whole() -> None:
    """Every number of a response's usage arrives somewhere: each is another one here."""
    usage = example(ga_types.RealtimeResponseUsage, lambda name: True)
    numbers = iter(range(1, 100))
    expected = _numbered(usage, numbers)
    body = {"type": "response.done", "response": {"id": "resp_1", "status": "completed", "usage": usage}}
    event = GA.decode(json.dumps(body))
    assert isinstance(event, e.ResponseDone)
    assert event.response.usage is not None
    assert sorted(structs.astuple(event.response.usage)) == list(range(1, expected + 1))


def _numbered(value: dict[str, Any], numbers: Any) -> int:
    """Give each number in a tree another value; returns the last one."""
    last = 0
    for name, each in value.items():
        if isinstance(each, dict):
            last = max(last, _numbered(each, numbers))
        else:
            value[name] = last = next(numbers)
    return last


@pytest.mark.parametrize("session", [SESSION, GA_SESSION, SEMANTIC, TRANSCRIBING])
def test_ga_session_echoed_as_sent_is_read_as_it_was_wanted(session: e.Session) -> None:
    body = json.loads(GA.encode(e.UpdateSession(session)))
    echo = json.dumps({"type": "session.updated", "session": body["session"]})
    assert GA.decode(echo) == e.SessionUpdated(structs.replace(session, temperature=UNSET))


@pytest.mark.parametrize("session", [SESSION, SEMANTIC])
def test_beta_session_echoed_as_sent_is_read_as_it_was_wanted(session: e.Session) -> None:
    body = json.loads(BETA.encode(e.UpdateSession(session)))
    echo = json.dumps({"type": "session.updated", "session": body["session"]})
    assert BETA.decode(echo) == e.SessionUpdated(session)


@pytest.mark.parametrize(
    ("codec", "item"), [(codec, item) for codec in (GA, BETA) for item in ITEMS] + [(GA, item) for item in GA_ITEMS]
)
def test_item_echoed_as_sent_is_read_as_it_was_created(codec: Codec, item: e.Item) -> None:
    body = json.loads(codec.encode(e.CreateItem(item)))
    echo = json.dumps({"type": "conversation.item.created", "item": body["item"]})
    assert codec.decode(echo) == e.ItemAdded(item)


def test_beta_package_is_still_the_beta_dialect() -> None:
    """Guards this file: the package may drop the old types, and then these tests would test GA twice."""
    assert "response.audio.delta" in BETA_EVENTS
    assert "response.output_audio.delta" in GA_EVENTS
    assert hasattr(beta_types, "SessionUpdateEventParam")
