"""Text that is typed into a call, in virtual time: what the model is told, and when it answers."""

import pytest
from driver import CallDriver

from phonebot.call.actions import Action, BargeIn, ClearPlayback, Line, Tell, Trouble
from phonebot.call.inputs import MAX_TYPED_CHARACTERS, ModelReady, TypedText
from phonebot.call.plan import CallPlan
from phonebot.call.turns import Turn
from phonebot.call.typed import MAX_EARLY
from phonebot.realtime.events import (
    AudioCommitted,
    CreateItem,
    CreateResponse,
    Item,
    ItemAdded,
    Message,
    Part,
    Response,
    ResponseDone,
    Session,
    SpeechStarted,
    SpeechStopped,
    TruncateItem,
    TurnDetection,
)

ANSWER = Tell(CreateResponse(event_id="response-1"))
HURRY = TypedText("The table is free.", "ada", "system")


def item(text: str, role: str = "user", number: int = 1) -> Item:
    return Message(role, (Part("input_text", text=text),), id=f"typed-{number}")  # type: ignore[arg-type]


def told(text: str, role: str = "user", number: int = 1) -> Tell:
    return Tell(CreateItem(item(text, role, number)))


def answers(actions: list[Action]) -> int:
    return sum(isinstance(action, Tell) and isinstance(action.command, CreateResponse) for action in actions)


def test_what_is_typed_while_nobody_speaks_is_told_shown_and_answered_at_once() -> None:
    driver = CallDriver()
    assert driver.feed(TypedText("Are you open?", "ada")) == [
        told("Are you open?"),
        Line("caller", "typed-1", "Are you open?", typed_by="ada"),
        ANSWER,
    ]
    assert driver.feed(HURRY) == [
        told("The table is free.", "system", 2),
        Line("instruction", "typed-2", "The table is free.", typed_by="ada"),
    ]


def test_while_the_bot_speaks_the_model_is_told_at_once_and_answers_when_it_was_heard() -> None:
    driver = CallDriver()
    driver.say("item_1", 1_000, text="Hello")
    driver.run(300)
    assert answers(driver.feed(HURRY)) == 0
    assert answers(driver.run(500)) == 0
    assert answers(driver.run(1_000)) == 1
    assert driver.heard_ms("item_1") == 1_000


def test_with_interrupt_the_bot_is_stopped_as_by_the_caller() -> None:
    driver = CallDriver()
    driver.say("item_1", 2_000, text="Hello there, how are you")
    driver.run(700)
    actions = driver.feed(TypedText("Stop.", "ada", interrupt=True))
    assert isinstance(actions[0], ClearPlayback)
    assert [type(action) for action in actions if isinstance(action, BargeIn)] == [BargeIn]
    assert actions[-3:] == [told("Stop."), Line("caller", "typed-1", "Stop.", typed_by="ada"), ANSWER]
    driver.run(500)
    (truncation,) = driver.told(TruncateItem)
    assert isinstance(truncation, TruncateItem)
    assert truncation.audio_end_ms == driver.heard_ms("item_1")


def test_with_interrupt_an_answer_that_is_being_made_is_cancelled_first() -> None:
    driver = CallDriver()
    driver.begin("item_1")
    driver.more("item_1", 1_000)
    driver.run(200)
    assert answers(driver.feed(TypedText("Stop.", "ada", interrupt=True))) == 0
    actions = driver.feed(ResponseDone(Response("resp_1", "cancelled", reason="client_cancelled")))
    assert answers(actions) == 1


def test_with_interrupt_the_caller_is_not_interrupted() -> None:
    driver = CallDriver()
    driver.feed(SpeechStarted(700))
    assert driver.feed(TypedText("Stop.", "ada", interrupt=True)) == [
        told("Stop."),
        Line("caller", "typed-1", "Stop.", typed_by="ada"),
    ]
    assert driver.call.turn is Turn.CALLER


def test_what_is_typed_while_the_caller_speaks_is_answered_with_what_he_says() -> None:
    driver = CallDriver()
    driver.feed(SpeechStarted(700))
    driver.feed(HURRY)
    driver.feed(ItemAdded(item("The table is free.", "system")))
    driver.feed(SpeechStopped(1_500), AudioCommitted("turn_1"))
    driver.say("item_1", 400, text="It is")
    driver.run(2_000)
    assert driver.told(CreateResponse) == []


def test_a_response_that_crosses_what_was_typed_has_not_answered_it() -> None:
    driver = CallDriver()
    driver.feed(SpeechStarted(700), SpeechStopped(1_500), AudioCommitted("turn_1"))
    driver.feed(HURRY)
    driver.begin("item_1")
    driver.feed(ItemAdded(item("The table is free.", "system")))
    driver.more("item_1", 400)
    driver.end("item_1", text="It is")
    driver.done()
    driver.run(2_000)
    assert len(driver.told(CreateResponse)) == 1


def test_a_sentence_of_the_service_in_between_is_no_answer() -> None:
    plan = CallPlan(Session(turn_detection=TurnDetection("server_vad")), greeting="Hi")
    driver = CallDriver(plan)
    driver.feed(HURRY, ItemAdded(item("The table is free.", "system")))
    assert len(driver.told(CreateResponse)) == 1  # the greeting's
    driver.say("item_1", 400, text="Hi")
    driver.run(1_000)
    assert len(driver.told(CreateResponse)) == 2


def test_what_is_typed_before_the_model_is_ready_is_told_then_and_so_much_of_it() -> None:
    driver = CallDriver(model_ready=False)
    for number in range(MAX_EARLY):
        assert driver.feed(TypedText(f"text {number}", "ada")) == []
    assert driver.feed(HURRY) == [Trouble(f"typed text is left out: {MAX_EARLY} wait for the model already")]
    actions = driver.feed(ModelReady(Session()))
    assert sum(isinstance(action, Line) for action in actions) == MAX_EARLY
    assert actions[-1] == ANSWER


@pytest.mark.parametrize("text", ["", " \n", "x" * (MAX_TYPED_CHARACTERS + 1)])
def test_no_text_and_too_much_are_left_out(text: str) -> None:
    (trouble,) = CallDriver().feed(TypedText(text, "ada"))
    assert isinstance(trouble, Trouble)
