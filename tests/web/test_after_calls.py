"""What is done after a call, in whole calls over sockets: the webhook, the texts, and when things go wrong."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from databases import PostgresServer
from service_driver import PROFILE, SPEECH, Service, leaving_nothing, until
from webhook_server import WebhookServer, webhook_server

from phonebot.after import delivery
from phonebot.agents.profile import Profile
from phonebot.simulator.caller import HangUp, Say, WaitForQuiet
from phonebot.simulator.mind import Call, Context
from phonebot.simulator.mind import Say as Speak
from phonebot.store.calls import Filters
from phonebot.store.store import Store
from phonebot.store.tables import AfterRow, CallRow

SECRET = "only the CRM knows this"
TALK = (WaitForQuiet(300), Say(SPEECH, "a question"), WaitForQuiet(300), HangUp())
SCHEMA = {"type": "object", "properties": {"topic": {"enum": ["hours", "tea"]}}, "required": ["topic"]}


class Desk:
    """A mind that speaks briefly, looks something up, and answers questions in writing as it was told to."""

    def __init__(self, summary: str = "A short call.", *fields: dict[str, Any]) -> None:
        self.asked: list[Context] = []
        self._summary = summary
        self._fields = list(fields)

    def answer(self, context: Context) -> tuple[Speak | Call, ...]:
        if not context.in_writing:
            return (Speak("Well"),)
        self.asked.append(context)
        if context.forced:
            return (Call(context.tools[0], self._fields.pop(0)),)
        return (Speak(self._summary),)


class Deployment:
    """A service with a store, and what is told of its calls."""

    def __init__(self, service: Service, store: Store) -> None:
        self.service, self.store = service, store

    async def call(self) -> CallRow:
        """The only call, as soon as it is filed."""
        found: list[CallRow] = []

        async def is_filed() -> bool:
            found[:] = (await self.store.calls.page(Filters())).calls
            return bool(found)

        await until_true(is_filed)
        return await self.store.calls.get(found[0].call_sid)

    async def settled(self, state: str = "done") -> AfterRow:
        """What came of the only call, once it is so."""

        async def is_settled() -> bool:
            after = (await self.call()).after
            return after is not None and after.state == state

        await until_true(is_settled)
        after = (await self.call()).after
        assert after is not None
        return after


async def until_true(is_so: Callable[[], Any]) -> None:
    async with asyncio.timeout(15):
        while not await is_so():
            await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "FIRST_RETRY_S", 0.02)


@asynccontextmanager
async def deployed(
    folder: Path, database_url: str, server: WebhookServer | None, *, mind: Desk | None = None, **wishes: Any
) -> AsyncIterator[Deployment]:
    """A service whose calls are told to the server."""
    after = {"after_call": {"url": server.url, "sign_with": "CRM"}} if server else {}
    profile = Profile.from_table(PROFILE.model_dump(exclude_none=True) | after | wishes, "test")
    store = await Store.open(database_url, (folder / "calls").as_uri())
    service = await Service.start(
        folder,
        profile=profile,
        store=store,
        minds=lambda: mind or Desk(),
        PHONEBOT_TOOL_HOSTS_ALLOWED="127.0.0.1",
        PHONEBOT_SECRET_CRM=SECRET,
    )
    try:
        yield Deployment(service, store)
    finally:
        await service.stop()
        await store.close()


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    async with leaving_nothing():
        yield


async def test_a_call_is_told_signed_with_all_that_was_said_and_made_of_it(
    database_url: str, tmp_path: Path
) -> None:
    mind = Desk("Somebody asked something.", {"topic": "hours"})
    async with (
        webhook_server() as server,
        deployed(tmp_path, database_url, server, mind=mind, summary=True, extract={"schema": SCHEMA}) as deployment,
    ):
        await deployment.service.dial(*TALK, from_number="+15550100009")
        (told,) = await server.told()
        after = await deployment.settled()
        call = await deployment.call()
        recording = await deployment.service.request("GET", told.json["recording_url"].partition("/recordings")[2])
    body = told.json
    assert (body["version"], body["call_id"], body["from"], body["kind"]) == (
        1,
        call.call_sid,
        call.from_number,
        "twilio",
    )
    print(told.headers, body, recording[0])
