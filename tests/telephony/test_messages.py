"""Messages that callers leave, through the whole service: kept, told, shown and never lost."""

import asyncio
import hashlib
import hmac
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from service_driver import PATIENCE_S, PROFILE, SPEECH, Service, leaving_nothing
from tool_driver import bot_lines
from webhook_server import webhook_server

from phonebot.after import delivery, work
from phonebot.agents.profile import Profile
from phonebot.errors import StoreUnavailable
from phonebot.simulator.caller import HangUp, Say, WaitForQuiet
from phonebot.simulator.mind import Call, Context
from phonebot.simulator.mind import Say as Speak
from phonebot.store.messages import MessageFilters, MessageStore
from phonebot.store.store import Store
from phonebot.store.tables import MessageRow

SECRET = "only the CRM knows"
SAID = {"message": "Please call me about the terrace.", "name": "Ada", "urgent": True, "for_whom": "Rosa"}


class Secretary:
    """Takes a message when somebody speaks, then says what it was told."""

    def answer(self, context: Context) -> tuple[Speak | Call, ...]:
        newest = context.history[-1] if context.history else None
        if context.heard is None and newest and newest.role == "tool":
            return (Speak(f"Told {newest.text[:6]}"),)
        return (Call("take_message", SAID),)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come soon, and so do looks at what others left."""
    monkeypatch.setattr(delivery, "FIRST_RETRY_S", 0.02)
    monkeypatch.setattr(work, "POLL_S", 0.02)


@asynccontextmanager
async def service_with(folder: Path, database: Path, **messages: object) -> AsyncIterator[tuple[Service, Store]]:
    if not (folder / "phonebot.db").exists():
        shutil.copy(database, folder / "phonebot.db")
    table = {"tools": ["take_message"], "messages": {"people": ["Rosa"]} | messages}
    profile = Profile.from_table(PROFILE.model_dump(exclude_none=True) | table, "test")
    store = await Store.open(f"sqlite:///{folder}/phonebot.db", (folder / "calls").as_uri())
    service = await Service.start(
        folder,
        profile=profile,
        store=store,
        minds=Secretary,
        PHONEBOT_TOOL_HOSTS_ALLOWED="127.0.0.1",
        PHONEBOT_SECRET_CRM=SECRET,
    )
    try:
        yield service, store
    finally:
        await service.stop()
        await store.close()


async def leave_message(service: Service) -> list[str]:
    """Somebody calls and speaks; what the bot said."""
    steps = (WaitForQuiet(300), Say(SPEECH, "x"), WaitForQuiet(300), HangUp())
    record = await service.dial(*steps, from_number="+15550100123")
    assert record.passed, record
    (witness,) = service.witnesses
    assert witness.troubles == []
    return bot_lines(witness)


async def kept(store: Store) -> list[MessageRow]:
    return list((await store.messages.page(MessageFilters())).messages)


async def test_a_message_is_told_at_once_by_a_signed_request_until_it_is_taken(
    migrated_sqlite: Path, tmp_path: Path
) -> None:
    async with (
        leaving_nothing(),
        webhook_server(500, 200) as server,
        service_with(tmp_path, migrated_sqlite, url=server.url, sign_with="CRM") as (service, store),
    ):
        calling = asyncio.create_task(leave_message(service))
        first, second = await server.told(2)
        assert len(service.live) == 1  # the call goes on
        assert await calling == ["Hi", "Told Noted:"]
        (message,) = await kept(store)
        await until_done(store)
    stamp = second.headers["X-Phonebot-Timestamp"]
    signed = hmac.new(SECRET.encode(), stamp.encode() + b"." + second.body, hashlib.sha256).hexdigest()
    assert second.headers["X-Phonebot-Signature"] == f"v1={signed}"
    assert second.headers["X-Phonebot-Call"] == message.call_sid
    assert first.headers["X-Phonebot-Delivery"] == second.headers["X-Phonebot-Delivery"]
    assert (first.headers["X-Phonebot-Attempt"], second.headers["X-Phonebot-Attempt"]) == ("1", "2")
    assert first.json == second.json
    assert second.json == {
        "version": 1,
        "message_id": message.message_id,
        "call_sid": message.call_sid,
        "from": "+15550100123",
        "to": "+15550100002",
        "profile": "Front desk",
        "taken_at": message.taken_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "for": "Rosa",
        "name": "Ada",
        "call_back": "+15550100123",
        "urgent": True,
        "message": SAID["message"],
        "page_url": f"{service.url}/console/messages/{message.message_id}",
    }


async def until_done(store: Store) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while any(each.after is None or each.after.state != "done" for each in await kept(store)):
            await asyncio.sleep(0.02)


async def test_a_message_outlives_the_database_and_the_process(
    migrated_sqlite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise StoreUnavailable("the database is away")

    async with leaving_nothing(), webhook_server() as server:
        with monkeypatch.context() as without:
            without.setattr(MessageStore, "keep", away)
            async with service_with(tmp_path, migrated_sqlite, url=server.url) as (service, store):
                assert await leave_message(service) == ["Hi", "Told Noted:"]
                assert await kept(store) == []
        assert len(list((tmp_path / "messages").iterdir())) == 1
        async with service_with(tmp_path, migrated_sqlite, url=server.url) as (_, store):
            (told,) = await server.told()
            await until_done(store)
            (message,) = await kept(store)
            assert told.json["message"] == message.text == SAID["message"]
            assert list((tmp_path / "messages").iterdir()) == []
