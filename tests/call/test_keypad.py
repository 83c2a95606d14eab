"""Keys that the caller presses to answer, in virtual time: when they are complete, and what the model is told."""

import pytest
from driver import PLAN, CallDriver
from msgspec.structs import replace

from phonebot.call.actions import Action, BargeIn, CallerSilent, ClearPlayback, KeysEntered, Line
from phonebot.call.inputs import Leave, ModelReady, ToolResult
from phonebot.call.keypad import HIDDEN
from phonebot.call.limits import NoInput, Words
from phonebot.call.plan import CallPlan, Consent, Keypad, KeyTurns, ToolRule
from phonebot.call.turns import Turn
from phonebot.realtime.events import (
    CancelResponse,
    CommitAudio,
    CreateItem,
    CreateResponse,
    FunctionCall,
    Message,
    OutputItemDone,
    Part,
    Session,
    SpeechStarted,
)

MENU = {"1": "I want a table.", "0": "I want a person.", "21": "I want to cancel.", "2": "I have a question."}
NUMBERS = "The caller pressed the keys {}."


def driver(keypad: Keypad | None = None, plan: CallPlan = PLAN, *, model_ready: bool = True) -> CallDriver:
    return CallDriver(replace(plan, keypad=keypad or Keypad()), model_ready=model_ready)


def press(call: CallDriver, keys: str) -> list[Action]:
    """100 ms apart. What the call did until 100 ms after the last."""
    return [action for key in keys for action in call.press(key)]


def told(call: CallDriver) -> list[str]:
    """The texts that the model was told in the caller's place, which the transcript has too, by the keypad."""
    lines = [action for action in call.did(Line) if isinstance(action, Line) and action.typed_by == "keypad"]
    texts = [
        part.text
        for command in call.told(CreateItem)
        if isinstance(command, CreateItem) and isinstance(command.item, Message) and command.item.role == "user"
        for part in command.item.content
    ]
    assert [line.text for line in lines] == texts
    assert all(line.role == "caller" for line in lines)
    return [str(text) for text in texts]


def test_a_number_is_complete_with_the_terminator_and_answered_once() -> None:
    call = driver()
    assert press(call, "123") == []
    actions = press(call, "#")
    message = Message("user", (Part("input_text", text=NUMBERS.format("1 2 3")),), id="typed-1")
    assert actions[0] == KeysEntered("123")
    assert call.told(CreateItem) == [CreateItem(message)]
    assert call.told(CreateResponse) == [CreateResponse(event_id="response-1")]
    call.run(5_000)
    assert told(call) == [NUMBERS.format("1 2 3")]


def test_it_is_complete_when_no_key_comes_any_more() -> None:
    call = driver(Keypad(timeout_ms=2_000))
    press(call, "12")
    call.run(1_800)
    press(call, "3")
    call.run(1_800)
    assert told(call) == []
    call.run(200)
    assert told(call) == [NUMBERS.format("1 2 3")]


def test_it_is_complete_with_as_many_keys_as_there_may_be_and_the_terminator_behind_them_is_nothing() -> None:
    call = driver(Keypad(max_keys=4))
    press(call, "1234#")
    call.run(5_000)
    assert told(call) == [NUMBERS.format("1 2 3 4")]


def test_a_key_alone_is_told_as_one_and_so_is_the_terminator() -> None:
    call = driver()
    press(call, "7#")
    call.run(5_000)
    press(call, "#")
    assert told(call) == ["The caller pressed the key 7.", "The caller pressed the key #."]


def test_without_a_terminator_its_key_is_one_like_the_others() -> None:
    call = driver(Keypad(terminator=""))
    press(call, "*21#")
    call.run(5_000)
    assert told(call) == [NUMBERS.format("* 2 1 #")]


@pytest.mark.parametrize(
    ("keys", "texts"),
    [
        ("1", ["I want a table."]),
        ("0", ["I want a person."]),
        ("21", ["I want to cancel."]),
        ("2#", ["I have a question."]),
        ("10", ["I want a table.", "I want a person."]),
        ("3#", ["The caller pressed the key 3."]),
    ],
)
def test_what_the_menu_decides_is_taken_at_once_and_means_what_stands_there(keys: str, texts: list[str]) -> None:
    call = driver(Keypad(menu=MENU))
    press(call, keys)
    assert told(call) == texts


def test_a_choice_with_which_a_longer_one_begins_waits_for_it() -> None:
    call = driver(Keypad(menu=MENU))
    assert press(call, "2") == []
    call.run(3_000)
    assert told(call) == ["I have a question."]
    assert call.did(KeysEntered) == [KeysEntered("2", is_choice=True)]


def test_a_choice_that_is_pressed_again_counts_once_until_a_while_has_passed() -> None:
    call = driver(Keypad(menu=MENU, timeout_ms=1_000))
    press(call, "111#")
    assert told(call) == ["I want a table."]
    call.run(1_100)
    press(call, "1")
    assert told(call) == ["I want a table."] * 2


# ---------------------------------------------------------------------------------------- while the bot speaks


def test_keys_while_the_bot_speaks_are_answered_when_it_was_heard() -> None:
    call = driver()
    call.say("item_1", 2_000)
    call.run(300)
    press(call, "42#")
    assert told(call) == [NUMBERS.format("4 2")]
    assert not call.told(CreateResponse)
    call.run(2_000)
    assert len(call.told(CreateResponse)) == 1
    assert call.heard_ms("item_1") == 2_000
    assert not call.did(BargeIn)


def test_where_keys_interrupt_the_first_one_stops_the_bot_and_belongs_to_the_answer() -> None:
    call = driver(plan=replace(PLAN, keys_interrupt=True))
    call.say("item_1", 5_000)
    call.run(300)
    actions = press(call, "4")
    assert isinstance(actions[0], ClearPlayback)
    press(call, "2#")
    call.run(500)
    assert told(call) == [NUMBERS.format("4 2")]
    assert len(call.told(CreateResponse)) == 1


def test_where_the_bot_must_not_be_interrupted_keys_do_not_either() -> None:
    call = driver(plan=replace(PLAN, keys_interrupt=True, interruptible=False))
    call.say("item_1", 2_000)
    call.run(300)
    press(call, "42#")
    assert not call.did(ClearPlayback)
    call.run(2_500)
    assert call.heard_ms("item_1") == 2_000
    assert len(call.told(CreateResponse)) == 1


def test_keys_during_an_announcement_that_cannot_be_stopped_are_nothing() -> None:
    call = driver(plan=replace(PLAN, tools=(ToolRule("transfer_call", fillers=()),)))
    call.say("item_1", 3_000)
    called = FunctionCall("transfer_call", "call_1", "{}", id="call_item", status="completed")
    call.feed(OutputItemDone("resp_1", 1, called))
    call.feed(ToolResult("call_1", "Done.", leave=Leave(outcome="transferred")))
    call.run(300)
    assert press(call, "42#") == []


@pytest.mark.parametrize("interrupts", [False, True])
def test_a_key_calls_off_a_goodbye_that_speech_would_call_off(interrupts: bool) -> None:
    plan = replace(PLAN, tools=(ToolRule("end_call", fillers=()),), keys_interrupt=interrupts)
    call = driver(plan=plan)
    call.say("item_1", 3_000)
    called = FunctionCall("end_call", "call_1", "{}", id="call_item", status="completed")
    call.feed(OutputItemDone("resp_1", 1, called))
    call.feed(ToolResult("call_1", "Done.", leave=Leave(listens=True)))
    call.run(300)
    press(call, "4")
    call.run(7_500)
    assert call.closed is None
    assert told(call) == ["The caller pressed the key 4."]
    assert len(call.told(CreateResponse)) == 1


# ---------------------------------------------------------------------------------------- beside other things


def test_keys_before_the_model_is_ready_are_told_once_it_is() -> None:
    call = driver(model_ready=False)
    press(call, "42#")
    assert call.did(KeysEntered) == [KeysEntered("42")]
    assert not call.did(Line)
    call.feed(ModelReady(Session()))
    assert told(call) == [NUMBERS.format("4 2")]
    assert len(call.told(CreateResponse)) == 1


def test_keys_while_the_caller_speaks_are_answered_with_what_he_says() -> None:
    call = driver()
    call.feed(SpeechStarted(700))
    press(call, "42#")
    assert told(call) == [NUMBERS.format("4 2")]
    assert call.call.turn is Turn.CALLER
    assert not call.told(CreateResponse)


def test_the_key_by_which_he_agrees_to_a_function_is_no_answer() -> None:
    rule = ToolRule("book", fillers=(), consent=Consent(key="1"))
    call = driver(plan=replace(PLAN, tools=(rule,)))
    call.say("item_1", 500)
    called = FunctionCall("book", "call_1", "{}", id="call_item", status="completed")
    call.feed(OutputItemDone("resp_1", 1, called))
    call.run(1_000)
    assert call.call.waits_for_key("1", call.now)
    assert not call.call.waits_for_key("2", call.now)
    press(call, "1")
    press(call, "12#")
    assert told(call) == [NUMBERS.format("1 2")]


def test_where_a_key_ends_turns_it_does_and_the_others_are_answers() -> None:
    call = driver(Keypad(terminator="*"), plan=CallPlan(Session(turn_detection=None), turns=KeyTurns()))
    call.run(300)
    press(call, "42")
    press(call, "#")
    assert told(call) == [NUMBERS.format("4 2")]
    assert len(call.told(CommitAudio)) == 1
    assert len(call.told(CreateResponse)) == 1
    call.say("item_1", 5_000)
    call.run(300)
    press(call, "7")
    assert call.did(BargeIn)
    call.run(4_000)
    assert told(call) == [NUMBERS.format("4 2"), "The caller pressed the key 7."]
    assert len(call.told(CreateResponse)) == 2
    assert not call.told(CancelResponse)


def test_of_hidden_keys_the_model_is_told_how_many_there_were() -> None:
    call = driver(Keypad(hidden=True))
    press(call, "0000#")  # as the shell lets the call know them
    assert told(call) == [HIDDEN.format(count="4 keys", placeholder="{keys}")]
    assert call.did(KeysEntered) == [KeysEntered("0000")]


def test_who_keys_in_is_known_until_he_has_ended() -> None:
    call = driver()
    assert call.call.keys_in == 0
    press(call, "12")
    assert call.call.keys_in == 2
    press(call, "#")
    assert call.call.keys_in == 0


def test_who_keys_in_a_number_slowly_is_not_asked_whether_he_is_there() -> None:
    asks = NoInput(after_ms=2_000, times=1, say=Words("Are you there?"), goodbye=Words("Bye."))
    call = driver(Keypad(timeout_ms=5_000), plan=replace(PLAN, no_input=asks))
    press(call, "4")
    call.run(4_000)
    press(call, "2")
    call.run(4_000)
    assert not call.did(CallerSilent)
    assert told(call) == []
    call.run(1_200)
    assert told(call) == [NUMBERS.format("4 2")]
