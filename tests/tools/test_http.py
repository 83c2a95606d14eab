"""Functions that are requests: what is sent, what of the answer is told, and what is refused."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from tool_driver import shop

from phonebot import __version__
from phonebot.agents.profile import Profile
from phonebot.agents.tools import HttpTool
from phonebot.tools.addresses import Hosts
from phonebot.tools.client import HttpClient, Request
from phonebot.tools.http import HttpFunction
from phonebot.tools.running import ToolContext, ToolFault
from phonebot.tools.threads import Threads

CONTEXT = ToolContext("CA1", "+15550100001", "sip:desk@example.com", "desk")
ORDER: dict[str, Any] = {
    "name": "order",
    "description": "Finds an order.",
    "url": "https://shop.example.com/orders/{id}",
    "parameters": {
        "type": "object",
        "properties": {"id": {"type": "string"}, "count": {"type": "integer"}, "tags": {"type": "array"}},
        "required": ["id"],
    },
}
Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


def entry(**changes: Any) -> HttpTool:
    (made,) = Profile.from_table({"tools": [ORDER | changes]}, "test").tools
    assert isinstance(made, HttpTool)
    return made


def request_of(arguments: str = '{"id": "7"}', **changes: Any) -> Request:
    secrets = {"SHOP": "Bearer x", "SIGN": "s3cret"}
    function = HttpFunction(entry(**changes), secrets, HttpClient(Hosts()), unix_s=lambda: 1_767_323_045.9)
    return function.request(arguments, CONTEXT)


# ------------------------------------------------------------------------------------------- what is sent


def test_an_argument_stands_in_the_url_and_the_others_in_the_body() -> None:
    request = request_of('{"id": "a/b c?", "count": 2, "tags": ["ü"]}')
    assert (request.method, request.url) == ("POST", "https://shop.example.com/orders/a%2Fb%20c%3F")
    assert request.body == '{"count": 2, "tags": ["ü"]}'.encode()
    assert request.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://shop.example.com/{id}", "https://shop.example.com/7?count=2&tags=%5B%22x%22%5D"),
        ("https://shop.example.com/?q={id}", "https://shop.example.com/?q=7&count=2&tags=%5B%22x%22%5D"),
    ],
)
def test_without_a_body_the_others_are_the_query(url: str, sent: str) -> None:
    request = request_of('{"id": "7", "count": 2, "tags": ["x"]}', method="GET", url=url)
    assert (request.url, request.body) == (sent, None)


def test_headers_tell_the_call_and_hold_the_secrets() -> None:
    assert request_of(method="GET", headers={"Authorization": {"secret": "SHOP"}, "Accept": "x"}).headers == {
        "Authorization": "Bearer x",
        "Accept": "x",
        "X-Phonebot-Call": "CA1",
        "X-Phonebot-From": "+15550100001",
        "X-Phonebot-To": "sip:desk@example.com",
    }


def test_a_signature_is_made_over_the_time_and_the_body() -> None:
    request = request_of(sign_with="SIGN")
    assert request.body is not None
    expected = hmac.new(b"s3cret", b"1767323045." + request.body, "sha256").hexdigest()
    assert request.headers["X-Phonebot-Timestamp"] == "1767323045"
    assert request.headers["X-Phonebot-Signature"] == f"v1={expected}"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("{", "they are no JSON"),
        ("[" * 100_000, "they are no JSON"),
        ("3", "3 is not of type 'object'"),
        ("{}", "'id' is a required property"),
        ('{"id": 3}', "id: 3 is not of type 'string'"),
        ('{"id": ".."}', "id cannot be . or .."),
        ('{"id": "."}', "id cannot be . or .."),
    ],
)
def test_arguments_that_do_not_fit_are_refused_before_anything_is_sent(arguments: str, problem: str) -> None:
    with pytest.raises(ToolFault) as caught:
        request_of(arguments)
    assert (caught.value.kind, caught.value.message) == ("arguments", problem)


# ------------------------------------------------------------------------------------------- what comes back


async def told(handle: Handle, allowed: tuple[str, ...] = ("127.0.0.1",), **changes: Any) -> str:
    async with shop(handle) as url, HttpClient(Hosts(allowed)) as client:
        function = HttpFunction(entry(url=f"{url}/{{id}}", **changes), {}, client)
        return await function.run('{"id": "7"}', CONTEXT, Threads().run)


async def fault(handle: Handle, **changes: Any) -> ToolFault:
    with pytest.raises(ToolFault) as caught:
        await told(handle, **changes)
    return caught.value


def answers(status: int = 200, text: str = "", headers: dict[str, str] | None = None) -> Handle:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(status=status, text=text, headers=headers)

    return handle


async def test_the_text_of_an_answer_is_told() -> None:
    assert await told(answers(201, '{"state": "sent ü"}')) == '{"state": "sent ü"}'


async def test_nothing_is_sent_but_what_was_said() -> None:
    seen: dict[str, str] = {}

    async def handle(request: web.Request) -> web.Response:
        seen.update(request.headers)
        return web.Response(text="", headers={"Set-Cookie": "a=b"})

    async with shop(handle) as url, HttpClient(Hosts(["127.0.0.1"])) as client:
        function = HttpFunction(entry(url=f"{url}/{{id}}", method="GET"), {}, client)
        for _ in range(2):
            await function.run('{"id": "7"}', ToolContext(""), Threads().run)
    assert seen.keys() == {"Host", "User-Agent", "Accept", "Accept-Encoding"}
    assert seen["User-Agent"] == f"phonebot/{__version__}"


async def test_an_answer_over_the_limit_is_cut_and_says_so() -> None:
    assert await told(answers(text="x" * 100), max_response_bytes=10) == "xxxxxxxxxx [cut after 10 bytes]"
    assert await told(answers(text="x" * 10), max_response_bytes=10) == "xxxxxxxxxx"


async def test_an_answer_without_end_is_read_no_further_than_the_limit() -> None:
    gone = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65_536)
        except (ConnectionError, asyncio.CancelledError):
            gone.set()
            raise

    assert (await told(handle)).endswith("x [cut after 65536 bytes]")
    async with asyncio.timeout(10):
        await gone.wait()


@pytest.mark.parametrize(
    ("handle", "message", "detail"),
    [
        (answers(404, "no such order"), "status 404: no such order", 'status 404: "no such order"'),
        (answers(400), "status 400", 'status 400: ""'),
        (answers(500, "stack trace"), "status 500", 'status 500: "stack trace"'),
        (
            answers(302, headers={"Location": "http://169.254.169.254/"}),
            "it cannot be reached",
            "status 302: redirects are not followed; correct the URL",
        ),
        (
            answers(text="x", headers={"Content-Encoding": "gzip"}),
            "its answer cannot be read",
            "the answer is compressed, which was not asked for",
        ),
    ],
)
async def test_an_answer_that_is_none_is_a_fault(handle: Handle, message: str, detail: str) -> None:
    caught = await fault(handle)
    assert (caught.kind, caught.message, caught.detail) == ("failed", message, detail)


async def test_a_server_that_says_nothing_is_given_up() -> None:
    over = asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        await over.wait()
        return web.Response()

    asyncio.get_running_loop().call_later(0.7, over.set)  # the server waits for those whom it serves
    caught = await fault(handle, timeout_s=0.5)
    assert (caught.kind, caught.message) == ("timeout", "no answer within 0.5 s")


async def test_a_server_that_breaks_off_is_a_fault() -> None:
    async def handle(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    assert (await fault(handle)).message == "it cannot be reached"


async def test_a_host_that_is_not_allowed_is_not_asked() -> None:
    asked = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(request)
        return web.Response()

    assert (await fault(handle, allowed=())).detail == "127.0.0.1 may be asked over https:// only"
    assert asked == []


async def test_a_name_of_this_machine_is_not_asked() -> None:
    async with HttpClient(Hosts()) as client:
        function = HttpFunction(entry(url="https://localhost:1/{id}"), {}, client)
        with pytest.raises(ToolFault) as caught:
            await function.run('{"id": "7"}', CONTEXT, Threads().run)
    assert caught.value.message == "it may not be asked"
    assert caught.value.detail.startswith("localhost has the address ")
    assert caught.value.detail.endswith(", which is not public")


async def test_outside_the_service_nothing_is_sent() -> None:
    function = HttpFunction(entry(), {}, HttpClient(Hosts()))
    with pytest.raises(ToolFault) as caught:
        await function.run('{"id": "7"}', CONTEXT, Threads().run)
    assert caught.value.message == "there is no connection"
