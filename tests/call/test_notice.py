"""What a caller is told before he is recorded: it comes first, and nobody hears him until he has heard it."""

from base64 import b64encode
from datetime import UTC, datetime

import pytest
from driver import NOISE, PLAN, CallDriver, recorded
from msgspec.structs import replace

from phonebot.agents.profile import Profile
from phonebot.call.actions import Action, BargeIn, ClearPlayback, CloseStream, PlayAudio, StartRecording, Trouble
from phonebot.call.farewell import MS_PER_CHARACTER, PATIENCE_MS
from phonebot.call.inputs import AnsweredBy, Leave, ModelReady, TypedText
from phonebot.call.plan import CallPlan, Clip, EarlierLine, Keypad, LocalTurns
from phonebot.call.planning import plan_for
from phonebot.call.responses import MARK, exactly
from phonebot.realtime.events import (
    CreateResponse,
    ErrorDetail,
    Response,
    ResponseCreated,
    ResponseDone,
    Session,
    SpeechStarted,
)

WORDS = "This call is recorded."
NOTICED = replace(PLAN, notice=WORDS)


def begins(driver: CallDriver, mark: int = 1, response_id: str = "notice") -> None:
    driver.feed(ResponseCreated(Response(response_id, "in_progress", metadata={MARK: f"insisted-{mark}"})))


def says_it(driver: CallDriver, ms: int = 1_000, text: str = WORDS) -> None:
    begins(driver)
    driver.begin("item_notice", "notice")
    driver.more("item_notice", ms, "notice")
    driver.end("item_notice", "notice", text)
    driver.done("notice")


def asked(driver: CallDriver) -> list[object]:
    """What the model was asked to say: its instructions; None for an answer."""
    wishes = [command.options for command in driver.told(CreateResponse) if isinstance(command, CreateResponse)]
    return [wish.instructions or None for wish in wishes]


def instructions(text: str) -> object:
    return exactly(text).instructions


def recording(driver: CallDriver) -> list[Action]:
    return driver.did(StartRecording)


def test_recording_begins_once_all_of_it_was_heard_and_then_the_bot_greets() -> None:
    driver = CallDriver(replace(NOTICED, greeting="Hi"))
    says_it(driver)
    driver.run(900)
    assert (recording(driver), asked(driver)) == ([], [instructions(WORDS)])
    driver.run(300)
    assert recording(driver) == [StartRecording()]
    assert driver.heard_ms("item_notice") == 1_000
    assert asked(driver) == [instructions(WORDS), instructions("Hi")]


def test_a_recorded_greeting_waits_for_it() -> None:
    clip = Clip("Hello", b64encode(NOISE * 20).decode(), "greeting")
    driver = CallDriver(replace(NOTICED, opening=(clip,)))
    assert driver.did(PlayAudio) == []
    says_it(driver)
    played = len(driver.did(PlayAudio))
    driver.run(1_200)
    assert recording(driver)
    assert len(driver.did(PlayAudio)) > played


def test_where_the_bot_waits_for_the_caller_it_does_so_behind_it() -> None:
    driver = CallDriver(NOTICED)
    says_it(driver)
    driver.run(8_000)
    assert recording(driver) == [StartRecording()]
    assert asked(driver) == [instructions(WORDS)]


def test_until_then_the_caller_is_silence_to_the_model_and_from_then_on_he_is_heard() -> None:
    driver = CallDriver(NOTICED, model_ready=False)
    driver.hum(True)
    driver.run(500)
    driver.feed(ModelReady(Session()))
    driver.run(100)
    says_it(driver)
    driver.run(500)
    assert driver.caller_audio
    assert all(set(audio.rstrip("=")) <= {"/", "w"} for audio in driver.caller_audio)
    driver.run(1_000)
    assert recording(driver)

    assert driver.caller_audio[-1] == b64encode(NOISE).decode()


def test_nothing_interrupts_it() -> None:
    driver = CallDriver(replace(NOTICED, keypad=Keypad(), keys_interrupt=True))
    says_it(driver, 2_000)
    driver.run(300)
    assert driver.feed(SpeechStarted(0, "turn_1")) == []
    assert driver.press("1") == []
    driver.feed(TypedText("Stop.", "ada", interrupt=True))
    driver.run(2_500)
    assert not driver.did(ClearPlayback, BargeIn)
    assert driver.heard_ms("item_notice") == 2_000
    assert recording(driver) == [StartRecording()]
    assert asked(driver) == [instructions(WORDS), None]  # what was typed is answered behind it


def test_our_own_ear_hears_nothing_before() -> None:
    driver = CallDriver(replace(NOTICED, session=Session(turn_detection=None), turns=LocalTurns()))
    driver.speak(recorded("demo/hours"))  # words from 473 to 2,440 ms
    says_it(driver)
    driver.run(900)
    assert driver.caller_audio == []
    driver.run(1_000)
    assert driver.caller_audio != []


def test_a_model_that_says_nothing_is_given_up_and_the_call_goes_on_without_a_recording() -> None:
    driver = CallDriver(replace(NOTICED, greeting="Hi"))
    begins(driver)
    driver.run(PATIENCE_MS + len(WORDS) * MS_PER_CHARACTER + 200)
    assert recording(driver) == []
    assert driver.did(Trouble) == [Trouble("the call is not recorded: of the notice, it was not heard in time")]
    driver.done("notice")
    assert asked(driver) == [instructions(WORDS), instructions("Hi")]


@pytest.mark.parametrize(
    ("text", "recorded"),
    [
        (WORDS, True),
        ("This call is recorded", True),
        ("this call, is recorded!", True),
        ("", True),  # the service writes nothing down
        ("Hello, how can I help you today?", False),
        ("This", False),
    ],
)
def test_a_model_that_says_something_else_has_not_said_it(text: str, recorded: bool) -> None:
    driver = CallDriver(NOTICED)
    says_it(driver, text=text)
    driver.run(1_500)
    assert bool(recording(driver)) == recorded
    assert bool(driver.did(Trouble)) != recorded


def test_a_response_without_audio_is_no_notice() -> None:
    driver = CallDriver(NOTICED)
    begins(driver)
    driver.feed(ResponseDone(Response("notice", "completed")))
    assert driver.did(Trouble) == [Trouble("the call is not recorded: of the notice, the model did not say it")]


def test_a_failure_that_may_pass_is_tried_again() -> None:
    driver = CallDriver(NOTICED)
    begins(driver)
    error = ErrorDetail("overloaded", type="server_error")
    driver.feed(ResponseDone(Response("notice", "failed", error=error)))
    driver.run(2_000)
    assert asked(driver) == [instructions(WORDS)] * 2
    assert recording(driver) == []


def test_a_response_of_the_services_own_is_not_taken_for_it() -> None:
    driver = CallDriver(NOTICED)
    driver.say("item_1", 1_000, text=WORDS)  # it bears no mark
    driver.run(1_500)
    assert driver.heard_ms("item_1") == 0
    assert recording(driver) == []


def test_a_machine_is_left_its_message_without_a_notice_and_unrecorded() -> None:
    driver = CallDriver(NOTICED)
    says_it(driver, 3_000)
    driver.run(300)
    driver.feed(AnsweredBy("machine", Leave("Call us.")))
    begins(driver, 2, "bye")
    driver.begin("item_bye", "bye")
    driver.more("item_bye", 500, "bye")
    driver.end("item_bye", "bye", "Call us.")
    driver.done("bye")
    driver.run(1_500)
    assert driver.closed == CloseStream(1000, "bot_hung_up")
    assert recording(driver) == []


# ---------------------------------------------------------------------------------------- the plan of it


def planned(*earlier: EarlierLine, **table: object) -> CallPlan:
    profile = Profile.from_table({"consent": "This call to {number} is recorded.", **table}, "test")
    now = datetime(2026, 11, 27, tzinfo=UTC)
    return plan_for(profile, caller="", number="+15550100002", now=now, earlier=earlier)


def test_it_may_hold_placeholders() -> None:
    assert planned().notice == "This call to +15550100002 is recorded."


def test_a_call_that_comes_back_hears_it_again_only_if_it_was_not_heard_in_full() -> None:
    heard = EarlierLine("bot", "This call to +15550100002 is recorded")
    cut = EarlierLine("bot", "This call to")
    said = EarlierLine("caller", heard.text)
    assert planned(heard, said).notice == ""
    assert planned(cut, said).notice == planned().notice
    driver = CallDriver(replace(NOTICED, earlier=(said,)))
    says_it(driver)
    driver.run(1_500)
    assert asked(driver) == [instructions(WORDS), None]
