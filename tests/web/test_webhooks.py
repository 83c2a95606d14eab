"""The carrier's requests over real sockets: who is answered, what with, and what is refused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest
from service_driver import ACCOUNT_SID, CALL_SID, GOODBYE, TOKEN, Service, StartService, form_of_call
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from phonebot.simulator.caller import HangUp, WaitForBot, WaitForHangUp
from phonebot.simulator.signing import signature
from phonebot.web import body
from phonebot.web.webhooks import MAX_BODY_BYTES

FORMS = ["/twilio/voice", "/twilio/after", "/twilio/status"]


def check_nothing_was_opened(service: Service) -> None:
    assert service.witnesses == []
    assert service.model is not None
    assert service.model.sessions == ()


# ---------------------------------------------------------------------------------- what is answered


async def test_the_voice_webhook_connects_the_call_to_the_stream_and_then_asks_again(service: Service) -> None:
    status, twiml = await service.post("/twilio/voice")
    assert status == 200
    connect_ = ElementTree.fromstring(twiml).find("Connect")
    assert connect_ is not None
    action, _, name = connect_.attrib["action"].partition("?stream=")
    assert (action, connect_.attrib["method"]) == (f"{service.url}/twilio/after", "POST")
    assert len(name) == 22  # 16 random bytes: each stream's own
    (stream,) = connect_
    assert stream.attrib == {"url": f"ws{service.url.removeprefix('http')}/twilio/media"}
    (parameter,) = stream
    assert parameter.attrib["name"] == "token"
    check_nothing_was_opened(service)


@pytest.mark.parametrize(
    ("public_url", "stream_url"),
    [
        ("https://bot.example.com", "wss://bot.example.com/twilio/media"),
        ("https://bot.example.com:8443/phone/bot", "wss://bot.example.com:8443/phone/bot/twilio/media"),
    ],
)
async def test_a_call_behind_a_proxy_is_signed_for_and_sent_to_the_public_url(
    start_service: StartService, public_url: str, stream_url: str
) -> None:
    """The proxy ends TLS and takes the prefix away: the emulator dials as if through one."""
    service = await start_service(public_url=public_url)
    record = await service.dial(WaitForBot(), HangUp(), public_url=public_url)
    assert record.passed, record
    assert [stream.url for stream in record.streams] == [stream_url]
    assert [urlsplit(exchange.url).path for exchange in record.exchanges][-1].endswith("/twilio/after")


async def test_a_stream_may_be_signed_with_a_slash_at_the_end(service: Service) -> None:
    """Twilio, Webhooks security: what is signed for a WebSocket may end in one."""
    url = f"ws{service.url.removeprefix('http')}/twilio/media"
    async with connect(url, additional_headers={"X-Twilio-Signature": signature(TOKEN, url + "/")}) as socket:
        assert socket.response is not None
        assert socket.response.status_code == 101


async def test_an_outbound_call_is_answered_for_the_number_it_comes_from(service: Service) -> None:
    _, twiml = await service.post("/twilio/voice", Direction="outbound-api")
    assert "<Stream" in twiml
    stream = await service.open_stream()
    await stream.connected()
    token = ElementTree.fromstring(twiml).find("./Connect/Stream/Parameter")
    assert token is not None
    await stream.start(token.attrib["value"])
    await stream.stop()
    await stream.closed()
    await service.stop()
    header = service.log().header
    assert (header.from_number, header.to_number, header.kind) == ("+15550100001", "+15550100002", "outbound")
    assert (header.number, header.caller) == ("+15550100001", "+15550100002")


@pytest.mark.parametrize("address", ["sip:" + "a" * 400 + "@example.com", "Zoë \U0001f600" * 60, '"\\' * 200])
async def test_an_address_that_is_no_number_still_gets_a_token_that_fits(service: Service, address: str) -> None:
    status, twiml = await service.post("/twilio/voice", From=address, To=address)
    assert status == 200
    parameter = ElementTree.fromstring(twiml).find("./Connect/Stream/Parameter")
    assert parameter is not None
    assert len(parameter.attrib["name"] + parameter.attrib["value"]) < 500


async def test_a_call_that_went_well_is_hung_up_afterwards(service: Service) -> None:
    stream = await service.started_stream()
    await stream.stop()
    await stream.closed()
    status, twiml = await service.after()
    assert status == 200
    assert [verb.tag for verb in ElementTree.fromstring(twiml)] == ["Hangup"]


async def test_a_call_of_which_nothing_is_known_is_told_that_it_cannot_go_on(service: Service) -> None:
    _, twiml = await service.post("/twilio/after", CallStatus="in-progress")
    verbs = ElementTree.fromstring(twiml)
    assert [verb.tag for verb in verbs] == ["Say", "Hangup"]
    assert verbs[0].text == GOODBYE
    _, twiml = await service.post("/twilio/after", CallStatus="completed")
    assert [verb.tag for verb in ElementTree.fromstring(twiml)] == ["Hangup"]


async def test_the_status_of_a_call_is_taken_note_of(service: Service) -> None:
    assert await service.post("/twilio/status", CallStatus="completed") == (204, "")


async def test_without_an_auth_token_any_request_passes(start_service: StartService) -> None:
    service = await start_service(signs=False)
    record = await service.dial(WaitForBot(), HangUp(), auth_token=None)
    assert record.passed


# ---------------------------------------------------------------------------------- what is not the carrier's


@pytest.mark.parametrize("token", [None, "another token"], ids=["missing", "forged"])
async def test_a_form_that_the_carrier_did_not_sign_is_403(service: Service, token: str | None) -> None:
    for path in FORMS:
        assert await service.post(path, token=token) == (403, "forbidden")
    check_nothing_was_opened(service)


async def test_a_form_that_was_changed_after_signing_is_403(service: Service) -> None:
    form = form_of_call()
    without_blank = {name: value for name, value in form.items() if value}
    for path in FORMS:
        headers = {"X-Twilio-Signature": signature(TOKEN, service.url + path, tuple(form.items()))}
        for changed in (form | {"From": "+15550199999"}, form | {"More": ""}, without_blank):
            answer = await service.request("POST", path, data=changed, headers=headers)
            assert answer == (403, "forbidden")
        assert (await service.request("POST", path + "?more=1", data=form, headers=headers))[0] == 403


async def test_a_form_of_another_account_is_403(start_service: StartService) -> None:
    service = await start_service(TWILIO_ACCOUNT_SID=ACCOUNT_SID)
    for path in FORMS:
        assert (await service.post(path))[0] in (200, 204)
        assert (await service.post(path, AccountSid="AC" + "9" * 32))[0] == 403
        assert (await service.post(path, {"CallSid": CALL_SID}))[0] == 403


async def test_the_signature_is_never_over_what_a_proxy_header_says(service: Service) -> None:
    form = form_of_call()
    forged = "https://evil.example.com"
    headers = {
        "X-Twilio-Signature": signature(TOKEN, f"{forged}/twilio/voice", tuple(form.items())),
        "Host": "evil.example.com",
        "X-Forwarded-Host": "evil.example.com",
        "X-Forwarded-Proto": "https",
    }
    assert (await service.request("POST", "/twilio/voice", data=form, headers=headers))[0] == 403


@pytest.mark.parametrize("token", [None, "another token"], ids=["missing", "forged"])
async def test_a_stream_that_the_carrier_did_not_sign_is_403_before_it_is_accepted(
    service: Service, token: str | None
) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        await service.open_stream(token)
    assert refusal.value.response.status_code == 403
    check_nothing_was_opened(service)


async def test_a_caller_who_cannot_sign_is_not_answered(service: Service) -> None:
    record = await service.dial(WaitForHangUp(), auth_token="another token")
    assert (record.outcome, record.streams) == ("failed", [])
    check_nothing_was_opened(service)


# ---------------------------------------------------------------------------------- what is no request


async def test_a_body_over_64_kib_is_413(service: Service) -> None:
    longest = b"x=" + b"y" * (MAX_BODY_BYTES - 2)
    for path in FORMS:
        assert (await service.request("POST", path, data=longest))[0] == 403
        answer = await service.request("POST", path, data=longest + b"y")
        assert answer == (413, "the body is longer than 65536 bytes")


async def test_a_body_without_end_is_cut_off(service: Service) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"y" * 1024
            await asyncio.sleep(0)

    assert (await service.request("POST", "/twilio/voice", data=endless()))[0] == 413


@pytest.mark.parametrize(
    "body", [b"\xff\xfe=1", b"a=%ff", b"&".join([b"a=1"] * 201)], ids=["raw", "escaped", "201"]
)
async def test_a_body_that_is_no_form_is_400(service: Service, body: bytes) -> None:
    status, text = await service.request("POST", "/twilio/voice", data=body)
    assert (status, text) == (400, "the body is no form of at most 200 fields in UTF-8")


async def test_a_head_without_end_is_cut_off(service: Service) -> None:
    reader, writer = await asyncio.open_connection(*address(service))
    writer.write(b"POST /twilio/voice HTTP/1.1\r\n")
    answer = b""
    with suppress(ConnectionError):  # what is still being sent when the connection is closed breaks it
        for number in range(100):
            writer.write(b"X-%d: %s\r\n" % (number, b"a" * 10_000))
            await writer.drain()
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 400") or not answer
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def test_a_body_that_does_not_come_is_408(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "BODY_TIMEOUT_S", 0.1)
    reader, writer = await asyncio.open_connection(*address(service))
    writer.write(b"POST /twilio/voice HTTP/1.1\r\nHost: bot\r\nContent-Length: 10\r\n\r\nhalf")
    assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    writer.close()
    await writer.wait_closed()


async def test_a_body_that_breaks_off_leaves_nothing_behind(service: Service) -> None:
    _, writer = await asyncio.open_connection(*address(service))
    writer.write(b"POST /twilio/voice HTTP/1.1\r\nHost: bot\r\nContent-Length: 10\r\n\r\nhalf")
    await writer.drain()
    writer.transport.abort()
    assert await service.request("GET", "/healthz") == (200, "ok")


def address(service: Service) -> tuple[str, int]:
    parts = urlsplit(service.url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


async def test_a_form_that_is_asked_for_is_405(service: Service) -> None:
    for path in FORMS:
        assert (await service.request("GET", path))[0] == 405


async def test_what_is_not_there_is_404(service: Service) -> None:
    for path in ("/", "/twilio", "/twilio/media", "/api/v1/numbers", "/%2e%2e/etc"):
        assert (await service.request("GET", path))[0] == 404


async def test_a_stream_that_is_not_there_is_403(service: Service) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        await service.open_stream(path="/console/media")
    assert refusal.value.response.status_code == 403
