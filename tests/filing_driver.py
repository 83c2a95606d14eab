"""
Calls that have ended, on their way into the store.

    office = Office(database, storage, tmp_path / "calls")
    office.spool()                          # a log, as it was written
    await office.filed()                    # a filer does its work
    await office.assert_no_trace()
"""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import select

from phonebot.callbook import CallBook
from phonebot.filing.filer import Filer
from phonebot.replay.log import HEADER_FILE
from phonebot.store.calls import CallStore, Filters
from phonebot.store.database import Database
from phonebot.store.recordings import Recordings
from phonebot.store.tables import AuditRow, CallRow, Table, TurnRow

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
FIXTURE = Path(__file__).parent.parent / "fixtures/calls/interrupted-twice"
SID = "CA00000000000000000000000000000001"
NAME = f"20261127T120000Z-{SID}"
SAID = "Where is the xylophone"


class Office:
    """A book with its parts, and calls for it. `folder` is where their logs are written."""

    def __init__(self, database: Database, storage: str, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.calls, self.recordings = CallStore(database), Recordings(storage)
        self.book = CallBook(self.calls, self.recordings, folder)

    def spool(self, name: str = NAME, sid: str = SID, ended: bool = True, fixture: str = FIXTURE.name) -> Path:
        """A log where it was written."""
        log = self.folder / name
        shutil.copytree(FIXTURE.parent / fixture, log)
        header = msgspec.json.decode((log / HEADER_FILE).read_bytes()) | {"call_sid": sid}
        if not ended:
            header |= {"ended": None, "outcome": None, "counts": {}}
        (log / HEADER_FILE).write_bytes(msgspec.json.encode(header))
        return log

    async def file(self, name: str = NAME, sid: str = SID) -> None:
        """Make a row of a spooled log, which goes to the storage."""
        await self.recordings.put(name, self.folder / name)
        if not self.recordings.are_in(self.folder):
            shutil.rmtree(self.folder / name)
        call = CallRow(
            call_sid=sid, started_at=NOON, ended_at=NOON + timedelta(minutes=1), storage_key=name,
            from_number="+15550100001", to_number="+15550100002", number="+15550100002",
        )  # fmt: skip
        await self.calls.file(call, [TurnRow(sequence=1, who="caller", text=SAID)], text=[SAID])

    def filer(self, **options: Any) -> Filer:
        return Filer(self.calls, self.recordings, self.folder, **options)

    async def filed(self) -> list[CallRow]:
        """Let a filer file what there is; all calls that are filed then, the newest first, whole."""
        async with self.filer() as filer:
            await filer.idle()
        return [await self.calls.get(call.call_sid) for call in (await self.calls.page(Filters())).calls]

    async def assert_no_trace(self, who: str = "ada", said: str = SAID) -> None:
        """Nothing of the call is in a table, in the storage, or in a folder: only who deleted it."""
        assert [key async for key in self.recordings.all_keys()] == []
        assert list(self.folder.glob("*")) == []
        async with self.database.read() as session:
            for table in Table.metadata.sorted_tables:
                told = [str(tuple(row)) for row in await session.execute(select(table))]
                assert not any(said.lower() in text.lower() for text in told)
                assert table.name == "audit" or not any(SID in text for text in told)
            (noted,) = await session.scalars(select(AuditRow))
        assert (noted.who, noted.what, noted.target) == (who, "call.delete", SID)
        assert (noted.before, noted.after) == (None, None)
