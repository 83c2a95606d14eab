"""Whole calls over real sockets that end up in the store."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from databases import PostgresServer
from service_driver import LONG_ANSWER, PATIENCE_S, SPEECH, Service, leaving_nothing

from phonebot.callbook import CallBook
from phonebot.errors import NotStored
from phonebot.replay.reader import read
from phonebot.simulator.caller import HangUp, Interrupt, Say, WaitForQuiet
from phonebot.store.calls import Filters
from phonebot.store.database import Database
from phonebot.store.store import Store
from phonebot.store.tables import CallRow

pytestmark = pytest.mark.slow

CONVERSATION = (
    WaitForQuiet(300),
    Say(SPEECH, "a question"),
    Interrupt(400, SPEECH, "an interruption"),
    WaitForQuiet(300),
    HangUp(),
)


class Filed:
    """A service with a store, and what is in it."""

    def __init__(self, service: Service, store: Store) -> None:
        self.service, self.store = service, store
        self.book = CallBook(store.calls, store.recordings, service.calls_dir)

    async def call(self) -> CallRow:
        """The only call, as soon as it is filed."""
        async with asyncio.timeout(PATIENCE_S):
            while not (calls := (await self.book.page(Filters())).calls):
                await asyncio.sleep(0.02)
        return await self.book.get(calls[0].call_sid)


@pytest.fixture
async def filed(database_url: str, storage: str, tmp_path: Path) -> AsyncIterator[Filed]:
    async with leaving_nothing():
        store = await Store.open(database_url, storage)
        service = await Service.start(tmp_path, store=store)
        yield Filed(service, store)
        await service.stop()
        await store.close()


# A machine of its own, and many of them.
each_deployment = pytest.mark.parametrize(
    ("database_url", "storage"), [("sqlite", "kept here"), ("postgresql", "in s3")], indirect=True
)


@each_deployment
async def test_a_call_is_in_the_store_soon_after_it_ended_with_what_the_caller_heard(filed: Filed) -> None:
    record = await filed.service.dial(*CONVERSATION)
    assert record.passed, record
    call = await filed.call()
    (witness,) = filed.service.witnesses
    assert (call.outcome, call.kind, call.interruptions, call.corrections) == ("caller_hung_up", "twilio", 1, 1)
    cut = next(turn for turn in call.turns if turn.cut)
    assert f"{cut.text} {cut.unheard_text}" == LONG_ANSWER
    assert 0 < (cut.heard_ms or 0) < (cut.of_ms or 0)
    assert call.heard_ms < call.generated_ms
    async with filed.book.log(call.call_sid) as folder:
        assert [step.input for step in read(folder).steps if type(step.input).__name__ == "AudioDelta"]
    assert witness.troubles == []


async def test_a_call_that_ends_with_its_service_is_filed_before_that_is_gone(
    sqlite: Database, tmp_path: Path
) -> None:
    store = await Store.open(f"sqlite:///{sqlite.name}", (tmp_path / "calls").as_uri())
    service = await Service.start(tmp_path, store=store)
    stream = await service.started_stream()
    await service.stop()
    await stream.socket.close()
    (call,) = (await store.calls.page(Filters())).calls
    assert call.outcome == "stream_lost"
    await store.close()


async def test_a_call_during_which_the_database_went_away_is_filed_when_it_is_back(
    postgres: PostgresServer, migrated_postgresql: str, tmp_path: Path
) -> None:
    name = postgres.create(template=migrated_postgresql)
    store = await Store.open(postgres.url(name), (tmp_path / "calls").as_uri())
    service = await Service.start(tmp_path, store=store)
    filed = Filed(service, store)
    postgres.run_sql(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
    postgres.run_sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    record = await service.dial(*CONVERSATION)
    assert record.passed, record
    await asyncio.sleep(1.5)  # the first try, and the second
    postgres.run_sql(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
    call = await filed.call()
    assert (call.outcome, call.interruptions) == ("caller_hung_up", 1)
    await service.stop()
    await store.close()


@each_deployment
async def test_a_call_in_progress_is_in_no_list_and_cannot_be_deleted(filed: Filed) -> None:
    stream = await filed.service.started_stream()
    await asyncio.sleep(0.2)
    assert (await filed.book.page(Filters())).calls == ()
    with pytest.raises(NotStored):
        await filed.book.get("CA" + "1" * 32)
    await stream.stop()
    assert (await filed.call()).call_sid == "CA" + "1" * 32
