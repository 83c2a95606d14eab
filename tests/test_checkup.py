"""Whether what a deployment needs is there: each answer that a check may give."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from phonebot.checkup import Check, Probe, database, model, model_session, public_url, run, storage, twilio
from phonebot.errors import SettingsError
from phonebot.realtime.events import Session
from phonebot.realtime.providers import Endpoint, gateway
from phonebot.simulator.rest import Number, RestServer
from phonebot.simulator.rest import serve as serve_rest
from phonebot.simulator.server import serve as serve_model
from phonebot.store.database import Database
from phonebot.store.recordings import Recordings

ACCOUNT, TOKEN, URL = "AC" + "1" * 32, "secret-token", "https://bot.example.com"


async def found(probe: Probe) -> Check:
    (check,) = await run([probe])
    return check


@pytest.fixture
async def account() -> AsyncIterator[RestServer]:
    async with serve_rest(ACCOUNT, TOKEN) as server:
        yield server


async def test_a_database_is_there_or_says_what_to_do(empty_database_url: str, tmp_path: Path) -> None:
    opened = Database(empty_database_url)
    await opened.upgrade()
    check = await found(database(opened))
    assert (check.state, "tables at 0001" in check.sentence) == ("ok", True)
    await opened.close()
    away = Database("postgresql://phonebot:secret@127.0.0.1:1/phonebot")
    check = await found(database(away))
    assert (check.state, "cannot be reached" in check.sentence, "secret" in check.sentence) == (
        "failed",
        True,
        False,
    )


async def test_a_storage_takes_and_gives_and_keeps_nothing(tmp_path: Path) -> None:
    recordings = Recordings((tmp_path / "calls").as_uri())
    assert (await found(storage(recordings))).state == "ok"
    assert [key async for key in recordings.all_keys()] == []
    (tmp_path / "file").touch()
    check = await found(storage(Recordings((tmp_path / "file").as_uri())))
    assert (check.state, "check that it is a folder" in check.sentence) == ("failed", True)


async def test_a_model_is_reached_and_its_session_opened() -> None:
    async with serve_model(key="sk-key") as server:

        def endpoint(key: str = "sk-key") -> Endpoint:
            return gateway(server.url, "gpt-realtime", token=key)

        assert (await found(model(endpoint))).state == "ok"
        opened = await found(model_session(endpoint, Session))
        assert (opened.state, "opened in" in opened.sentence) == ("ok", True)
        refused = await found(model_session(lambda: endpoint("sk-wrong"), Session))
        assert (refused.state, "sk-wrong" in refused.sentence) == ("failed", False)
    gone = await found(model(endpoint))
    assert (gone.state, "connection refused" in gone.sentence) == ("failed", True)


async def test_a_model_that_is_not_set_is_told_by_its_settings() -> None:
    def endpoint() -> Endpoint:
        raise SettingsError("no model is set: set OPENAI_API_KEY")

    for probe in (model(endpoint), model_session(endpoint, Session)):
        check = await found(probe)
        assert (check.state, check.sentence) == ("failed", "no model is set: set OPENAI_API_KEY")


async def test_twilio_lets_us_in_and_its_numbers_call_us(account: RestServer) -> None:
    account.numbers += [Number("+15550100000"), Number("+15550100001")]
    unlinked = await found(twilio(ACCOUNT, TOKEN, account.url, URL))
    assert (unlinked.state, "0 of its 2 numbers" in unlinked.sentence) == ("warning", True)
    assert "phonebot numbers link" in unlinked.remedy
    account.numbers[0].set["VoiceUrl"] = f"{URL}/twilio/voice"
    assert (await found(twilio(ACCOUNT, TOKEN, account.url, URL))).state == "ok"
    refused = await found(twilio(ACCOUNT, "wrong", account.url, URL))
    assert (refused.state, "is refused" in refused.sentence) == ("failed", True)
    assert (await found(twilio(None, TOKEN, account.url, URL))).state == "off"
    assert (await found(twilio(ACCOUNT, TOKEN, "http://127.0.0.1:1", URL))).state == "failed"


async def test_the_public_url_leads_here_or_elsewhere() -> None:
    answers = ["ok", "another site"]
    app = web.Application()

    async def healthz(request: web.Request) -> web.Response:
        return web.Response(text=answers.pop(0))

    app.router.add_get("/healthz", healthz)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        here = await found(public_url(url))
        elsewhere = await found(public_url(url))
    finally:
        await runner.cleanup()
    assert (here.state, elsewhere.state) == ("warning", "failed")
    assert "PHONEBOT_PUBLIC_URL" in elsewhere.remedy
    gone = await found(public_url(url))
    assert (gone.state, "connection refused" in gone.sentence) == ("failed", True)


async def test_a_check_that_hangs_or_breaks_hides_no_other() -> None:
    async def hang() -> Check:
        await asyncio.Event().wait()
        raise AssertionError

    async def fail() -> Check:
        raise RuntimeError("secret")

    async def fine() -> Check:
        return Check("Third", "ok", "it is there")

    checks = await run([Probe("First", hang, 0.01), Probe("Second", fail), Probe("Third", fine)])
    assert [(check.name, check.state) for check in checks] == [
        ("First", "failed"),
        ("Second", "failed"),
        ("Third", "ok"),
    ]
    assert "within 0.01 s" in checks[0].sentence
    assert "secret" not in checks[1].sentence
