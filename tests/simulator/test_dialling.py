"""Dial of numbers: who answers, the whisper, what the action is told, how it ends."""

from typing import Any

import pytest
from answering_server import HANGUP
from switchboard_driver import CALLER, COLLEAGUE, LINE, Scene

from phonebot.simulator.callees import Busy, Drops, Human, Invalid, NoAnswer, Refuses
from phonebot.simulator.caller import Pause, Press, Say, WaitForBot, WaitForHangUp, WaitForQuiet

OTHER = "+15550100010"
VOICE = b"\x85" * 160
STAYS = Pause(ms=600_000)
LISTENS = WaitForHangUp(within_ms=600_000)


def dials(scene: Scene, attributes: str = "", number: str = "", numbers: str | None = None) -> None:
    """The webhook dials the colleague; the action /after hangs up."""
    nouns = f"<Number {number}>{COLLEAGUE}</Number>" if numbers is None else numbers
    scene.bot.answers["/voice"] = (
        f'<Response><Dial action="/after" {attributes}>{nouns}</Dial><Say>never</Say></Response>'
    )
    scene.bot.answers["/after"] = HANGUP
    scene.bot.answers["/leg"] = "<Response/>"


async def test_two_who_are_bridged_hear_each_other_and_each_others_keys(scene: Scene) -> None:
    dials(scene, f'callerId="{LINE}"')
    scene.carrier.callees[COLLEAGUE] = Human((Say(VOICE * 10), Pause(400), Press("7"), Pause(1000)))
    caller = await scene.call(WaitForQuiet(100), Say(b"\x8a" * 1600), LISTENS)
    (called,) = scene.carrier.calls_to(COLLEAGUE)
    assert (caller.outcome, called.outcome) == ("bot hung up", "caller hung up")
    assert (caller.failed_steps, called.failed_steps) == ([], [])
    assert (caller.line_heard.count(VOICE), called.line_heard.count(b"\x8a" * 160)) == (10, 10)
    assert caller.told("hears key") == ["7"]
    assert (called.from_number, called.direction) == (LINE, "outbound-dial")
    assert called.parent_sid == caller.call_sid
    assert called.told("bridged with") == [CALLER]
    form = scene.bot.form("/after")
    assert (form["DialCallStatus"], form["DialBridged"]) == ("completed", "true")
    assert (form["DialCallSid"], form["CallStatus"]) == (called.call_sid, "in-progress")
    assert form["DialCallDuration"] == "2"


@pytest.mark.parametrize(
    ("callee", "status"),
    [
        (Busy(), "busy"),
        (Refuses(), "busy"),
        (NoAnswer(), "no-answer"),
        (Human(after_s=6), "no-answer"),
        (Refuses(after_s=6), "no-answer"),
        (Invalid(), "failed"),
    ],
)
async def test_the_action_is_told_why_nobody_was_reached(scene: Scene, callee: Any, status: str) -> None:
    dials(scene, 'timeout="5"', 'statusCallback="/leg" statusCallbackEvent="initiated ringing answered completed"')
    scene.carrier.callees[COLLEAGUE] = callee
    record = await scene.call(LISTENS)
    assert record.passed
    form = scene.bot.form("/after")
    assert (form["DialCallStatus"], form["DialBridged"], "DialCallDuration" in form) == (status, "false", False)
    legs = scene.bot.forms("/leg")
    assert [form["SequenceNumber"] for form in legs] == [str(number) for number in range(len(legs))]
    assert (legs[0]["CallStatus"], legs[-1]["CallStatus"]) == ("initiated", status)
    assert legs[-1]["ParentCallSid"] == record.call_sid
    assert record.told("bridged with") == []


async def test_a_whisper_is_heard_by_the_called_one_alone_and_before_they_talk(scene: Scene) -> None:
    dials(scene, number='url="/whisper" statusCallback="/leg"')
    scene.bot.answers["/whisper"] = (
        '<Response><Gather action="/key"><Say>Press 1.</Say></Gather><Hangup/></Response>'
    )
    scene.bot.answers["/key"] = "<Response><Say>Connecting.</Say></Response>"
    scene.carrier.callees[COLLEAGUE] = Human((WaitForBot(), Press("1#"), Pause(3000)))
    caller = await scene.call(LISTENS)
    (called,) = scene.carrier.calls_to(COLLEAGUE)
    assert called.told("plays") == ["Press 1.", "Connecting."]
    assert caller.told("plays") == []
    whispered = scene.carrier.position(COLLEAGUE, "heard", "Connecting.")
    assert whispered < scene.carrier.position(CALLER, "bridged with")
    assert scene.bot.form("/whisper")["ParentCallSid"] == caller.call_sid
    assert [form["CallStatus"] for form in scene.bot.forms("/leg")] == ["completed"]


async def test_one_who_hangs_up_at_the_whisper_was_not_bridged(scene: Scene) -> None:
    dials(scene, number='url="/whisper"')
    scene.bot.answers["/whisper"] = '<Response><Gather timeout="3"/><Hangup/></Response>'
    scene.carrier.callees[COLLEAGUE] = Human()
    caller = await scene.call(LISTENS)
    form = scene.bot.form("/after")
    assert (form["DialCallStatus"], form["DialBridged"]) == ("completed", "false")
    assert caller.told("bridged with") == []


async def test_of_several_the_first_to_answer_is_connected_and_the_others_stop_ringing(scene: Scene) -> None:
    dials(scene, numbers=f"<Number>{COLLEAGUE}</Number><Number>{OTHER}</Number>")
    scene.carrier.callees.update({COLLEAGUE: Human(after_s=9), OTHER: Drops(after_s=2)})
    caller = await scene.call(LISTENS)
    assert caller.told("bridged with") == [OTHER]
    (late,), (first,) = scene.carrier.calls_to(COLLEAGUE), scene.carrier.calls_to(OTHER)
    assert (late.status, late.outcome, first.status) == ("canceled", "other side hung up", "completed")
    assert scene.bot.form("/after")["DialCallSid"] == first.call_sid


async def test_a_caller_who_hangs_up_ends_the_other_leg_and_the_action_is_told(scene: Scene) -> None:
    dials(scene)
    scene.carrier.callees[COLLEAGUE] = Human((LISTENS,))
    caller = await scene.call(Pause(4000))
    (called,) = scene.carrier.calls_to(COLLEAGUE)
    assert (caller.outcome, called.outcome, called.status) == ("caller hung up", "other side hung up", "completed")
    form = scene.bot.form("/after")
    assert (form["CallStatus"], form["DialCallStatus"]) == ("completed", "completed")


async def test_a_caller_who_hangs_up_while_it_rings_leaves_nobody_ringing(scene: Scene) -> None:
    dials(scene)
    scene.carrier.callees[COLLEAGUE] = NoAnswer()
    await scene.call(Pause(1000))
    (called,) = scene.carrier.calls_to(COLLEAGUE)
    assert called.status == "canceled"
    assert scene.bot.form("/after")["DialCallStatus"] == "no-answer"


async def test_a_star_hangs_up_on_the_other_where_that_was_asked_for(scene: Scene) -> None:
    dials(scene, 'hangupOnStar="true"')
    scene.carrier.callees[COLLEAGUE] = Human((LISTENS,))
    caller = await scene.call(Pause(3000), Press("5*"), LISTENS)
    (called,) = scene.carrier.calls_to(COLLEAGUE)
    assert called.told("hears key") == ["5"]
    assert (caller.outcome, scene.bot.form("/after")["DialCallStatus"]) == ("bot hung up", "completed")


async def test_a_dial_ends_at_its_time_limit(scene: Scene) -> None:
    dials(scene, 'timeLimit="3"')
    scene.carrier.callees[COLLEAGUE] = Human((LISTENS,))
    await scene.call(LISTENS)
    assert scene.bot.form("/after")["DialCallDuration"] in ("3", "4")  # begun seconds count


async def test_without_an_action_the_next_verb_is_due(scene: Scene) -> None:
    scene.bot.answers["/voice"] = f"<Response><Dial>{COLLEAGUE}</Dial><Say>Nobody is there.</Say></Response>"
    scene.carrier.callees[COLLEAGUE] = Busy()
    record = await scene.call(LISTENS)
    assert record.told("heard") == ["Nobody is there."]


async def test_a_call_is_answered_only_when_it_is_bridged_where_that_was_asked_for(scene: Scene) -> None:
    dials(scene, 'answerOnBridge="true"')
    scene.carrier.callees[COLLEAGUE] = Human((Pause(2000),), after_s=5)
    await scene.call(LISTENS)
    # The status of the end counts from the answer: without the five seconds of ringing.
    assert scene.bot.form("/status")["CallDuration"] == "3"
    scene.carrier.callees[COLLEAGUE] = Busy()
    await scene.call(LISTENS)
    assert scene.bot.forms("/after")[-1]["CallStatus"] == "ringing"


@pytest.mark.parametrize(
    ("attributes", "numbers", "violation"),
    [
        ('callerId="+15550199999"', None, "13214: Dial callerId '+15550199999' is neither the account's"),
        ("", "<Number>extension 5</Number>", "13224: Dial: 'extension 5' is no number in E.164 format"),
        ("", "<Client>joe</Client>", "Dial holds a <Client>: only Number, Sip, Conference"),
    ],
)
async def test_what_cannot_be_dialled_fails(
    scene: Scene, attributes: str, numbers: str | None, violation: str
) -> None:
    dials(scene, attributes, numbers=numbers)
    scene.carrier.callees[COLLEAGUE] = Human()
    record = await scene.call(LISTENS)
    assert [str(each)[: len(violation)] for each in record.violations] == [violation]
    assert scene.bot.form("/after")["DialCallStatus"] == "failed"
    assert scene.carrier.calls_to(COLLEAGUE) == []


async def test_an_update_of_the_caller_takes_him_from_a_ringing_phone_back_to_the_bot(scene: Scene) -> None:
    dials(scene, 'timeout="600"')
    scene.carrier.callees[COLLEAGUE] = NoAnswer()
    task = scene.begin(STAYS)
    await scene.carrier.until(COLLEAGUE, "rings")
    (caller,) = scene.carrier.calls_to(LINE)
    await scene.update(caller.call_sid, twiml="<Response><Say>He is away.</Say></Response>")
    await task
    await scene.carrier.settled()
    assert caller.told("heard") == ["He is away."]
    assert scene.carrier.calls_to(COLLEAGUE)[0].status == "canceled"
    assert "/after" not in scene.bot.paths


async def test_an_update_of_the_called_one_leaves_the_caller_to_his_action(scene: Scene) -> None:
    dials(scene)
    scene.carrier.callees[COLLEAGUE] = Human((LISTENS,))
    task = scene.begin(LISTENS)
    await scene.carrier.until(CALLER, "bridged with")
    (called,) = scene.carrier.calls_to(COLLEAGUE)
    await scene.update(called.call_sid, twiml="<Response><Say>You go on.</Say></Response>")
    await task
    await scene.carrier.settled()
    assert (called.told("heard"), called.outcome) == (["You go on."], "bot hung up")
    assert scene.bot.form("/after")["DialCallStatus"] == "completed"


async def test_a_leg_that_rings_is_stopped_by_the_api(scene: Scene) -> None:
    dials(scene, 'timeout="600"')
    scene.carrier.callees[COLLEAGUE] = NoAnswer()
    task = scene.begin(LISTENS)
    await scene.carrier.until(COLLEAGUE, "rings")
    (called,) = scene.carrier.calls_to(COLLEAGUE)
    await scene.update(called.call_sid, status="completed")
    assert (await task).passed
    assert (called.outcome, called.status) == ("ended by request", "canceled")
    assert scene.bot.form("/after")["DialCallStatus"] == "canceled"


async def test_attributes_that_are_not_performed_are_told(scene: Scene) -> None:
    dials(scene, 'record="record-from-answer"', 'statuscallback="/leg" machineDetection="Enable"')
    scene.carrier.callees[COLLEAGUE] = Busy()
    record = await scene.call(LISTENS)
    assert record.told("passes over") == [
        "record of Dial",
        "machineDetection of Number",
        "statuscallback of Number",
    ]
