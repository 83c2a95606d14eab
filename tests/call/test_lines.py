"""The order of the transcript: what the caller said is written down late, in another order, or never."""

from driver import PLAN, CallDriver
from msgspec.structs import replace

from phonebot.call.actions import Line
from phonebot.call.inputs import ModelLost, ModelReady
from phonebot.call.lines import LATE_MS, MISSING_MS
from phonebot.carrier.messages import Stop
from phonebot.realtime.events import (
    AudioCommitted,
    ErrorDetail,
    Session,
    SpeechStarted,
    SpeechStopped,
    Transcription,
    TranscriptionCompleted,
    TranscriptionFailed,
)

WRITTEN = replace(PLAN, session=replace(PLAN.session, transcription=Transcription("any")))


def turn(driver: CallDriver, item_id: str) -> None:
    driver.feed(SpeechStarted(0, item_id), SpeechStopped(0, item_id), AudioCommitted(item_id))


def answered(driver: CallDriver, number: int) -> None:
    """A turn of the caller's, and the bot's answer to it, heard in full."""
    turn(driver, f"turn_{number}")
    driver.say(f"item_{number}", 300, f"resp_{number}", f"Answer {number}.")
    driver.run(500)


def written(driver: CallDriver, item_id: str, text: str) -> None:
    driver.feed(TranscriptionCompleted(item_id, 0, text))


def texts(driver: CallDriver) -> list[str]:
    return [line.text for line in driver.did(Line) if isinstance(line, Line)]


def test_an_answer_stands_behind_what_it_answers_though_that_was_written_down_later() -> None:
    driver = CallDriver(WRITTEN)
    answered(driver, 1)
    assert texts(driver) == []
    written(driver, "turn_1", "Hello?")
    assert texts(driver) == ["Hello?", "Answer 1."]


def test_turns_that_are_written_down_in_another_order_stand_in_their_own() -> None:
    driver = CallDriver(WRITTEN)
    answered(driver, 1)
    answered(driver, 2)
    written(driver, "turn_2", "Really?")
    assert texts(driver) == []
    written(driver, "turn_1", "Hello?")
    assert texts(driver) == ["Hello?", "Answer 1.", "Really?", "Answer 2."]


def test_a_turn_that_is_never_written_down_is_a_line_without_words() -> None:
    driver = CallDriver(WRITTEN)
    answered(driver, 1)
    driver.run(LATE_MS - 500)
    assert texts(driver) == []
    driver.run(500)
    assert driver.did(Line) == [Line("caller", "turn_1", ""), Line("bot", "item_1", "Answer 1.", heard_ms=300)]


def test_where_one_was_not_written_down_the_next_is_not_waited_for_as_long() -> None:
    driver = CallDriver(WRITTEN)
    answered(driver, 1)
    driver.run(LATE_MS)
    answered(driver, 2)
    driver.run(MISSING_MS)
    assert texts(driver) == ["", "Answer 1.", "", "Answer 2."]
    written(driver, "turn_2", "Really?")
    answered(driver, 3)
    driver.run(MISSING_MS)
    assert texts(driver)[4:] == ["Really?"]


def test_a_turn_whose_transcription_fails_is_a_line_without_words_at_once() -> None:
    driver = CallDriver(WRITTEN)
    answered(driver, 1)
    driver.feed(TranscriptionFailed("turn_1", 0, ErrorDetail("unintelligible")))
    assert texts(driver) == ["", "Answer 1."]


def test_a_noise_that_had_no_words_is_no_line_and_waited_for_by_none() -> None:
    driver = CallDriver(WRITTEN)
    answered(driver, 1)
    written(driver, "turn_1", " ")
    assert texts(driver) == ["Answer 1."]


def test_at_the_end_of_the_call_nothing_waits() -> None:
    driver = CallDriver(WRITTEN)
    answered(driver, 1)
    turn(driver, "turn_2")
    driver.feed(Stop(9, "AC", "CA"))
    assert texts(driver) == ["", "Answer 1.", ""]


def test_what_a_lost_session_did_not_write_down_is_a_line_without_words() -> None:
    driver = CallDriver(WRITTEN)
    answered(driver, 1)
    driver.feed(ModelLost("gone"))
    driver.feed(ModelReady(Session()))
    answered(driver, 2)
    written(driver, "turn_2", "Hello?")
    driver.run(LATE_MS)
    assert texts(driver) == ["", "Answer 1.", "Hello?", "Answer 2."]


def test_where_nothing_is_written_down_nothing_is_waited_for() -> None:
    driver = CallDriver()
    answered(driver, 1)
    assert texts(driver) == ["Answer 1."]
