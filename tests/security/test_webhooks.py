"""
Requests that are not the carrier's, at each of its routes: 403, and nothing comes of them.

The routes are the app's own, so one that is added under /twilio is tested too.
"""

import json
import logging
from collections.abc import AsyncIterator, Mapping
from xml.etree import ElementTree

import aiohttp
import pytest
from routes import routes_of
from service_driver import ACCOUNT_SID, TOKEN, Service, StartService, form_of_call
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from phonebot.simulator.signing import signature
from phonebot.store.store import Store

PUBLIC_URL = "https://bot.example.com/phone"
"""TLS ends at a proxy, which takes the prefix away: nothing of the request says this."""


@pytest.fixture
async def service(start_service: StartService, store: Store) -> Service:
    return await start_service(store=store, public_url=PUBLIC_URL, TWILIO_ACCOUNT_SID=ACCOUNT_SID)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


def paths(service: Service) -> list[str]:
    found = [route.path for route in routes_of(service.app) if route.kind == "carrier" and route.methods]
    assert len(found) >= 7
    return found


async def post(
    http: aiohttp.ClientSession,
    service: Service,
    path: str,
    signed_url: str | None,
    headers: Mapping[str, str] | None = None,
    **changes: str,
) -> int:
    """A form of a call, which was signed for this URL; None: not at all. Then `changes` are made to it."""
    form = form_of_call()
    signed = {"X-Twilio-Signature": signature(TOKEN, signed_url, tuple(form.items()))} if signed_url else {}
    sent = {**signed, **(headers or {})}
    async with http.post(service.url + path, data=form | changes, headers=sent) as answer:
        return answer.status


async def test_a_request_is_the_carriers_only_if_it_signed_this_very_one(
    service: Service, http: aiohttp.ClientSession
) -> None:
    for path in paths(service):
        right = PUBLIC_URL + path
        assert await post(http, service, path, right) != 403 or path.startswith("/twilio/whisper"), path
        for signed_url in (
            None,
            "http" + right.removeprefix("https"),
            f"{right}/",
            f"{right}?x=1",
            f"{PUBLIC_URL}/twilio/other",
            service.url + path,  # as the request itself says
            f"https://bot.example.com{path}",  # without the prefix
            f"https://evil.example{path}",
        ):
            assert await post(http, service, path, signed_url) == 403, (path, signed_url)
        for changes in ({"From": "+15550100009"}, {"Extra": ""}, {"CallSid": "CA" + "9" * 32}):
            assert await post(http, service, path, right, None, **changes) == 403, (path, changes)


async def test_no_header_makes_a_request_another_one(service: Service, http: aiohttp.ClientSession) -> None:
    """A stranger chooses the headers: what is signed is checked against the settings alone."""
    forwarded = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Prefix": "/phone",
        "Forwarded": "host=evil.example;proto=https",
        "X-Original-URL": "/twilio/voice",
    }
    for path in paths(service):
        for stranger in (f"https://evil.example{path}", f"https://evil.example/phone{path}"):
            assert await post(http, service, path, stranger, headers=forwarded) == 403, path
    assert await post(http, service, "/twilio/voice", f"{PUBLIC_URL}/twilio/voice", headers=forwarded) == 200


async def test_another_accounts_request_is_refused_though_it_is_signed(
    service: Service, http: aiohttp.ClientSession
) -> None:
    for path in paths(service):
        form = form_of_call(AccountSid="AC" + "9" * 32)
        headers = {"X-Twilio-Signature": signature(TOKEN, PUBLIC_URL + path, tuple(form.items()))}
        async with http.post(service.url + path, data=form, headers=headers) as answer:
            assert answer.status == 403, path


async def test_a_body_that_is_no_form_is_never_taken_for_a_signed_one(
    service: Service, http: aiohttp.ClientSession
) -> None:
    """JSON has other rules: its hash would have to be in the query. None of these routes takes it."""
    for path in paths(service):
        headers = {"X-Twilio-Signature": signature(TOKEN, PUBLIC_URL + path), "Content-Type": "application/json"}
        for body in (json.dumps(form_of_call()), "", "\0", "a" * 70_000, "&" * 300):
            async with http.post(service.url + path, data=body, headers=headers) as answer:
                assert answer.status in (400, 403, 413), (path, body[:20])


async def test_what_a_request_says_of_the_caller_cannot_leave_its_place_in_the_twiml(
    service: Service, http: aiohttp.ClientSession
) -> None:
    markup = '"/><Dial>+15550100666</Dial><Say>&amp;</Say>'
    form = form_of_call(From=markup, To=markup, CallSid=markup)
    headers = {"X-Twilio-Signature": signature(TOKEN, f"{PUBLIC_URL}/twilio/voice", tuple(form.items()))}
    async with http.post(f"{service.url}/twilio/voice", data=form, headers=headers) as answer:
        document = ElementTree.fromstring(await answer.text())
    assert [element.tag for element in document.iter()] == ["Response", "Connect", "Stream", "Parameter"]


async def test_a_refused_request_is_not_told_why_and_leaves_no_trace_of_a_call(
    service: Service, http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for path in paths(service):
        async with http.post(service.url + path, data=form_of_call()) as answer:
            assert (answer.status, await answer.text()) == (403, "forbidden")
    assert service.witnesses == []
    assert "+1555" not in caplog.text


async def test_in_development_a_page_of_another_site_reaches_nothing(start_service: StartService) -> None:
    """No signature is checked there; and a browser on the machine sends to it what any page wants it to."""
    service = await start_service(signs=False)
    ws_url = f"ws{service.url.removeprefix('http')}/twilio/media"
    for origin in ("https://evil.example", "null", service.url):
        status, _ = await service.request("POST", "/twilio/voice", data=form_of_call(), headers={"Origin": origin})
        assert status == 403
        with pytest.raises(InvalidStatus) as refusal:
            await connect(ws_url, origin=Origin(origin), proxy=None)
        assert refusal.value.response.status_code == 403
    assert (await service.post("/twilio/voice", token=None))[0] == 200
