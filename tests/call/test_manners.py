"""A caller who says nothing is asked whether he is there, and left in the end; unless he shows that he is."""

from driver import PLAN, CallDriver
from msgspec.structs import replace

from phonebot.call.actions import Action, CallerSilent, CloseStream
from phonebot.call.inputs import ModelReady, ToolResult, TypedText
from phonebot.call.limits import NoInput, Words
from phonebot.call.plan import ToolRule
from phonebot.call.responses import MARK, exactly
from phonebot.realtime.events import (
    CreateResponse,
    FunctionCall,
    OutputItemDone,
    Response,
    ResponseCreated,
    ResponseDone,
    Session,
    SpeechStarted,
    SpeechStopped,
)

WISH = NoInput(4_000, 2, Words("Are you there?"), Words("Goodbye.", "de"))
PATIENT = replace(PLAN, no_input=WISH, tools=(ToolRule("look_up", fillers=()),))


def silent(driver: CallDriver) -> list[Action]:
    return driver.did(CallerSilent)


def asks(driver: CallDriver, number: int) -> None:
    """The model says what it was asked to, which takes a second, and it is heard."""
    driver.say(f"item_ask_{number}", 1_000, f"resp_ask_{number}", "Are you there?")
    driver.run(1_100)


def test_who_says_nothing_is_asked_and_asked_again_and_left() -> None:
    driver = CallDriver(PATIENT)
    driver.run(3_800)
    assert not silent(driver)
    driver.run(200)
    assert silent(driver) == [CallerSilent(4_000, 1)]
    assert driver.told(CreateResponse) == [CreateResponse(exactly("Are you there?"), "response-1")]
    asks(driver, 1)
    driver.run(4_000)
    assert silent(driver)[1:] == [CallerSilent(4_000, 2)]
    asks(driver, 2)
    driver.run(4_000)
    assert silent(driver)[2:] == [CallerSilent(4_000, 0)]
    goodbye = driver.told(CreateResponse)[-1]
    assert isinstance(goodbye, CreateResponse)
    assert goodbye.options.instructions == exactly("Goodbye.", "de").instructions
    driver.feed(ResponseCreated(Response("bye", "in_progress", metadata={MARK: "insisted-1"})))
    driver.say("item_bye", 1_000, "bye", "Goodbye.")
    driver.run(1_200)
    assert driver.closed == CloseStream(1000, "no_input")
    assert driver.heard_ms("item_bye") == 1_000


def test_the_time_counts_from_the_end_of_what_is_heard() -> None:
    driver = CallDriver(PATIENT)
    driver.say("item_1", 6_000)
    driver.run(9_900)
    assert not silent(driver)
    driver.run(300)
    assert len(silent(driver)) == 1


def test_who_speaks_is_asked_anew_from_the_first_time_on() -> None:
    driver = CallDriver(PATIENT)
    driver.run(4_100)
    asks(driver, 1)
    driver.feed(SpeechStarted(0, "turn_1"))
    driver.run(10_000)
    driver.feed(SpeechStopped(0, "turn_1"))
    driver.say("item_1", 1_000)
    driver.run(5_200)
    assert silent(driver) == [CallerSilent(4_000, 1), CallerSilent(4_000, 1)]


def test_a_key_and_a_typed_text_of_his_are_signs_of_him() -> None:
    driver = CallDriver(PATIENT)
    driver.run(3_800)
    driver.press("1")
    driver.run(3_800)
    assert not silent(driver)
    driver.feed(TypedText("I am deaf: I type.", "relay"))
    driver.say("item_1", 1_000)
    driver.run(4_900)
    assert not silent(driver)
    driver.run(400)
    assert silent(driver) == [CallerSilent(4_000, 1)]


def test_while_a_function_runs_or_the_model_thinks_nobody_is_asked() -> None:
    driver = CallDriver(PATIENT)
    called = FunctionCall("look_up", "call_1", "{}", id="call_item", status="completed")
    driver.feed(ResponseCreated(Response("resp_1", "in_progress")), OutputItemDone("resp_1", 0, called))
    driver.done()
    driver.run(10_000)
    driver.feed(ToolResult("call_1", "It is there."))
    driver.feed(ResponseCreated(Response("resp_2", "in_progress")))
    driver.run(9_000)
    assert not silent(driver)
    driver.feed(ResponseDone(Response("resp_2", "completed")))
    driver.run(4_100)
    assert len(silent(driver)) == 1


def test_nobody_is_asked_before_there_is_a_model_to_ask() -> None:
    driver = CallDriver(PATIENT, model_ready=False)
    driver.run(7_000)
    driver.feed(ModelReady(Session()))
    driver.run(3_800)
    assert not silent(driver)
    driver.run(200)
    assert len(silent(driver)) == 1


def test_a_caller_who_speaks_into_the_goodbye_keeps_the_bot() -> None:
    driver = CallDriver(replace(PLAN, no_input=replace(WISH, times=0)))
    driver.run(4_100)
    driver.feed(ResponseCreated(Response("bye", "in_progress", metadata={MARK: "insisted-1"})))
    driver.say("item_bye", 3_000, "bye", "Goodbye.")
    driver.run(1_000)
    driver.feed(SpeechStarted(0, "turn_1"))
    driver.run(30_000)
    assert driver.closed is None
