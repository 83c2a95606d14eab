"""Which streams are let in, by the gate alone and at the service's door."""

import logging

import pytest
from service_driver import (
    ACCOUNT_SID,
    CALL_SID,
    PROFILE,
    SECRET_KEY,
    STREAM_SID,
    RawStream,
    Service,
    StartService,
    until,
)
from websockets.typing import Subprotocol

from phonebot.carrier.messages import Start
from phonebot.store import admissions
from phonebot.store.admissions import AdmissionStore
from phonebot.store.database import Database
from phonebot.web import desk, media
from phonebot.web.admission import SKEW_S, TOKEN_AGE_S, Admission, Gate, Refused

ADMISSION = Admission(CALL_SID, "+15550100001", "+15550100002", "0123456789ab")


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


def start(token: str | None, call_sid: str = CALL_SID) -> Start:
    return Start(1, STREAM_SID, ACCOUNT_SID, call_sid, parameters={} if token is None else {"token": token})


def test_a_token_brings_back_what_it_was_made_of_in_any_process_with_the_same_key() -> None:
    token, name = Gate(SECRET_KEY).issue(ADMISSION)
    admitted = Gate(SECRET_KEY).admit(start(token))
    assert (admitted.admission, admitted.stream) == (ADMISSION, name)


def test_a_token_is_taken_until_it_is_a_minute_old() -> None:
    clock = Clock()
    gate = Gate(SECRET_KEY, clock)
    (first, _), (second, _) = gate.issue(ADMISSION), gate.issue(ADMISSION)
    clock.now_s += TOKEN_AGE_S
    gate.admit(start(first))
    clock.now_s += 1
    with pytest.raises(Refused, match="older than 60 s"):
        gate.admit(start(second))


def test_a_token_of_a_process_whose_clock_is_ahead_is_taken() -> None:
    """And one that was made right before this machine's clock was set back."""
    clock = Clock()
    gate = Gate(SECRET_KEY, clock)
    (first, _), (second, _) = gate.issue(ADMISSION), gate.issue(ADMISSION)
    clock.now_s -= SKEW_S - 1
    gate.admit(start(first))
    with pytest.raises(Refused, match="used before"):
        gate.admit(start(first))
    clock.now_s -= 2
    with pytest.raises(Refused, match="dated in the future: set the clocks"):
        gate.admit(start(second))


def test_a_token_is_taken_once() -> None:
    clock = Clock()
    gate = Gate(SECRET_KEY, clock)
    token, _ = gate.issue(ADMISSION)
    gate.admit(start(token))
    for _ in range(TOKEN_AGE_S):
        clock.now_s += 1
        gate.admit(start(gate.issue(ADMISSION)[0]))  # which makes the gate forget what it can
        with pytest.raises(Refused, match="used before"):
            gate.admit(start(token))
    clock.now_s += 1
    with pytest.raises(Refused, match="older"):
        gate.admit(start(token))


def test_a_token_is_not_used_up_by_another_call() -> None:
    gate = Gate(SECRET_KEY)
    token, _ = gate.issue(ADMISSION)
    with pytest.raises(Refused, match="another call"):
        gate.admit(start(token, "CA" + "9" * 32))
    assert gate.admit(start(token)).admission == ADMISSION


@pytest.mark.parametrize("token", [None, "", "nonsense", "W10.aaaa.bbbb", "x" * 400])
def test_what_is_no_token_of_ours_is_refused(token: str | None) -> None:
    with pytest.raises(Refused, match=r"has no token|is not ours"):
        Gate(SECRET_KEY).admit(start(token))


def test_a_token_made_with_another_key_or_changed_is_refused() -> None:
    token, _ = Gate("another key").issue(ADMISSION)
    with pytest.raises(Refused, match="not ours"):
        Gate(SECRET_KEY).admit(start(token))
    token, _ = Gate(SECRET_KEY).issue(ADMISSION)
    changed = ("A" if token[0] != "A" else "B") + token[1:]
    with pytest.raises(Refused, match="not ours"):
        Gate(SECRET_KEY).admit(start(changed))


@pytest.fixture
def gates(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> tuple[Gate, Gate]:
    """Of two processes with one database."""
    monkeypatch.setattr(admissions, "DEADLINE_S", 10.0)  # the machine may be busy with other tests
    return Gate(SECRET_KEY, store=AdmissionStore(sqlite)), Gate(SECRET_KEY, store=AdmissionStore(sqlite))


async def test_a_stream_that_was_shut_opens_in_no_process(gates: tuple[Gate, Gate]) -> None:
    one, other = gates
    token, stream = one.issue(ADMISSION)
    assert await one.shut(CALL_SID, stream)
    with pytest.raises(Refused, match="used before"):
        one.admit(start(token))
    admitted = other.admit(start(token))
    with pytest.raises(Refused, match="used before"):
        await other.claim(admitted)


async def test_a_stream_that_has_been_opened_is_not_shut_any_more(gates: tuple[Gate, Gate]) -> None:
    one, other = gates
    token, stream = one.issue(ADMISSION)
    admitted = one.admit(start(token))
    assert not await one.shut(CALL_SID, stream)
    await one.claim(admitted)
    assert not await other.shut(CALL_SID, stream)


# ---------------------------------------------------------------------------------- at the door


async def check_refused(service: Service, stream: RawStream, reason: str, log: pytest.LogCaptureFixture) -> None:
    """Closed with 1008, the reason in our log only, and no model was asked for anything."""
    assert await stream.closed() == 1008
    assert stream.socket.close_reason == ""
    assert [record.getMessage() for record in log.records if record.name == media.__name__] == [
        f"a stream was refused: {reason}"
    ]
    assert service.witnesses == []
    assert service.model is not None
    assert service.model.sessions == ()
    await service.stop()
    assert service.logs() == []


async def test_a_stream_without_a_token_is_refused(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    stream = await service.open_stream()
    await stream.connected()
    await stream.start(None)
    await check_refused(service, stream, "the stream has no token", caplog)


async def test_a_stream_with_another_calls_token_is_refused(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    stream = await service.open_stream()
    await stream.connected()
    await stream.start(await service.token("CA" + "9" * 32))
    await check_refused(service, stream, "the stream's token belongs to another call", caplog)


async def test_a_stream_with_an_old_token_is_refused(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    clock.now_s = 1_500_000_000
    stream = await service.open_stream()
    await stream.connected()
    await stream.start(Gate(SECRET_KEY, clock).issue(ADMISSION)[0])
    await check_refused(service, stream, "the stream's token is older than 60 s", caplog)


async def test_a_stream_of_another_account_is_refused(
    start_service: StartService, caplog: pytest.LogCaptureFixture
) -> None:
    service = await start_service(TWILIO_ACCOUNT_SID=ACCOUNT_SID)
    stream = await service.open_stream()
    await stream.connected()
    await stream.start(await service.token(), account_sid="AC" + "9" * 32)
    await check_refused(service, stream, "the stream is another account's", caplog)


async def test_media_before_start_is_refused(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    stream = await service.open_stream()
    await stream.connected()
    await stream.media()
    await check_refused(service, stream, "media 1: out of order: start comes next", caplog)


async def test_a_stream_that_does_not_start_in_time_is_refused(
    service: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "START_TIMEOUT_S", 0.1)
    stream = await service.open_stream()
    await stream.connected()
    await check_refused(service, stream, "no start message came within 0.1 s", caplog)


async def test_a_token_opens_one_stream_only(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    token = await service.token()
    first, second = await service.open_stream(), await service.open_stream()
    for stream in (first, second):
        await stream.connected()
        await stream.start(token)
    assert await second.closed() == 1008
    await until(lambda: service.witnesses)
    assert len(service.witnesses) == 1
    await first.stop()
    assert await first.closed() == 1000
    assert "used before" in caplog.text


async def test_a_stream_that_vanishes_before_it_starts_leaves_nothing_behind(service: Service) -> None:
    for says_hello in (False, True):
        stream = await service.open_stream()
        if says_hello:
            await stream.connected()
        stream.vanish()
    stream = await service.open_stream()
    await stream.send("garbage")
    stream.vanish()
    await service.stop()
    assert service.logs() == []


async def test_a_profile_that_changed_since_the_webhook_answers_and_the_log_says_so(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, desk.__name__)
    for version in (PROFILE.version, "an older one"):
        admission = Admission(CALL_SID, "+15550100001", "+15550100002", version)
        stream = await service.open_stream()
        await stream.connected()
        await stream.start(Gate(SECRET_KEY).issue(admission)[0])
        await stream.stop()
        assert await stream.closed() == 1000
    assert [record.getMessage() for record in caplog.records if record.name == desk.__name__] == [
        f"call '{CALL_SID}' is answered by version {PROFILE.version} of profile 'Front desk': "
        "its webhook chose version an older one"
    ]


async def test_a_subprotocol_is_answered_only_if_it_was_offered(service: Service) -> None:
    plain = await service.open_stream()
    offering = await service.open_stream(subprotocols=[Subprotocol("other"), Subprotocol("audio.twilio.com")])
    assert (plain.socket.subprotocol, offering.socket.subprotocol) == (None, "audio.twilio.com")
