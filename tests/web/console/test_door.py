"""The browser's phone over real sockets, without a browser: who is let in, and who answers."""

import json
from typing import Any

import pytest
from phone_driver import Page, by_cookie
from service_driver import PROFILE, TOKEN, RawStream, Service, StartService, until
from websockets.exceptions import InvalidStatus

from phonebot.agents.profile import Profile
from phonebot.call.actions import PlayAudio
from phonebot.simulator.signing import signature
from phonebot.web.console import door
from phonebot.web.console.try_it import MAX_BODY_BYTES

NUMBER = "+15550100002"
DRAFT = {"name": "Draft", "greeting": "This is the draft", "record": False}


@pytest.fixture
async def service(start_service: StartService) -> Service:
    return await start_service(authorise=by_cookie)


async def refused(page: Page, **headers: str) -> int:
    """With which status the socket is refused."""
    with pytest.raises(InvalidStatus) as refusal:
        await page.open(**headers)
    return refusal.value.response.status_code


async def check_nothing_came_of_it(service: Service) -> None:
    assert service.witnesses == []
    assert service.model is not None
    assert service.model.sessions == ()
    await service.stop()
    assert service.logs() == []


async def told(stream: RawStream) -> list[dict[str, Any]]:
    """Read to the end: what the page was told of the call."""
    messages = [json.loads(message) async for message in stream.socket]
    return [message["phonebot"] for message in messages if message["event"] == "phonebot"]


# ---------------------------------------------------------------------------------- who answers


async def test_an_edited_profile_answers_before_it_is_saved(service: Service) -> None:
    page = Page(service)
    ticket = await page.ticket(number=NUMBER, profile=DRAFT)
    assert ticket["url"] == f"ws{service.url.removeprefix('http')}/console/media"
    stream = await page.call(ticket)
    await until(lambda: service.witnesses and service.witnesses[0].saw(PlayAudio))
    await stream.stop()
    events = await told(stream)
    assert stream.socket.close_code == 1000
    assert (events[0]["type"], events[-1]) == (
        "snapshot",
        {
            "type": "ended",
            "call_sid": ticket["call_sid"],
            "at_ms": events[-1]["at_ms"],
            "outcome": "caller_hung_up",
        },
    )
    (witness,) = service.witnesses
    assert witness.session is not None
    assert "This is the draft".startswith(witness.session.lines[0].text)
    await service.stop()
    header = service.log().header
    assert service.log().plan.greeting == "This is the draft"
    assert (header.kind, header.from_number, header.to_number, header.call_sid) == (
        "browser",
        "browser:ada",
        NUMBER,
        ticket["call_sid"],
    )
    assert (header.profile, header.profile_version, header.audio, header.outcome) == (
        "Draft",
        Profile.from_table(DRAFT, "test").version,
        False,
        "caller_hung_up",
    )


async def test_without_an_edited_profile_the_saved_one_answers(service: Service) -> None:
    page = Page(service)
    stream = await page.call(await page.ticket(number=NUMBER))
    await stream.stop()
    assert await stream.closed() == 1000
    await service.stop()
    header = service.log().header
    assert (header.profile, header.profile_version, header.kind) == (PROFILE.name, PROFILE.version, "browser")


async def test_the_carriers_calls_are_told_apart_from_the_browsers(service: Service) -> None:
    stream = await service.started_stream()
    await stream.stop()
    assert await stream.closed() == 1000
    await service.stop()
    assert service.log().header.kind == "twilio"


async def test_the_carriers_stream_gets_no_message_that_it_does_not_know(service: Service) -> None:
    stream = await service.started_stream()
    await until(lambda: service.witnesses and service.witnesses[0].saw(PlayAudio))
    await stream.stop()
    messages = [json.loads(message) async for message in stream.socket]
    assert {message["event"] for message in messages} <= {"media", "mark", "clear"}


# ---------------------------------------------------------------------------------- who is let in


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
async def test_a_page_of_another_site_is_refused_before_the_socket_is_accepted(
    service: Service, origin: str
) -> None:
    assert await refused(Page(service, origin=origin)) == 403
    await check_nothing_came_of_it(service)


async def test_nobody_is_let_in_who_is_not_signed_in(service: Service) -> None:
    assert await refused(Page(service, user=None)) == 403
    await check_nothing_came_of_it(service)


async def test_the_carriers_signature_does_not_help(service: Service) -> None:
    url = f"ws{service.url.removeprefix('http')}/console/media"
    signed = {"X-Twilio-Signature": signature(TOKEN, url)}
    assert await refused(Page(service, user=None), **signed) == 403
    assert await refused(Page(service, origin="https://evil.example"), **signed) == 403
    await check_nothing_came_of_it(service)


async def test_a_session_does_not_open_the_carriers_door(service: Service) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        await Page(service).open("/twilio/media")
    assert refusal.value.response.status_code == 403
    await check_nothing_came_of_it(service)


async def test_a_service_that_is_stopping_lets_nobody_in(service: Service) -> None:
    service.live.draining = True
    assert await refused(Page(service)) == 503


async def test_without_a_login_there_is_no_phone(start_service: StartService) -> None:
    service = await start_service()
    assert await refused(Page(service)) == 403
    assert (await service.request("POST", "/console/try"))[0] == 404


async def check_refused(service: Service, stream: RawStream, reason: str, log: pytest.LogCaptureFixture) -> None:
    """Closed with 1008, the reason in our log only."""
    assert await stream.closed() == 1008
    assert stream.socket.close_reason == ""
    assert [record.getMessage() for record in log.records if record.name == door.__name__] == [
        f"a browser's stream was refused: {reason}"
    ]
    await check_nothing_came_of_it(service)


async def test_the_carriers_token_does_not_open_this_door(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    token = await service.token("CA" + "1" * 32)
    stream = await Page(service).call({"token": token, "call_sid": "CA" + "1" * 32})
    await check_refused(service, stream, "the stream's token is not ours", caplog)


async def test_this_doors_token_does_not_open_the_carriers(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    ticket = await Page(service).ticket()
    stream = await service.open_stream()
    await stream.connected()
    await stream.start(ticket["token"], ticket["call_sid"])
    assert await stream.closed() == 1008
    assert "a stream was refused: the stream's token is not ours" in caplog.text
    await check_nothing_came_of_it(service)


async def test_a_token_of_another_user_is_refused(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    stream = await Page(service, user="bob").call(await Page(service, user="ada").ticket())
    await check_refused(service, stream, "the stream's token belongs to another user", caplog)


async def test_a_stream_without_a_token_is_refused(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    stream = await Page(service).open()
    await stream.connected()
    await stream.start(None)
    await check_refused(service, stream, "the stream has no token", caplog)


async def test_a_token_opens_one_call(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    page = Page(service)
    ticket = await page.ticket(profile=DRAFT)
    first = await page.call(ticket)
    await until(lambda: service.witnesses)
    assert await (await page.call(ticket)).closed() == 1008
    assert "used before" in caplog.text
    await first.stop()
    assert await first.closed() == 1000
    assert len(service.witnesses) == 1


async def test_a_page_that_vanishes_in_mid_call_ends_it_and_leaves_nothing_behind(service: Service) -> None:
    page = Page(service)
    stream = await page.call(await page.ticket())
    await until(lambda: service.witnesses and service.witnesses[0].saw(PlayAudio))
    stream.vanish()
    await until(lambda: not service.live)
    await service.stop()
    assert service.log().header.outcome == "stream_lost"


# ---------------------------------------------------------------------------------- what may be tried


async def test_a_profile_that_breaks_rules_is_refused_with_a_sentence_for_each_key(service: Service) -> None:
    table = {"greeting": "Hi", "max_call_s": 5, "vioce": "marin"}
    assert await Page(service).post({"profile": table}) == (
        422,
        {
            "problems": [
                "max_call_s is 5; it must be a whole number of seconds from 10 to 14400",
                "vioce is not a known key; the nearest is voice",
            ]
        },
    )


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ({"tools": ["fly"]}, 'tools[0] is "fly", a function that this deployment does not have'),
        (
            {"guardrails": [{"name": "polite", "function": "is_polite"}]},
            'guardrails[0].function is "is_polite", a guardrail that this deployment does not have',
        ),
    ],
    ids=["function", "guardrail"],
)
async def test_what_the_deployment_does_not_have_cannot_be_tried(
    service: Service, named: dict[str, Any], problem: str
) -> None:
    """As it cannot be saved."""
    status, answer = await Page(service).post({"profile": {"greeting": "Hi", **named}})
    assert status == 422
    assert answer["problems"][0].startswith(problem)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"not JSON", 400),
        (b"\xff\xfe", 400),
        (b"[]", 400),
        (b'{"profile": []}', 400),
        (b'{"number": 7}', 400),
        (b'{"profile": ' + b"[" * 100_000, 400),
        (b'{"profile": {"prompt": "' + b"x" * MAX_BODY_BYTES + b'"}}', 413),
    ],
    ids=["empty", "no JSON", "no text", "a list", "no table", "no text as number", "nested", "too long"],
)
async def test_what_is_no_such_request_is_refused_in_a_sentence(service: Service, body: bytes, status: int) -> None:
    answered, answer = await Page(service).post(body)
    assert answered == status
    (sentence,) = answer["problems"]
    assert 10 < len(sentence) < 300


async def test_only_a_page_of_ours_and_a_user_who_is_signed_in_may_try(service: Service) -> None:
    assert (await Page(service, origin="https://evil.example").post({}))[0] == 403
    assert (await Page(service, user=None).post({}))[0] == 401


RECORDED = PROFILE.model_copy(update={"greeting_audio": "greeting.wav"}).with_greeting_clip("UFBQUA==")


async def test_a_recorded_greeting_is_tried_as_it_is_saved(start_service: StartService) -> None:
    service = await start_service(authorise=by_cookie, profile=RECORDED)
    page = Page(service)
    table = {"greeting": "Hi", "greeting_audio": "greeting.wav"}
    stream = await page.call(await page.ticket(profile=table))
    await stream.stop()
    assert await stream.closed() == 1000
    status, answer = await page.post({"profile": table | {"greeting_audio": "new.wav"}})
    assert (status, answer) == (
        422,
        {"problems": ["greeting_audio can be tried once it is saved: save, then call"]},
    )
    await service.stop()
    (clip,) = service.log().plan.opening
    assert clip.audio == RECORDED.greeting_clip
