"""Music while a function runs that has some: it begins when nobody speaks, and makes way for whatever is said."""

from base64 import b64encode

from driver import PLAN, CallDriver
from msgspec.structs import replace

from phonebot.call.actions import BargeIn, Cut, Line
from phonebot.call.inputs import Leave, ToolResult, TypedText
from phonebot.call.plan import ToolRule
from phonebot.call.responses import exactly
from phonebot.realtime.events import CreateItem, CreateResponse, FunctionCall, OutputItemDone, SpeechStarted

NOTE = b"\x11"
MUSIC = b64encode(NOTE * 16_000).decode()  # 2 s
RULE = ToolRule("find", timeout_ms=60_000, filler_ms=1_000, music=True)


def waiting(rule: ToolRule = RULE) -> CallDriver:
    """The bot has said "One moment." and called a function, which runs."""
    driver = CallDriver(replace(PLAN, tools=(rule,), hold_audio=MUSIC))
    driver.begin("item_1")
    driver.more("item_1", 500)
    driver.end("item_1", text="One moment.")
    driver.feed(OutputItemDone("resp_1", 1, FunctionCall("find", "call_1", "{}", id="f", status="completed")))
    driver.done("resp_1")
    driver.run(700)
    return driver


def music_ms(driver: CallDriver) -> float:
    return sum(frame.audio.count(NOTE) for frame in driver.carrier.frames) / 8


def test_it_begins_after_a_moment_and_goes_on_over_and_over() -> None:
    driver = waiting()
    assert music_ms(driver) == 0
    driver.run(7_000)
    assert 5_500 < music_ms(driver) < 6_500
    assert not driver.told(CreateResponse)  # the bot says nothing


def test_the_result_stops_it_and_is_answered() -> None:
    driver = waiting()
    driver.run(2_000)
    driver.feed(ToolResult("call_1", "Nobody is there."))
    heard_ms = music_ms(driver)
    assert len(driver.told(CreateResponse)) == 1
    driver.run(1_000)
    assert music_ms(driver) <= heard_ms + 100
    driver.say("item_2", 400, "resp_2")
    driver.run(700)
    assert driver.heard_ms("item_2") == 400


def test_a_caller_who_speaks_is_heard_and_answered_and_then_it_goes_on() -> None:
    driver = waiting()
    driver.run(2_000)
    driver.feed(SpeechStarted(0, "turn_1"))
    assert driver.did(BargeIn)
    driver.run(500)
    heard_ms = music_ms(driver)
    driver.say("item_2", 400, "resp_2")
    driver.run(4_000)
    assert driver.heard_ms("item_2") == 400
    assert music_ms(driver) > heard_ms + 1_000


def test_it_makes_way_for_what_was_typed() -> None:
    driver = waiting()
    driver.run(1_500)
    driver.feed(TypedText("Tell him that it takes a minute.", "ada", "system"))
    assert len(driver.told(CreateResponse)) == 1
    driver.say("item_2", 400, "resp_2")
    driver.run(600)
    assert driver.heard_ms("item_2") == 400


def test_it_makes_way_for_the_last_words() -> None:
    driver = waiting()
    driver.run(2_000)
    driver.feed(ToolResult("call_1", "", leave=Leave(outcome="transferred")))
    driver.run(300)
    assert driver.closed is not None
    assert driver.closed.reason == "transferred"


def test_neither_the_transcript_nor_the_model_knows_of_it() -> None:
    driver = waiting()
    driver.run(4_000)
    driver.feed(SpeechStarted(0, "turn_1"))
    driver.run(1_000)
    assert [line.text for line in driver.did(Line) if isinstance(line, Line)] == ["One moment."]
    assert not driver.did(Cut)
    assert not driver.told(CreateItem)


def test_where_the_deployment_has_none_it_is_quiet() -> None:
    driver = CallDriver(replace(PLAN, tools=(RULE,)))
    driver.feed(OutputItemDone("resp_1", 1, FunctionCall("find", "call_1", "{}", id="f", status="completed")))
    driver.run(10_000)
    assert not driver.told(CreateResponse)
    assert not driver.call.ended


def test_words_come_before_it_and_it_follows_them() -> None:
    rule = replace(RULE, fillers=("I am asking a colleague.",), filler_ms=200, again_ms=10_000)
    driver = waiting(rule)
    driver.run(300)
    assert [each.options for each in driver.told(CreateResponse) if isinstance(each, CreateResponse)] == [
        exactly("I am asking a colleague.")
    ]
    driver.say("item_2", 400, "resp_2")
    driver.run(2_000)
    assert 900 < music_ms(driver) < 1_700
    assert len(driver.told(CreateResponse)) == 1
