"""
Whatever is sent to the running service, it answers, and the next call is answered as any other.

Hundreds of messages in each run of the tests; `make fuzz` sends 10,000 to each (`PHONEBOT_FUZZ_SOCKETS`). All of
them go to a service of the test's own, on loopback.
"""

import asyncio
import json
import os
import resource
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from urllib.parse import urlencode

import aiohttp
import pytest
from console_driver import Visit
from routes import routes_of
from service_driver import (
    PATIENCE_S,
    TOKEN,
    RawStream,
    Service,
    StartService,
    confirm_session,
    form_of_call,
    scripted_model,
    until,
)
from sign_in import PASSWORD, QUICK
from spoiler import ODD_TEXTS, Json, Spoiler
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from phonebot.simulator.caller import HangUp, WaitForQuiet
from phonebot.simulator.signing import signature
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.recordings import Recordings
from phonebot.store.store import Store
from phonebot.store.tokens import SCOPES
from phonebot.store.users import UserStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

MESSAGES = int(os.environ.get("PHONEBOT_FUZZ_SOCKETS", "0")) or 200
SEED = int(os.environ.get("PHONEBOT_FUZZ_SEED", "0"))
AT_ONCE = 8
"""Requests under way, and messages to a stream between two looks at whether it is still open."""
BOSS = Actor("boss")
MAX_GROWTH_KB = 100 * 1024
EVENTS = Path(__file__).parents[2] / "fixtures" / "carrier" / "documented.jsonl"
MODEL_EVENTS: list[Json] = [
    {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress", "output": []}},
    {"type": "response.output_item.added", "response_id": "resp_1", "output_index": 0,
     "item": {"id": "item_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}},
    {"type": "response.output_audio.delta", "response_id": "resp_1", "item_id": "item_1", "output_index": 0,
     "content_index": 0, "delta": "kJCQ" * 40},
    {"type": "response.output_audio_transcript.delta", "response_id": "resp_1", "item_id": "item_1",
     "output_index": 0, "content_index": 0, "delta": "Hello"},
    {"type": "input_audio_buffer.speech_started", "audio_start_ms": 100, "item_id": "item_2"},
    {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": 300, "item_id": "item_2"},
    {"type": "conversation.item.input_audio_transcription.completed", "item_id": "item_2", "content_index": 0,
     "transcript": "Hello", "usage": {"type": "duration", "seconds": 1}},
    {"type": "response.done", "response": {"id": "resp_1", "status": "completed", "output": [],
     "usage": {"total_tokens": 10, "input_tokens": 5, "output_tokens": 5}}},
    {"type": "rate_limits.updated", "rate_limits": [{"name": "tokens", "limit": 1, "remaining": 0}]},
]  # fmt: skip


def peak_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    before = peak_kb()
    yield
    assert peak_kb() - before < MAX_GROWTH_KB


async def is_as_any_other(service: Service) -> None:
    """A call is answered, and afterwards nothing is in progress."""
    caller = "+15550108888"  # whom no limit of a caller's concerns
    record = await service.dial(WaitForQuiet(200), HangUp(), from_number=caller)
    assert record.passed, record
    await until(lambda: not len(service.live))


async def test_a_media_stream_takes_whatever_is_sent(service: Service) -> None:
    right = [json.loads(line) for line in EVENTS.read_text().splitlines()]
    spoiler, sent, streams = Spoiler(Random(SEED), right), 0, 0
    while sent < MESSAGES:
        stream = await service.open_stream()
        streams += 1
        if streams % 3:  # else the stream does not even begin as it should
            await stream.connected()
            await stream.start(await service.token(f"CA{streams:032}"), f"CA{streams:032}")
        sent += await _flood(stream, spoiler, MESSAGES - sent)
        stream.vanish() if streams % 2 else await stream.socket.close()
    await until(lambda: not len(service.live))
    await is_as_any_other(service)


async def _flood(stream: RawStream, spoiler: Spoiler, most: int) -> int:
    """Send until the service closes the stream; how many messages it was."""
    for sent in range(most):
        message = spoiler.message()
        try:
            await stream.send(spoiler.text() if isinstance(message, str) else message)
            if sent % AT_ONCE == 0:
                async with asyncio.timeout(0.01):
                    while True:
                        await stream.socket.recv()
        except TimeoutError:
            continue
        except ConnectionClosed:
            return sent + 1
    return most


async def test_a_call_takes_whatever_its_model_sends(start_service: StartService) -> None:
    spoiler, sent, over = Spoiler(Random(SEED), MODEL_EVENTS), 0, asyncio.Event()

    async def babble(socket: ServerConnection) -> None:
        nonlocal sent
        await confirm_session(socket)
        while sent < MESSAGES:
            message = spoiler.message()
            await socket.send(spoiler.text() if isinstance(message, str) else message)
            sent += 1
        over.set()

    async with scripted_model(babble) as url:
        service = await start_service(model_url=url)
        chunk = 0
        while not over.is_set():  # an error event among what it says may well end a call: then comes the next
            call_sid = f"CA{chunk:032}"
            stream = await service.started_stream(call_sid)
            while not over.is_set() and stream.socket.close_code is None:
                chunk += 1
                try:
                    await stream.media(chunk, chunk * 20)
                    await asyncio.sleep(0.005)
                except ConnectionClosed:
                    break
            await stream.socket.close()
        await until(lambda: not len(service.live))
        await service.stop()
    assert all(log.header.outcome for log in service.logs())


# Each call that is taken keeps its place for a minute, though its stream never comes.
MANY_CALLS = {"PHONEBOT_MAX_CALLS": "100000", "PHONEBOT_MAX_CALLS_PER_NUMBER": "100000"}
WEBHOOKS = ("voice", "after", "closed", "status", "amd", "whisper", "whisper/key")


@pytest.mark.parametrize("webhook", WEBHOOKS)
async def test_a_webhook_answers_whatever_form_is_sent(start_service: StartService, webhook: str) -> None:
    service = await start_service(**MANY_CALLS)
    rng, path = Random(SEED), f"/twilio/{webhook}"

    async def send(http: aiohttp.ClientSession) -> None:
        body, headers = _form(rng, service.public_url + path)
        async with http.post(service.url + path, data=body, headers=headers) as answer:
            assert answer.status < 500, (path, body, await answer.text())

    await _send_all(send)
    await is_as_any_other(service)


def _form(rng: Random, url: str) -> tuple[bytes, dict[str, str]]:
    """A form that is signed, or not, or no form."""
    fields = form_of_call(f"CA{rng.randrange(10**6):032}")
    for _ in range(rng.randrange(4)):
        name = rng.choice([*fields, "ErrorCode", "DialCallStatus", "Digits", "AnsweredBy", *ODD_TEXTS])
        fields[_sendable(name)] = _sendable(rng.choice(ODD_TEXTS)) * rng.choice((1, 1, 1, 300))
    if rng.random() < 0.2:
        del fields[rng.choice(list(fields))]
    if rng.random() < 0.1:
        return rng.randbytes(rng.randrange(500)), {"Content-Type": rng.choice(("text/plain", "application/json"))}
    signed = {"X-Twilio-Signature": signature(TOKEN, url, tuple(fields.items()))} if rng.random() < 0.8 else {}
    return urlencode(fields).encode(), {"Content-Type": "application/x-www-form-urlencoded", **signed}


def _sendable(text: str) -> str:
    return text.encode(errors="replace").decode()


async def test_the_api_and_the_console_answer_whatever_is_sent(
    start_service: StartService, sqlite: Database, tmp_path: Path
) -> None:
    """To every route that takes something, by somebody who may use it."""
    users = UserStore(sqlite, QUICK)
    await users.create("admin", PASSWORD, "admin", BOSS)
    store = Store.of(sqlite, Recordings((tmp_path / "calls").as_uri()), users)
    secret = (await store.tokens.create("all", list(SCOPES), BOSS)).secret
    service, rng = await start_service(store=store), Random(SEED)
    profile = {"name": "Front desk", "prompt": "Be brief."}
    spoiler = Spoiler(rng, [{"profile": profile, "text": "Hello", "role": "user", "to": "+15550100003"}])
    routes = [
        (method, route)
        for route in routes_of(service.app)
        for method in route.methods
        if method != "GET" and route.kind in ("scope", "role", "open") and "logout" not in route.path
    ]
    async with Visit(service) as visit:
        assert (await visit.sign_in("admin")).status == 303
        csrf = (await visit.get("/console/numbers")).field("csrf")

        async def send(http: aiohttp.ClientSession) -> None:
            method, route = rng.choice(routes)
            if route.kind == "scope":
                headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
                body: bytes = spoiler.text().encode()
            else:
                headers = {"Origin": service.url, "Content-Type": "application/x-www-form-urlencoded"}
                odd = {_sendable(rng.choice(ODD_TEXTS)): _sendable(rng.choice(ODD_TEXTS)) for _ in range(3)}
                body = urlencode({"csrf": csrf, **odd}).encode()
            browser = visit.http if route.kind != "scope" else http
            url = service.url + route.filled
            async with browser.request(method, url, data=body, headers=headers, allow_redirects=False) as answer:
                answer.close()
                assert answer.status < 500 or answer.status in REFUSALS, (method, route.path, body)

        await _send_all(send)
    await is_as_any_other(service)


REFUSALS = (502, 503)  # there is no account at the carrier, and nobody who would check one


async def test_the_port_takes_bytes_that_are_no_request(service: Service) -> None:
    rng, port = Random(SEED), int(service.url.rpartition(":")[2])
    head = b"GET /twilio/media HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"

    async def send(http: aiohttp.ClientSession) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        noise = bytearray(head + rng.randbytes(rng.randrange(400)) + b"\r\n\r\n")
        for _ in range(rng.randrange(5)):
            noise[rng.randrange(len(noise))] = rng.randrange(256)
        with suppress(ConnectionError, TimeoutError):
            writer.write(noise)
            writer.write_eof()
            async with asyncio.timeout(PATIENCE_S):
                await reader.read()
        writer.transport.abort()

    await _send_all(send)
    await is_as_any_other(service)


async def _send_all(send: Callable[[aiohttp.ClientSession], Awaitable[None]]) -> None:
    """MESSAGES of them, some at once."""
    left = iter(range(MESSAGES))

    async def some(http: aiohttp.ClientSession) -> None:
        for _ in left:
            await send(http)

    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    async with aiohttp.ClientSession(timeout=timeout) as http, asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(some(http))
