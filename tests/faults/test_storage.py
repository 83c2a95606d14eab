"""An S3-compatible storage that goes away and comes back, over real sockets: calls go on, nothing is lost."""

import logging
from pathlib import Path

import pytest
from closure import pooled
from faulty_relay import Relay, relaying
from s3_driver import S3Server
from service_driver import SPEECH, Service, StartService, until

from phonebot.callbook import CallBook
from phonebot.replay.reader import read, read_header
from phonebot.simulator.caller import HangUp, Say, WaitForQuiet
from phonebot.store.calls import Filters
from phonebot.store.database import Database
from phonebot.store.store import Store

pytestmark = pytest.mark.slow

AUDIO = {"caller.wav", "bot.wav"}


def stop(relay: Relay) -> None:
    """Nobody finds the storage any more, and who was connected to it is not."""
    relay.refuses = True
    for link in relay.links:
        link.cut()


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def finished_logs(service: Service) -> list[Path]:
    """The folders of calls that have ended and whose log will not grow any more."""
    return [folder for folder in service.calls_dir.iterdir() if read_header(folder).ended]


async def call(service: Service) -> None:
    record = await service.dial(WaitForQuiet(300), Say(SPEECH, "a question"), WaitForQuiet(300), HangUp())
    assert record.passed, record


async def test_calls_that_end_while_the_storage_is_away_are_kept_and_stored_once_when_it_is_back(
    start_service: StartService,
    sqlite: Database,
    s3: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "phonebot.filing.filer")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    async with relaying(int(s3.endpoint.rpartition(":")[2])) as relay:
        pooled(relay.port)
        storage = f"s3://{s3.bucket()}/calls?region=us-east-1&endpoint=http://127.0.0.1:{relay.port}"
        store = await Store.open(f"sqlite:///{sqlite.name}", storage)
        service = await start_service(store=store)
        book = CallBook(store.calls, store.recordings, service.calls_dir)

        async def filed() -> dict[str, str | None]:
            """The storage's key of each call that is filed, by its CallSid."""
            return {call.call_sid: call.storage_key for call in (await book.page(Filters())).calls}

        await call(service)
        await until(lambda: not list(service.calls_dir.iterdir()))
        stop(relay)
        await call(service)
        await until(lambda: "are kept in" in caplog.text, 40)  # the library has asked for long enough
        await call(service)
        await until(lambda: len(finished_logs(service)) == 2)
        kept = {folder.name: contents(folder) for folder in finished_logs(service)}
        assert len(await filed()) == 1
        relay.refuses = False
        await until(lambda: not list(service.calls_dir.iterdir()), 90)
        keys = await filed()
        assert len(keys) == 3
        assert sorted([key async for key in store.recordings.all_keys()]) == sorted(map(str, keys.values()))
        for sid, key in keys.items():
            async with book.log(sid) as folder:
                assert read(folder).header.call_sid == sid
                assert set(contents(folder)) > AUDIO
                assert contents(folder) == kept.get(str(key), contents(folder))
        assert caplog.text.count("are kept in") == 1
        await service.stop()
        await store.close()
