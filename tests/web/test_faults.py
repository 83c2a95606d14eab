"""What goes wrong on either side of a call: what the caller gets, what is kept, and that nothing is left behind."""

import asyncio
import json
import socket
from contextlib import suppress
from pathlib import Path

import pytest
from service_driver import (
    GOODBYE,
    RawStream,
    Service,
    StartService,
    confirm_session,
    listening_socket,
    scripted_model,
    until,
)
from websockets.asyncio.server import ServerConnection

from phonebot.call.actions import ClearPlayback, Line, PlayAudio, SendMark, Trouble
from phonebot.call.call import CARRIER_FAULTS
from phonebot.call.inputs import CallerAudioDropped, CarrierClosed, CarrierFault, ModelFault, ModelReady
from phonebot.carrier.messages import MAX_MESSAGE_BYTES, Dtmf
from phonebot.outbox import MAX_CALLER_MS
from phonebot.realtime import connection
from phonebot.realtime.events import AudioDelta
from phonebot.simulator.caller import HangUp, WaitForHangUp, WaitForQuiet
from phonebot.simulator.outputs import Faults
from phonebot.simulator.record import CallRecord
from phonebot.web import pace

pytestmark = pytest.mark.slow

# ---------------------------------------------------------------------------------- the model


def check_apology(record: CallRecord) -> None:
    """The stream was closed, and the carrier told the caller so."""
    assert record.passed, record
    assert record.outcome == "bot hung up"
    assert [stream.close_code for stream in record.streams] == [1011]
    assert [event.detail for event in record.events if event.kind == "plays"] == [GOODBYE]


async def failed_call(service: Service) -> list[str]:
    """A call that must end with an apology; why it failed, as its log has it."""
    check_apology(await service.dial(WaitForHangUp()))
    await service.stop()
    assert service.log().header.outcome == "model_failed"
    (witness,) = service.witnesses
    return witness.troubles


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"PHONEBOT_MODEL_TOKEN": "sk-a-wrong-key"}, "does not accept the key, or not for this model"),
        ({"faults": Faults(refuse_key=True)}, "Incorrect API key provided"),
        ({"faults": Faults(update="refused")}, "this server refuses every update"),
        (
            {"faults": Faults(beta_disabled=True), "PHONEBOT_MODEL_DIALECT": "beta"},
            "The beta shape of this API is no longer available",
        ),
    ],
    ids=["wrong key", "key refused after the upgrade", "update refused", "beta disabled"],
)
async def test_a_model_that_refuses_the_call_ends_it_with_an_apology(
    start_service: StartService, terms: dict[str, str], reason: str
) -> None:
    (problem,) = await failed_call(await start_service(**terms))
    assert reason.lower() in problem.lower()
    assert "sk-" not in problem


async def test_a_model_that_cannot_be_reached_ends_the_call_with_an_apology(start_service: StartService) -> None:
    with listening_socket() as closed:
        url = f"ws://127.0.0.1:{closed.getsockname()[1]}"
    *problems, last = await failed_call(await start_service(model_url=url, PHONEBOT_MODEL_PATIENCE_S="1"))
    assert len(problems) > 1
    assert all("cannot be reached" in problem for problem in problems)
    assert last == "no model was there for 1 s"


async def test_a_model_that_never_confirms_the_session_is_given_up(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "UPDATED_TIMEOUT_S", 0.2)
    service = await start_service(faults=Faults(update="ignored"), PHONEBOT_MODEL_PATIENCE_S="1")
    *problems, _ = await failed_call(service)
    assert set(problems) == {"gateway sent no session.updated in time"}


async def test_the_apology_does_not_wait_until_the_model_has_said_goodbye(start_service: StartService) -> None:
    """The carrier asks how to go on as soon as the stream is closed; the model's socket may still be closing."""
    deaf = asyncio.Event()

    async def fail(socket: ServerConnection) -> None:
        await confirm_session(socket)
        error = {"type": "invalid_request_error", "code": "insufficient_quota", "message": "Quota exceeded."}
        await socket.send(json.dumps({"type": "error", "event_id": "event_3", "error": error}))
        socket.transport.pause_reading()  # nor does it take notice of a close
        await deaf.wait()
        socket.transport.abort()

    async with scripted_model(fail) as url:
        service = await start_service(model_url=url)
        try:
            record = await service.dial(WaitForHangUp())
        finally:
            deaf.set()
            await service.stop()
    assert record.passed, record
    assert record.outcome == "bot hung up"
    # How the call ended was known: he is not told again what the bot has said.
    assert record.told("plays") == []
    assert [line.text for line in service.witnesses[0].saw(Line)] == [GOODBYE]


@pytest.mark.parametrize(
    "nonsense",
    [
        "this is not JSON",
        '{"no": "type"}',
        '{"type": "response.output_audio.delta", "delta": 7}',
        b"\x00\x01",
        "[" * 100_000,
    ],
    ids=["no JSON", "no type", "wrong shape", "binary", "nested too deeply"],
)
async def test_a_call_goes_on_when_the_model_talks_nonsense(
    start_service: StartService, nonsense: str | bytes
) -> None:
    async def talk_nonsense(socket: ServerConnection) -> None:
        await confirm_session(socket)
        await socket.send(nonsense)
        await socket.send('{"type": "an.event.of.next.year", "event_id": "event_4"}')

    async with scripted_model(talk_nonsense) as url:
        service = await start_service(model_url=url)
        stream = await service.started_stream()
        await until(lambda: service.witnesses and service.witnesses[0].saw(ModelFault))
        await stream.stop()
        assert await stream.closed() == 1000
        await service.stop()
    assert service.log().header.outcome == "caller_hung_up"
    (witness,) = service.witnesses
    assert witness.troubles == [fault.problem for fault in witness.saw(ModelFault)]
    assert len(witness.troubles) == 1


async def test_a_model_that_reads_too_slowly_loses_the_oldest_audio_and_nothing_grows(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "BURST_S", 600.0)  # minutes of audio come at once here, for which no call is taken
    reads_on = asyncio.Event()

    async def read_nothing(socket: ServerConnection) -> None:
        await confirm_session(socket)
        await reads_on.wait()
        async for _ in socket:
            pass

    with listening_socket(receive_buffer=4096) as listener:
        async with scripted_model(read_nothing, listener, max_queue=1) as url:
            service = await start_service(model_url=url)
            stream = await service.started_stream()
            await until(lambda: service.witnesses and service.witnesses[0].saw(ModelReady))
            (witness,) = service.witnesses
            # First as long as a message may be, to fill the kernel's megabytes of buffers; then as they really are.
            for chunk in range(1, 111):
                await stream.media(chunk, (chunk - 1) * 4000, b"\x90" * 32_000)
            for chunk in range(111, 311):
                await stream.media(chunk, 440_000 + (chunk - 111) * 20)
            await stream.event("dtmf", track="inbound_track", digit="1")
            await until(lambda: witness.saw(Dtmf))  # the stream was read to here, whatever the model does
            reported = len(witness.saw(CallerAudioDropped))
            assert reported  # though the model still takes nothing
            reads_on.set()
            await until(lambda: len(witness.saw(CallerAudioDropped)) > reported)
            await stream.stop()
            assert await stream.closed() == 1000
            await service.stop()
    dropped = [dropped.frames for dropped in witness.saw(CallerAudioDropped)]
    assert sum(dropped) <= 310 - MAX_CALLER_MS // 20
    log = service.log()
    troubles = [action.problem for step in log.steps for action in step.actions if isinstance(action, Trouble)]
    assert troubles == [
        f"{frames} frames of the caller were dropped: the model's connection is too slow" for frames in dropped
    ]
    assert log.header.outcome == "caller_hung_up"


# ---------------------------------------------------------------------------------- the carrier


async def answered(service: Service) -> RawStream:
    """A stream whose call has been answered."""
    stream = await service.started_stream()
    await until(lambda: service.witnesses and service.witnesses[0].saw(AudioDelta))
    return stream


@pytest.mark.parametrize(
    ("garbage", "complaint"),
    [
        ("this is not JSON", "message: not JSON"),
        ('{"event": "media"', "message: not JSON"),
        ("[]", "message: Expected `object`, got `array`"),
        ("[" * 10_000, "message: "),
        ("", "message: not JSON"),
        (b"\x00\xff", "a binary frame: a media stream has text frames only"),
        ('{"event": "media", "sequenceNumber": "9", "streamSid": "MZ0"}', "media 9: Object missing required field"),
        ('{"event": "connected", "protocol": "Call", "version": "1.0.0"}', "connected: out of order"),
    ],
    ids=["no JSON", "half JSON", "no object", "deep", "empty", "binary", "no media", "out of order"],
)
async def test_garbage_of_the_carrier_is_refused_and_the_call_goes_on(
    service: Service, garbage: str | bytes, complaint: str
) -> None:
    stream = await answered(service)
    await stream.send(garbage)
    await stream.media()
    await stream.stop()
    assert await stream.closed() == 1000
    await service.stop()
    assert service.log().header.outcome == "caller_hung_up"
    (witness,) = service.witnesses
    (problem,) = witness.troubles
    assert complaint in problem


async def test_a_second_start_is_refused_and_the_call_goes_on(service: Service) -> None:
    stream = await answered(service)
    await stream.start(await service.token("CA" + "9" * 32), "CA" + "9" * 32)
    await stream.stop()
    assert await stream.closed() == 1000
    (witness,) = service.witnesses
    assert witness.troubles == ["start 2: out of order: the stream has started already"]


async def test_an_event_that_is_unknown_is_noted_and_never_counted(service: Service) -> None:
    stream = await answered(service)
    for _ in range(CARRIER_FAULTS + 5):
        await stream.event("weather", outlook="fair")
    await stream.stop()
    assert await stream.closed() == 1000
    (witness,) = service.witnesses
    assert [fault.counts for fault in witness.saw(CarrierFault)] == [False] * (CARRIER_FAULTS + 5)


async def test_a_carrier_that_reads_nothing_for_a_while_gets_each_mark_once_and_no_stale_audio(
    start_service: StartService,
) -> None:
    """There is more audio than its socket holds: the server has no room for what comes behind that."""
    interrupts = asyncio.Event()

    async def speak(model: ServerConnection) -> None:
        await confirm_session(model)
        place = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
        second = {"type": "response.output_audio.delta", "event_id": "e", "delta": "kJCQ" * 2667, **place}
        for _ in range(25):
            await model.send(json.dumps(second))
        await interrupts.wait()
        started = {"type": "input_audio_buffer.speech_started", "audio_start_ms": 0, "item_id": "item_u"}
        await model.send(json.dumps({"event_id": "e", **started}))

    async with scripted_model(speak) as url:
        service = await start_service(model_url=url, send_buffer=4096)
        with socket.socket() as narrow:
            narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            narrow.connect(("127.0.0.1", int(service.url.rpartition(":")[2])))
            stream = await service.open_stream(sock=narrow)
            await stream.connected()
            await stream.start(await service.token())
            await until(lambda: service.witnesses and len(service.witnesses[0].saw(AudioDelta)) == 25)
            (witness,) = service.witnesses
            interrupts.set()
            await until(lambda: witness.saw(ClearPlayback))
            marks = [mark.name for mark in witness.saw(SendMark)]
            sent = [json.loads(await stream.socket.recv())]
            while sent[-1].get("mark", {}).get("name") != marks[-1]:
                sent.append(json.loads(await stream.socket.recv()))
            await stream.stop()
            assert await stream.closed() == 1000
            await service.stop()
    assert [message["mark"]["name"] for message in sent if "mark" in message] == marks
    assert [message["event"] for message in sent[-2:]] == ["clear", "mark"]
    played = [message["media"]["payload"] for message in sent if "media" in message]
    made = [action.payload for action in witness.saw(PlayAudio)]
    assert played == made[: len(played)]
    assert 0 < len(played) < len(made)  # the rest had no room, and was thrown away


async def test_a_stream_of_garbage_is_closed_with_1008(service: Service) -> None:
    stream = await answered(service)
    for _ in range(CARRIER_FAULTS + 1):
        await stream.send("garbage")
    assert await stream.closed() == 1008
    await service.idle()
    await service.stop()
    assert service.log().header.outcome == "carrier_faults"


async def test_a_message_over_64_kib_closes_the_stream_with_1009(service: Service) -> None:
    stream = await answered(service)
    await stream.send("x" * (MAX_MESSAGE_BYTES + 1))
    assert await stream.closed() == 1009
    await service.idle()
    await service.stop()
    (witness,) = service.witnesses
    assert witness.saw(CarrierClosed) == [CarrierClosed(1009)]
    assert service.log().header.outcome == "stream_lost"


async def test_a_message_of_exactly_64_kib_is_read(service: Service) -> None:
    stream = await answered(service)
    await stream.send("x" * MAX_MESSAGE_BYTES)
    await stream.stop()
    assert await stream.closed() == 1000


async def test_a_message_of_a_megabyte_is_not_taken_in(service: Service) -> None:
    """The connection is closed while it is still being sent, so that the carrier may not see the close itself."""
    stream = await answered(service)
    with suppress(ConnectionError):
        await stream.send("x" * 1024 * 1024)
    assert await stream.closed() in (1006, 1009)
    await service.idle()
    (witness,) = service.witnesses
    assert witness.saw(CarrierClosed) == [CarrierClosed(1009)]


async def test_a_message_in_small_fragments_is_bounded_too(service: Service) -> None:
    stream = await answered(service)
    with suppress(ConnectionError):
        await stream.socket.send(["x" * 10_000] * 7)
    assert await stream.closed() == 1009
    await service.idle()


async def test_a_caller_who_vanishes_ends_the_call(service: Service) -> None:
    stream = await answered(service)
    stream.vanish()
    await service.idle()
    await service.stop()
    assert service.log().header.outcome == "stream_lost"


async def test_a_stream_closed_without_stop_ends_the_call(service: Service) -> None:
    stream = await answered(service)
    await stream.socket.close(1001)
    await service.idle()
    (witness,) = service.witnesses
    assert witness.saw(CarrierClosed) == [CarrierClosed(1001)]


async def test_a_caller_who_vanishes_while_the_model_is_being_reached_ends_the_call(
    start_service: StartService,
) -> None:
    service = await start_service(faults=Faults(slow_start_s=600))
    stream = await service.started_stream()
    await until(lambda: service.witnesses)
    stream.vanish()
    await service.stop()
    assert service.log().header.outcome == "stream_lost"


async def test_a_broken_log_directory_does_not_end_a_call(start_service: StartService, tmp_path: Path) -> None:
    blocker = tmp_path / "blocker"
    blocker.write_text("a file where a folder should be")
    service = await start_service(PHONEBOT_DATA_DIR=str(blocker))
    record = await service.dial(WaitForQuiet(300), HangUp())
    assert record.passed
