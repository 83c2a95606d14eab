"""
Streams that are forged, sent again, meant for another call or too late: none opens a model session.

What a single process does about them by itself is in tests/web/test_admission.py.
"""

import asyncio
from xml.etree import ElementTree

import pytest
from service_driver import CALL_SID, PATIENCE_S, TOKEN, RawStream, Service, StartService, until
from sqlalchemy import select
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from phonebot.errors import StoreUnavailable
from phonebot.simulator.signing import signature
from phonebot.store import admissions
from phonebot.store.admissions import AdmissionStore
from phonebot.store.store import Store
from phonebot.store.tables import SpentToken


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the database is waited for: how slow it is depends on what else the machine does."""
    monkeypatch.setattr(admissions, "DEADLINE_S", PATIENCE_S)


async def bring(service: Service, token: str, call_sid: str = CALL_SID) -> RawStream:
    """Open a stream and send its start message."""
    stream = await service.open_stream()
    await stream.connected()
    await stream.start(token, call_sid)
    return stream


def check_nothing_was_paid_for(service: Service) -> None:
    assert service.witnesses == []
    assert service.model is not None
    assert service.model.sessions == ()


async def end(service: Service, stream: RawStream) -> None:
    await until(lambda: service.witnesses)
    await stream.stop()
    assert await stream.closed() == 1000


def token_in(twiml: str) -> str:
    parameter = ElementTree.fromstring(twiml).find("./Connect/Stream/Parameter")
    assert parameter is not None, twiml
    return parameter.attrib["value"]


async def known_to_all(store: Store, tokens: int) -> None:
    """Wait until so many tokens are known to be used: the process that made one does not wait for it itself."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with store.database.read() as session:
                if len((await session.scalars(select(SpentToken.nonce))).all()) >= tokens:
                    return
            await asyncio.sleep(0.01)


async def test_a_token_that_opened_a_stream_opens_none_in_another_process(
    start_service: StartService, store: Store
) -> None:
    """Whichever of the two has made it."""
    one, other = await start_service(store=store), await start_service(store=store)
    first = await one.token()
    await end(one, await bring(one, first))
    await known_to_all(store, 1)
    assert await (await bring(other, first)).closed() == 1008
    check_nothing_was_paid_for(other)

    second = await one.token()
    stream = await bring(other, second)  # the carrier's request came to the one, its stream to the other
    await end(other, stream)
    again = await bring(one, second)
    assert await again.closed() == 1008


async def test_of_two_streams_with_one_token_in_two_processes_one_ends_at_once(
    start_service: StartService, store: Store
) -> None:
    one, other = await start_service(store=store), await start_service(store=store)
    token = await one.token()
    stolen = await bring(other, token)
    await until(lambda: other.witnesses)
    late = await bring(one, token)
    assert await late.closed() == 1008
    await end(other, stolen)


async def test_without_the_database_a_process_goes_by_what_it_knows(
    service: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise StoreUnavailable("the database is away")

    monkeypatch.setattr(AdmissionStore, "take", away)
    token = await service.token()
    await end(service, await bring(service, token))
    assert await (await bring(service, token)).closed() == 1008
    assert "is not known" in caplog.text


async def test_the_recorded_requests_of_a_call_that_is_over_open_nothing(
    start_service: StartService, store: Store
) -> None:
    """The signatures are right, and have no date: whoever has recorded them can send them for ever."""
    one, other = await start_service(store=store), await start_service(store=store)
    unused = await one.token()
    await end(one, await bring(one, await one.token()))
    for status in ("in-progress", "completed"):
        assert (await one.post("/twilio/status", CallStatus=status))[0] == 204
    assert await one.post("/twilio/voice") == (403, "forbidden")
    for status in ("in-progress", "completed"):
        assert "<Hangup" in (await one.post("/twilio/after", CallStatus=status))[1]
    assert await (await bring(one, unused)).closed() == 1008
    # Another process makes a token, for it was told nothing; and finds out when it comes back.
    _, twiml = await other.post("/twilio/voice")
    stream = await bring(other, token_in(twiml))
    assert await stream.closed() == 1008


async def test_a_call_that_goes_on_may_be_asked_about_again(service: Service) -> None:
    """A webhook that is sent again, or that is the fallback of another, while the call is there."""
    for status in ("queued", "ringing", "in-progress"):
        await service.post("/twilio/status", CallStatus=status)
        assert (await service.post("/twilio/voice"))[0] == 200
    await end(service, await bring(service, await service.token()))


async def test_a_forged_upgrade_is_refused_before_it_is_accepted(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a signature, with another token's, over another URL."""
    ws = "ws" + service.public_url.removeprefix("http")
    forged = [
        None,
        signature("another token", f"{ws}/twilio/media"),
        *(
            signature(TOKEN, url)
            for url in (
                f"{service.public_url}/twilio/media",  # as a form's
                f"{ws}/twilio/voice",
                f"{ws}/console/media",
                f"{ws}/twilio/media?token=1",
                f"{ws}/twilio/media/x",
                "wss://evil.example/twilio/media",
                ws,
            )
        ),
    ]
    for sent in forged:
        caplog.clear()
        headers = {"X-Twilio-Signature": sent} if sent else {}
        with pytest.raises(InvalidStatus) as refusal:
            await connect(f"{ws}/twilio/media", additional_headers=headers, proxy=None)
        assert refusal.value.response.status_code == 403
        assert "without a valid signature" in caplog.text
    check_nothing_was_paid_for(service)
