"""Transfers through the whole service: what the caller and his colleague hear, and who comes back to the bot."""

from base64 import b64decode

import pytest
from service_driver import SECRET_KEY, SPEECH, StartService
from switchboard_driver import CALLER, COLLEAGUE, LINE
from tool_driver import check_replay
from transfer_driver import ASKS, PUT_THROUGH, SUMMARY, Receptionist, answered_by, staged

from phonebot.audio.melody import melody
from phonebot.call.actions import BargeIn, PlayAudio
from phonebot.call.inputs import ToolResult
from phonebot.simulator.callees import Busy, Callee, Human, Invalid, Machine, NoAnswer
from phonebot.simulator.caller import HangUp, Interrupt, Pause, Press, WaitForBot, WaitForHangUp, WaitForQuiet
from phonebot.simulator.rest import RestFault
from phonebot.transfers.urls import Ticket, TransferUrls

pytestmark = pytest.mark.slow

PATIENT = WaitForHangUp(within_ms=600_000)
TALKS = Human((Pause(ms=20_000), HangUp()))
BILLS = "+15550100010"
DESK = "sip:desk@example.com"
WHISPER = f"A call from {CALLER}. {SUMMARY} Press 1 to take the call, or 2 to decline it."
TAKES = Human((WaitForBot(), WaitForQuiet(500), Press("1"), Pause(ms=60_000), HangUp()))
DECLINES = Human((WaitForBot(), Press("2"), PATIENT))
WARM = {"warm": True}


# ------------------------------------------------------------------------------------------- put through


async def test_a_caller_is_put_through_once_he_was_told_so(start_service: StartService) -> None:
    async with staged(start_service, answered_by(), callees={COLLEAGUE: TALKS}) as stage:
        record = await stage.called(*ASKS, PATIENT)
    assert record.passed, record
    assert record.told("bridged with") == [COLLEAGUE]
    assert stage.lines()[-1] == ("bot", PUT_THROUGH)
    (log,) = stage.service.logs()
    assert log.header.outcome == "transferred"
    (called,) = stage.carrier.calls_to(COLLEAGUE)
    assert (called.from_number, called.told("heard")) == (LINE, [])


@pytest.mark.parametrize(
    ("callee", "why"),
    [
        (Busy(), "the line is busy"),
        (NoAnswer(), "nobody answered"),
        (Invalid(), "the call could not be made"),
    ],
    ids=["busy", "nobody", "nobody's number"],
)
async def test_who_is_not_put_through_comes_back_to_the_bot_which_knows_why_and_what_was_said(
    start_service: StartService, callee: Callee, why: str
) -> None:
    async with staged(start_service, answered_by(), callees={COLLEAGUE: callee}) as stage:
        calling = stage.begin(*ASKS, PATIENT)
        await stage.told(f"Sorry {why}", 1)
        await stage.hang_up()
        record = await calling
        await stage.carrier.settled()
    assert record.violations == []
    first, second = sorted(stage.service.logs(), key=lambda log: log.header.started)
    assert (first.header.outcome, second.header.outcome) == ("transferred", "operator_hung_up")
    assert second.plan is not None
    *said, told = second.plan.earlier
    assert [(line.role, line.text) for line in said] == stage.lines(0)
    assert said[-1].text == PUT_THROUGH
    assert told.role == "instruction"
    assert told.text.startswith(f"The transfer to default came to nothing: {why}.")


async def test_the_announcement_is_heard_to_its_end_though_the_caller_speaks(start_service: StartService) -> None:
    say = "I am putting you through to somebody who can help you with all that."
    profile = answered_by(transfer={"say": say})
    async with staged(start_service, profile, callees={COLLEAGUE: TALKS}) as stage:
        record = await stage.called(*ASKS, Interrupt(400, SPEECH, "an interruption"), PATIENT)
    assert record.told("bridged with") == [COLLEAGUE]
    assert stage.lines()[-1] == ("bot", say)
    assert stage.service.witnesses[0].saw(BargeIn) == []


async def test_where_nobody_answers_the_next_one_is_tried_and_then_an_excuse_said(
    start_service: StartService,
) -> None:
    profile = answered_by(
        transfer_to=DESK,
        destinations={"billing": {"to": BILLS, "description": "Bills.", "fallback": "default"}},
        transfer={
            "whisper": "{caller}: {summary}",
            "when_unanswered": "say",
            "sorry": "Nobody is there.",
            "caller_id": "caller",
        },
    )
    callees: dict[str, Callee] = {BILLS: Busy(), DESK: NoAnswer()}
    async with staged(start_service, profile, lambda: Receptionist(to="billing"), callees=callees) as stage:
        record = await stage.called(*ASKS, PATIENT)
        assert record.told("dials") == [BILLS, DESK]
        assert record.told("heard") == ["Nobody is there."]
        stage.carrier.callees[DESK] = TALKS
        record = await stage.called(*ASKS, PATIENT)
    assert record.told("bridged with") == [DESK]
    assert stage.heard_by(DESK) == [f"{CALLER}: {SUMMARY}"]
    assert {called.from_number for called in stage.carrier.calls_to(BILLS)} == {CALLER}
    assert record.violations == []


async def test_a_call_whose_model_fails_is_put_through(start_service: StartService) -> None:
    profile = answered_by(tools=[])
    async with staged(start_service, profile, model_url="ws://127.0.0.1:9", callees={COLLEAGUE: TALKS}) as stage:
        record = await stage.called(PATIENT)
    assert (record.told("heard"), record.told("bridged with")) == ([PUT_THROUGH], [COLLEAGUE])


async def test_a_name_that_the_profile_lacks_is_refused(start_service: StartService) -> None:
    profile = answered_by(destinations={"billing": {"to": BILLS}})
    async with staged(start_service, profile, lambda: Receptionist(to="+15550199999")) as stage:
        await stage.called(*ASKS, WaitForQuiet(500), HangUp())
        (result,) = stage.service.witnesses[0].saw(ToolResult)
    assert "to must be one of default, billing" in str(result.problem)
    assert [record.to_number for record in stage.carrier.calls_to("+15550199999")] == []


# ------------------------------------------------------------------------------------------- asked first


async def test_a_colleague_who_is_told_why_and_takes_the_call_meets_the_caller_who_heard_music_meanwhile(
    start_service: StartService,
) -> None:
    profile = answered_by(transfer=WARM | {"ring_s": 60})
    takes = Human((WaitForBot(), WaitForQuiet(500), Press("1"), Pause(ms=6_000), HangUp()), after_s=24)
    async with staged(start_service, profile, callees={COLLEAGUE: takes}, speed=8) as stage:
        record = await stage.called(*ASKS, PATIENT)
    assert record.passed, record.reason
    (called,) = stage.carrier.calls_to(COLLEAGUE)
    assert called.told("heard")[0] == WHISPER
    assert (called.from_number, called.passed) == (LINE, True)
    assert (record.told("bridged with"), called.told("bridged with")) == ([COLLEAGUE], [CALLER])
    position = stage.carrier.position
    assert position(COLLEAGUE, "heard", WHISPER) < position(CALLER, "bridged with", COLLEAGUE)
    assert stage.lines()[-1] == ("bot", PUT_THROUGH)
    sent = b"".join(b64decode(action.payload) for action in stage.service.witnesses[0].saw(PlayAudio))
    assert b64decode(melody())[:4_000] in sent
    (log,) = stage.service.logs()
    assert log.header.outcome == "transferred"
    check_replay(log)


@pytest.mark.parametrize(
    ("callee", "why"),
    [
        (DECLINES, "nobody took the call"),
        (Busy(), "the line is busy"),
        (NoAnswer(), "nobody answered"),
        (Machine(), "nobody took the call"),
        (Human((WaitForBot(), HangUp())), "nobody took the call"),
    ],
    ids=["declined", "busy", "nobody", "machine", "hangs up"],
)
async def test_a_caller_whom_nobody_takes_has_never_left_the_bot(
    start_service: StartService, callee: Callee, why: str
) -> None:
    async with staged(start_service, answered_by(transfer=WARM), callees={COLLEAGUE: callee}) as stage:
        calling = stage.begin(*ASKS, PATIENT)
        await stage.told(f"Sorry {why}", 0)
        await stage.hang_up()
        record = await calling
        await stage.carrier.settled()
    assert (len(record.streams), len(stage.service.witnesses)) == (1, 1)
    (result,) = stage.service.witnesses[0].saw(ToolResult)
    assert result.problem is None


async def test_the_next_colleague_is_asked_when_the_first_declines(start_service: StartService) -> None:
    profile = answered_by(destinations={"billing": {"to": BILLS, "fallback": "default"}}, transfer=WARM)
    callees: dict[str, Callee] = {BILLS: DECLINES, COLLEAGUE: TAKES}
    async with staged(start_service, profile, lambda: Receptionist(to="billing"), callees=callees) as stage:
        record = await stage.called(*ASKS, PATIENT)
    assert record.told("bridged with") == [COLLEAGUE]
    assert stage.heard_by(BILLS) == [WHISPER[: len(stage.heard_by(BILLS)[0])]]


@pytest.mark.parametrize("answer", [429, 500])
async def test_a_call_that_the_api_refuses_for_now_is_placed_all_the_same(
    start_service: StartService, answer: int
) -> None:
    async with staged(start_service, answered_by(transfer=WARM), callees={COLLEAGUE: TAKES}) as stage:
        stage.carrier.faults.append(RestFault("POST", "/Calls.json", answer))
        record = await stage.called(*ASKS, PATIENT)
    assert record.told("bridged with") == [COLLEAGUE]
    assert len(stage.carrier.calls_to(COLLEAGUE)) == 1


async def test_where_the_api_does_not_answer_the_bot_says_so_and_goes_on(start_service: StartService) -> None:
    async with staged(start_service, answered_by(transfer=WARM), callees={COLLEAGUE: TAKES}) as stage:
        stage.carrier.faults.append(RestFault("POST", "/Calls.json", None))
        calling = stage.begin(*ASKS, PATIENT)
        await stage.told("Sorry the call could not be made", 0)
        await stage.hang_up()
        await calling
        assert stage.carrier.calls_to(COLLEAGUE) == []


async def test_a_colleague_is_not_rung_on_when_the_caller_has_hung_up(start_service: StartService) -> None:
    profile = answered_by(transfer={"ring_s": 120} | WARM)
    async with staged(start_service, profile, callees={COLLEAGUE: Human(after_s=5_000)}) as stage:
        calling = stage.begin(*ASKS, Pause(ms=60_000), HangUp())
        await stage.carrier.until(COLLEAGUE, "rings")
        await stage.hang_up()
        await calling
        await stage.carrier.settled()
        (called,) = stage.carrier.calls_to(COLLEAGUE)
    assert called.status in ("canceled", "completed", "no-answer")
    assert called.told("answered") == []


async def test_without_an_account_the_caller_is_put_through_unasked(start_service: StartService) -> None:
    profile = answered_by(transfer=WARM)
    async with staged(start_service, profile, has_account=False, callees={COLLEAGUE: TALKS}) as stage:
        record = await stage.called(*ASKS, PATIENT)
    assert record.told("bridged with") == [COLLEAGUE]
    assert stage.carrier.requests == []


# ------------------------------------------------------------------------------------------- who may ask


@pytest.mark.parametrize("path", ["/twilio/whisper", "/twilio/whisper/key"])
async def test_what_a_colleague_hears_is_told_to_the_carrier_alone_and_only_by_urls_of_ours(
    start_service: StartService, path: str
) -> None:
    service = await start_service(profile=answered_by())
    url = TransferUrls("", SECRET_KEY).whisper(Ticket("CA1", CALLER, LINE, "default"))
    signed = f"{path}?{url.partition('?')[2]}"
    assert (await service.post(signed))[0] == 200
    assert (await service.post(signed, token=None))[0] == 403
    for forged in (path, f"{path}?t=x", f"{signed}x"):
        assert (await service.post(forged))[0] == 403
