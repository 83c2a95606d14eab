"""The client of the carrier's REST API, on an emulated account that answers, refuses, or gets it wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from switchboard_driver import COLLEAGUE, LINE, Scene, staged
from tool_driver import shop

from phonebot.carrier.account import CarrierAccount
from phonebot.errors import CarrierRefused, CarrierUnreachable
from phonebot.simulator.callees import Human, NoAnswer
from phonebot.simulator.rest import RestFault
from phonebot.simulator.switchboard import ACCOUNT_SID, AUTH_TOKEN

TALKS = '<Response><Say>Hello.</Say><Pause length="3600"/></Response>'


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with staged() as scene:
        scene.bot.answers["/outbound"] = TALKS
        yield scene


@pytest.fixture
async def account(scene: Scene) -> AsyncIterator[CarrierAccount]:
    async with CarrierAccount(ACCOUNT_SID, AUTH_TOKEN, scene.carrier.url) as account:
        yield account


async def place(scene: Scene, account: CarrierAccount, to: str = COLLEAGUE, **more: Any) -> str:
    urls: dict[str, Any] = {"url": scene.url("/outbound"), "status_callback": scene.url("/events")}
    return await account.create_call(to, LINE, **({"ring_s": 20, "limit_s": 600} | urls | more))


def asked(scene: Scene, method: str, path_end: str) -> list[dict[str, str]]:
    return [given for how, path, given in scene.carrier.requests if how == method and path.endswith(path_end)]


@asynccontextmanager
async def hurried(scene: Scene) -> AsyncIterator[CarrierAccount]:
    """One that gives up after a second: time enough on loopback, and soon over where nobody answers."""
    async with CarrierAccount(ACCOUNT_SID, AUTH_TOKEN, scene.carrier.url, deadline_s=1) as account:
        yield account


async def test_a_call_is_placed_with_what_was_asked_for_and_reaches_the_callee(
    scene: Scene, account: CarrierAccount
) -> None:
    scene.carrier.callees[COLLEAGUE] = Human()
    sid = await place(scene, account, machine_detection="DetectMessageEnd", amd_callback=scene.url("/events"))
    (given,) = asked(scene, "POST", "/Calls.json")
    assert given == {
        "To": COLLEAGUE,
        "From": LINE,
        "Url": scene.url("/outbound"),
        "Method": "POST",
        "StatusCallback": scene.url("/events"),
        "StatusCallbackMethod": "POST",
        "StatusCallbackEvent": "initiated ringing answered completed",
        "Timeout": "20",
        "TimeLimit": "600",
        "MachineDetection": "DetectMessageEnd",
        "AsyncAmd": "true",
        "AsyncAmdStatusCallback": scene.url("/events"),
        "AsyncAmdStatusCallbackMethod": "POST",
    }
    await scene.carrier.until(COLLEAGUE, "heard", "Hello.")
    assert await account.call_state(sid) == "in-progress"
    await account.hang_up(sid)
    await scene.carrier.settled()
    assert await account.call_state(sid) == "completed"


async def test_digits_are_sent_to_whoever_answers(scene: Scene, account: CarrierAccount) -> None:
    scene.carrier.callees[COLLEAGUE] = Human()
    await account.hang_up(await place(scene, account, send_digits="W1234#"))
    (given,) = asked(scene, "POST", "/Calls.json")
    assert given["SendDigits"] == "W1234#"


async def test_a_call_goes_on_with_the_twiml_that_it_is_given(scene: Scene, account: CarrierAccount) -> None:
    scene.carrier.callees[COLLEAGUE] = Human()
    sid = await place(scene, account)
    await scene.carrier.until(COLLEAGUE, "heard", "Hello.")
    await account.update_call(sid, twiml="<Response><Say>Goodbye.</Say></Response>")
    await scene.carrier.settled()
    (leg,) = scene.carrier.calls_to(COLLEAGUE)
    assert leg.told("heard") == ["Hello.", "Goodbye."]


async def test_a_call_that_rings_takes_no_twiml_after_two_tries(scene: Scene, account: CarrierAccount) -> None:
    scene.carrier.callees[COLLEAGUE] = NoAnswer()
    sid = await place(scene, account, ring_s=600)
    with pytest.raises(CarrierRefused, match=r"21220.*: the call is over, or not there yet"):
        await account.update_call(sid, twiml="<Response/>")
    assert len(asked(scene, "POST", f"/{sid}.json")) == 2
    await account.hang_up(sid)


async def test_hanging_up_what_is_over_or_unknown_is_no_error(scene: Scene, account: CarrierAccount) -> None:
    scene.carrier.callees[COLLEAGUE] = Human()
    sid = await place(scene, account)
    await account.hang_up(sid)
    await scene.carrier.settled()
    await account.hang_up(sid)
    await account.hang_up("CA" + "0" * 32)
    assert await account.call_state("CA" + "0" * 32) is None


@pytest.mark.parametrize(
    ("to", "code", "remedy"),
    [("12", 21211, "the number to call is none: correct it"), ("", 21201, "name the number to call")],
)
async def test_a_number_that_is_none_is_refused_with_a_remedy_and_asked_once(
    to: str, code: int, remedy: str, scene: Scene, account: CarrierAccount
) -> None:
    with pytest.raises(CarrierRefused) as caught:
        await place(scene, account, to)
    assert (caught.value.code, caught.value.remedy) == (code, remedy)
    assert len(scene.carrier.requests) == 1


async def test_wrong_credentials_are_refused_everywhere(scene: Scene) -> None:
    async with CarrierAccount(ACCOUNT_SID, "wrong", scene.carrier.url) as account:
        for request in (
            place(scene, account),
            account.hang_up("CA1"),
            account.call_state("CA1"),
            account.update_call("CA1", twiml="<Response/>"),
            account.find_call(COLLEAGUE, LINE, datetime.now(UTC)),
        ):
            with pytest.raises(CarrierRefused, match=r"error 20003.*: check TWILIO_ACCOUNT_SID"):
                await request


@pytest.mark.parametrize("answer", [429, 500])
async def test_a_hang_up_that_fails_for_now_is_asked_again(
    answer: int, scene: Scene, account: CarrierAccount
) -> None:
    scene.carrier.callees[COLLEAGUE] = Human()
    sid = await place(scene, account)
    scene.carrier.faults.append(RestFault("POST", f"/{sid}.json", answer))
    await account.hang_up(sid)
    await scene.carrier.settled()
    assert len(asked(scene, "POST", f"/{sid}.json")) == 2


async def test_a_hang_up_that_is_not_answered_is_asked_again(scene: Scene) -> None:
    async with hurried(scene) as account:
        scene.carrier.callees[COLLEAGUE] = Human()
        sid = await place(scene, account)
        scene.carrier.faults.append(RestFault("POST", f"/{sid}.json", None))
        await account.hang_up(sid)
        await scene.carrier.settled()
    assert len(asked(scene, "POST", f"/{sid}.json")) == 2


@pytest.mark.parametrize("answer", [429, 500])
async def test_a_call_that_was_not_placed_is_placed_again_once(
    answer: int, scene: Scene, account: CarrierAccount
) -> None:
    scene.carrier.callees[COLLEAGUE] = Human()
    scene.carrier.faults.append(RestFault("POST", "/Calls.json", answer))
    sid = await place(scene, account)
    assert [leg.call_sid for leg in scene.carrier.calls_to(COLLEAGUE)] == [sid]


@pytest.mark.parametrize("answer", [500, None])
async def test_a_call_that_was_placed_though_nobody_said_so_is_found_and_not_placed_twice(
    answer: int | None, scene: Scene
) -> None:
    scene.carrier.callees[COLLEAGUE] = Human()
    async with hurried(scene) as account:
        first = await place(scene, account)  # one between the same numbers that is not mistaken for it
        scene.carrier.faults.append(RestFault("POST", "/Calls.json", answer, performed=True))
        second = await place(scene, account)
    assert [leg.call_sid for leg in scene.carrier.calls_to(COLLEAGUE)] == [first, second]


async def test_a_call_of_which_nobody_knows_whether_it_was_placed_is_not_placed_again(scene: Scene) -> None:
    """The request was not answered, and the account shows no such call: it may still come."""
    scene.carrier.callees[COLLEAGUE] = Human()
    async with hurried(scene) as account:
        scene.carrier.faults.append(RestFault("POST", "/Calls.json", None))
        with pytest.raises(CarrierUnreachable) as caught:
            await place(scene, account)
    assert caught.value.unsure
    assert len(asked(scene, "POST", "/Calls.json")) == 1


async def test_a_call_is_not_placed_again_while_it_cannot_be_looked_for(scene: Scene) -> None:
    async with hurried(scene) as account:
        scene.carrier.faults.extend(RestFault(method, "/Calls.json", 500) for method in ("POST", "GET"))
        with pytest.raises(CarrierUnreachable, match=r"whether .* was called is not known") as caught:
            await place(scene, account)
    assert caught.value.unsure
    assert len(asked(scene, "POST", "/Calls.json")) == 1


async def test_refusals_for_now_end_at_the_deadline(scene: Scene) -> None:
    async with hurried(scene) as account:
        scene.carrier.faults.extend([RestFault("POST", "/Calls.json", 429)] * 10)
        with pytest.raises(CarrierUnreachable, match=r"status 429.*: too many requests") as caught:
            await place(scene, account)
    assert (caught.value.unsure, caught.value.status) == (False, 429)


async def test_a_call_is_found_by_its_numbers_and_its_time(scene: Scene, account: CarrierAccount) -> None:
    scene.carrier.callees[COLLEAGUE] = Human()
    now = datetime.now(UTC)
    assert await account.find_call(COLLEAGUE, LINE, now) is None
    sid = await scene.place()
    assert await account.find_call(COLLEAGUE, LINE, now) == sid
    assert await account.find_call("+15550100008", LINE, now) is None
    assert await account.find_call(COLLEAGUE, LINE, now + timedelta(hours=1)) is None


async def test_an_api_that_is_not_there_is_unreachable_and_surely_did_nothing() -> None:
    async with CarrierAccount(ACCOUNT_SID, AUTH_TOKEN, "http://127.0.0.1:9", deadline_s=2) as account:
        with pytest.raises(CarrierUnreachable, match=r"http://127.0.0.1:9 cannot be reached: check") as caught:
            await account.create_call(
                COLLEAGUE, LINE, url="http://a", status_callback="http://a", ring_s=1, limit_s=1
            )
    assert not caught.value.unsure


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(text="<html>", content_type="text/html"),
        web.Response(text="[]", content_type="application/json"),
        web.Response(text="{}", content_type="application/json"),
        web.Response(text='{"sid": "CA1", "status": "queued", "date_created": 5}', content_type="application/json"),
        web.Response(text='{"calls": [{}]}', content_type="application/json"),
        web.Response(text='{"calls": 5}', content_type="application/json"),
        web.Response(body=b" " * 2_000_000, content_type="application/json"),
        web.Response(text="<html>", status=502, content_type="text/html"),
    ],
    ids=["no JSON", "no object", "no call", "no date", "nameless", "no list", "too long", "a proxy's"],
)
async def test_an_answer_that_is_none_of_the_apis_is_no_answer(answer: web.Response) -> None:
    async def handle(_request: web.Request) -> web.Response:
        return web.Response(body=answer.body, status=answer.status, headers={"Content-Type": "application/json"})

    async with (
        shop(handle) as url,
        CarrierAccount(ACCOUNT_SID, AUTH_TOKEN, url, deadline_s=2) as account,
    ):
        for request in (
            account.call_state("CA1"),
            account.find_call(COLLEAGUE, LINE, datetime.now(UTC)),
            account.create_call(COLLEAGUE, LINE, url=url, status_callback=url, ring_s=1, limit_s=1),
        ):
            with pytest.raises(CarrierUnreachable):
                await asyncio.wait_for(request, 5)
