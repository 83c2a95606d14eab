"""Calls to the whole service in which the caller is told that he is recorded; the profile is that of the docs."""

import asyncio

import pytest
from board_driver import ADA
from documents import Document
from msgspec import UNSET
from service_driver import CALL_SID, PATIENCE_S, PROFILE, SPEECH, Service, StartService, until

from phonebot.agents.profile import Profile
from phonebot.audio import wav
from phonebot.call.actions import Line, StartRecording
from phonebot.carrier.messages import Media
from phonebot.replay.heard import legs
from phonebot.replay.player import play
from phonebot.simulator.caller import HangUp, Say, WaitForBot, WaitForQuiet

NOTICE = "This call is recorded"
QUIET = WaitForQuiet(500)


def recorded_by(**table: object) -> Profile:
    example = Document("telephony.md").profiles("Consent")["+15550100012"].model_dump(include={"record", "consent"})
    base = PROFILE.model_dump(exclude_none=True) | {"greeting": "Hi"} | example | {"consent": NOTICE}
    return Profile.from_table(base | table, "test")


def lines(service: Service) -> list[str]:
    return [f"{line.role}: {line.text}" for each in service.witnesses for line in each.saw(Line)]


@pytest.mark.parametrize("detection", ["server_vad", "local"])
async def test_he_is_heard_and_recorded_once_he_has_heard_the_notice(
    start_service: StartService, detection: str
) -> None:
    table = {"type": detection, "silence_duration_ms": 200, "prefix_padding_ms": 100}
    service = await start_service(profile=recorded_by(turn_detection=table))
    record = await service.dial(WaitForBot(), Say(SPEECH), QUIET, Say(SPEECH), QUIET, HangUp())
    assert record.passed, record
    await service.stop()
    assert lines(service)[:2] == [f"bot: {NOTICE}", "bot: Hi"]
    assert sum(line.startswith("caller") for line in lines(service)) == 1  # what he said into the notice is lost
    log = service.log()
    assert play(log).differences == ()
    (begun,) = (place for place, step in enumerate(log.steps) if StartRecording() in step.actions)
    began_ms = log.steps[begun].now_ms
    assert (log.header.audio, log.header.recorded_from_ms) == (True, began_ms)
    folder = next(service.calls_dir.iterdir())
    frames = sum(isinstance(step.input, Media) for step in log.steps[begun + 1 :])
    assert len(wav.read(folder / "caller.wav").data) == 160 * frames
    both, end = legs(log), began_ms * 8
    assert set(both.caller[:end]) == set(both.heard[:end]) == {0xFF}
    assert len(set(both.caller[end:])) > 1


async def test_who_hangs_up_before_he_has_heard_it_is_not_recorded(start_service: StartService) -> None:
    service = await start_service(profile=recorded_by(consent=f"{NOTICE}, all of it, from now on to its end"))
    record = await service.dial(WaitForBot(), Say(SPEECH), HangUp())
    assert record.passed, record
    await service.stop()
    (witness,) = service.witnesses
    assert not witness.saw(StartRecording)
    log = service.log()
    assert (log.header.audio, log.header.recorded_from_ms) == (False, UNSET)
    assert {file.name for file in next(service.calls_dir.iterdir()).iterdir()} == {"call.json", "events.jsonl"}
    assert play(log).differences == ()


async def test_who_listens_in_hears_nothing_before(start_service: StartService) -> None:
    service = await start_service(profile=recorded_by())
    stream = await service.started_stream()
    await until(lambda: bool(service.witnesses and service.witnesses[0].history))
    async with asyncio.timeout(PATIENCE_S), service.board.listen(CALL_SID, ADA) as sounds:
        for chunk in range(1, 20):
            await stream.media(chunk, 20 * chunk, audio=SPEECH[:160])
        sound = await anext(sounds)
    assert set(sound.caller) == {0xFF}
    await stream.stop()
    await stream.closed()
