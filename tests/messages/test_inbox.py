"""Messages on their way into the store: none is lost, and none is kept twice."""

import asyncio
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from service_driver import until

from phonebot.errors import StoreUnavailable
from phonebot.messages.inbox import Inbox, MessageLost
from phonebot.messages.note import Note
from phonebot.store.database import Database
from phonebot.store.messages import Kept, MessageFilters, MessageStore
from phonebot.store.tables import MessageRow

TELL = {"url": "https://crm.example.com/messages"}


class Flaky(MessageStore):
    """A store that is away, or never answers, for as long as it is told to."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.is_away, self.hangs = False, False

    async def keep(self, message: MessageRow, wishes: dict[str, Any] | None = None) -> Kept:
        if self.hangs:
            await asyncio.Event().wait()
        if self.is_away:
            raise StoreUnavailable("the database is away")
        return await super().keep(message, wishes)


def note(nth: int = 1, **values: Any) -> Note:
    given: dict[str, Any] = {
        "message_id": f"00000000-0000-4000-8000-{nth:012}",
        "call_sid": "CA1",
        "taken_at": datetime(2026, 11, 27, 12, nth, tzinfo=UTC),
        "number": "+15550100000",
        "profile_name": "Front desk",
        "from_number": "+15550100123",
        "text": "The oven is on fire",
        "urgent": True,
        "tell": TELL,
    }
    return Note(**(given | values))


@pytest.fixture
def store(database: Database) -> Flaky:
    return Flaky(database)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "messages"


async def kept(store: MessageStore) -> list[str]:
    return [each.text for each in (await store.page(MessageFilters())).messages]


async def test_a_message_is_kept_at_once_and_leaves_nothing_on_the_disk(store: Flaky, folder: Path) -> None:
    told: list[bool] = []
    await Inbox(store, folder, lambda: told.append(True)).take(note())
    found = (await store.page(MessageFilters())).messages[0]
    assert (found.text, found.urgent, found.from_number) == ("The oven is on fire", True, "+15550100123")
    assert found.after is not None
    assert found.after.wishes == {"message": TELL}
    assert (told, list(folder.iterdir())) == ([True], [])


async def test_a_message_of_which_nobody_is_to_be_told_wakes_nobody(store: Flaky, folder: Path) -> None:
    told: list[bool] = []
    await Inbox(store, folder, lambda: told.append(True)).take(note(tell=None))
    assert (await kept(store), told) == (["The oven is on fire"], [])


@pytest.mark.parametrize("fault", ["is_away", "hangs"])
async def test_without_the_database_it_waits_on_the_disk_and_is_kept_when_that_is_back(
    store: Flaky, folder: Path, fault: str
) -> None:
    setattr(store, fault, True)
    async with Inbox(store, folder, store_s=0.01, retry_s=0.01) as inbox:
        await inbox.take(note(1))
        (file,) = folder.iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    setattr(store, fault, False)
    async with Inbox(store, folder):
        await until(lambda: not list(folder.iterdir()))
    assert await kept(store) == ["The oven is on fire"]


async def test_it_is_kept_by_the_same_process_once_the_database_is_back(store: Flaky, folder: Path) -> None:
    store.is_away = True
    told: list[bool] = []
    async with Inbox(store, folder, lambda: told.append(True), retry_s=0.01) as inbox:
        await inbox.take(note(1))
        await inbox.take(note(2))
        store.is_away = False
        await until(lambda: not list(folder.iterdir()))
        assert len(await kept(store)) == 2
        assert told == [True, True]


async def test_what_a_killed_process_left_between_the_store_and_the_disk_is_not_kept_twice(
    store: Flaky, folder: Path
) -> None:
    store.is_away = True
    await Inbox(store, folder).take(note())
    store.is_away = False
    await store.keep(note().row())
    async with Inbox(store, folder):
        await until(lambda: not list(folder.iterdir()))
    assert len(await kept(store)) == 1


async def test_a_message_that_is_cut_off_while_it_is_taken_is_kept_from_the_disk(
    store: Flaky, folder: Path
) -> None:
    store.hangs = True
    async with Inbox(store, folder, store_s=60) as inbox:
        taking = asyncio.create_task(inbox.take(note()))
        await until(lambda: list(folder.glob("*.json")))
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        store.hangs = False
        await until(lambda: not list(folder.iterdir()))
    assert await kept(store) == ["The oven is on fire"]


async def test_without_a_disk_the_store_alone_will_do(store: Flaky, folder: Path) -> None:
    folder.write_text("in the way")
    await Inbox(store, folder).take(note())
    assert await kept(store) == ["The oven is on fire"]


async def test_without_both_it_says_that_it_is_lost(store: Flaky, folder: Path) -> None:
    folder.write_text("in the way")
    store.is_away = True
    with pytest.raises(MessageLost, match="could not be kept: the database is away"):
        await Inbox(store, folder).take(note())


async def test_what_cannot_be_read_stays_and_keeps_no_other_waiting(store: Flaky, folder: Path) -> None:
    folder.mkdir()
    (folder / "0.json").write_text("{")
    store.is_away = True
    await Inbox(store, folder).take(note())
    store.is_away = False
    async with Inbox(store, folder):
        await until(lambda: [path.name for path in folder.iterdir()] == ["0.json"])
    assert len(await kept(store)) == 1
