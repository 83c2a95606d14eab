"""A call that nears a limit is brought to its end, and at the limit it ends, whatever caller and model do."""

import pytest
from driver import PLAN, CallDriver
from msgspec.structs import replace

from phonebot.call.actions import CloseStream, LimitNear, LimitReached, Tell, Trouble
from phonebot.call.inputs import CapReached, Leave, ServiceStops, ToolResult
from phonebot.call.limits import Limits, Spending, Words, near_ms
from phonebot.call.plan import Recovery, ToolRule
from phonebot.call.responses import MARK, exactly
from phonebot.call.winding_up import ENDS_SOON, GRACE_MS
from phonebot.realtime.events import (
    CancelResponse,
    CreateItem,
    CreateResponse,
    FunctionCall,
    Message,
    OutputItemDone,
    Part,
    Response,
    ResponseCreated,
    ResponseDone,
    SpeechStarted,
    TranscriptionCompleted,
    TranscriptionUsage,
    Usage,
)
from phonebot.realtime.prices import LISTED, Price, Rates, Tariff, TranscriptionPrice

BYE = Words("Time is up.")
# For each token of audio that is said, and of a line that is written down.
DOLLAR = Tariff(Price(audio=Rates(output=1_000_000)), TranscriptionPrice(output=1_000_000))
LIMITED = replace(
    PLAN,
    max_call_ms=20_000,
    limits=Limits(goodbye=BYE, most_usd=10),
    tariff=DOLLAR,
    tools=(ToolRule("end_call", fillers=()),),
)


def warned(text: str) -> Tell:
    return Tell(CreateItem(Message("system", (Part("input_text", text=text),))))


def says_bye(driver: CallDriver, ms: int = 2_000) -> None:
    driver.feed(ResponseCreated(Response("bye", "in_progress", metadata={MARK: "insisted-1"})))
    driver.say("item_bye", ms, "bye", BYE.text)


def spends(driver: CallDriver, dollars: int, response_id: str = "resp_1") -> None:
    """A response that costs so much, and says nothing."""
    driver.feed(ResponseCreated(Response(response_id, "in_progress")))
    driver.feed(ResponseDone(Response(response_id, "completed", usage=Usage(output_audio=dollars))))


# ---------------------------------------------------------------------------------------- time


def test_a_call_that_has_lasted_long_enough_is_warned_and_left_with_words() -> None:
    driver = CallDriver(LIMITED)
    driver.run(15_600)
    assert driver.log[-2:] == [
        (16_000, warned(ENDS_SOON.format(when="in 4 seconds"))),
        (16_000, LimitNear("time", 16, 20)),
    ]
    driver.run(4_000)
    assert driver.did(LimitReached) == [LimitReached("time", 20, 20)]
    (asked,) = driver.told(CreateResponse)
    assert isinstance(asked, CreateResponse)
    assert asked.options.instructions == exactly(BYE.text).instructions
    says_bye(driver)
    driver.run(2_300)
    assert driver.closed == CloseStream(1000, "time_limit")
    assert driver.heard_ms("item_bye") == 2_000


def test_an_operators_own_words_warn_the_model() -> None:
    driver = CallDriver(replace(LIMITED, limits=Limits("Hurry up.", BYE)))
    driver.run(16_000)
    assert warned("Hurry up.") in driver.did(Tell)


@pytest.mark.parametrize(("most_ms", "near"), [(10_000, 8_000), (300_000, 240_000), (900_000, 840_000)])
def test_near_the_end_are_the_last_fifth_of_a_call_and_its_last_minute_at_most(most_ms: int, near: int) -> None:
    assert near_ms(most_ms) == near


def test_a_model_that_does_not_say_the_words_does_not_keep_the_line_open() -> None:
    driver = CallDriver(replace(LIMITED, limits=Limits(goodbye=Words("Bye. " * 100))))
    driver.run(20_000 + GRACE_MS)
    assert driver.closed == CloseStream(1000, "time_limit")
    assert driver.log[-1][0] == 20_000 + GRACE_MS


def test_without_a_model_there_is_nobody_to_say_them() -> None:
    driver = CallDriver(replace(LIMITED, recovery=Recovery(budget_ms=60_000)), model_ready=False)
    driver.run(20_000)
    assert driver.closed == CloseStream(1000, "time_limit")
    assert driver.did(LimitNear, LimitReached) == [LimitNear("time", 16, 20), LimitReached("time", 20, 20)]


@pytest.mark.parametrize(("said_ms", "heard_ms"), [(5_000, 5_000), (15_000, 500)])
def test_what_is_being_said_is_heard_first_unless_it_is_long(said_ms: int, heard_ms: int) -> None:
    driver = CallDriver(LIMITED)
    driver.run(19_000)
    driver.say("item_1", said_ms)
    driver.run(700)
    says_bye(driver)
    driver.run(8_000)
    assert driver.closed == CloseStream(1000, "time_limit")
    assert driver.heard_ms("item_1") == pytest.approx(heard_ms, abs=100)
    assert driver.heard_ms("item_bye") == 2_000


def test_a_caller_who_speaks_does_not_stop_it() -> None:
    driver = CallDriver(LIMITED)
    driver.run(18_000)
    driver.feed(SpeechStarted(0, "turn_1"))
    driver.run(2_000)
    says_bye(driver)
    driver.run(500)
    assert driver.feed(SpeechStarted(0, "turn_2")) == []
    driver.run(2_000)
    assert driver.closed == CloseStream(1000, "time_limit")
    assert not driver.told(CancelResponse)


def test_a_leave_that_was_taken_before_goes_on_and_who_calls_it_off_is_left_all_the_same() -> None:
    driver = CallDriver(LIMITED)
    driver.run(19_300)
    driver.feed(ResponseCreated(Response("resp_1", "in_progress")))
    called = FunctionCall("end_call", "call_1", "{}", id="call_item", status="completed")
    driver.begin("item_1", "resp_1")
    driver.more("item_1", 3_000)
    driver.feed(OutputItemDone("resp_1", 1, called))
    driver.feed(ToolResult("call_1", "It ends.", leave=Leave(listens=True)))
    driver.run(500)
    assert driver.did(LimitReached)
    assert not driver.told(CreateResponse)
    driver.feed(SpeechStarted(0, "turn_1"))
    driver.run(100)
    assert len(driver.told(CreateResponse)) == 0  # the interrupted response is still being ended
    driver.cancelled()
    driver.run(100)
    assert len(driver.told(CreateResponse)) == 1
    says_bye(driver)
    driver.run(2_300)
    assert driver.closed == CloseStream(1000, "time_limit")


# ---------------------------------------------------------------------------------------- money


def test_a_call_that_costs_too_much_is_warned_and_left() -> None:
    driver = CallDriver(LIMITED)
    spends(driver, 7)
    assert not driver.did(LimitNear)
    spends(driver, 1, "resp_2")
    assert driver.did(LimitNear) == [LimitNear("cost", 8, 10)]
    assert warned(ENDS_SOON.format(when="within your next answers")) in driver.did(Tell)
    spends(driver, 1, "resp_3")
    assert len(driver.did(LimitNear)) == 1
    spends(driver, 2, "resp_4")
    assert driver.did(LimitReached) == [LimitReached("cost", 11, 10)]
    says_bye(driver)
    driver.run(2_300)
    assert driver.closed == CloseStream(1000, "cost_limit")


def test_what_writes_down_the_caller_counts() -> None:
    driver = CallDriver(LIMITED)
    spends(driver, 7)
    driver.feed(TranscriptionCompleted("turn_1", 0, "Hello", TranscriptionUsage(output=1)))
    assert driver.did(LimitNear) == [LimitNear("cost", 8, 10)]


def test_a_model_that_is_paid_at_the_end_of_the_call_changes_nothing() -> None:
    driver = CallDriver(LIMITED)
    spends(driver, 11)
    says_bye(driver)
    spends(driver, 11, "resp_2")
    assert len(driver.did(LimitReached)) == 1


def test_what_all_calls_may_cost_ends_one_that_goes_on() -> None:
    driver = CallDriver(LIMITED)
    driver.say("item_1", 1_000)
    driver.feed(CapReached("number_day", 20.5, 20))
    assert driver.did(LimitReached) == [LimitReached("number_day", 20.5, 20)]
    says_bye(driver)
    driver.run(3_300)
    assert driver.closed == CloseStream(1000, "cost_limit")
    assert (driver.heard_ms("item_1"), driver.heard_ms("item_bye")) == (1_000, 2_000)
    assert not driver.did(Trouble)


# ---------------------------------------------------------------------------------------- what it costs


def test_responses_and_transcriptions_are_added_at_list_prices() -> None:
    spending = Spending(LISTED.tariff("gpt-realtime-2.1", "gpt-4o-mini-transcribe"))
    spending.respond(Usage(input=640, output=150, input_text=600, input_audio=40, output_text=30, output_audio=120))
    spending.respond(None)
    responses_usd = (600 * 4 + 40 * 32 + 30 * 24 + 120 * 64) / 1e6
    assert spending.usd == pytest.approx(responses_usd)
    spending.transcribe(TranscriptionUsage(input=100, output=20))
    spending.transcribe(None)
    assert spending.usd == pytest.approx(responses_usd + (100 * 1.25 + 20 * 5) / 1e6)


def test_tokens_of_unknown_kind_count_as_audio() -> None:
    spending = Spending(LISTED.tariff("gpt-realtime-2.1"))
    spending.respond(Usage(total=300, input=200, output=100))
    assert spending.usd == pytest.approx((200 * 32 + 100 * 64) / 1e6)


def test_a_service_that_counts_backwards_does_not_make_a_call_cheaper() -> None:
    spending = Spending(DOLLAR)
    spending.respond(Usage(output_audio=3))
    spending.respond(Usage(output_audio=-2))
    assert spending.usd == 3


def test_a_call_whose_process_ends_is_left_with_words() -> None:
    driver = CallDriver(LIMITED)
    driver.feed(ServiceStops(goes_on=False))
    asked = driver.told(CreateResponse)[-1]
    assert isinstance(asked, CreateResponse)
    assert asked.options
    assert asked.options.instructions == exactly(BYE.text).instructions
    says_bye(driver)
    driver.run(2_500)
    assert driver.closed == CloseStream(1000, "service_stopped")


def test_a_call_whose_process_ends_while_the_model_says_nothing_ends_all_the_same() -> None:
    driver = CallDriver(LIMITED)
    driver.feed(ServiceStops(goes_on=False))
    driver.feed(ServiceStops(goes_on=False))
    driver.run(GRACE_MS)
    assert driver.closed == CloseStream(1000, "service_stopped")


def test_a_call_that_goes_on_in_another_process_leaves_without_a_word() -> None:
    driver = CallDriver(LIMITED)
    told = driver.told(CreateResponse)
    driver.feed(ServiceStops(goes_on=True))
    assert driver.closed == CloseStream(1012, "moved")
    assert driver.told(CreateResponse) == told
