"""Hand-offs, in virtual time: who has the call, what the model is told, and in which order."""

import pytest
from driver import CallDriver

from phonebot.call.actions import Action, HandOff, OpenModel, RunTool, Tell, Trouble
from phonebot.call.agents import MAX_IN_A_ROW, ONE_ALREADY, TOO_OFTEN, Memory, Wanted, handed_over
from phonebot.call.inputs import ModelReady, ToolResult
from phonebot.call.plan import AgentPlan, CallPlan, HandoffTool, ToolRule
from phonebot.call.tools import INTERRUPTED
from phonebot.realtime.events import (
    AudioCommitted,
    CreateItem,
    CreateResponse,
    DeleteItem,
    FunctionCall,
    FunctionCallOutput,
    FunctionTool,
    Item,
    ItemAdded,
    Message,
    OutputItemDone,
    Response,
    ResponseCreated,
    ResponseDone,
    Session,
    SpeechStarted,
    SpeechStopped,
    TurnDetection,
    UpdateSession,
)

TO_BILLING = FunctionTool("transfer_to_billing", "Bills.", {"type": "object"})
TO_MAIN = FunctionTool("transfer_to_main", "Back.", {"type": "object"})
BILL = FunctionTool("bill", "Tells a bill.", {"type": "object"})
SESSION = Session(turn_detection=TurnDetection("server_vad"), voice="marin")
BOOK = ToolRule("book")

MAIN = AgentPlan("main", "You answer.", (TO_BILLING,), (BOOK,), (HandoffTool("transfer_to_billing", "billing"),))
BILLING = AgentPlan(
    "billing", "You know bills.", (BILL, TO_MAIN), (ToolRule("bill"),), (HandoffTool("transfer_to_main", "main"),)
)


def a_call(billing: AgentPlan = BILLING, deletes: bool = True) -> CallDriver:
    """The caller has spoken, and the model answers."""
    plan = CallPlan(SESSION, tools=MAIN.rules, agents=(MAIN, billing))
    driver = CallDriver(plan, ready=ModelReady(SESSION, deletes=deletes))
    driver.feed(ResponseCreated(Response("resp_1", "in_progress")))
    return driver


def called(
    driver: CallDriver, name: str, call_id: str = "call_1", arguments: str = "{}", response_id: str = "resp_1"
) -> list[Action]:
    return driver.feed(OutputItemDone(response_id, 0, FunctionCall(name, call_id, arguments, "f", "completed")))


def over(driver: CallDriver, response_id: str = "resp_1") -> list[Action]:
    return driver.feed(ResponseDone(Response(response_id, "completed")))


def told(output: str, call_id: str = "call_1") -> Tell:
    return Tell(CreateItem(FunctionCallOutput(call_id, output)))


def hand_over(driver: CallDriver, to_agent: str, number: int) -> list[Action]:
    """The model answers again, and hands over."""
    driver.feed(ResponseCreated(Response(f"again_{number}", "in_progress")))
    called(driver, f"transfer_to_{to_agent}", f"again_{number}", response_id=f"again_{number}")
    return over(driver, f"again_{number}")


def test_who_takes_over_is_what_the_model_is_told_to_be_before_it_answers() -> None:
    driver = a_call()
    assert called(driver, "transfer_to_billing", arguments='{"note": "Asks for bill 7."}') == []
    swapped = Session(instructions="You know bills.", tools=(BILL, TO_MAIN))
    output = handed_over(Wanted("call_1", "billing", "Asks for bill 7."), "main")
    assert 'main left you this note: "Asks for bill 7."' in output
    assert over(driver)[-4:] == [
        Tell(UpdateSession(swapped)),
        HandOff("main", "billing", "Asks for bill 7."),
        told(output),
        Tell(CreateResponse(event_id="response-1")),
    ]


def test_the_session_begins_as_the_first_agent() -> None:
    driver = a_call()
    assert [action.session for action in driver.did(OpenModel) if isinstance(action, OpenModel)] == [SESSION]
    assert called(driver, "transfer_to_main") == [
        Trouble("the model called a function 'transfer_to_main' that there is not"),
        told("There is no function transfer_to_main."),
    ]


def test_each_agent_has_the_functions_of_its_own() -> None:
    driver = a_call()
    called(driver, "transfer_to_billing")
    over(driver)
    driver.feed(ResponseCreated(Response("resp_2", "in_progress")))
    assert called(driver, "book", "call_2", response_id="resp_2")[-1] == told(
        "There is no function book.", "call_2"
    )
    assert called(driver, "bill", "call_3", response_id="resp_2") == [RunTool("call_3", "bill", "{}")]


def test_what_is_called_beside_a_hand_off_is_meant_for_who_has_the_call() -> None:
    driver = a_call()
    called(driver, "transfer_to_billing", "call_1")
    assert called(driver, "book", "call_2") == [RunTool("call_2", "book", "{}")]
    assert not any(
        isinstance(action.command, CreateResponse) for action in over(driver) if isinstance(action, Tell)
    )
    assert driver.feed(ToolResult("call_2", "Booked.")) == [
        told("Booked.", "call_2"),
        Tell(CreateResponse(event_id="response-1")),
    ]


def test_the_second_hand_off_of_a_response_is_not_done() -> None:
    driver = a_call()
    called(driver, "transfer_to_billing", "call_1")
    assert called(driver, "transfer_to_billing", "call_2") == [told(ONE_ALREADY.format(agent="billing"), "call_2")]
    over(driver)
    assert driver.did(HandOff) == [HandOff("main", "billing")]


def test_a_caller_who_interrupts_before_it_is_done_keeps_his_agent() -> None:
    driver = a_call()
    called(driver, "transfer_to_billing")
    driver.feed(SpeechStarted(0, "caller_2"))
    cancelled = driver.feed(ResponseDone(Response("resp_1", "cancelled", "turn_detected")))
    assert told(INTERRUPTED) in cancelled
    assert driver.did(HandOff) == []


def test_a_hand_off_told_after_the_interruption_is_not_done() -> None:
    driver = a_call()
    driver.feed(SpeechStarted(0, "caller_2"))
    assert called(driver, "transfer_to_billing") == [told(INTERRUPTED)]


def test_agents_that_send_the_caller_in_circles_are_stopped_and_have_to_answer() -> None:
    driver = a_call()
    over(driver)
    for number in range(MAX_IN_A_ROW):
        hand_over(driver, ("billing", "main")[number % 2], number)
    driver.feed(ResponseCreated(Response("last", "in_progress")))
    assert called(driver, "transfer_to_main", "call_9", response_id="last") == [
        Trouble(f"{MAX_IN_A_ROW} hand-offs in a row: billing has to answer the caller"),
        told(TOO_OFTEN, "call_9"),
    ]
    assert any(
        isinstance(action, Tell) and isinstance(action.command, CreateResponse) for action in over(driver, "last")
    )
    assert len(driver.did(HandOff)) == MAX_IN_A_ROW


def test_what_the_caller_says_allows_for_further_hand_offs() -> None:
    driver = a_call()
    over(driver)
    for number in range(2 * MAX_IN_A_ROW):
        hand_over(driver, ("billing", "main")[number % 2], number)
        driver.feed(SpeechStarted(0, f"caller_{number}"))
        driver.feed(SpeechStopped(0, f"caller_{number}"))
    assert len(driver.did(HandOff)) == 2 * MAX_IN_A_ROW


@pytest.mark.parametrize("arguments", ["", "[]", '{"note": 3}', '{"note": "', "null"])
def test_whatever_stands_in_its_arguments_the_caller_is_handed_over(arguments: str) -> None:
    driver = a_call()
    called(driver, "transfer_to_billing", arguments=arguments)
    over(driver)
    assert driver.did(HandOff) == [HandOff("main", "billing")]


# ------------------------------------------------------------------------------------------- what is forgotten


def forgetful(turns: int) -> AgentPlan:
    return AgentPlan("billing", "You know bills.", keep_turns=turns)


def deleted(driver: CallDriver) -> list[str]:
    return [command.item_id for command in driver.told(DeleteItem) if isinstance(command, DeleteItem)]


def said(driver: CallDriver, turn: int) -> None:
    """The caller's turn, and an answer in text, are in the conversation."""
    for item in (Message("user", id=f"caller_{turn}"), Message("assistant", id=f"bot_{turn}")):
        if item.role == "user":
            driver.feed(AudioCommitted(item.id or ""))
        driver.feed(ItemAdded(item))


@pytest.mark.parametrize(
    ("turns", "gone"),
    [(0, ["caller_1", "bot_1", "caller_2", "bot_2"]), (1, ["caller_1", "bot_1"]), (2, []), (9, [])],
)
def test_an_agent_knows_as_much_of_what_was_said_as_it_is_meant_to(turns: int, gone: list[str]) -> None:
    driver = a_call(forgetful(turns))
    for turn in (1, 2):
        said(driver, turn)
    driver.feed(ItemAdded(FunctionCall("transfer_to_billing", "call_1", id="f")))
    called(driver, "transfer_to_billing")
    over(driver)
    assert deleted(driver) == gone


def test_a_service_that_deletes_nothing_is_told_of_and_the_caller_handed_over() -> None:
    driver = a_call(forgetful(0), deletes=False)
    said(driver, 1)
    called(driver, "transfer_to_billing")
    over(driver)
    assert deleted(driver) == []
    assert driver.did(Trouble) == [
        Trouble("the model's service deletes no items: the next agent knows all that was said before")
    ]
    assert driver.did(HandOff) == [HandOff("main", "billing")]


def test_a_function_whose_result_is_awaited_is_not_forgotten() -> None:
    memory = Memory()
    items: list[Item] = [Message("user", id="a"), FunctionCall("book", "call_1", id="b"), Message("user", id="c")]
    for item in items:
        memory.added(item)
    assert memory.before(1, {"call_1"}) == ["a"]
    assert memory.before(1, ()) == ["a", "b"]
