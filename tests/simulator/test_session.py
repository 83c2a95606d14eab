"""A session of the embedded server: its configuration, its faults, and anything in any order."""

import base64
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from model_driver import (
    LONG,
    START_MS,
    Answers,
    Event,
    ModelDriver,
    TimedVoice,
    audio_bytes,
    both_dialects,
    error_of,
    types,
)

from phonebot.simulator.config import Dialect
from phonebot.simulator.mind import Call, Say
from phonebot.simulator.outputs import Close, Faults, Options


@both_dialects
def test_an_update_changes_what_it_names_and_keeps_the_rest(dialect: Dialect) -> None:
    model = ModelDriver(dialect)
    before = model.events[0]["session"]
    (updated,) = model.configure(instructions="Be brief.")
    assert updated["session"] == before | {"instructions": "Be brief."}
    (updated,) = model.configure(tools=[{"type": "function", "name": "a"}], tool_choice="required")
    assert updated["session"]["instructions"] == "Be brief."
    assert updated["session"]["tools"] == [{"type": "function", "name": "a"}]
    (updated,) = model.configure(instructions="", tools=[], tool_choice="auto")
    assert updated["session"] == before | {"instructions": ""}


def test_a_nested_update_merges_audio_and_replaces_what_is_in_it() -> None:
    model = ModelDriver()
    before = model.events[0]["session"]["audio"]
    turns = {"type": "server_vad", "threshold": 0.7}
    (updated,) = model.configure(audio={"input": {"turn_detection": turns}, "output": {"speed": 1.2}})
    audio = updated["session"]["audio"]
    assert audio["output"] == before["output"] | {"speed": 1.2}
    assert audio["input"]["format"] == before["input"]["format"]
    assert audio["input"]["turn_detection"] == {
        "type": "server_vad",
        "threshold": 0.7,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 500,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    }
    (updated,) = model.configure(
        audio={"input": {"turn_detection": None, "noise_reduction": {"type": "far_field"}}}
    )
    audio = updated["session"]["audio"]["input"]
    assert (audio["turn_detection"], audio["noise_reduction"]) == (None, {"type": "far_field"})


@both_dialects
def test_the_voice_is_locked_by_the_first_audio_and_the_whole_update_is_lost(dialect: Dialect) -> None:
    model = ModelDriver(dialect)

    def with_voice(voice: str, **more: Any) -> list[Event]:
        return model.configure(
            **(more | ({"audio": {"output": {"voice": voice}}} if dialect == "ga" else {"voice": voice}))
        )

    assert types(with_voice("ash")) == ["session.updated"]
    model.send("response.create")
    model.run()
    error = error_of(with_voice("coral", instructions="lost"))
    assert (error["code"], error["param"]) == ("cannot_update_voice", None)
    (updated,) = with_voice("ash")
    assert updated["session"]["instructions"] != "lost"
    voice: Any = {"audio": {"output": {"voice": "coral"}}} if dialect == "ga" else {"voice": "coral"}
    assert error_of(model.send("response.create", response=voice))["code"] == "cannot_update_voice"


def test_a_written_answer_does_not_lock_the_voice() -> None:
    model = ModelDriver()
    model.configure(output_modalities=["text"])
    model.send("response.create")
    model.run()
    assert types(model.configure(audio={"output": {"voice": "coral"}})) == ["session.updated"]


def test_a_session_cannot_change_its_model_but_repeat_it() -> None:
    model = ModelDriver()
    assert types(model.configure(model="test-model")) == ["session.updated"]
    error = error_of(model.configure(model="another"))
    assert (error["code"], error["param"]) == ("invalid_value", "session.model")


def test_tracing_cannot_change_once_enabled() -> None:
    model = ModelDriver()
    assert types(model.configure(tracing="auto")) == ["session.updated"]
    assert types(model.configure(tracing="auto")) == ["session.updated"]
    assert error_of(model.configure(tracing=None))["param"] == "session.tracing"


@both_dialects
def test_the_speed_cannot_change_during_a_response(dialect: Dialect) -> None:
    model = ModelDriver(dialect, options=Options(speed=1))
    model.send("response.create")
    speed: Any = {"audio": {"output": {"speed": 1.5}}} if dialect == "ga" else {"speed": 1.5}
    assert error_of(model.configure(**speed))["code"] == "invalid_value"
    model.run()
    assert types(model.configure(**speed)) == ["session.updated"]


def test_a_lenient_session_follows_the_dialect_of_the_first_update() -> None:
    model = ModelDriver("ga", options=Options(lenient=True))
    (updated,) = model.send("session.update", session={"modalities": ["text"], "voice": "ash"})
    assert updated["session"]["modalities"] == ["text"]
    model = ModelDriver("beta", options=Options(lenient=True))
    (updated,) = model.send("session.update", session={"type": "realtime", "output_modalities": ["text"]})
    assert updated["session"]["output_modalities"] == ["text"]
    error = error_of(model.send("session.update", session={"modalities": ["text"]}))
    assert error["param"] == "session.type"


@both_dialects
def test_a_session_expires_with_an_error_and_1001_in_the_middle_of_a_response(dialect: Dialect) -> None:
    model = ModelDriver(dialect, options=Options(speed=1), voice=TimedVoice(60_000), limit_ms=10_000)
    model.send("response.create")
    model.run()
    assert model.now_ms == START_MS + 10_000
    assert model.events[-1]["type"] == "error"
    assert model.events[-1]["error"]["code"] == "session_expired"
    assert model.closed == Close(1001, "session_expired")
    assert model.run(600_000) == []
    assert model.send("response.create") == []


def test_an_ignored_update_is_never_answered() -> None:
    model = ModelDriver(faults=Faults(update="ignored"))
    assert model.configure(instructions="hello") == []


def test_a_refused_update_is_answered_by_an_error_with_the_clients_id() -> None:
    model = ModelDriver(faults=Faults(update="refused"))
    error = error_of(model.send("session.update", session={"type": "realtime"}, event_id="u1"))
    assert (error["code"], error["param"], error["event_id"]) == ("invalid_value", "session", "u1")


@both_dialects
def test_formats_may_be_ignored_and_the_echo_says_so(dialect: Dialect) -> None:
    model = ModelDriver(dialect, faults=Faults(keep_pcm=True), voice=TimedVoice(1000))
    model.use_ulaw()
    session = model.only("session.updated")["session"]
    pcm = {"type": "audio/pcm", "rate": 24000}
    if dialect == "ga":
        assert session["audio"]["output"]["format"] == session["audio"]["input"]["format"] == pcm
    else:
        assert session["output_audio_format"] == session["input_audio_format"] == "pcm16"
    model.send("response.create")
    model.run()
    assert len(audio_bytes(model.events)) == 48_000


def test_a_stalled_response_says_nothing_more_and_can_be_cancelled() -> None:
    model = ModelDriver(voice=TimedVoice(6000), faults=Faults(stall_after_ms=1500))
    model.use_ulaw()
    model.send("response.create")
    model.run(600_000)
    assert 1500 <= len(audio_bytes(model.events)) / 8 < 2300
    assert not model.of_type("response.done")
    model.send("response.cancel")
    assert model.only("response.done")["response"]["status"] == "cancelled"
    model.check()


def test_stray_deltas_follow_a_cancelled_response() -> None:
    model = ModelDriver(voice=TimedVoice(6000), options=Options(speed=1), faults=Faults(deltas_after_cancel=3))
    model.use_ulaw()
    model.send("response.create")
    model.run(1500)
    events = model.send("response.cancel")
    response_id = model.only("response.done")["response"]["id"]
    stray = events[-3:]
    assert [event["type"] for event in stray] == ["response.output_audio.delta"] * 3
    assert {event["response_id"] for event in stray} == {response_id}
    assert all(base64.b64decode(event["delta"]) for event in stray)


def truncate_last(model: ModelDriver, audio_end_ms: int) -> None:
    items = [item.id for item in model.session.conversation] or ["unknown"]
    model.send("conversation.item.truncate", item_id=items[-1], content_index=0, audio_end_ms=audio_end_ms)


def with_item(event_type: str) -> Callable[[ModelDriver, int], object]:
    def step(model: ModelDriver, index: int) -> None:
        items = [item.id for item in model.session.conversation]
        model.send(event_type, item_id=items[index] if index < len(items) else "unknown")

    return step


def release(model: ModelDriver, index: int) -> None:
    if index < len(model.held):
        model.release(index)


STEPS: dict[str, tuple[Callable[[ModelDriver, Any], object], list[Any]]] = {
    "run": (ModelDriver.run, [20, 300, 2000]),
    "speech": (ModelDriver.hear, [60, 200, 600]),
    "silence": (lambda model, ms: model.hear(0, ms), [100, 400]),
    "turns": (lambda model, kind: model.use_ulaw(type=kind), [None, "server_vad"]),
    "job": (release, [0, 1, 3]),
    "truncate": (truncate_last, [0, 100, 5000]),
    "delete": (with_item("conversation.item.delete"), [0, 1, 4]),
    "retrieve": (with_item("conversation.item.retrieve"), [0, 1, 4]),
    "buffer": (ModelDriver.send, ["input_audio_buffer.commit", "input_audio_buffer.clear"]),
    "response": (
        lambda model, where: model.send("response.create", response={"conversation": where}),
        ["auto", "none"],
    ),
    "cancel": (ModelDriver.send, ["response.cancel"]),
}
ANY_STEP = st.sampled_from(list(STEPS)).flatmap(
    lambda name: st.tuples(st.just(name), st.sampled_from(STEPS[name][1]))
)
MANY = (Say(LONG), Call("a", {"text": "x" * 40}), Call("b", {"text": "y" * 40}), Say("And so on."))


@both_dialects
@settings(max_examples=60, deadline=None)
@given(steps=st.lists(ANY_STEP, max_size=25), hold=st.booleans())
def test_whatever_happens_in_whatever_order_the_invariants_hold(
    dialect: Dialect, hold: bool, steps: list[tuple[str, Any]]
) -> None:
    model = ModelDriver(dialect, Answers(*[MANY] * 30), options=Options(speed=4, seed=1))
    model.use_ulaw()
    model.hold = hold
    for name, value in steps:
        STEPS[name][0](model, value)
    model.check()
    model.hold = False
    while model.held:
        model.release()
    model.run(60_000)
    model.check()
    created, done = (len(model.of_type(f"response.{moment}")) for moment in ("created", "done"))
    assert created == done
