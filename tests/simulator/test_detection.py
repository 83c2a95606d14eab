"""Who answers, found out by ear and told in the webhook or beside it."""

from typing import Any

import pytest
from answering_server import HANGUP, Stream
from switchboard_driver import COLLEAGUE, Scene

from phonebot.simulator.callees import VOICE, Human, Machine
from phonebot.simulator.caller import Pause, Said, Say, WaitForHangUp
from phonebot.simulator.detection import DetectionOrder, Detector

GREETS = (Say(VOICE * 50, "hello"), WaitForHangUp())


def heard(order: DetectionOrder, *spans: tuple[int, bool]) -> tuple[str | None, int]:
    """What a detector makes of spans of silence and speech in ms, and when."""
    detector = Detector(order)
    for ms, is_speech in spans:
        for _ in range(0, ms, 20):
            answered_by = detector.hear(Said(VOICE) if is_speech else Said())
            if answered_by is not None:
                return answered_by, detector.elapsed_ms
    return None, detector.elapsed_ms


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([(500, False), (1000, True), (3000, False)], ("human", 500 + 1000 + 1200)),
        ([(500, False), (1000, True), (1000, False), (1000, True), (2000, False)], ("machine_start", 500 + 2400)),
        ([(0, False), (9000, True)], ("machine_start", 2400)),
        ([(9000, False)], ("unknown", 5000)),
    ],
)
def test_a_greeting_is_judged_by_its_length_and_the_silence_after_it(
    spans: list[tuple[int, bool]], expected: tuple[str, int]
) -> None:
    assert heard(DetectionOrder("Enable"), *spans) == expected


def test_thresholds_are_those_that_were_ordered() -> None:
    order = DetectionOrder("Enable", speech_ms=1000, speech_end_ms=500, silence_ms=2000)
    assert heard(order, (900, True), (5000, False)) == ("human", 1400)
    assert heard(order, (5000, True)) == ("machine_start", 1000)
    assert heard(order, (5000, False)) == ("unknown", 2000)


def test_a_machine_without_a_beep_has_ended_its_message_when_it_is_silent() -> None:
    assert heard(DetectionOrder("DetectMessageEnd"), (6000, True), (5000, False)) == ("machine_end_silence", 7200)


def test_what_is_not_decided_in_time_is_unknown() -> None:
    order = DetectionOrder("DetectMessageEnd", timeout_ms=3000)
    assert heard(order, (60_000, True)) == ("unknown", 3000)


@pytest.mark.parametrize(
    ("callee", "mode", "answered_by"),
    [
        (Human(GREETS), "Enable", "human"),
        (Human((Pause(ms=60_000),)), "Enable", "unknown"),
        (Machine(), "Enable", "machine_start"),
        (Machine(), "DetectMessageEnd", "machine_end_beep"),
        (Machine(beeps=False), "DetectMessageEnd", "machine_end_silence"),
        (Human(GREETS, answered_by="fax"), "Enable", "fax"),
    ],
)
async def test_a_synchronous_detection_comes_before_the_webhook_and_stands_in_it(
    scene: Scene, callee: Any, mode: str, answered_by: str
) -> None:
    scene.bot.answers["/outbound"] = HANGUP
    scene.carrier.callees[COLLEAGUE] = callee
    sid = await scene.place(machine_detection=mode)
    await scene.carrier.settled()
    assert scene.bot.form("/outbound")["AnsweredBy"] == answered_by
    assert (await scene.ask(lambda client: client.calls(sid).fetch())).answered_by == answered_by


async def test_an_asynchronous_detection_tells_its_callback_while_the_twiml_runs(scene: Scene) -> None:
    scene.bot.answers["/outbound"] = "<Response><Pause length='20'/></Response>"
    scene.bot.answers["/amd"] = "<Response/>"
    scene.carrier.callees[COLLEAGUE] = Machine(greeting_ms=3000)
    sid = await scene.place(
        machine_detection="DetectMessageEnd", async_amd="true", async_amd_status_callback=scene.url("/amd")
    )
    await scene.carrier.settled()
    assert "AnsweredBy" not in scene.bot.form("/outbound")
    form = scene.bot.form("/amd")
    assert sorted(form) == ["AccountSid", "AnsweredBy", "CallSid", "MachineDetectionDuration"]
    assert (form["CallSid"], form["AnsweredBy"]) == (sid, "machine_end_beep")
    assert 3400 <= int(form["MachineDetectionDuration"]) <= 3500  # the greeting and the beep


async def test_a_detection_goes_on_while_the_bot_talks_on_a_stream(scene: Scene) -> None:
    async def talk(stream: Stream) -> None:
        await stream.until_closed()

    scene.bot.talk = talk
    scene.bot.answers["/outbound"] = scene.bot.answers["/voice"]
    scene.bot.answers["/amd"] = "<Response/>"
    person = Human((Pause(ms=300),), answered_by="machine_start", detected_after_ms=100)
    scene.carrier.callees[COLLEAGUE] = person
    await scene.place(machine_detection="Enable", async_amd="true", async_amd_status_callback=scene.url("/amd"))
    await scene.carrier.settled()
    assert scene.bot.form("/amd")["AnsweredBy"] == "machine_start"
    (called,) = scene.carrier.calls_to(COLLEAGUE)
    assert called.told("detected") == ["machine_start"]


async def test_nothing_is_told_of_a_call_that_ended_before_the_detection_did(scene: Scene) -> None:
    scene.bot.answers["/outbound"] = HANGUP
    scene.carrier.callees[COLLEAGUE] = Human(GREETS)
    await scene.place(machine_detection="Enable", async_amd="true", async_amd_status_callback=scene.url("/amd"))
    await scene.carrier.settled()
    assert scene.bot.paths == ["/outbound"]


async def test_digits_to_be_sent_disable_the_detection(scene: Scene) -> None:
    scene.bot.answers["/outbound"] = HANGUP
    scene.carrier.callees[COLLEAGUE] = Machine()
    await scene.place(machine_detection="Enable", send_digits="wW12#")
    await scene.carrier.settled()
    assert "AnsweredBy" not in scene.bot.form("/outbound")
    (called,) = scene.carrier.calls_to(COLLEAGUE)
    assert called.told("plays") == ["wW12#"]
