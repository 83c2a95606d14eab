"""The shipped configuration of nginx: nginx takes it, and does by it what it says."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from nginx_driver import EXAMPLE, PUBLIC_URL, Nginx, checked, lay_out
from phone_driver import Page, by_cookie
from service_driver import RawStream, Service, StartService, until

from phonebot.simulator.caller import HangUp, WaitForQuiet

DRAFT = {"name": "Draft", "greeting": "This is the draft"}
CALLS = ("CA" + "3" * 32, "CA" + "4" * 32, "CA" + "5" * 32)


@pytest.fixture
async def pair(
    start_service: StartService, tmp_path: Path
) -> AsyncIterator[tuple[Service, Service, Nginx, Service]]:
    """Two processes, nginx in front of them, and what both are to who comes through it."""
    first, second = [await start_service(public_url=PUBLIC_URL, authorise=by_cookie) for _ in range(2)]
    async with Nginx.serving(tmp_path, [_port(first), _port(second)]) as front:
        yield first, second, front, replace(second, url=front.url)


def _port(service: Service) -> int:
    return int(service.url.rpartition(":")[2])


@pytest.mark.skipif(os.geteuid() != 0, reason="to listen on ports 80 and 443 takes root: run it as root")
async def test_nginx_takes_the_file_as_it_is(tmp_path: Path) -> None:
    lay_out(tmp_path, (EXAMPLE / "phonebot.conf").read_text())
    code, said = await checked(tmp_path)
    assert (code, "[emerg]" in said, "test is successful" in said) == (0, False, True), said


async def test_a_call_goes_through_and_nothing_of_its_urls_queries_is_logged(
    pair: tuple[Service, Service, Nginx, Service],
) -> None:
    *_, front, through = pair
    record = await through.dial(WaitForQuiet(300), HangUp())
    assert record.passed, record
    _, page = await through.request("GET", "/healthz?token=secret")
    assert page == "ok"
    assert ("POST /twilio/voice 200" in front.log, "secret" in front.log) == (True, False)


async def test_a_stream_that_meets_a_process_that_is_stopping_is_taken_by_another(
    pair: tuple[Service, Service, Nginx, Service],
) -> None:
    """The one that stops has fewer connections, so it is asked."""
    first, second, front, through = pair
    first.live.draining = True
    async with AsyncExitStack() as callers:
        for call_sid in CALLS:
            stream = await through.open_stream()
            callers.push_async_callback(_end, stream)
            await stream.connected()
            await stream.start(await second.token(call_sid), call_sid)
        await until(lambda: len(second.live) == len(CALLS))
    assert len(second.witnesses) == len(CALLS)
    assert not first.witnesses
    asked = [line for line in front.log.splitlines() if f":{_port(first)}" in line]
    assert asked
    assert all(line.endswith(" 503, 101") for line in asked)


async def test_a_webhook_that_meets_a_process_that_has_gone_is_answered_by_another(
    pair: tuple[Service, Service, Nginx, Service],
) -> None:
    first, _, _, through = pair
    await first.stop()
    for call_sid in CALLS:
        assert await through.token(call_sid)


async def test_a_profile_that_is_tried_before_it_is_saved_answers_whoever_tries_it(
    pair: tuple[Service, Service, Nginx, Service],
) -> None:
    """It is kept by the process that it was sent to: a session stays with its own."""
    *_, through = pair
    page = Page(through, origin=PUBLIC_URL)
    for session in ("one", "another", "a third", "a fourth", "a fifth"):
        cookies = {"Cookie": f"session=ada; __Host-phonebot-form=f; __Host-phonebot={session}"}
        status, ticket = await page.post({"number": "+15550100002", "profile": DRAFT}, **cookies)
        assert status == 200
        stream = await page.open(**cookies)
        await stream.connected()
        await stream.start(ticket["token"], ticket["call_sid"])
        await _end(stream)
        assert stream.socket.close_code == 1000, session


async def test_a_call_lasts_longer_than_any_time_out_while_frames_come_and_not_without(
    start_service: StartService, tmp_path: Path
) -> None:
    """The caller's frames come for twice as long as nginx waits in silence, and nothing is said to him."""
    service = await start_service(public_url=PUBLIC_URL)
    seconds = {"proxy_read_timeout": 1, "proxy_send_timeout": 1}
    async with Nginx.serving(tmp_path, [_port(service)], **seconds) as front:
        stream = await replace(service, url=front.url).open_stream()
        await stream.connected()
        await stream.start(await service.token())
        for place in range(1, 101):
            await stream.media(place, place * 20)
            await asyncio.sleep(0.02)
        assert len(service.live) == 1
        assert await stream.closed() == 1006
        await service.live.idle()
    await service.stop()
    assert service.log().header.outcome == "stream_lost"


async def test_it_serves_https_and_gives_no_figures(
    pair: tuple[Service, Service, Nginx, Service],
) -> None:
    first, _, front, through = pair
    assert (await through.request("GET", "/metrics"))[0] == 404
    assert (await first.request("GET", "/metrics"))[0] == 200
    url = f"{front.secure_url}/healthz"
    async with aiohttp.ClientSession() as http, http.get(url, ssl=front.trusted) as answer:
        assert (answer.status, await answer.text()) == (200, "ok")
        assert answer.headers["strict-transport-security"]


async def _end(stream: RawStream) -> None:
    await stream.stop()
    await stream.closed()
