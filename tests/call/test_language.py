"""The bot speaks another language, since a function wants it."""

from typing import Any

from driver import PLAN, CallDriver
from msgspec.structs import replace

from phonebot.call.inputs import Leave, ToolResult
from phonebot.call.language import SPEAK
from phonebot.call.plan import AgentPlan, HandoffTool, ToolRule
from phonebot.call.responses import exactly
from phonebot.realtime.events import (
    CreateResponse,
    FunctionCall,
    OutputItemDone,
    Session,
    Transcription,
    UpdateSession,
)

RULES = (ToolRule("set_language", fillers=()), ToolRule("end_call", fillers=()))
SESSION = replace(PLAN.session, instructions="You answer.", transcription=Transcription("whisper-1", language="en"))
SPANISH = f"\n\n{SPEAK.format(language='es-MX')}"


def calls(driver: CallDriver, name: str, call_id: str, response_id: str) -> None:
    called = FunctionCall(name, call_id, "{}", id=f"item_{call_id}", status="completed")
    driver.feed(OutputItemDone(response_id, 0, called))


def speaking(**plan: Any) -> CallDriver:
    driver = CallDriver(replace(PLAN, **{"session": SESSION, "tools": RULES, **plan}))
    driver.begin("item_1")
    calls(driver, "set_language", "call_1", "resp_1")
    driver.feed(ToolResult("call_1", "You speak Spanish.", language="es-MX"))
    driver.done("resp_1")
    return driver


def test_the_model_is_told_so_and_the_callers_words_are_expected_in_it() -> None:
    driver = speaking()
    assert driver.told(UpdateSession) == [
        UpdateSession(
            Session(instructions="You answer." + SPANISH, transcription=Transcription("whisper-1", language="es"))
        )
    ]
    assert len(driver.told(CreateResponse)) == 1  # it answers, in that language


def test_what_is_not_written_down_stays_so() -> None:
    session = replace(SESSION, transcription=None)
    (update,) = speaking(session=session).told(UpdateSession)
    assert update == UpdateSession(Session(instructions="You answer." + SPANISH))


def test_words_of_ours_are_translated_from_then_on() -> None:
    driver = speaking()
    driver.say("item_2", 100, "resp_2")
    driver.run(500)
    driver.begin("item_3", "resp_3")
    calls(driver, "end_call", "call_2", "resp_3")
    driver.feed(ToolResult("call_2", "", leave=Leave("Goodbye.")))
    driver.done("resp_3")
    command = driver.told(CreateResponse)[-1]
    assert isinstance(command, CreateResponse)
    assert command.options == replace(exactly("Goodbye.", "es-MX"), metadata=command.options.metadata)
    assert command.options.instructions == 'Say this in the language es-MX, and nothing else: "Goodbye."'


def test_whoever_takes_over_speaks_it_too() -> None:
    main = AgentPlan("main", "You answer.", rules=RULES, handoffs=(HandoffTool("transfer_to_bills", "bills"),))
    driver = speaking(agents=(main, AgentPlan("bills", "You know of bills.")))
    driver.begin("item_2", "resp_2")
    calls(driver, "transfer_to_bills", "call_2", "resp_2")
    driver.done("resp_2")
    update = driver.told(UpdateSession)[-1]
    assert isinstance(update, UpdateSession)
    assert update.session.instructions == "You know of bills." + SPANISH
