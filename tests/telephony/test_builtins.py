"""The functions that every deployment has, through the whole service: what the other end hears of them."""

from base64 import b64decode

import pytest
from service_driver import PROFILE, SPEECH, Service, StartService
from tool_driver import bot_lines, check_replay

from phonebot.agents.profile import Profile
from phonebot.audio.dtmf import tones
from phonebot.call.actions import Tell
from phonebot.call.inputs import ToolResult
from phonebot.realtime.events import UpdateSession
from phonebot.simulator.caller import HangUp, Interrupt, Pause, Say, WaitForHangUp, WaitForQuiet
from phonebot.simulator.mind import Call, Context
from phonebot.simulator.mind import Say as Speak

ASKS = (WaitForQuiet(300), Say(SPEECH, "a question"))
GOODBYE = "Thank you for your call, and goodbye."


class Caller:
    """A mind that calls a function when somebody speaks for the first time."""

    def __init__(self, call: Call, says: str = "") -> None:
        self._call, self._says = call, says
        self._called = False

    def answer(self, context: Context) -> tuple[Speak | Call, ...]:
        if context.request:
            return (Speak(context.request.partition(': "')[2].rstrip('"') or "Well"),)
        if context.heard is None or self._called:
            return (Speak("Hi" if context.heard is None else "Well"),)
        self._called = True
        return (Speak(self._says), self._call) if self._says else (self._call,)


async def serve(start: StartService, call: Call, says: str = "", **table: object) -> Service:
    table = {"tools": [call.name]} | table
    profile = Profile.from_table(PROFILE.model_dump(exclude_none=True) | table, "test")
    return await start(profile=profile, minds=lambda: Caller(call, says))


@pytest.mark.parametrize(("farewell", "says"), [(GOODBYE, ""), ("", GOODBYE)], ids=["by it", "before it"])
async def test_the_caller_hears_the_farewell_to_its_end_and_is_hung_up(
    start_service: StartService, farewell: str, says: str
) -> None:
    service = await serve(start_service, Call("end_call", {"farewell": farewell}), says)
    record = await service.dial(*ASKS, WaitForHangUp())
    assert record.passed, record.reason
    (witness,) = service.witnesses
    assert bot_lines(witness)[-1] == GOODBYE
    await service.stop()
    log = service.log()
    assert log.header.outcome == "bot_hung_up"
    said = [step for step in log.steps for line in step.actions if getattr(line, "text", "") == GOODBYE]
    assert said
    check_replay(log)


async def test_a_caller_who_has_more_to_say_keeps_the_bot(start_service: StartService) -> None:
    service = await serve(start_service, Call("end_call", {"farewell": GOODBYE * 3}))
    record = await service.dial(*ASKS, Interrupt(1_500, SPEECH, "wait"), WaitForQuiet(800), HangUp())
    assert record.passed, record.reason
    await service.stop()
    log = service.log()
    assert log.header.outcome == "caller_hung_up"
    assert bot_lines(service.witnesses[0])[-1] == "Well"
    check_replay(log)


async def test_keys_reach_the_other_end_as_tones(start_service: StartService) -> None:
    service = await serve(start_service, Call("press_keys", {"keys": "42#"}))
    record = await service.dial(*ASKS, WaitForQuiet(1_000), Pause(300), HangUp())
    assert record.passed, record.reason
    assert b64decode(tones("42#"))[:4_000] in bytes(record.heard)
    (result,) = service.witnesses[0].saw(ToolResult)
    assert result.problem is None
    await service.stop()
    check_replay(service.log())


async def test_the_bot_speaks_another_language_from_then_on(start_service: StartService) -> None:
    service = await serve(
        start_service, Call("set_language", {"language": "de-DE"}), languages=["de-DE"], language="en-US"
    )
    record = await service.dial(*ASKS, WaitForQuiet(500), HangUp())
    assert record.passed, record.reason
    (witness,) = service.witnesses
    updates = [each.command for each in witness.saw(Tell) if isinstance(each.command, UpdateSession)]
    assert ["de-DE" in str(each.session.instructions) for each in updates] == [True]
    assert witness.session is not None
    await service.stop()
    check_replay(service.log())
