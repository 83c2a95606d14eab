"""
Whole calls at the level debug, with secrets that are known: none of them is in any log, page, answer or figure.

What callers say, and their numbers, are in the pages of the calls, which are for that, and in no log and no figure.
"""

import asyncio
import io
import json
import logging
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
import service_driver
from console_driver import Visit
from routes import Found, routes_of
from service_driver import (
    MODEL_KEY,
    PATIENCE_S,
    PROFILE,
    SECRET_KEY,
    SPEECH,
    TOKEN,
    Service,
    StartService,
    until,
)
from webhook_server import Reply, webhook_server
from websockets.exceptions import ConnectionClosed

from phonebot.agents.profile import Profile
from phonebot.discretion import Personal, set_up_logging
from phonebot.simulator.caller import HangUp, Press, Say, WaitForQuiet
from phonebot.simulator.mind import Call, Context
from phonebot.simulator.mind import Say as Speak
from phonebot.store.audit import Actor
from phonebot.store.store import Store
from phonebot.store.tokens import SCOPES

pytestmark = pytest.mark.slow

CALLER, OTHER = "+15550100123", "+15550100777"
PIN = "8642097531"
CRM_KEY = "crm-key-5d1c8e"
ADMIN_PASSWORD = "an admin password"
PASSWORD_OF_ADMIN = "a password of mine"
WRONG_PASSWORD = "wrong guess of it"
HEARD, SPOKEN, ANSWERED = "platypus", "lobster", "armadillo"
"""Words that the caller says, that the bot says, and that a server answers."""

QUIET = WaitForQuiet(300)
UNTIL_QUIET = aiohttp.ClientTimeout(sock_read=1)


@dataclass
class Watched:
    """`log` is what the service's log has, `raw` what phonebot's lines have before anything is hidden in them."""

    log: io.StringIO
    raw: pytest.LogCaptureFixture
    secrets: dict[str, str] = field(default_factory=dict)

    def check_secrets(self, where: str, text: str) -> None:
        found = [name for name, secret in self.secrets.items() if secret in text]
        assert not found, f"{where} holds {', '.join(found)}"

    def check_logs(self) -> None:
        self.check_secrets("the log", self.log.getvalue())
        self.check_secrets("phonebot's lines", "\n".join(map(self._whole, self.raw.records)))
        for personal in (CALLER, OTHER, HEARD, SPOKEN, ANSWERED):
            assert personal not in self.log.getvalue(), personal

    def _whole(self, record: logging.LogRecord) -> str:
        return record.getMessage() if record.name.startswith("phonebot") else ""


@pytest.fixture
def watched(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """Logging as `phonebot serve` sets it up, at debug. No secret is told to it: they are not to get that far."""
    root, ours = logging.getLogger(), logging.getLogger("phonebot")
    handlers, levels = list(root.handlers), (root.level, ours.level, logging.getLogger("alembic").level)
    monkeypatch.setattr(Personal, "shown", False)
    stream = io.StringIO()
    set_up_logging("debug", (), personal=False, stream=stream)
    root.addHandler(caplog.handler)
    known = {"the auth token": TOKEN, "the secret key": SECRET_KEY, "the model's key": MODEL_KEY}
    passwords = {"the first password": ADMIN_PASSWORD, "a password": PASSWORD_OF_ADMIN, "a guess": WRONG_PASSWORD}
    yield Watched(stream, caplog, {**known, **passwords, "the CRM's key": CRM_KEY, "hidden keys": PIN})
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    logging.getLogger("alembic").setLevel(levels[2])


class Ear:
    """Hears a number, too."""

    async def recognise(self, pcm8k: bytes) -> str:
        return f"{HEARD} {OTHER}"


class Clerk:
    """Calls everything that goes wrong, and then speaks."""

    def __init__(self) -> None:
        self._calls = [
            (Call("fail", {}),),
            (Call("order", {"what": SPOKEN}),),
            (Call("dish_of_the_day", {"day": f"{SPOKEN} {OTHER}"}),),
            (Call("dish_of_the_day", {"night": SPOKEN}),),
        ]

    def answer(self, context: Context) -> tuple[Speak | Call, ...]:
        if context.in_writing or not self._calls:
            return (Speak(f"{SPOKEN} {OTHER}"),)
        return self._calls.pop(0)


def profile_for(url: str) -> Profile:
    order = {
        "url": f"{url}/order",
        "name": "order",
        "description": "Orders.",
        "parameters": {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]},
        "headers": {"X-Key": {"secret": "CRM"}},
        "sign_with": "CRM",
    }
    table = PROFILE.model_dump(exclude_none=True) | {
        "tools": ["fail", "dish_of_the_day", order],
        "keys": {"hidden": True, "max": 10},
        "guardrails": [{"name": "breaks", "on": "caller", "function": "breaks", "then": "go_on"}],
        "after_call": {"url": f"{url}/after", "headers": {"X-Key": {"secret": "CRM"}}},
    }
    return Profile.from_table(table, "test")


@pytest.fixture
async def service(
    start_service: StartService, store: Store, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Service]:
    """Whose functions ask a server that refuses, and says what it was asked for."""
    monkeypatch.setattr(service_driver, "Ear", Ear)
    async with webhook_server(Reply(422, f"no {ANSWERED} for {CALLER}")) as server:
        profile = profile_for(server.url.rpartition("/")[0])
        yield await start_service(
            store=store,
            profile=profile,
            minds=Clerk,
            PHONEBOT_TOOLS="call_tools",
            PHONEBOT_HOOKS="call_hooks:fail",
            PHONEBOT_TOOL_HOSTS_ALLOWED="127.0.0.1",
            PHONEBOT_SECRET_CRM=CRM_KEY,
            PHONEBOT_ADMIN_PASSWORD=ADMIN_PASSWORD,
        )


async def hold_calls(service: Service, watched: Watched) -> str:
    """One that goes its way though all that it asks fails, and what others try meanwhile; its CallSid."""
    steps = (QUIET, Say(SPEECH, "a question"), QUIET, Press(PIN), QUIET, Say(SPEECH, "a question"), QUIET, HangUp())
    record = await service.dial(*steps, from_number=CALLER)
    assert record.passed, record
    watched.secrets["a stream's token"] = token = await service.token()
    forged = await service.open_stream()
    await forged.connected()
    await forged.start(token, "CA" + "9" * 32)
    assert await forged.closed() == 1008
    garbled = await service.started_stream("CA" + "7" * 32)
    for _ in range(30):
        with suppress(ConnectionClosed):
            await garbled.send(f'{{"event": "media", "token": "{token}", "said": "{HEARD} {CALLER}"')
    assert await garbled.closed() == 1008
    assert (await service.post("/twilio/voice", token="another", From=CALLER))[0] == 403
    return record.call_sid


async def test_no_secret_gets_out_and_nothing_of_callers_is_logged(
    service: Service, store: Store, watched: Watched, tmp_path: Path
) -> None:
    secret = (await store.tokens.create("all", list(SCOPES), Actor("boss"))).secret
    watched.secrets["a bearer token"] = secret
    await store.users.change_password("admin", PASSWORD_OF_ADMIN, Actor("boss"))
    call_sid = await hold_calls(service, watched)
    await until(lambda: not service.live)
    async with Visit(service) as visit:
        assert (await visit.sign_in("admin", WRONG_PASSWORD)).status == 401
        assert (await visit.sign_in("admin", PASSWORD_OF_ADMIN)).status == 303
        (watched.secrets["a session"],) = (
            cookie.value for cookie in visit.http.cookie_jar if cookie.key == "phonebot"
        )
        await _until_filed(visit, call_sid)
        routes = [route for route in routes_of(service.app) if "GET" in route.methods]
        pages = [_of(route, call_sid) for route in routes if route.kind in ("role", "open")]
        for path in pages:
            if path == "/console/live/events":
                continue
            answer = await visit.http.get(service.url + path)
            watched.check_secrets(path, _text(await answer.read()))
            watched.check_secrets(path, str(dict(answer.headers)))
        headers = {"Authorization": f"Bearer {secret}"}
        for path in (_of(route, call_sid) for route in routes if route.kind in ("scope", "any token")):
            async with visit.http.get(service.url + path, headers=headers, timeout=UNTIL_QUIET) as answer:
                assert answer.status != 401, path
                watched.check_secrets(path, _text(await _read(answer)))
    _, figures = await service.request("GET", "/metrics")
    watched.check_secrets("/metrics", figures)
    assert not [each for each in (CALLER, OTHER, HEARD, SPOKEN, ANSWERED) if each in figures]
    await service.stop()
    for file in tmp_path.rglob("*.jsonl"):
        watched.check_secrets(str(file), file.read_text())
    watched.check_logs()
    for told in ("the function fail failed", "a stream was refused", "was not taken", "found nothing out"):
        assert told in watched.log.getvalue()  # the log had the occasion


async def test_a_service_that_refuses_the_models_key_does_not_get_it_into_the_log(
    start_service: StartService, watched: Watched
) -> None:
    wrong = "sk-the-wrong-key-0123"
    watched.secrets["the wrong key"] = wrong
    service = await start_service(PHONEBOT_MODEL_TOKEN=wrong)
    await service.dial(WaitForQuiet(100), HangUp())
    await service.stop()
    assert service.log().header.outcome == "model_failed"
    for file in service.calls_dir.rglob("*.jsonl"):
        watched.check_secrets(str(file), file.read_text())
    watched.check_logs()


async def _until_filed(visit: Visit, call_sid: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await visit.get(f"/console/calls/{call_sid}")).status != 200:
            await asyncio.sleep(0.02)


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """All of it; of one that goes on for as long as somebody listens its beginning."""
    body = bytearray()
    with suppress(TimeoutError):
        async for piece in answer.content.iter_any():
            body += piece
    return bytes(body)


def _of(route: Found, call_sid: str) -> str:
    return route.filled.replace("/CA1", f"/{call_sid}")


def _text(body: bytes) -> str:
    """With what is in it, if it is an archive."""
    if not body.startswith(b"PK"):
        return body.decode(errors="replace")
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return json.dumps([archive.read(name).decode(errors="replace") for name in archive.namelist()])
