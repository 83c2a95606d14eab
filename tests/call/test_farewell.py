"""The last words of a call: they are heard, and then it ends; unless the caller has more to say, where he may."""

import pytest
from driver import PLAN, CallDriver
from msgspec.structs import replace

from phonebot.call.actions import Action, CloseStream, RunTool
from phonebot.call.farewell import MS_PER_CHARACTER, PATIENCE_MS, Farewell
from phonebot.call.inputs import AnsweredBy, Leave, ToolResult
from phonebot.call.plan import ToolRule
from phonebot.call.responses import MARK
from phonebot.realtime.events import (
    CancelResponse,
    CreateItem,
    CreateResponse,
    FunctionCall,
    FunctionCallOutput,
    OutputItemDone,
    Response,
    ResponseCreated,
    ResponseDone,
    SpeechStarted,
    SpeechStopped,
)

WORDS = "Goodbye."


def leaving(*, listens: bool) -> tuple[CallDriver, list[Action]]:
    driver = CallDriver(PLAN)
    farewell = Farewell(WORDS, "guardrail", listens=listens, now=driver.now)
    return driver, driver.call._talk.take_leave(farewell, driver.now)


def says_them(driver: CallDriver, ms: int = 1_000) -> None:
    driver.feed(ResponseCreated(Response("bye", "in_progress", metadata={MARK: "insisted-1"})))
    driver.begin("item_bye", "bye")
    driver.more("item_bye", ms, "bye")
    driver.end("item_bye", "bye", WORDS)
    driver.done("bye")


@pytest.mark.parametrize("listens", [True, False])
def test_the_call_ends_once_they_were_heard(listens: bool) -> None:
    driver, asked = leaving(listens=listens)
    assert [type(each.command) for each in asked if hasattr(each, "command")] == [CreateResponse]
    says_them(driver)
    driver.run(900)
    assert not driver.call.ended
    driver.run(400)
    assert driver.closed == CloseStream(1000, "guardrail")
    assert driver.heard_ms("item_bye") == 1_000


def test_a_caller_who_speaks_calls_it_off_where_the_bot_listens() -> None:
    driver, _ = leaving(listens=True)
    says_them(driver, 3_000)
    driver.run(500)
    driver.feed(SpeechStarted(0, "turn_1"))
    driver.run(PATIENCE_MS + len(WORDS) * MS_PER_CHARACTER)
    assert driver.closed is None


def test_where_it_does_not_he_speaks_to_nobody() -> None:
    driver, _ = leaving(listens=False)
    says_them(driver, 3_000)
    driver.run(500)
    assert driver.feed(SpeechStarted(0, "turn_1")) == []
    driver.run(3_000)
    assert driver.heard_ms("item_bye") == 3_000
    assert driver.closed == CloseStream(1000, "guardrail")


def test_a_service_that_hears_him_all_the_same_does_not_take_the_words_away() -> None:
    driver, _ = leaving(listens=False)
    driver.feed(ResponseCreated(Response("bye", "in_progress", metadata={MARK: "insisted-1"})))
    driver.begin("item_bye", "bye")
    driver.more("item_bye", 1_000, "bye")
    driver.cancelled("bye")
    driver.run(1_500)
    assert driver.heard_ms("item_bye") == 1_000
    assert driver.closed == CloseStream(1000, "guardrail")


def test_words_that_the_model_does_not_say_are_waited_for_no_longer() -> None:
    driver, _ = leaving(listens=False)
    driver.feed(ResponseCreated(Response("bye", "in_progress", metadata={MARK: "insisted-1"})))
    driver.feed(ResponseDone(Response("bye", "completed")))
    assert driver.closed == CloseStream(1000, "guardrail")  # it had nothing to say


# ---------------------------------------------------------------------------------------- as a function wants it


def leaves(leave: Leave, *, said_ms: int = 2_000) -> CallDriver:
    """In one response the model has said something and called a function by which the bot leaves."""
    driver = CallDriver(replace(PLAN, tools=(ToolRule("end_call", fillers=()),)))
    driver.feed(ResponseCreated(Response("resp_1", "in_progress")))
    if said_ms:
        driver.begin("item_1")
        driver.more("item_1", said_ms)
        driver.end("item_1", text="Thank you.")
    called = FunctionCall("end_call", "call_1", "{}", id="call_item", status="completed")
    assert driver.feed(OutputItemDone("resp_1", 1, called)) == [RunTool("call_1", "end_call", "{}")]
    driver.feed(ToolResult("call_1", "It ends.", leave=leave))
    driver.done("resp_1")
    return driver


def test_a_function_ends_the_call_once_what_was_said_before_was_heard() -> None:
    driver = leaves(Leave(listens=True))
    driver.run(1_900)
    assert not driver.call.ended
    driver.run(400)
    assert driver.closed == CloseStream(1000, "bot_hung_up")
    assert driver.heard_ms("item_1") == 2_000
    assert CreateItem(FunctionCallOutput("call_1", "It ends.")) in driver.told(CreateItem)
    assert not driver.told(CreateResponse)  # nobody answers it


def test_where_nothing_was_said_it_ends_at_once() -> None:
    assert leaves(Leave(), said_ms=0).closed == CloseStream(1000, "bot_hung_up")


def test_a_function_has_its_own_last_words_said_behind_the_rest() -> None:
    driver = leaves(Leave("Goodbye.", "transferred"))
    assert len(driver.told(CreateResponse)) == 1
    says_them(driver)
    driver.run(3_500)
    assert driver.closed == CloseStream(1000, "transferred")
    assert (driver.heard_ms("item_1"), driver.heard_ms("item_bye")) == (2_000, 1_000)


def test_a_caller_who_speaks_keeps_the_bot_and_is_answered() -> None:
    driver = leaves(Leave(listens=True))
    driver.run(1_000)
    driver.feed(SpeechStarted(0, "turn_1"))
    driver.run(2 * PATIENCE_MS)
    driver.feed(SpeechStopped(500, "turn_1"))
    driver.say("item_2", 500, "resp_2")
    driver.run(700)
    assert driver.closed is None
    assert driver.heard_ms("item_2") == 500


def test_a_caller_who_speaks_does_not_stop_his_transfer() -> None:
    driver = leaves(Leave(outcome="transferred"))
    driver.run(1_000)
    assert driver.feed(SpeechStarted(0, "turn_1")) == []
    driver.run(1_500)
    assert driver.closed == CloseStream(1000, "transferred")
    assert driver.heard_ms("item_1") == 2_000


@pytest.mark.parametrize(("leave", "ends"), [(Leave(listens=True), False), (Leave(outcome="transferred"), True)])
def test_a_function_that_a_caller_has_interrupted_ends_the_call_only_if_nobody_listens(
    leave: Leave, ends: bool
) -> None:
    driver = CallDriver(replace(PLAN, tools=(ToolRule("end_call", fillers=()),)))
    driver.say("item_1", 2_000)
    called = FunctionCall("end_call", "call_1", "{}", id="call_item", status="completed")
    driver.feed(OutputItemDone("resp_1", 1, called))
    driver.run(500)
    driver.feed(SpeechStarted(0, "turn_1"))
    driver.feed(ToolResult("call_1", "It ends.", leave=leave))
    driver.run(PATIENCE_MS - 1_000)
    assert (driver.closed is not None) == ends


def test_a_machine_is_told_the_words_at_once_and_left() -> None:
    driver = CallDriver(PLAN)
    driver.say("item_1", 5_000)
    driver.run(1_000)
    driver.feed(AnsweredBy("machine", Leave("Please call us back.")))
    assert len(driver.told(CreateResponse)) == 1
    driver.run(200)
    assert driver.heard_ms("item_1") < 1_300
    says_them(driver)
    driver.run(1_500)
    assert driver.closed == CloseStream(1000, "bot_hung_up")
    assert driver.heard_ms("item_bye") == 1_000


def test_a_machine_for_which_there_are_no_words_is_left_at_once() -> None:
    driver = CallDriver(PLAN)
    driver.say("item_1", 5_000)
    driver.run(1_000)
    driver.feed(AnsweredBy("machine", Leave()))
    assert driver.closed == CloseStream(1000, "bot_hung_up")


def test_a_human_is_talked_to() -> None:
    driver = CallDriver(PLAN)
    driver.say("item_1", 5_000)
    assert driver.feed(AnsweredBy("human")) == []
    assert not driver.told(CancelResponse)
