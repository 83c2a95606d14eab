"""Functions of the model, in virtual time: which run, what it is told of them, and when it is asked to go on."""

from driver import CallDriver

from phonebot.call.actions import Action, ClearPlayback, OpenModel, RunTool, StopTool, Tell, Trouble
from phonebot.call.call import Call
from phonebot.call.inputs import MAX_OUTPUT_CHARACTERS, ToolResult
from phonebot.call.plan import CallPlan, Consent, ToolRule
from phonebot.call.tools import GIVEN_UP, INTERRUPTED, MAX_RUNNING, OWN_FILLER, TOO_LONG, TOO_MANY
from phonebot.carrier.messages import Start
from phonebot.realtime.events import (
    CreateItem,
    CreateResponse,
    FunctionCall,
    FunctionCallOutput,
    McpItem,
    Message,
    OutputItemDone,
    Part,
    Response,
    ResponseCreated,
    ResponseDone,
    Session,
    SpeechStarted,
    SpeechStopped,
    TranscriptionCompleted,
    TurnDetection,
)

BOOK = ToolRule("book", timeout_ms=10_000, fillers=())
SLOW = ToolRule("look_up", timeout_ms=20_000, fillers=("One moment.", "Still looking."), filler_ms=1_500)


def a_call(*rules: ToolRule) -> CallDriver:
    """The caller has spoken, and the model answers."""
    driver = CallDriver(CallPlan(Session(turn_detection=TurnDetection("server_vad")), tools=rules))
    driver.feed(ResponseCreated(Response("resp_1", "in_progress")))
    return driver


def called(driver: CallDriver, name: str, call_id: str = "call_1", arguments: str = "{}") -> list[Action]:
    return driver.feed(OutputItemDone("resp_1", 0, FunctionCall(name, call_id, arguments, "f", "completed")))


def over(driver: CallDriver, response_id: str = "resp_1") -> list[Action]:
    return driver.feed(ResponseDone(Response(response_id, "completed")))


def told(output: str, call_id: str = "call_1") -> Tell:
    return Tell(CreateItem(FunctionCallOutput(call_id, output)))


def asked(driver: CallDriver) -> list[CreateResponse]:
    return [command for command in driver.told(CreateResponse) if isinstance(command, CreateResponse)]


def test_a_function_runs_and_its_result_is_told_and_answered() -> None:
    driver = a_call(BOOK)
    assert called(driver, "book", arguments='{"day": "Monday"}') == [RunTool("call_1", "book", '{"day": "Monday"}')]
    over(driver)
    assert driver.feed(ToolResult("call_1", "Booked.")) == [
        told("Booked."),
        Tell(CreateResponse(event_id="response-1")),
    ]


def test_a_result_that_comes_before_the_response_is_over_is_told_at_once_and_answered_after_it() -> None:
    driver = a_call(BOOK)
    called(driver, "book")
    assert driver.feed(ToolResult("call_1", "Booked.")) == [told("Booked.")]
    assert Tell(CreateResponse(event_id="response-1")) in over(driver)


def test_functions_called_by_one_response_are_answered_by_one() -> None:
    driver = a_call(BOOK, SLOW)
    called(driver, "book", "call_1")
    called(driver, "look_up", "call_2")
    over(driver)
    assert driver.feed(ToolResult("call_2", "Nobody.")) == [told("Nobody.", "call_2")]
    driver.feed(ToolResult("call_1", "Booked."))
    assert len(asked(driver)) == 1


def test_a_function_without_words_for_it_is_waited_for_in_the_models_own() -> None:
    driver = a_call(ToolRule("book"))
    called(driver, "book")
    over(driver)
    driver.run(2_900)
    assert asked(driver) == []
    driver.run(200)
    assert [each.options for each in asked(driver)] == [OWN_FILLER]


def test_the_next_function_has_its_own_time_before_a_filler() -> None:
    driver = a_call(ToolRule("book"))
    called(driver, "book", "call_1")
    over(driver)
    driver.run(1_000)
    driver.feed(ToolResult("call_1", "Booked."))
    driver.run(5_000)
    driver.feed(ResponseCreated(Response("resp_2", "in_progress")))
    driver.feed(OutputItemDone("resp_2", 0, FunctionCall("book", "call_2", "{}", "g", "completed")))
    over(driver, "resp_2")
    driver.run(1_000)
    assert OWN_FILLER not in [each.options for each in asked(driver)]


def test_a_function_that_wants_no_filler_is_waited_for_in_silence() -> None:
    driver = a_call(BOOK)
    called(driver, "book")
    over(driver)
    driver.run(9_000)
    assert asked(driver) == []


def test_a_filler_that_cannot_be_said_yet_is_no_reason_to_tick() -> None:
    driver = a_call(SLOW)
    called(driver, "look_up")
    driver.run(SLOW.filler_ms + 100)  # the response that has called it goes on
    assert asked(driver) == []
    assert (driver.call.wakeup_ms or 0) > driver.now
    over(driver)
    driver.run(1)
    assert len(asked(driver)) == 1
    driver.run(SLOW.filler_ms + 100)  # the model takes its time to say it
    assert (driver.call.wakeup_ms or 0) > driver.now


def test_a_call_that_is_told_twice_runs_once() -> None:
    driver = a_call(BOOK)
    called(driver, "book")
    assert called(driver, "book") == []


def test_a_call_that_was_not_completed_does_not_run() -> None:
    driver = a_call(BOOK)
    call = FunctionCall("book", "call_1", '{"day": "Mon', "f", "incomplete")
    assert driver.feed(OutputItemDone("resp_1", 0, call)) == []


def test_a_function_that_there_is_not_is_told_and_answered() -> None:
    driver = a_call(BOOK)
    assert called(driver, "fly") == [
        Trouble("the model called a function 'fly' that there is not"),
        told("There is no function fly."),
    ]
    over(driver)
    assert len(asked(driver)) == 1


def test_a_result_that_is_not_to_be_answered_is_only_told() -> None:
    driver = a_call(ToolRule("note", answers=False))
    called(driver, "note")
    over(driver)
    assert driver.feed(ToolResult("call_1", "Noted.")) == [told("Noted.")]
    assert asked(driver) == []


def test_a_failure_is_noted_and_what_is_said_of_it_is_told() -> None:
    driver = a_call(BOOK)
    called(driver, "book")
    assert driver.feed(ToolResult("call_1", "It failed.", "ValueError: no such day")) == [
        Trouble("book: ValueError: no such day"),
        told("It failed."),
    ]


def test_a_result_is_cut_to_what_a_model_can_use() -> None:
    driver = a_call(BOOK)
    called(driver, "book")
    assert driver.feed(ToolResult("call_1", "x" * 100_000)) == [told("x" * MAX_OUTPUT_CHARACTERS)]


def test_arguments_that_are_too_long_and_calls_that_are_too_many_do_not_run() -> None:
    driver = a_call(BOOK)
    assert called(driver, "book", "long", "x" * 20_001) == [told(TOO_LONG, "long")]
    for number in range(MAX_RUNNING):
        assert called(driver, "book", f"call_{number}") == [RunTool(f"call_{number}", "book", "{}")]
    assert called(driver, "book", "more") == [told(TOO_MANY, "more")]


def test_a_function_that_takes_too_long_is_given_up_and_its_late_result_is_nothing() -> None:
    driver = a_call(BOOK)
    called(driver, "book")
    over(driver)
    driver.run(9_900)
    assert asked(driver) == []
    assert [action for action in driver.run(200) if isinstance(action, StopTool | Trouble | Tell)][:3] == [
        StopTool("call_1"),
        Trouble("book was given up after 10000 ms"),
        told(GIVEN_UP),
    ]
    assert len(asked(driver)) == 1
    assert driver.feed(ToolResult("call_1", "Booked.")) == []


# ------------------------------------------------------------------------------------------- the caller interrupts


def test_a_call_of_an_interrupted_response_does_not_run() -> None:
    driver = a_call(BOOK)
    driver.say("a", 2_000, "resp_1")
    driver.run(500)
    assert driver.feed(SpeechStarted(0))[0] == ClearPlayback()
    assert called(driver, "book") == [told(INTERRUPTED)]


def test_a_function_goes_on_while_the_caller_speaks_and_is_answered_with_what_he_says() -> None:
    driver = a_call(BOOK)
    called(driver, "book")
    over(driver)
    driver.feed(SpeechStarted(0))
    assert driver.feed(ToolResult("call_1", "Booked.")) == [told("Booked.")]
    driver.feed(SpeechStopped(0))
    assert asked(driver) == []  # the service answers his turn by itself


def test_a_result_that_comes_after_the_answer_to_what_he_said_is_answered_too() -> None:
    driver = a_call(BOOK)
    called(driver, "book")
    over(driver)
    driver.feed(SpeechStarted(0), SpeechStopped(0))
    driver.feed(ResponseCreated(Response("resp_2", "in_progress")))
    over(driver, "resp_2")
    driver.feed(ToolResult("call_1", "Booked."))
    assert len(asked(driver)) == 1


# ------------------------------------------------------------------------------------------- silence


def test_while_a_function_runs_and_nobody_speaks_the_bot_says_so_again_and_again() -> None:
    driver = a_call(SLOW)
    called(driver, "look_up")
    over(driver)
    driver.run(1_400)
    assert asked(driver) == []
    driver.run(200)
    (first,) = asked(driver)
    assert first.options.instructions == 'Say exactly these words, and nothing else: "One moment."'
    driver.say("b", 1_000, "resp_2")
    driver.run(2_000)
    assert len(asked(driver)) == 1
    driver.run(1_500)
    assert asked(driver)[1].options.instructions == 'Say exactly these words, and nothing else: "Still looking."'


def test_nothing_is_said_into_the_callers_words() -> None:
    driver = a_call(SLOW)
    called(driver, "look_up")
    over(driver)
    driver.feed(SpeechStarted(0))
    driver.run(3_000)
    assert asked(driver) == []


# ------------------------------------------------------------------------------------------- consent


BY_KEY = ToolRule("pay", consent=Consent(key="1"))
BY_WORD = ToolRule("pay", consent=Consent(words=("yes", "go ahead")))


def asks_again(driver: CallDriver, arguments: str = "{}") -> list[Action]:
    """The model calls the function once more."""
    driver.feed(ResponseCreated(Response("resp_2", "in_progress")))
    return called(driver, "pay", "call_2", arguments)


def test_a_function_that_needs_a_key_runs_once_the_caller_has_pressed_it() -> None:
    driver = a_call(BY_KEY)
    (refused,) = called(driver, "pay")
    assert isinstance(refused, Tell)
    assert "Ask him to press 1" in str(refused.command)
    over(driver)
    (agreed, *_) = driver.press("1")
    text = "The caller pressed 1: he agrees. Call pay again now, with the same arguments."
    assert agreed == Tell(CreateItem(Message("system", (Part("input_text", text=text),))))
    assert asks_again(driver) == [RunTool("call_2", "pay", "{}")]


def test_a_function_that_needs_a_word_runs_once_the_caller_has_said_it() -> None:
    driver = a_call(BY_WORD)
    called(driver, "pay", arguments='{"a": 1, "b": 2}')
    over(driver)
    driver.feed(TranscriptionCompleted("item_u", 0, "Well, go ahead!"))
    assert asks_again(driver, '{"b": 2, "a": 1}') == [RunTool("call_2", "pay", '{"b": 2, "a": 1}')]


def test_consent_is_for_one_call_with_these_arguments_for_a_while() -> None:
    for then in ("no word", "other arguments", "too late", "twice"):
        driver = a_call(BY_WORD)
        called(driver, "pay", arguments='{"usd": 5}')
        over(driver)
        said = "No, wait." if then == "no word" else "Yes."
        driver.feed(TranscriptionCompleted("item_u", 0, said))
        if then == "too late":
            driver.run(61_000)
        if then == "twice":
            called(driver, "pay", "call_3", '{"usd": 5}')
        answer = asks_again(driver, '{"usd": 500}' if then == "other arguments" else '{"usd": 5}')
        assert not any(isinstance(action, RunTool) for action in answer), then


# ------------------------------------------------------------------------------------------- servers of others


def mcp_call(driver: CallDriver, response_id: str = "resp_1") -> list[Action]:
    """The model's service has called a function of an MCP server."""
    return driver.feed(OutputItemDone(response_id, 0, McpItem("mcp_call", "m", {"status": "completed"})))


def test_a_response_that_ends_with_a_call_that_the_service_ran_is_answered() -> None:
    driver = a_call()
    assert mcp_call(driver) == []
    over(driver)
    assert len(asked(driver)) == 1


def test_a_response_that_goes_on_after_such_a_call_is_its_own_answer() -> None:
    driver = a_call()
    mcp_call(driver)
    driver.feed(OutputItemDone("resp_1", 1, Message("assistant", (), "item_b", "completed")))
    over(driver)
    assert asked(driver) == []


def test_what_of_a_profile_a_call_has_to_do_without_is_told_at_its_begin() -> None:
    call = Call(CallPlan(Session(), problems=("There is no function book.",)))
    start = Start(1, "MZ", "AC", "CA")
    assert call.receive(start, 0) == [Trouble("There is no function book."), OpenModel(Session())]
