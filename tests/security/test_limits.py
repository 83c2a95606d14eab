"""Too much of something: calls, messages, bytes. What there is too much of ends, the rest goes on."""

import asyncio
from contextlib import suppress
from xml.etree import ElementTree

import aiohttp
import pytest
from service_driver import CALL_SID, PATIENCE_S, RawStream, Service, StartService, form_of_call, until

from phonebot.agents.profile import Profile
from phonebot.audio.canned import Clips
from phonebot.store.audit import Actor
from phonebot.store.store import Store
from phonebot.store.tokens import SCOPES
from phonebot.web import media, pace, patience


@pytest.fixture
async def service(start_service: StartService) -> Service:
    """Without the console and the API."""
    return await start_service()


OTHER_SID = "CA" + "9" * 32


async def metrics(service: Service) -> dict[str, float]:
    """The figures that are not 0, by name and labels."""
    _, text = await service.request("GET", "/metrics")
    lines = (line.rpartition(" ") for line in text.splitlines() if line.startswith("phonebot_"))
    return {name: float(value) for name, _, value in lines if float(value)}


def said(twiml: str) -> tuple[str, str | None]:
    """What the carrier's voice says, and in which language; the call ends then."""
    say, hang_up = ElementTree.fromstring(twiml)
    assert (say.tag, hang_up.tag) == ("Say", "Hangup")
    return say.text or "", say.attrib.get("language")


async def end(stream: RawStream) -> None:
    await stream.stop()
    assert await stream.closed() == 1000


@pytest.mark.parametrize(
    ("setting", "limit"),
    [
        ("PHONEBOT_MAX_CALLS", "process"),
        ("PHONEBOT_MAX_CALLS_PER_NUMBER", "number"),
        ("PHONEBOT_MAX_CALLS_PER_CALLER", "caller"),
        ("PHONEBOT_MAX_NEW_CALLS_PER_CALLER", "rate"),
    ],
)
async def test_a_call_that_is_one_too_many_hears_so_and_costs_nothing(
    start_service: StartService, setting: str, limit: str
) -> None:
    service = await start_service(**{setting: "1"})
    stream = await service.started_stream()
    await until(lambda: service.witnesses)
    status, twiml = await service.post("/twilio/voice", form_of_call(OTHER_SID))
    assert (status, said(twiml)) == (200, (Clips().of("en").busy.text, "en-US"))
    assert (await metrics(service))[f'phonebot_calls_turned_away_total{{why="{limit}"}}'] == 1
    # One that we make ourselves has been answered by now.
    _, twiml = await service.post("/twilio/voice", form_of_call("CA" + "8" * 32, Direction="outbound-api"))
    assert "<Stream" in twiml
    await end(stream)
    assert len(service.witnesses) == 1


async def test_a_place_is_free_again_once_a_call_has_ended(start_service: StartService) -> None:
    service = await start_service(PHONEBOT_MAX_CALLS="1")
    for number in range(3):
        sid = f"CA{number:032x}"
        await end(await service.started_stream(sid))
        await until(lambda: not service.live)


@pytest.mark.parametrize(
    ("language", "spoken", "text"),
    [("de-AT", "de-DE", "de"), ("en-GB", "en-GB", "en"), ("fi-FI", "en-US", "en"), ("xx", "en-US", "en")],
)
async def test_callers_are_told_in_their_language_or_in_one_that_the_words_are_in(
    start_service: StartService, language: str, spoken: str, text: str
) -> None:
    profile = Profile.from_table({"language": language}, "test")
    service = await start_service(profile=profile, PHONEBOT_MAX_NEW_CALLS_PER_CALLER="1")
    await service.post("/twilio/voice", form_of_call(CALL_SID))
    _, twiml = await service.post("/twilio/voice", form_of_call(OTHER_SID))
    assert said(twiml) == (Clips().of(text).busy.text, spoken)


async def test_a_stream_on_which_too_much_comes_is_closed_and_others_go_on(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pace, "BURST_S", 5.0)
    service = await start_service()
    calm = await service.started_stream(OTHER_SID)
    flood = await service.started_stream()
    for chunk in range(1, 1_200):
        await flood.media(chunk, chunk * 20)
    assert await flood.closed() == 1008
    assert "more came on it than a call can have" in caplog.text
    assert (await metrics(service))["phonebot_streams_flooded_total"] == 1
    await end(calm)


@pytest.mark.parametrize("length", [65_537, 1_000_000])
async def test_a_message_that_is_too_long_ends_its_stream_unread(service: Service, length: int) -> None:
    stream = await service.started_stream()
    await stream.send("x" * length)
    assert await stream.closed() == 1009


async def test_so_many_streams_may_have_yet_to_start(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "MAX_WAITING", 2)
    waiting = [await service.open_stream() for _ in range(2)]
    await until(lambda: len(service.live) == 2)
    refused = await service.refused_stream()
    assert refused == 403
    for stream in waiting:
        stream.vanish()
    await until(lambda: not service.live)
    await end(await service.started_stream())


async def test_requests_that_are_not_the_carriers_are_counted(service: Service) -> None:
    for path in ("/twilio/voice", "/twilio/status"):
        assert (await service.post(path, token="another token"))[0] == 403
    assert await service.refused_stream(token=None) == 403
    assert (await metrics(service))["phonebot_requests_forged_total"] == 3


async def test_a_connection_whose_request_comes_to_no_end_is_closed(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends a byte now and then, at its beginning or after a request that was answered."""
    monkeypatch.setattr(patience, "HEAD_S", 0.3)
    service = await start_service()
    for sent in (b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rpartition(":")[2]))
        writer.write(sent)
        if sent:
            assert b"200 OK" in await reader.readuntil(b"ok")
        with suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE_S):
                while not reader.at_eof():
                    writer.write(b"G")
                    await writer.drain()
                    with suppress(TimeoutError):
                        assert await asyncio.wait_for(reader.read(1_000), 0.05) == b""
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_slow_answer_and_a_call_outlast_the_patience_with_requests(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "HEAD_S", 0.1)
    service = await start_service()
    stream = await service.started_stream()
    async with aiohttp.ClientSession() as http:  # which keeps its connection
        for _ in range(3):
            async with http.get(f"{service.url}/healthz") as answer:
                assert await answer.text() == "ok"
            await asyncio.sleep(0.2)
    await stream.media()
    await end(stream)


async def test_a_file_of_profiles_that_takes_too_long_is_refused(start_service: StartService, store: Store) -> None:
    """Calls in progress wait for what is done in their process."""
    service = await start_service(store=store)
    token = (await store.tokens.create("all", list(SCOPES), Actor("boss"))).secret
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/toml"}
    texts = {
        "has more than 1000 profiles": "\n".join(f'["+1555{number:07}"]' for number in range(1_001)),
        "more than 32 parts": "[" + ".".join("a" * 400_000) + "]",
        "nested too deeply": "a = " + "[" * 400_000,
    }
    async with aiohttp.ClientSession(headers=headers) as http:
        for problem, text in texts.items():
            url = f"{service.url}/api/v1/profiles/import"
            async with http.post(url, data=text.encode()) as answer:
                assert (answer.status, problem in await answer.text()) == (422, True), problem
    assert await store.numbers.entries() == []
