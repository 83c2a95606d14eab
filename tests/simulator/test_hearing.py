"""The transcription of what the caller says; in virtual time."""

from typing import Any

from model_driver import (
    Answers,
    ModelDriver,
    both_dialects,
    error_of,
    types,
)

from phonebot.simulator.config import Dialect
from phonebot.simulator.mind import Say


def transcribing(model_name: str = "gpt-4o-mini-transcribe", **kwargs: Any) -> ModelDriver:
    model = ModelDriver(ear=lambda pcm8k: "book a table", **kwargs)
    model.use_ulaw()
    if model.dialect == "ga":
        model.configure(audio={"input": {"transcription": {"model": model_name}}})
    else:
        model.configure(input_audio_transcription={"model": model_name})
    return model


TRANSCRIPTION = "conversation.item.input_audio_transcription"


@both_dialects
def test_a_turn_is_transcribed_in_deltas(dialect: Dialect) -> None:
    model = transcribing(dialect=dialect)
    model.hear(500, 300)
    item_id = model.only("input_audio_buffer.committed")["item_id"]
    deltas = model.of_type(f"{TRANSCRIPTION}.delta")
    assert [event["delta"] for event in deltas] == ["book", " a", " table"]
    completed = model.only(f"{TRANSCRIPTION}.completed")
    assert (completed["item_id"], completed["transcript"]) == (item_id, "book a table")
    assert completed["usage"]["type"] == "tokens"
    (retrieved,) = model.send("conversation.item.retrieve", item_id=item_id)
    assert retrieved["item"]["content"][0]["transcript"] == "book a table"


def test_whisper_transcribes_in_one_delta_and_is_billed_by_duration() -> None:
    model = transcribing("whisper-1")
    model.hear(500, 300)
    assert model.only(f"{TRANSCRIPTION}.delta")["delta"] == "book a table"
    assert model.only(f"{TRANSCRIPTION}.completed")["usage"] == {"type": "duration", "seconds": 1}


def test_transcriptions_come_when_the_ear_is_ready_even_out_of_order() -> None:
    model = transcribing(hold=True)
    model.configure(
        audio={
            "input": {
                "turn_detection": {"type": "server_vad", "silence_duration_ms": 200, "create_response": False}
            }
        }
    )
    model.hear(500, 300)
    model.hear(500, 300)
    first, second = (event["item_id"] for event in model.of_type("input_audio_buffer.committed"))
    model.release(1)
    model.release(0)
    assert [event["item_id"] for event in model.of_type(f"{TRANSCRIPTION}.completed")] == [second, first]


def test_an_ear_that_fails_is_told_and_the_turn_answered_as_not_understood() -> None:
    mind = Answers(Say("Pardon?"))
    model = transcribing(mind=mind, hold=True)
    model.hear(500, 300)
    model.fail(model.held.pop(), RuntimeError("deaf"))
    failed = model.only(f"{TRANSCRIPTION}.failed")
    assert failed["error"]["type"] == "transcription_error"
    assert mind.contexts[0].heard == ""


def test_nothing_is_transcribed_that_was_not_asked_for() -> None:
    model = ModelDriver()
    model.use_ulaw()
    model.hear(500, 300)
    model.run()
    assert not [event for event in model.events if event["type"].startswith(TRANSCRIPTION)]


@both_dialects
def test_a_transcription_session_transcribes_and_never_answers(dialect: Dialect) -> None:
    model = ModelDriver(dialect, ear=lambda pcm8k: "book a table", kind="transcription")
    if dialect == "ga":
        listen = {"format": {"type": "audio/pcmu"}, "transcription": {"model": "whisper-1"}}
        model.send("session.update", session={"type": "transcription", "audio": {"input": listen}})
    else:
        changes = {"input_audio_format": "g711_ulaw", "input_audio_transcription": {"model": "whisper-1"}}
        model.send("transcription_session.update", session=changes)
    assert types(model.events) == (
        ["session.created", "session.updated"]
        if dialect == "ga"
        else ["transcription_session.created", "transcription_session.updated"]
    )
    assert model.events[1]["session"]["object"] == "realtime.transcription_session"
    model.hear(500, 300)
    assert model.only(f"{TRANSCRIPTION}.completed")["transcript"] == "book a table"
    assert not model.of_type("response.created")
    assert error_of(model.send("response.create"))["code"] == "invalid_value"
    model.check()
