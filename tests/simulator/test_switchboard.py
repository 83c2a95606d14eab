"""Whole stories: calls that are transferred, with and without a word to the colleague before, and come back."""

import base64

import pytest
from answering_server import HANGUP, SPEECH, Stream
from switchboard_driver import CALLER, COLLEAGUE, LINE, Scene, staged
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from phonebot.simulator.callees import Human, Machine, NoAnswer
from phonebot.simulator.caller import Caller, Pause, Press, Say, WaitForBot, WaitForHangUp, WaitForQuiet
from phonebot.simulator.switchboard import AUTH_TOKEN

SUMMARY = "A refund for order twelve. Press 1 to take the call."
VOICE = b"\x85" * 160  # loud, and not what the carrier's own voice sounds like


def conference(name: str = "desk", **attributes: str) -> str:
    given = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f"<Dial><Conference{given}>{name}</Conference></Dial>"


async def warm_transfer(scene: Scene) -> None:
    """The caller waits in a conference while the colleague is told about him, who decides by a key."""
    bot = scene.bot
    events = f'statusCallback="{scene.url("/events")}" statusCallbackEvent="start end join leave"'
    bot.answers["/outbound"] = (
        f'<Response><Gather numDigits="1" action="/decision"><Say>{SUMMARY}</Say></Gather><Hangup/></Response>'
    )
    bot.answers["/decision"] = lambda form: (
        f"<Response>{conference(endConferenceOnExit='true')}</Response>" if form["Digits"] == "1" else HANGUP
    )
    waiting = (
        f'<Response><Dial action="{scene.url("/after")}"><Conference {events} startConferenceOnEnter="false" '
        'endConferenceOnExit="true">desk</Conference></Dial></Response>'
    )
    bot.answers["/after"] = "<Response><Say>Thank you.</Say></Response>"

    async def talk(stream: Stream) -> None:
        await stream.until("start")
        sid = stream.received[-1]["start"]["callSid"]
        await scene.update(sid, twiml=waiting)
        await scene.place(
            status_callback=scene.url("/leg"),
            status_callback_event=["initiated", "ringing", "answered", "completed"],
        )
        await stream.until_closed()

    bot.talk = talk
    bot.answers["/leg"] = "<Response/>"


async def test_a_colleague_is_told_about_the_caller_before_they_talk(scene: Scene) -> None:
    await warm_transfer(scene)
    colleague = Human((WaitForBot(), WaitForQuiet(500), Press("1"), Pause(2000), Say(VOICE * 20), Pause(1000)))
    scene.carrier.callees[COLLEAGUE] = colleague
    caller = await scene.call(WaitForHangUp(within_ms=600_000))
    (called,) = scene.carrier.calls_to(COLLEAGUE)
    assert (caller.outcome, caller.violations, caller.failed_steps) == ("bot hung up", [], [])
    assert (called.outcome, called.violations, called.failed_steps) == ("caller hung up", [], [])

    assert called.told("heard") == [SUMMARY]
    position = scene.carrier.position
    assert position(COLLEAGUE, "heard", SUMMARY) < position(CALLER, "bridged with", COLLEAGUE)
    assert caller.told("plays") == ["hold music", "beep", "beep", "Thank you."]
    assert (caller.told("bridged with"), caller.told("parted from")) == ([COLLEAGUE], [COLLEAGUE])
    # The caller heard the colleague, through the conference, and not the summary.
    assert caller.line_heard.count(VOICE) == 20
    assert caller.told("heard") == ["Thank you."]

    # The stream was stopped in good order when the conference took the caller.
    (stream,) = scene.bot.streams
    assert caller.streams[0].ended_by == "carrier"
    assert stream.received[-1]["event"] == "stop"
    assert [form["CallStatus"] for form in scene.bot.forms("/leg")] == [
        "initiated",
        "ringing",
        "in-progress",
        "completed",
    ]
    assert [form["StatusCallbackEvent"] for form in scene.bot.forms("/events")] == [
        "participant-join",
        "participant-join",
        "conference-start",
        "participant-leave",
        "participant-leave",
        "conference-end",
    ]
    assert scene.bot.form("/after")["DialCallStatus"] == "answered"


async def test_a_caller_whose_colleague_declines_comes_back_to_the_bot(scene: Scene) -> None:
    await warm_transfer(scene)
    scene.carrier.callees[COLLEAGUE] = Human((WaitForBot(), Press("2"), WaitForHangUp()))
    task = scene.begin(Pause(600_000))
    await scene.carrier.until(COLLEAGUE, "key", "2")
    back: list[Stream] = []

    async def talk(stream: Stream) -> None:
        await stream.until("start")
        back.append(stream)
        await stream.socket.close()

    scene.bot.talk = talk
    (caller,) = scene.carrier.calls_to(LINE)
    await scene.update(caller.call_sid, url=scene.url("/voice"))
    await task
    await scene.carrier.settled()
    assert caller.outcome == "bot hung up"
    assert (caller.told("joins conference"), caller.told("leaves conference")) == (["desk"], ["desk"])
    assert caller.told("bridged with") == []
    assert [stream.ended_by for stream in caller.streams] == ["carrier", "server"]
    assert len(back) == 1
    left = scene.bot.forms("/events")[-2]
    assert (left["StatusCallbackEvent"], left["ReasonParticipantLeft"], left["ParticipantCallStatus"]) == (
        "participant-leave",
        "participant_updated_via_api",
        "in-progress",
    )
    assert scene.bot.forms("/events")[-1]["ReasonConferenceEnded"] == "participant-with-end-conference-on-exit-left"


async def test_a_hang_up_by_the_api_stops_the_stream_and_ends_the_call(scene: Scene) -> None:
    async def talk(stream: Stream) -> None:
        await stream.until("start")
        await scene.update(stream.received[-1]["start"]["callSid"], status="completed")
        await stream.until_closed()

    scene.bot.talk = talk
    scene.bot.connects(attributes='action="/after"')
    record = await scene.call(WaitForHangUp())
    assert (record.outcome, record.status, record.passed) == ("ended by request", "completed", True)
    assert scene.bot.streams[0].received[-1]["event"] == "stop"
    assert scene.bot.paths == ["/voice", "/status"]
    assert scene.bot.form("/status")["CallStatus"] == "completed"
    assert await scene.refusal(lambda client: client.calls(record.call_sid).update(status="completed")) == (
        400,
        21220,
    )


async def test_a_bot_calls_somebody_and_talks_to_him_over_a_stream(scene: Scene) -> None:
    async def talk(stream: Stream) -> None:
        await stream.until("start")
        await stream.play(200)
        await stream.until_closed()

    scene.bot.talk = talk
    scene.bot.answers["/outbound"] = scene.bot.answers["/voice"]
    scene.carrier.callees[COLLEAGUE] = Human((WaitForBot(), Say(VOICE)))
    await scene.place()
    await scene.carrier.settled()
    (called,) = scene.carrier.calls_to(COLLEAGUE)
    assert (called.outcome, called.direction, called.passed) == ("caller hung up", "outbound-api", True)
    assert called.heard.count(SPEECH) > 0
    payloads = [
        fields["media"]["payload"] for fields in scene.bot.streams[0].received if fields["event"] == "media"
    ]
    assert base64.b64encode(VOICE).decode() in payloads
    form = scene.bot.form("/outbound")
    assert (form["CallStatus"], form["Direction"], form["To"]) == ("in-progress", "outbound-api", COLLEAGUE)


async def test_requests_of_both_sides_are_logged_and_signed(scene: Scene) -> None:
    scene.bot.answers["/outbound"] = HANGUP
    scene.carrier.callees[COLLEAGUE] = Machine()
    sid = await scene.place(status_callback=scene.url("/events"))
    await scene.carrier.settled()
    method, path, given = scene.carrier.requests[0]
    assert (method, path.rpartition("/")[2], given["To"]) == ("POST", "Calls.json", COLLEAGUE)
    assert scene.bot.paths == ["/outbound", "/events"]
    for path, request, form in scene.bot.asked:
        signed = request.headers["X-Twilio-Signature"]
        assert RequestValidator(AUTH_TOKEN).validate(scene.url(path), dict(form), signed)
    (called,) = scene.carrier.calls_to(COLLEAGUE)
    assert called.call_sid == sid == scene.bot.form("/events")["CallSid"]


async def test_calls_that_are_left_are_cut_off_when_the_switchboard_closes() -> None:
    async with staged() as scene:
        scene.bot.answers["/voice"] = "<Response><Pause length='60'/></Response>"
        task = scene.begin(WaitForHangUp(within_ms=600_000))
        await scene.ask(lambda client: client.calls.list())
        scene.carrier.callees[COLLEAGUE] = NoAnswer()
        await scene.place()
    assert task.cancelled()


async def test_a_number_that_is_not_the_accounts_cannot_be_dialled(scene: Scene) -> None:
    with pytest.raises(LookupError, match=r"\+15550199999 is no number of the account with a VoiceUrl"):
        await scene.carrier.dial(Caller(), to_number="+15550199999")


async def test_what_never_happened_is_told_with_the_story(scene: Scene) -> None:
    scene.bot.answers["/voice"] = "<Response><Say>Hi.</Say></Response>"
    await scene.call(WaitForHangUp())
    with pytest.raises(LookupError, match=rf"\{CALLER} dials  never happened, but:\n\{CALLER} plays Hi."):
        scene.carrier.position(CALLER, "dials")
