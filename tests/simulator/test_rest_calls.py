"""Calls by the REST API: placed, looked at, changed, hung up, recorded; and an API that fails."""

import asyncio
from functools import partial
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from answering_server import HANGUP
from switchboard_driver import CALLER, COLLEAGUE, LINE, Scene, staged

from phonebot.audio import wav
from phonebot.simulator.callees import Busy, Human, Invalid, NoAnswer
from phonebot.simulator.caller import Pause, Say, WaitForBot, WaitForHangUp
from phonebot.simulator.rest import RestFault
from phonebot.simulator.terms import CallbackOddities

LISTENS = WaitForHangUp(within_ms=3_600_000)
VOICE = b"\x85" * 160
PROGRESS = ["initiated", "ringing", "answered", "completed"]


async def test_a_call_is_queued_and_then_told_of_as_it_gets_on(scene: Scene) -> None:
    scene.bot.answers["/outbound"] = "<Response><Pause length='2'/></Response>"
    scene.carrier.callees[COLLEAGUE] = Human()
    created = await scene.ask(
        lambda client: client.calls.create(
            to=COLLEAGUE,
            from_=LINE,
            url=scene.url("/outbound"),
            status_callback=scene.url("/events"),
            status_callback_event=PROGRESS,
        )
    )
    assert (created.status, created.direction, created.queue_time) == ("queued", "outbound-api", "0")
    await scene.carrier.settled()
    forms = scene.bot.forms("/events")
    assert [(form["CallStatus"], form["SequenceNumber"]) for form in forms] == [
        ("initiated", "0"),
        ("ringing", "1"),
        ("in-progress", "2"),
        ("completed", "3"),
    ]
    assert ["CallDuration" in form for form in forms] == [False, False, False, True]
    assert (forms[-1]["Duration"], forms[-1]["SipResponseCode"]) == ("1", "200")
    fetched = await scene.ask(lambda client: client.calls(created.sid).fetch())
    assert (fetched.status, fetched.duration, fetched.to) == ("completed", forms[-1]["CallDuration"], COLLEAGUE)


@pytest.mark.parametrize(
    ("callee", "statuses"),
    [
        (Busy(), ["initiated", "busy"]),
        (Invalid(), ["initiated", "failed"]),
        (NoAnswer(), ["initiated", "ringing", "no-answer"]),
    ],
)
async def test_nobody_who_answers_is_told_by_the_last_callback_and_no_twiml_is_asked_for(
    scene: Scene, callee: Any, statuses: list[str]
) -> None:
    scene.carrier.callees[COLLEAGUE] = callee
    await scene.place(status_callback=scene.url("/events"), status_callback_event=PROGRESS, timeout=5)
    await scene.carrier.settled()
    assert [form["CallStatus"] for form in scene.bot.forms("/events")] == statuses
    assert set(scene.bot.paths) == {"/events"}
    assert "Duration" not in scene.bot.form("/events")


async def test_callbacks_come_out_of_order_and_twice_where_that_is_asked_for() -> None:
    oddities = CallbackOddities(shuffled_ms=20, doubled=True)
    async with staged(callbacks=oddities) as scene:
        scene.bot.answers["/outbound"] = HANGUP
        scene.carrier.callees[COLLEAGUE] = Human()
        await scene.place(status_callback=scene.url("/events"), status_callback_event=PROGRESS)
        await scene.carrier.settled()
        sequence = [form["SequenceNumber"] for form in scene.bot.forms("/events")]
    assert sorted(sequence) == list("00112233")


async def test_inline_twiml_is_run_and_a_wrong_one_fails_the_call(scene: Scene) -> None:
    scene.carrier.callees[COLLEAGUE] = Human()
    await scene.place(twiml="<Response><Say>Hello.</Say></Response>")
    await scene.place(twiml="<Response>")
    await scene.place(twiml="<Response><Redirect>/relative</Redirect></Response>")
    await scene.carrier.settled()
    right, wrong, relative = scene.carrier.calls_to(COLLEAGUE)
    assert right.told("heard") == ["Hello."]
    assert (wrong.outcome, [each.code for each in wrong.violations]) == ("failed", [12100])
    assert (relative.outcome, [each.code for each in relative.violations]) == ("failed", [11100])


async def test_the_fallback_is_asked_when_the_twiml_cannot_be_had(scene: Scene) -> None:
    scene.bot.answers["/outbound"] = web.Response(status=503)
    scene.bot.answers["/fallback"] = HANGUP
    scene.carrier.callees[COLLEAGUE] = Human()
    await scene.place(fallback_url=scene.url("/fallback"))
    await scene.carrier.settled()
    form = scene.bot.form("/fallback")
    assert (form["ErrorCode"], form["ErrorUrl"]) == ("11200", scene.url("/outbound"))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"to": ""}, 21201),
        ({"from_": ""}, 21213),
        ({"to": "+1555"}, 21211),
        ({"to": "five"}, 21211),
        ({"from_": "five"}, 21212),
        ({"from_": COLLEAGUE}, 21210),
        ({"url": "bot.example.com/voice"}, 21205),
        ({"url": "https://under_score.example/voice"}, 21205),
        ({"status_callback": "nowhere"}, 21205),
        ({"method": "PUT"}, 21403),
        ({"timeout": 601}, 20001),
        ({"time_limit": "long"}, 20001),
        ({"send_digits": "hello"}, 20001),
        ({"machine_detection": "Maybe"}, 20001),
        ({"machine_detection": "Enable", "machine_detection_timeout": 2}, 20001),
        ({"async_amd": "yes"}, 20001),
        ({"twiml": "<Response>" + "x" * 4000}, 20001),
        ({"status_callback": "https://bot.example.com", "status_callback_event": ["over"]}, 20001),
        ({"sip_auth_username": "joe"}, 20001),
        ({"record": True, "recording_channels": "stereo"}, 20001),
        ({"record": True, "recording_status_callback_event": ["done"]}, 13621),
    ],
)
async def test_a_call_that_twilio_would_not_place_is_refused(
    scene: Scene, changes: dict[str, Any], error: int
) -> None:
    terms = {"to": COLLEAGUE, "from_": LINE, "url": scene.url("/outbound")} | changes
    assert await scene.refusal(lambda client: client.calls.create(**terms)) == (400, error)
    assert scene.carrier.calls_to(terms["to"]) == []


async def test_a_call_without_twiml_or_credentials_is_refused(scene: Scene) -> None:
    assert await scene.refusal(lambda client: client.calls.create(to=COLLEAGUE, from_=LINE)) == (400, 21205)
    async with aiohttp.ClientSession() as http, http.post(f"{scene.carrier.account.base_url}/Calls.json") as answer:
        assert (answer.status, (await answer.json())["code"]) == (401, 20003)


async def test_only_a_call_in_progress_is_given_other_twiml(scene: Scene) -> None:
    twiml = "<Response/>"
    scene.carrier.callees[COLLEAGUE] = NoAnswer()
    sid = await scene.place(timeout=600)
    await scene.carrier.until(COLLEAGUE, "rings")
    assert await scene.refusal(lambda client: client.calls(sid).update(twiml=twiml)) == (400, 21220)
    assert (await scene.update(sid, status="canceled")).sid == sid
    await scene.carrier.settled()
    assert (await scene.ask(lambda client: client.calls(sid).fetch())).status == "canceled"
    for wrong, error in (
        ({"twiml": twiml}, (400, 21220)),
        ({"status": "completed"}, (400, 21220)),
        ({"status": "finished"}, (400, 20001)),
        ({"twiml": twiml, "url": scene.url("/voice")}, (400, 20001)),
    ):
        assert await scene.refusal(partial(_update, sid, wrong)) == error
    unknown = "CA" + "0" * 32
    assert await scene.refusal(partial(_update, unknown, {"status": "completed"})) == (404, 20404)
    assert await scene.refusal(lambda client: client.calls(unknown).fetch()) == (404, 20404)


def _update(sid: str, changes: dict[str, str], client: Any) -> object:
    return client.calls(sid).update(**changes)


async def test_canceled_leaves_a_call_in_progress_alone(scene: Scene) -> None:
    scene.bot.answers["/voice"] = "<Response><Pause length='60'/></Response>"
    task = scene.begin(WaitForHangUp(within_ms=600_000))
    while not scene.carrier.calls_to(LINE) or scene.carrier.calls_to(LINE)[0].status != "in-progress":
        await asyncio.sleep(0)
    (record,) = scene.carrier.calls_to(LINE)
    await scene.update(record.call_sid, status="canceled")
    await scene.update(record.call_sid, time_limit=1, status_callback=scene.url("/events"))
    assert (await task).outcome == "timed out"
    assert scene.bot.form("/events")["CallStatus"] == "completed"


async def test_calls_are_listed_by_what_they_are(scene: Scene) -> None:
    scene.bot.answers["/voice"] = f"<Response><Dial>{COLLEAGUE}</Dial></Response>"
    scene.carrier.callees[COLLEAGUE] = Busy()
    record = await scene.call(LISTENS)
    children = await scene.ask(lambda client: client.calls.list(parent_call_sid=record.call_sid))
    assert [(call.to, call.status) for call in children] == [(COLLEAGUE, "busy")]
    both = await scene.ask(lambda client: client.calls.list())
    assert [call.direction for call in both] == ["outbound-dial", "inbound"]


# ------------------------------------------------------------------ recordings


async def test_a_recording_is_begun_paused_and_fetched_in_two_channels(scene: Scene) -> None:
    scene.bot.answers["/outbound"] = "<Response><Say>Hello.</Say><Pause length='60'/></Response>"
    scene.carrier.callees[COLLEAGUE] = Human((WaitForBot(), Say(VOICE * 100), Pause(3_000_000)))
    sid = await scene.place()
    await scene.carrier.until(COLLEAGUE, "answered")
    created = await scene.ask(
        lambda client: client.calls(sid).recordings.create(
            recording_channels="dual",
            recording_status_callback=scene.url("/events"),
            recording_status_callback_event=["in-progress", "completed"],
        )
    )
    assert (created.status, created.source, created.channels) == ("in-progress", "StartCallRecordingAPI", 2)
    await scene.carrier.until(COLLEAGUE, "caller stops")
    paused = await scene.ask(lambda client: client.calls(sid).recordings("Twilio.CURRENT").update(status="paused"))
    assert paused.status == "paused"
    resumed = await scene.ask(lambda client: client.calls(sid).recordings(created.sid).update(status="in-progress"))
    assert resumed.status == "in-progress"
    assert await scene.refusal(
        lambda client: client.calls(sid).recordings(created.sid).update(status="finished")
    ) == (400, 20001)
    await scene.update(sid, status="completed")
    await scene.carrier.settled()
    assert [form["RecordingStatus"] for form in scene.bot.forms("/events")] == ["in-progress", "completed"]
    form = scene.bot.form("/events")
    assert (form["CallSid"], form["RecordingChannels"], "To" in form) == (sid, "2", False)
    async with scene.fetch(f"{form['RecordingUrl']}.wav") as response:
        audio = wav.parse(await response.read(), "recording")
    assert (audio.channels, audio.data[::2].count(VOICE) > 0) == (2, True)
    (listed,) = await scene.ask(lambda client: client.calls(sid).recordings.list())
    assert (listed.sid, listed.status) == (created.sid, "completed")
    refused = await scene.refusal(lambda client: client.calls(sid).recordings(created.sid).update(status="paused"))
    assert refused == (400, 21220)
    assert await scene.ask(lambda client: client.recordings(created.sid).delete())
    assert await scene.refusal(lambda client: client.recordings(created.sid).fetch()) == (404, 20404)


async def test_a_call_is_recorded_from_its_answer_where_that_was_ordered(scene: Scene) -> None:
    scene.bot.answers["/outbound"] = "<Response><Say>Hello.</Say><Pause length='2'/></Response>"
    scene.carrier.callees[COLLEAGUE] = Human((Say(VOICE * 50), LISTENS))
    await scene.place(record=True, recording_status_callback=scene.url("/events"))
    await scene.carrier.settled()
    form = scene.bot.form("/events")
    assert (form["RecordingSource"], form["RecordingStatus"]) == ("OutboundAPI", "completed")
    async with scene.fetch(f"{form['RecordingUrl']}.wav") as response:
        audio = wav.parse(await response.read(), "recording")
    # In one channel both are mixed: for as long as only one speaks he is heard as he is.
    assert (audio.channels, len(audio.data) >= 2 * 8000) == (1, True)
    assert audio.data.count(VOICE) > 0


async def test_a_call_that_is_over_is_not_recorded(scene: Scene) -> None:
    scene.bot.answers["/voice"] = HANGUP
    record = await scene.call()
    assert await scene.refusal(lambda client: client.calls(record.call_sid).recordings.create()) == (400, 21220)


# ------------------------------------------------------------------ an API that fails


async def test_requests_that_fail_do_so_once_and_are_logged(scene: Scene) -> None:
    scene.bot.answers["/outbound"] = HANGUP
    scene.carrier.callees[COLLEAGUE] = Human()
    scene.carrier.faults.extend([RestFault("POST", "/Calls.json", 429), RestFault("POST", "/Calls.json", 500)])
    order = {"to": COLLEAGUE, "from_": LINE, "url": scene.url("/outbound")}
    assert await scene.refusal(lambda client: client.calls.create(**order)) == (429, 20429)
    assert await scene.refusal(lambda client: client.calls.create(**order)) == (500, 20500)
    assert scene.carrier.calls_to(COLLEAGUE) == []
    await scene.place()
    await scene.carrier.settled()
    assert len(scene.carrier.calls_to(COLLEAGUE)) == 1
    assert [path.rpartition("/")[2] for _, path, _ in scene.carrier.requests] == ["Calls.json"] * 3


@pytest.mark.parametrize(("performed", "calls"), [(True, 1), (False, 0)])
async def test_an_answer_that_never_comes_may_be_of_a_call_that_was_placed(
    scene: Scene, performed: bool, calls: int
) -> None:
    scene.bot.answers["/outbound"] = HANGUP
    scene.carrier.callees[COLLEAGUE] = Human()
    scene.carrier.faults.append(RestFault("POST", "/Calls.json", None, performed=performed))
    create = asyncio.create_task(_create(scene))
    while not scene.carrier.requests:
        await asyncio.sleep(0)
    if performed:
        await scene.carrier.until(COLLEAGUE, "answered")
    await scene.carrier.settled()
    assert not create.done()
    create.cancel()
    assert len(scene.carrier.calls_to(COLLEAGUE)) == calls


async def _create(scene: Scene) -> None:
    """By a client that can be given up, as Twilio's own cannot."""
    order = {"To": COLLEAGUE, "From": LINE, "Url": scene.url("/outbound")}
    async with scene.http() as http, http.post(f"{scene.carrier.account.base_url}/Calls.json", data=order):
        pass


async def test_numbers_of_an_account_in_use_are_listed(scene: Scene) -> None:
    found = await scene.ask(lambda client: client.incoming_phone_numbers.list())
    assert [number.phone_number for number in found] == [LINE]
    assert scene.carrier.calls_to(CALLER) == []
