"""The emulated REST API, asked by Twilio's own library, and asked wrongly."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import aiohttp
import pytest
from twilio.base.exceptions import TwilioException, TwilioRestException  # type: ignore[import-untyped]  # ships no types
from twilio.rest import Client  # type: ignore[import-untyped]

from phonebot.simulator.rest import Number, RestServer, serve

ACCOUNT, TOKEN = "AC" + "2" * 32, "0123456789abcdef0123456789abcdef"


@pytest.fixture
async def twilio() -> AsyncIterator[RestServer]:
    async with serve(ACCOUNT, TOKEN) as server:
        server.numbers += [Number("+15550100000"), Number("+15550100002")]
        yield server


async def ask(server: RestServer, request: Callable[[Any], Any], token: str = TOKEN) -> Any:
    """What the library makes of the answer; it blocks, so it has a thread."""
    client = Client(ACCOUNT, token)
    client.api.base_url = server.url
    try:
        return await asyncio.to_thread(request, client)
    finally:
        client.http_client.session.close()  # the library leaves it to the collector


async def refusal(server: RestServer, request: Callable[[Any], Any], token: str = TOKEN) -> tuple[int, int]:
    with pytest.raises(TwilioRestException) as caught:
        await ask(server, request, token)
    return caught.value.status, caught.value.code


async def test_numbers_are_listed_and_found_by_a_part_of_them(twilio: RestServer) -> None:
    found = await ask(twilio, lambda client: client.incoming_phone_numbers.list())
    assert [number.phone_number for number in found] == ["+15550100000", "+15550100002"]
    found = await ask(twilio, lambda client: client.incoming_phone_numbers.list(phone_number="0002"))
    assert [number.sid for number in found] == [twilio.numbers[1].sid]


async def test_what_is_set_on_a_number_is_there_afterwards(twilio: RestServer) -> None:
    sid, url = twilio.numbers[0].sid, "https://bot.example.com/twilio/voice"
    updated = await ask(
        twilio, lambda client: client.incoming_phone_numbers(sid).update(voice_url=url, voice_method="POST")
    )
    assert (updated.voice_url, updated.voice_method) == (url, "POST")
    (found,) = await ask(twilio, lambda client: client.incoming_phone_numbers.list(phone_number="+15550100000"))
    assert found.voice_url == url
    assert twilio.requests[0] == (
        "POST",
        f"/2010-04-01/Accounts/{ACCOUNT}/IncomingPhoneNumbers/{sid}.json",
        {"VoiceUrl": url, "VoiceMethod": "POST"},
    )


async def test_what_twilio_refuses_is_refused(twilio: RestServer) -> None:
    sid = twilio.numbers[0].sid
    assert await refusal(twilio, partial(_update, sid, {}), "wrong") == (401, 20003)
    with pytest.raises(TwilioException, match=r'HTTP 401 ."code": 20003, "message": "Authenticate"'):
        await ask(twilio, lambda client: client.incoming_phone_numbers.list(), "wrong")
    assert await refusal(
        twilio, lambda client: client.incoming_phone_numbers("PN" + "0" * 32).update(voice_url="https://a.example")
    ) == (404, 20404)
    for setting, error in (
        ({"voice_url": "bot.example.com/voice"}, 21402),
        ({"voice_url": "https://under_score.example/voice"}, 21402),
        ({"status_callback": "ftp://a.example"}, 21402),
        ({"voice_method": "PUT"}, 21403),
        ({"sms_url": "https://a.example"}, 20001),
    ):
        update = partial(_update, sid, setting)
        assert await refusal(twilio, update) == (400, error)
    assert twilio.numbers[0].set == {}


async def test_a_body_that_is_no_form_and_a_path_that_is_none_are_refused(twilio: RestServer) -> None:
    path = f"{twilio.url}/2010-04-01/Accounts/{ACCOUNT}/IncomingPhoneNumbers"
    credentials = b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
    async with aiohttp.ClientSession(headers={"Authorization": f"Basic {credentials}"}) as http:
        async with http.post(
            f"{path}/{twilio.numbers[0].sid}.json", json={"VoiceUrl": "https://a.example"}
        ) as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, 20001)
        async with http.get(f"{path}/x") as answer:
            assert (answer.status, (await answer.json())["code"]) == (404, 20404)


def _update(sid: str, setting: dict[str, str], client: Any) -> object:
    return client.incoming_phone_numbers(sid).update(**setting)
