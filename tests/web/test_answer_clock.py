"""Of each response the first audio that is sent is timed, once; in whole calls it is in the log and counted."""

import pytest
from closure import until
from service_driver import SPEECH, StartService

from phonebot.call.actions import PlayAudio
from phonebot.call.inputs import AnswerSent
from phonebot.realtime.events import AudioDelta, AudioDone
from phonebot.simulator.caller import HangUp, Say, WaitForQuiet
from phonebot.web import answer_clock
from phonebot.web.answer_clock import AnswerClock

PLAYED = [PlayAudio("")]


def delta(response_id: str) -> AudioDelta:
    return AudioDelta(response_id, "item", 0, 0, "")


def test_the_first_audio_of_each_response_is_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_clock, "monotonic", lambda: 10.000250)
    told: list[AnswerSent] = []
    clock = AnswerClock(lambda: 10.0, told.append)
    clock.happened(0, delta("r1"), [])  # less than a frame: nothing was sent
    assert told == []
    for response_id in ("r1", "r1", "r2"):
        clock.happened(0, delta(response_id), list(PLAYED))
    clock.happened(0, AudioDone("r3", "item", 0, 0), list(PLAYED))
    assert told == [AnswerSent("r1", 250), AnswerSent("r2", 250)]


async def test_each_answer_of_a_call_is_in_its_log_and_counted(start_service: StartService) -> None:
    service = await start_service()
    await service.dial(WaitForQuiet(300), Say(SPEECH), WaitForQuiet(300), HangUp())
    (witness,) = service.witnesses
    await until(lambda: len(witness.saw(AnswerSent)) == 2)  # the greeting, and the answer
    _, metrics = await service.request("GET", "/metrics")
    assert "phonebot_answer_seconds_count 2.0" in metrics
    await service.stop()
    sent = [step.input for step in service.log().steps if isinstance(step.input, AnswerSent)]
    assert sent == witness.saw(AnswerSent)
