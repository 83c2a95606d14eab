"""What goes wrong between the carrier and us, over real sockets: a call goes on, or ends and leaves nothing."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from faulty_relay import Link, Relay, Weather, relaying
from service_driver import (
    CALL_SID,
    SPEECH,
    TOKEN,
    RawStream,
    Service,
    StartService,
    confirm_session,
    form_of_call,
    scripted_model,
    until,
)
from websockets.asyncio.server import ServerConnection

from phonebot import bridge
from phonebot.audio.base64 import base64_length
from phonebot.call import call
from phonebot.call.actions import Ended, Line, Tell
from phonebot.call.call import CARRIER_FAULTS
from phonebot.call.inputs import CarrierClosed
from phonebot.carrier.messages import Media
from phonebot.realtime.events import AppendAudio, AudioDelta
from phonebot.simulator.caller import Caller, HangUp, Say, WaitForQuiet
from phonebot.simulator.phone import dial
from phonebot.simulator.record import CallRecord

pytestmark = pytest.mark.slow


@asynccontextmanager
async def over_relay(service: Service) -> AsyncIterator[Relay]:
    async with relaying(int(service.url.rpartition(":")[2])) as relay:
        yield relay


async def answered(service: Service, relay: Relay | None = None) -> RawStream:
    """A stream, perhaps through the relay, whose call has been answered."""
    through: dict[str, Any] = {"host": "127.0.0.1", "port": relay.port} if relay else {}
    stream = await service.open_stream(**through)
    await stream.connected()
    place = len(service.witnesses)
    await stream.start(await service.token())
    await until(lambda: len(service.witnesses) > place and service.witnesses[place].saw(AudioDelta))
    return stream


async def called(relay: Relay, service: Service, *steps: Any) -> CallRecord:
    """The emulator calls through the relay."""
    webhook = f"http://127.0.0.1:{relay.port}/twilio/voice"
    return await dial(webhook, Caller(*steps), auth_token=TOKEN, public_url=service.url, max_call_s=30.0)


def stream_of(relay: Relay) -> Link:
    return relay.links[0]


async def outcome_of(service: Service) -> str | None:
    """How the only call ended, once nothing of it is left."""
    await service.idle()
    await until(lambda: not len(service.live))
    await service.stop()
    return service.log().header.outcome


def appended_ms(service: Service) -> int:
    """How much audio of the caller the model was sent."""
    (witness,) = service.witnesses
    commands = [tell.command for tell in witness.saw(Tell)]
    return sum(base64_length(each.audio) for each in commands if isinstance(each, AppendAudio)) // 8


# ---------------------------------------------------------------------------------- sockets that stand still


async def test_a_carrier_that_reads_nothing_is_given_up(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "SEND_TIMEOUT_S", 0.3)

    async def speak(model: ServerConnection) -> None:
        await confirm_session(model)
        place = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
        second = {"type": "response.output_audio.delta", "event_id": "e", "delta": "kJCQ" * 2667, **place}
        for _ in range(25):
            await model.send(json.dumps(second))

    async with scripted_model(speak) as url:
        service = await start_service(model_url=url, send_buffer=4096)
        with socket.socket() as narrow:
            narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            narrow.connect(("127.0.0.1", int(service.url.rpartition(":")[2])))
            stream = await service.open_stream(sock=narrow, max_queue=1)
            await stream.connected()
            await stream.start(await service.token())
            await until(lambda: service.witnesses and service.witnesses[0].saw(CarrierClosed))
            await until(lambda: not len(service.live))
            stream.vanish()
        await service.stop()
    assert service.log().header.outcome == "stream_lost"


async def test_a_stream_that_is_half_open_is_found_dead_and_holds_up_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither end is told that the network between them is gone."""
    monkeypatch.setattr(call, "SILENT_CARRIER_MS", 300)
    async with over_relay(service) as relay:
        await answered(service, relay)
        stream_of(relay).hold()
        assert await outcome_of(service) == "stream_lost"
        assert stream_of(relay).is_open


async def test_a_carrier_that_neither_closes_nor_reads_after_its_stop_holds_up_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "CLOSE_TIMEOUT_S", 0.3)
    async with over_relay(service) as relay:
        stream = await answered(service, relay)
        await stream.stop()
        await until(lambda: service.witnesses[0].saw(Ended))
        stream_of(relay).hold()
        assert await outcome_of(service) == "caller_hung_up"


async def test_a_network_that_stands_still_for_a_second_costs_no_frame(service: Service) -> None:
    async with over_relay(service) as relay:
        stream = await answered(service, relay)
        await stream.media(1, 100)
        stream_of(relay).hold()
        for chunk in range(2, 52):
            await stream.media(chunk, 80 + 20 * chunk)
        await asyncio.sleep(0.3)
        assert len(service.witnesses[0].saw(Media)) <= 1
        stream_of(relay).release()
        await stream.stop()
        assert await stream.closed() == 1000
        assert await outcome_of(service) == "caller_hung_up"
    assert appended_ms(service) == 51 * 20
    assert service.witnesses[0].troubles == []


async def test_a_call_over_a_network_that_cuts_everything_into_bytes_goes_as_any_other(service: Service) -> None:
    async with over_relay(service) as relay:
        relay.weather = Weather(delay_s=0.05, shred=50)
        record = await called(relay, service, WaitForQuiet(300), Say(SPEECH), WaitForQuiet(300), HangUp())
        assert record.passed, record
        assert await outcome_of(service) == "caller_hung_up"
    lines = [(line.role, line.text) for line in service.witnesses[0].saw(Line)]
    assert lines[:2] == [("bot", "Hi"), ("caller", "something")]
    assert service.witnesses[0].troubles == []


# ---------------------------------------------------------------------------------- sockets that break


async def test_a_stream_that_breaks_within_a_message_ends_the_call(service: Service) -> None:
    async with over_relay(service) as relay:
        stream = await answered(service, relay)
        stream_of(relay).weather = Weather(bytes_per_s=2_000)
        await stream.media()
        await asyncio.sleep(0.05)
        stream_of(relay).cut()
        assert await outcome_of(service) == "stream_lost"
    assert service.witnesses[0].saw(Media) == []


async def test_bytes_that_are_spoilt_on_their_way_end_the_stream_and_nothing_else(service: Service) -> None:
    async with over_relay(service) as relay:
        stream = await answered(service, relay)
        stream_of(relay).garble(to_far=True, every=3)
        await stream.media()
        assert await stream.closed() in (1002, 1006, 1007, 1009)
        record = await called(relay, service, WaitForQuiet(300), HangUp())
        assert record.passed, record
        await until(lambda: not len(service.live))
        await service.stop()
    assert sorted(str(log.header.outcome) for log in service.logs()) == ["caller_hung_up", "stream_lost"]


# ---------------------------------------------------------------------------------- messages too many or too few


async def test_frames_that_come_twice_are_taken_once_and_never_end_the_call(service: Service) -> None:
    stream = await answered(service)
    for chunk in range(1, 2 * CARRIER_FAULTS):
        await stream.media(chunk, 80 + 20 * chunk)
        stream.sequence -= 1
        await stream.media(chunk, 80 + 20 * chunk)
    await stream.stop()
    assert await stream.closed() == 1000
    assert await outcome_of(service) == "caller_hung_up"
    assert len(service.witnesses[0].saw(Media)) == 2 * CARRIER_FAULTS - 1
    assert appended_ms(service) == (2 * CARRIER_FAULTS - 1) * 20


async def test_frames_that_are_missing_are_silence_to_the_model(service: Service) -> None:
    """So its turns end where the caller's do, and what it says of its time is true."""
    stream = await answered(service)
    await stream.media(1, 100)
    stream.sequence += 10  # they were counted, though they never came
    await stream.media(12, 320)
    await stream.stop()
    assert await stream.closed() == 1000
    assert await outcome_of(service) == "caller_hung_up"
    assert appended_ms(service) == 320 + 20 - 100
    assert service.witnesses[0].troubles == []


# ---------------------------------------------------------------------------------- what comes again


async def test_a_webhook_that_is_asked_again_opens_one_call(service: Service) -> None:
    """The carrier asks again where the answer took too long or was lost; it uses one of the two."""
    lost, used = await service.token(), await service.token()
    assert lost != used
    stream = await service.open_stream()
    await stream.connected()
    await stream.start(used)
    await until(lambda: service.witnesses and service.witnesses[0].saw(AudioDelta))
    assert len(service.live) == len(await service.board.calls()) == 1
    assert service.model
    assert len(service.model.sessions) == 1
    assert (await service.post("/twilio/voice"))[0] == 200  # and later still
    assert len(service.live) == 1
    await stream.stop()
    assert await stream.closed() == 1000
    assert await outcome_of(service) == "caller_hung_up"


async def test_a_stream_that_comes_again_takes_the_place_of_the_one_that_is_half_open(service: Service) -> None:
    """The carrier has seen its stream break, and we have not: the caller is not held twice."""
    async with over_relay(service) as relay:
        await answered(service, relay)
        stream_of(relay).hold()
        again = await answered(service)
        await until(lambda: len(service.live) == 1)
        assert service.model
        model = service.model
        await until(lambda: len(model.sessions) == 1)
        assert [call.call_sid for call in await service.board.calls()] == [CALL_SID]
        await again.stop()
        assert await again.closed() == 1000
        await until(lambda: not len(service.live))
        assert [ended.outcome for ended in service.witnesses[-1].saw(Ended)] == ["caller_hung_up"]
        await service.stop()
    assert [str(log.header.outcome) for log in service.logs()] == ["stream_lost", "caller_hung_up"]


@pytest.mark.parametrize("times", [2, 3])
async def test_a_stop_that_is_sent_again_changes_nothing(service: Service, times: int) -> None:
    stream = await answered(service)
    for _ in range(times):
        await stream.stop()
    assert await stream.closed() == 1000
    assert await outcome_of(service) == "caller_hung_up"


async def test_callbacks_of_a_call_that_come_twice_and_in_any_order_change_nothing(service: Service) -> None:
    stream = await answered(service)
    for status in ("completed", "in-progress", "completed", "ringing"):
        assert (await service.post("/twilio/status", form_of_call(CallStatus=status)))[0] == 204
    assert len(service.live) == 1
    await stream.stop()
    assert await stream.closed() == 1000
    for _ in range(2):
        answer = await service.after()
        assert answer[0] == 200
        assert "<Hangup" in answer[1]
    assert await outcome_of(service) == "caller_hung_up"
