"""Turns: where the caller's audio begins and ends, and what that sets off; in virtual time."""

import base64

import pytest
from model_driver import (
    LONG,
    Answers,
    ModelDriver,
    TimedVoice,
    both_dialects,
    error_of,
    tone,
    types,
)

from phonebot.simulator.config import Dialect
from phonebot.simulator.listening import MAX_BUFFER_MS, MAX_IDLE_BUFFER_MS
from phonebot.simulator.mind import Say
from phonebot.simulator.outputs import Options


def test_a_spoken_turn_of_a_ga_session_in_order() -> None:
    model = ModelDriver("ga", Answers(Say("Good morning")))
    model.use_ulaw()
    model.hear(500, 300)
    model.run()
    assert types(model.events) == [
        "session.created",
        "session.updated",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
        "rate_limits.updated",
    ]
    model.check()


def test_a_spoken_turn_of_a_beta_session_in_order() -> None:
    model = ModelDriver("beta", Answers(Say("Good morning")))
    model.use_ulaw()
    model.hear(500, 300)
    model.run()
    assert types(model.events) == [
        "session.created",
        "conversation.created",
        "session.updated",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.created",
        "response.created",
        "rate_limits.updated",
        "response.output_item.added",
        "conversation.item.created",
        "response.content_part.added",
        "response.audio_transcript.delta",
        "response.audio.delta",
        "response.audio.done",
        "response.audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
    ]
    model.check()


@both_dialects
def test_a_turn_lies_where_the_caller_spoke_with_the_padding_before_and_the_silence_after(dialect: Dialect) -> None:
    model = ModelDriver(dialect)
    model.use_ulaw(prefix_padding_ms=300, silence_duration_ms=400, create_response=False)
    model.hear(0, 1000)
    model.hear(600, 1000)
    assert model.only("input_audio_buffer.speech_started")["audio_start_ms"] == 700
    assert model.only("input_audio_buffer.speech_stopped")["audio_end_ms"] == 2000
    item_id = model.only("input_audio_buffer.committed")["item_id"]
    assert model.only("input_audio_buffer.speech_started")["item_id"] == item_id
    (retrieved,) = model.send("conversation.item.retrieve", item_id=item_id)
    audio = base64.b64decode(retrieved["item"]["content"][0]["audio"])
    silence = b"\xff" * 8
    assert audio == silence * 300 + tone(20) * 30 + silence * 400


def test_the_padding_of_a_turn_never_reaches_into_the_turn_before() -> None:
    model = ModelDriver()
    model.use_ulaw(prefix_padding_ms=300, silence_duration_ms=200, create_response=False)
    model.hear(400, 240)
    model.hear(400, 240)
    first_end, second_end = (event["audio_end_ms"] for event in model.of_type("input_audio_buffer.speech_stopped"))
    starts = [event["audio_start_ms"] for event in model.of_type("input_audio_buffer.speech_started")]
    assert (starts, first_end, second_end) == ([0, 600], 600, 1240)


def test_a_sound_under_100_ms_opens_no_turn() -> None:
    model = ModelDriver()
    model.use_ulaw()
    assert model.hear(80, 1000) == []
    assert model.hear(80, 1000) == []


def test_appends_of_any_length_give_the_same_turns() -> None:
    audio = bytes([0xFF]) * 3999 + tone(500) + bytes([0xFF]) * 8001
    found = []
    for size in (160, 37, 1001, len(audio)):
        model = ModelDriver()
        model.use_ulaw(create_response=False)
        for start in range(0, len(audio), size):
            piece = base64.b64encode(audio[start : start + size]).decode()
            model.send("input_audio_buffer.append", audio=piece)
        found.append(
            [
                (event["type"], event.get("audio_start_ms"), event.get("audio_end_ms"))
                for event in model.events
                if ".speech_" in event["type"]
            ]
        )
    assert len(found[0]) == 2
    assert found[1:] == [found[0]] * 3


def test_pcm_input_has_the_same_positions_as_mu_law() -> None:
    model = ModelDriver()
    model.configure(
        audio={
            "input": {
                "turn_detection": {"type": "server_vad", "silence_duration_ms": 200, "create_response": False}
            }
        }
    )
    loud = (b"\x00\x20" * 24 + b"\x00\xe0" * 24) * 300  # 600 ms of a square wave
    for audio in (bytes(48 * 500), loud, bytes(48 * 500)):
        model.send("input_audio_buffer.append", audio=base64.b64encode(audio).decode())
    assert model.only("input_audio_buffer.speech_started")["audio_start_ms"] == 200
    assert model.only("input_audio_buffer.speech_stopped")["audio_end_ms"] in (1300, 1320)


@both_dialects
def test_speech_cancels_the_response_when_turn_detection_interrupts(dialect: Dialect) -> None:
    model = ModelDriver(dialect, Answers(Say(LONG), Say("Yes?")), options=Options(speed=1, seed=1))
    model.use_ulaw()
    model.send("response.create")
    model.run(1000)
    begin = len(model.events)
    events = [event for event in model.hear(200) if "delta" not in event]
    assert model.events[begin:]
    done = {"ga": ["conversation.item.done"], "beta": []}[dialect]
    name = {"ga": "output_audio", "beta": "audio"}[dialect]
    limits = {"ga": ["rate_limits.updated"], "beta": []}[dialect]
    assert types(events) == [
        "input_audio_buffer.speech_started",
        f"response.{name}.done",
        f"response.{name}_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        *done,
        "response.done",
        *limits,
    ]
    response = model.of_type("response.done")[0]["response"]
    assert response["status"] == "cancelled"
    assert response["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert [item["status"] for item in response["output"]] == ["incomplete"]
    assert response["usage"]["output_tokens"] > 0
    model.hear(0, 300)
    model.run()
    model.check()


@both_dialects
def test_a_turn_that_ends_during_a_response_is_refused_an_answer(dialect: Dialect) -> None:
    model = ModelDriver(dialect, Answers(Say(LONG)), options=Options(speed=1))
    model.use_ulaw(interrupt_response=False)
    model.send("response.create")
    model.hear(400, 300)
    error = model.only("error")["error"]
    assert (error["code"], error["event_id"]) == ("conversation_already_has_active_response", None)
    assert model.of_type("response.created")[0]["response"]["id"] in error["message"]
    model.run()
    assert model.only("response.done")["response"]["status"] == "completed"
    model.check()


def test_a_turn_that_ends_during_a_response_is_answered_after_it_when_turns_are_queued() -> None:
    mind = Answers(Say(LONG), Say("Yes?"))
    model = ModelDriver(mind=mind, options=Options(speed=1, busy="queue"))
    model.use_ulaw(interrupt_response=False)
    model.send("response.create")
    model.hear(400, 300)
    assert len(model.of_type("response.created")) == 1
    model.run()
    assert len(model.of_type("response.done")) == 2
    assert [context.heard for context in mind.contexts] == [None, "hello"]
    model.check()


def test_a_turn_that_ends_during_a_response_is_let_go_when_the_server_is_silent() -> None:
    model = ModelDriver(mind=Answers(Say(LONG)), options=Options(speed=1, busy="silent"))
    model.use_ulaw(interrupt_response=False)
    model.send("response.create")
    model.hear(400, 300)
    model.run()
    assert model.of_type("error") == []
    assert len(model.of_type("response.created")) == 1


def test_no_response_follows_a_turn_without_create_response() -> None:
    model = ModelDriver()
    model.use_ulaw(create_response=False)
    model.hear(400, 300)
    model.run()
    assert model.of_type("input_audio_buffer.committed")
    assert not model.of_type("response.created")


@pytest.mark.parametrize(
    ("eagerness", "silence_ms"), [("low", 1200), ("medium", 800), ("auto", 800), ("high", 500)]
)
def test_semantic_vad_waits_according_to_its_eagerness(eagerness: str, silence_ms: int) -> None:
    model = ModelDriver()
    model.configure(
        audio={
            "input": {
                "format": {"type": "audio/pcmu"},
                "turn_detection": {"type": "semantic_vad", "eagerness": eagerness},
            }
        }
    )
    model.hear(400, silence_ms - 20)
    assert not model.of_type("input_audio_buffer.speech_stopped")
    model.hear(0, 20)
    assert model.only("input_audio_buffer.speech_stopped")["audio_end_ms"] == 400 + silence_ms


@both_dialects
def test_a_manual_turn_is_what_was_appended(dialect: Dialect) -> None:
    model = ModelDriver(dialect)
    model.use_ulaw(type=None)
    model.hear(400, 600)
    assert model.of_type("input_audio_buffer.speech_started") == []
    events = model.send("input_audio_buffer.commit")
    expected = ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"]
    assert types(events) == (
        expected if dialect == "ga" else ["input_audio_buffer.committed", "conversation.item.created"]
    )
    assert events[1]["item"]["content"] == [{"type": "input_audio", "transcript": None}]
    assert model.run() == []
    model.send("response.create")
    model.run()
    model.check()


def test_a_commit_in_the_middle_of_a_turn_takes_the_id_of_that_turn() -> None:
    model = ModelDriver()
    model.use_ulaw()
    model.hear(400)
    model.send("input_audio_buffer.commit")
    committed = model.only("input_audio_buffer.committed")
    assert committed["item_id"] == model.only("input_audio_buffer.speech_started")["item_id"]
    model.hear(0, 400)
    assert not model.of_type("input_audio_buffer.speech_stopped")


@pytest.mark.parametrize(("appended_ms", "words"), [(0, "buffer is empty"), (80, "80.00ms")])
def test_a_commit_of_too_little_audio_is_refused(appended_ms: int, words: str) -> None:
    model = ModelDriver()
    model.use_ulaw(type=None)
    model.hear(appended_ms)
    error = error_of(model.send("input_audio_buffer.commit", event_id="c1"))
    assert (error["code"], error["param"]) == ("input_audio_buffer_commit_empty", None)
    assert error["event_id"] == "c1"
    assert "100ms" in error["message"]
    assert words in error["message"]


def test_a_clear_drops_the_turn_and_leaves_the_position() -> None:
    model = ModelDriver()
    model.use_ulaw(create_response=False, prefix_padding_ms=1000)
    model.hear(400)
    assert types(model.send("input_audio_buffer.clear")) == ["input_audio_buffer.cleared"]
    model.hear(0, 1000)
    assert model.of_type("input_audio_buffer.speech_stopped") == []
    model.hear(400, 300)
    assert model.of_type("input_audio_buffer.speech_started")[-1]["audio_start_ms"] == 400
    assert model.only("input_audio_buffer.speech_stopped")["audio_end_ms"] == 2000


@pytest.mark.parametrize("by", ["clear", "update"])
def test_a_commit_after_a_dropped_turn_makes_an_item_of_its_own(by: str) -> None:
    model = ModelDriver()
    model.use_ulaw()
    model.hear(400)
    if by == "clear":
        model.send("input_audio_buffer.clear")
    else:
        model.use_ulaw(silence_duration_ms=300)
    model.hear(0, 200)
    model.send("input_audio_buffer.commit")
    dropped = model.only("input_audio_buffer.speech_started")["item_id"]
    assert model.only("input_audio_buffer.committed")["item_id"] != dropped


def test_changing_turn_detection_drops_the_turn_under_way() -> None:
    model = ModelDriver()
    model.use_ulaw()
    model.hear(400)
    model.use_ulaw(silence_duration_ms=300)
    assert model.hear(0, 1000) == []


def test_changing_the_input_format_empties_the_buffer_and_keeps_the_position() -> None:
    model = ModelDriver()
    model.use_ulaw(type=None)
    model.hear(400)
    model.configure(audio={"input": {"format": {"type": "audio/pcma"}}})
    assert error_of(model.send("input_audio_buffer.commit"))["code"] == "input_audio_buffer_commit_empty"
    model.configure(audio={"input": {"turn_detection": {"type": "server_vad", "prefix_padding_ms": 0}}})
    silence = base64.b64encode(b"\xd5" * 800).decode()
    model.send("input_audio_buffer.append", audio=silence)
    loud = base64.b64encode(bytes(code ^ 0x55 for code in (0xF0, 0x70) * 800)).decode()
    model.send("input_audio_buffer.append", audio=loud)
    assert model.only("input_audio_buffer.speech_started")["audio_start_ms"] == 500


def test_the_buffer_keeps_half_a_minute_of_silence_and_five_minutes_without_turns() -> None:
    for turns, kept_ms in (("server_vad", MAX_IDLE_BUFFER_MS), (None, MAX_BUFFER_MS)):
        model = ModelDriver()
        model.use_ulaw(type=turns)
        for _ in range(6):
            model.send("input_audio_buffer.append", audio=base64.b64encode(b"\xff" * 480_000).decode())
        model.send("input_audio_buffer.commit")
        item = model.session.conversation.get(model.only("input_audio_buffer.committed")["item_id"])
        assert item is not None
        assert item.parts[0].audio_ms == kept_ms


@both_dialects
def test_silence_after_a_response_was_played_triggers_the_idle_timeout(dialect: Dialect) -> None:
    """The answer lasts 6 s and is generated in less than one: the timer starts where it has been played."""
    model = ModelDriver(dialect, Answers(Say("a b"), Say("Still there?")), voice=TimedVoice(6000))
    model.use_ulaw(idle_timeout_ms=5000)
    model.send("response.create")
    begin_ms = model.now_ms
    model.run(until="input_audio_buffer.timeout_triggered")
    assert model.now_ms - begin_ms == 11_000
    timeout = model.only("input_audio_buffer.timeout_triggered")
    committed = model.only("input_audio_buffer.committed")
    assert timeout["item_id"] == committed["item_id"]
    assert len(model.of_type("response.created")) == 2
    model.run(12_000)
    assert len(model.of_type("input_audio_buffer.timeout_triggered")) == 2
    model.run(1000)
    model.check()


def test_speech_stops_the_idle_timer() -> None:
    model = ModelDriver(mind=Answers(Say("Hello")))
    model.use_ulaw(idle_timeout_ms=5000, create_response=False)
    model.send("response.create")
    model.run(3000)
    model.hear(400, 300)
    model.run(20_000)
    assert not model.of_type("input_audio_buffer.timeout_triggered")
