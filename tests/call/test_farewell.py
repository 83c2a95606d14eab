"""The last words of a call: they are heard, and then it ends; unless the caller has more to say, where he may."""

import pytest
from driver import PLAN, CallDriver

from phonebot.call.actions import Action, CloseStream
from phonebot.call.farewell import MS_PER_CHARACTER, PATIENCE_MS, Farewell
from phonebot.call.responses import MARK
from phonebot.realtime.events import CreateResponse, Response, ResponseCreated, ResponseDone, SpeechStarted

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
