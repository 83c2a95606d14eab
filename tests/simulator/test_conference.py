"""Conferences: who waits and who hears whom, by TwiML and by the REST API."""

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web
from answering_server import HANGUP
from switchboard_driver import CALLER, COLLEAGUE, LINE, Scene

from phonebot.simulator.callees import Human, NoAnswer
from phonebot.simulator.caller import Pause, Say, WaitForHangUp

LISTENS = WaitForHangUp(within_ms=3_600_000)
STAYS = Pause(ms=600_000)
VOICE = b"\x85" * 160
EVENTS = "start end join leave mute hold modify announcement"


def joins(attributes: str = "", action: str = "", name: str = "desk") -> str:
    return f"<Response><Dial {action}><Conference {attributes}>{name}</Conference></Dial></Response>"


async def meeting(scene: Scene, of_caller: str = "", of_colleague: str = "", *steps: Any) -> tuple[str, Any, Any]:
    """The caller and the colleague in a conference; its SID, the caller's task and the Participants resource."""
    events = f'statusCallback="{scene.url("/events")}" statusCallbackEvent="{EVENTS}"'
    scene.bot.answers["/voice"] = joins(f"{events} {of_caller}", 'action="/after"')
    scene.bot.answers["/after"] = HANGUP
    scene.bot.answers["/outbound"] = joins(of_colleague)
    scene.carrier.callees[COLLEAGUE] = Human(steps or (LISTENS,))
    scene.carrier.events.clear()
    task = scene.begin(LISTENS)
    await scene.carrier.until(CALLER, "joins conference")
    await scene.place()
    await scene.carrier.until(CALLER, "bridged with", COLLEAGUE)
    (conference,) = await scene.ask(
        lambda client: client.conferences.list(friendly_name="desk", status="in-progress")
    )
    return str(conference.sid), task, lambda client: client.conferences(conference.sid)


def told(scene: Scene) -> list[str]:
    return [form["StatusCallbackEvent"] for form in scene.bot.forms("/events")]


async def change(scene: Scene, conference: Callable[[Any], Any], number: str, **parameters: Any) -> Any:
    """Update the participant who is called from, or at, this number."""
    legs = reversed(scene.carrier.account.legs.values())
    record = next(leg.record for leg in legs if leg.record.number == number)
    return await scene.ask(lambda client: conference(client).participants(record.call_sid).update(**parameters))


async def test_one_who_waits_hears_what_his_wait_url_plays_until_another_comes(scene: Scene) -> None:
    scene.bot.answers["/wait"] = "<Response><Say>One moment.</Say><Redirect/></Response>"
    sid, task, _ = await meeting(scene, 'waitUrl="/wait" waitMethod="GET"', 'beep="false"')
    caller = scene.carrier.calls_to(LINE)[0]
    assert caller.told("plays")[0] == "One moment."
    assert await scene.ask(lambda client: client.conferences(sid).fetch().status) == "in-progress"
    plays = caller.told("plays")
    await scene.ask(lambda client: client.conferences(sid).update(status="completed"))
    await task
    await scene.carrier.settled()
    assert caller.told("plays") == plays  # nothing more once they talked
    assert told(scene)[-3:] == ["participant-leave", "participant-leave", "conference-end"]
    (*_, left, ended) = scene.bot.forms("/events")
    assert left["ReasonParticipantLeft"] == "conference_ended_via_api"
    assert ended["ReasonConferenceEnded"] == "conference-ended-via-api"
    assert [form["SequenceNumber"] for form in scene.bot.forms("/events")] == list("123456")
    assert caller.outcome == "bot hung up"


async def test_two_who_may_not_start_it_wait_for_one_who_may(scene: Scene) -> None:
    scene.bot.answers["/voice"] = scene.bot.answers["/outbound"] = joins(
        'startConferenceOnEnter="false" waitUrl="" beep="false"'
    )
    scene.carrier.callees[COLLEAGUE] = Human((Pause(20_000),))
    task = scene.begin(Pause(1_000_000))
    await scene.carrier.until(CALLER, "joins conference")
    await scene.place()
    await scene.carrier.until(COLLEAGUE, "leaves conference")
    caller = scene.carrier.calls_to(LINE)[0]
    assert (caller.told("bridged with"), caller.told("plays")) == ([], [])
    await scene.update(caller.call_sid, status="completed")
    await task


async def test_one_who_is_held_hears_music_and_nobody_hears_him(scene: Scene) -> None:
    _, task, conference = await meeting(scene, "", "", Pause(600_000), Say(VOICE * 10), LISTENS)
    scene.bot.answers["/music"] = "<Response><Say>Please hold.</Say></Response>"
    held = await change(scene, conference, CALLER, hold=True, hold_url=scene.url("/music"), hold_method="POST")
    assert held.hold is True
    caller = scene.carrier.calls_to(LINE)[0]
    await scene.carrier.until(CALLER, "heard", "Please hold.")
    assert caller.told("parted from") == [COLLEAGUE]
    await change(scene, conference, CALLER, hold=False)
    assert caller.told("bridged with") == [COLLEAGUE, COLLEAGUE]
    await scene.update(caller.call_sid, status="completed")
    await task
    assert [event for event in told(scene) if "hold" in event] == ["participant-hold", "participant-unhold"]


async def test_one_who_is_muted_is_not_heard_until_he_is_no_longer(scene: Scene) -> None:
    _, task, conference = await meeting(scene, "", 'muted="true" endConferenceOnExit="true"', Say(VOICE * 600))
    caller = scene.carrier.calls_to(LINE)[0]
    await task
    assert caller.line_heard.count(VOICE) == 0
    _, task, conference = await meeting(scene, "", 'muted="true"', Say(VOICE * 60_000))
    caller = scene.carrier.calls_to(LINE)[1]
    await change(scene, conference, COLLEAGUE, muted=False)
    while not caller.line_heard.count(VOICE):
        await asyncio.sleep(0)
    await change(scene, conference, COLLEAGUE, muted=True)
    await scene.update(caller.call_sid, status="completed")
    await task
    assert [event for event in told(scene) if "mute" in event] == ["participant-unmute", "participant-mute"]


async def test_an_announcement_is_heard_by_the_one_it_is_for_or_by_all(scene: Scene) -> None:
    sid, task, conference = await meeting(scene)
    scene.bot.answers["/one"] = "<Response><Say>For you.</Say></Response>"
    scene.bot.answers["/all"] = "<Response><Say>For all.</Say></Response>"
    await change(scene, conference, CALLER, announce_url=scene.url("/one"))
    await scene.carrier.until(CALLER, "heard", "For you.")
    await scene.ask(lambda client: client.conferences(sid).update(announce_url=scene.url("/all")))
    await scene.carrier.until(COLLEAGUE, "heard", "For all.")
    await scene.carrier.until(CALLER, "heard", "For all.")
    assert scene.carrier.calls_to(COLLEAGUE)[0].told("heard") == ["For all."]
    await scene.ask(lambda client: client.conferences(sid).update(status="completed"))
    await task
    await scene.carrier.settled()
    announced = [form for form in scene.bot.forms("/events") if form["StatusCallbackEvent"] == "announcement-end"]
    assert ["CallSid" in form for form in announced] == [True, False]


async def test_one_who_is_removed_goes_on_with_what_stands_after_his_dial(scene: Scene) -> None:
    _, task, conference = await meeting(scene)
    caller = scene.carrier.calls_to(LINE)[0]
    await scene.ask(lambda client: conference(client).participants(caller.call_sid).delete())
    record = await task
    assert (record.outcome, scene.bot.form("/after")["DialCallStatus"]) == ("bot hung up", "answered")
    (called,) = scene.carrier.calls_to(COLLEAGUE)
    assert called.told("parted from") == [CALLER]
    assert not called.told("leaves conference")
    await scene.update(called.call_sid, status="completed")
    await scene.carrier.settled()
    assert scene.bot.forms("/events")[-1]["ReasonConferenceEnded"] == "last-participant-left"


async def test_a_participant_is_called_into_a_conference_that_need_not_exist(scene: Scene) -> None:
    scene.bot.answers["/leg"] = "<Response/>"
    scene.carrier.callees[COLLEAGUE] = Human((Pause(3000),))
    created = await scene.ask(
        lambda client: client.conferences("room").participants.create(
            from_=LINE,
            to=COLLEAGUE,
            label="colleague",
            end_conference_on_exit=True,
            beep="false",
            wait_url="",
            status_callback=scene.url("/leg"),
            status_callback_event=["answered", "completed"],
            conference_status_callback=scene.url("/events"),
            conference_status_callback_event=["join", "leave", "end"],
        )
    )
    assert (created.label, created.status, created.end_conference_on_exit) == ("colleague", "queued", True)
    await scene.carrier.settled()
    (called,) = scene.carrier.calls_to(COLLEAGUE)
    assert (called.outcome, called.told("joins conference")) == ("caller hung up", ["room"])
    assert [form["CallStatus"] for form in scene.bot.forms("/leg")] == ["in-progress", "completed"]
    joined, left, ended = scene.bot.forms("/events")
    assert (joined["ParticipantLabel"], joined["CallSid"]) == ("colleague", created.call_sid)
    assert (left["ReasonParticipantLeft"], left["ParticipantCallStatus"]) == ("participant_hung_up", "completed")
    assert ended["ReasonConferenceEnded"] == "participant-with-end-conference-on-exit-left"


async def test_a_participant_is_found_by_his_label_and_changed(scene: Scene) -> None:
    _, task, conference = await meeting(scene, 'participantLabel="customer"')
    found = await scene.ask(lambda client: conference(client).participants("customer").fetch())
    assert (found.label, found.muted, found.hold) == ("customer", False, False)
    listed = await scene.ask(lambda client: conference(client).participants.list())
    assert [each.status for each in listed] == ["connected", "connected"]
    await change(scene, conference, COLLEAGUE, end_conference_on_exit=True)
    await scene.update(scene.carrier.calls_to(COLLEAGUE)[0].call_sid, status="completed")
    await task
    assert "participant-modify" in told(scene)


async def test_what_there_is_not_is_404_and_what_is_wrong_is_refused(scene: Scene) -> None:
    _, task, conference = await meeting(scene)
    nobody = "CA" + "0" * 32
    for request, error in (
        (lambda client: client.conferences("CF" + "0" * 32).fetch(), (404, 20404)),
        (lambda client: conference(client).participants(nobody).fetch(), (404, 20404)),
        (lambda client: conference(client).participants(nobody).delete(), (404, 20404)),
        (lambda client: conference(client).update(status="done"), (400, 20001)),
        (lambda client: conference(client).participants.create(from_=LINE, to="5"), (400, 21211)),
        (lambda client: conference(client).participants.create(from_=COLLEAGUE, to=COLLEAGUE), (400, 21210)),
        (
            lambda client: conference(client).participants.create(from_=LINE, to=COLLEAGUE, max_participants=1),
            (400, 20001),
        ),
    ):
        assert await scene.refusal(request) == error
    await scene.update(scene.carrier.calls_to(LINE)[0].call_sid, status="completed")
    await task


async def test_a_second_of_the_same_label_or_one_too_many_is_not_admitted(scene: Scene) -> None:
    for attributes, violation in (
        ('participantLabel="one"', "16025: the conference has a participant 'one' already"),
        ('maxParticipants="1"', "the conference has 1 participants already"),
    ):
        scene.bot.answers["/voice"] = joins(attributes)
        first = scene.begin(STAYS)
        await scene.carrier.until(CALLER, "joins conference")
        second = await scene.begin(LISTENS)
        assert [str(each) for each in second.violations] == [violation]
        await scene.update(scene.carrier.calls_to(LINE)[0].call_sid, status="completed")
        await first
        await scene.carrier.settled()
        scene.carrier.events.clear()
        scene.carrier.account.legs.clear()


async def test_a_wait_url_that_is_no_music_is_noted_and_the_caller_waits_in_silence(scene: Scene) -> None:
    scene.bot.answers["/voice"] = joins('waitUrl="/wait" beep="false"')
    scene.bot.answers["/wait"] = web.Response(text="hello", content_type="text/plain")
    record = await scene.call(Pause(2000))
    assert record.outcome == "caller hung up"
    assert {violation.code for violation in record.violations} == {12300}


async def test_a_colleague_who_does_not_answer_never_joins_which_is_told(scene: Scene) -> None:
    scene.carrier.callees[COLLEAGUE] = NoAnswer()
    order = {
        "from_": LINE,
        "to": COLLEAGUE,
        "timeout": 5,
        "conference_status_callback": scene.url("/events"),
        "conference_status_callback_event": ["join", "leave"],
    }
    await scene.ask(lambda client: client.conferences("room").participants.create(**order))
    await scene.carrier.settled()
    (called,) = scene.carrier.calls_to(COLLEAGUE)
    assert (called.status, called.told("joins conference")) == ("no-answer", [])
    (left,) = scene.bot.forms("/events")
    assert (left["StatusCallbackEvent"], left["CallSid"]) == ("participant-leave", called.call_sid)
    assert (left["ParticipantCallStatus"], left["ReasonParticipantLeft"]) == ("no-answer", "participant_add_failed")
