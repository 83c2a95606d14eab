"""
All that is kept of finished calls: their rows, and their logs with the recordings.

    book = CallBook(store.calls, store.recordings, settings.data_dir / "calls")
    page = await book.page(Filters(text="table for four"))
    async with book.log(page.calls[0].call_sid) as folder:
        write_heard(read(folder), target)
    await book.delete("CA1", Actor("ada"))

A log lies in the folder where it was written until it is filed (filing.py), and then in the storage of recordings.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from phonebot.errors import NotStored, StoreError
from phonebot.replay.archive import LIMITS
from phonebot.replay.log import HEADER_FILE
from phonebot.replay.spool import Spool, reading
from phonebot.store.audit import Actor
from phonebot.store.calls import PAGE_CALLS, CallStore, Filters, Page
from phonebot.store.recordings import Recordings
from phonebot.store.tables import CallRow

LOCK_TRIES = 20  # a log that has ended is locked for some ms more
LOCK_WAIT_S = 0.1


class CallBook:
    """
    The finished calls of a deployment. `folder` is where this machine's logs are written; it need not be there yet.

    All methods raise StoreUnavailable when the database or the storage is away.
    """

    def __init__(self, calls: CallStore, recordings: Recordings, folder: Path) -> None:
        self._calls = calls
        self._recordings = recordings
        self._spool = Spool(folder)
        # Then a log stays where it was written, and there is no other copy.
        self._is_kept_here = recordings.are_in(folder)

    async def page(self, filters: Filters, cursor: str | None = None, limit: int = PAGE_CALLS) -> Page:
        """At most `limit` calls, from the newest on or after a page's cursor. Raises StoreError for a wrong one."""
        return await self._calls.page(filters, cursor, limit)

    async def get(self, call_sid: str) -> CallRow:
        """The call with its turns, tool calls and usage. Raises NotStored, also for one that is not filed yet."""
        return await self._calls.get(call_sid)

    async def parts(self, call_sid: str) -> list[str]:
        """The calls that were one for the caller, in their order; none where it was one here, too."""
        return await self._calls.parts(call_sid)

    async def find(self, name: str) -> str:
        """
        The CallSid of the call of this name: a CallSid, also of one that is not filed yet, or the end of one.

        Raises NotStored when there is none, StoreError when several end so.
        """
        found = await self._calls.sids_ending(name)
        if len(found) > 1:
            raise StoreError(f"several calls end in {name}: give more of the CallSid")
        if not found and not await asyncio.to_thread(self._spool.of, name):
            raise _missing(name)
        return found[0] if found else name

    @asynccontextmanager
    async def log(self, call_sid: str) -> AsyncIterator[Path]:
        """
        A folder that holds the call's log while the block runs, to be read and not changed.

        It is the one it was written to, or a temporary copy of what is in the storage. Raises NotStored when there
        is no such call, when it is in progress, and when its log is not kept any more.
        """
        key = await self._key(call_sid)
        with ExitStack() as stack:
            folder = await asyncio.to_thread(self._spool.get, key)
            # Who has it locked is about to remove it: then it is in the storage.
            if folder is None or not await asyncio.to_thread(stack.enter_context, reading(folder)):
                folder = Path(stack.enter_context(TemporaryDirectory(prefix="phonebot-log-")))
                await self._fetch(call_sid, key, folder)
            yield folder

    async def delete(self, call_sid: str, actor: Actor) -> None:
        """
        Delete a call: its log here and in the storage, and its rows. What stays is a row of the audit.

        One that is not filed yet is deleted too, and never filed. Raises NotStored when there is no such call,
        StoreError when it is in progress. When this failed half-way it may be done again, and completes.
        """
        is_filed, names = await self._traces(call_sid)
        if not (is_filed or names):
            raise _missing(call_sid)
        for name in names:
            if await self._is_in_progress(name):
                raise StoreError(f"call {call_sid} is in progress: delete it when it has ended")
        # What is filed is found by its rows, so they go last. Of what is not, it is first noted that it is deleted:
        # whoever was about to file it takes it away instead.
        if not is_filed:
            await self._calls.delete(call_sid, actor)
        for name in names:
            await self.remove(name)
        if is_filed:
            await self._calls.delete(call_sid, actor)

    async def remove(self, name: str) -> None:
        """Remove the log of this name from this machine and from the storage. It may be gone already."""
        if not self._is_kept_here:
            await self._recordings.delete(name)
        await asyncio.to_thread(self._spool.remove, name)

    async def _key(self, call_sid: str) -> str:
        """The name of its log: that of its folder here, and its key in the storage."""
        logs: list[Path] = []
        try:
            key = await self._calls.storage_key(call_sid)
        except NotStored:
            logs = await asyncio.to_thread(self._spool.of, call_sid)
            # It may have been filed and taken away between the two.
            key = logs[0].name if logs else await self._calls.storage_key(call_sid)
        if key is None:
            raise NotStored(f"of call {call_sid} no log is kept: only what `calls show` tells of it")
        if await self._is_in_progress(key):
            raise NotStored(f"call {call_sid} is in progress: its log can be read when it has ended")
        return key

    async def _traces(self, call_sid: str) -> tuple[bool, set[str]]:
        """Whether it is filed, and the names of its logs."""
        # In this order: what is filed meanwhile is found by its rows, if no longer by its folder.
        here = {log.name for log in await asyncio.to_thread(self._spool.of, call_sid)}
        owners = await self._calls.owners(here)
        names = {name for name in here if owners.get(name, call_sid) == call_sid}
        try:
            key = await self._calls.storage_key(call_sid)
        except NotStored:
            return False, names
        return True, names | ({key} if key else set())

    async def _is_in_progress(self, name: str) -> bool:
        for _ in range(LOCK_TRIES):
            state = await asyncio.to_thread(self._spool.state, name)
            if state != "ending":
                break
            await asyncio.sleep(LOCK_WAIT_S)
        return state in ("written", "ending")

    async def _fetch(self, call_sid: str, key: str, folder: Path) -> None:
        files = await self._recordings.files(key)
        if HEADER_FILE not in files:
            raise NotStored(f"the log of call {call_sid} is not in the storage any more, nor on this machine")
        for name in files.keys() & LIMITS.keys():
            if files[name] > LIMITS[name]:
                raise StoreError(f"{key}/{name} in the storage is no file of a call log: it is too large")
            await self._copy(key, name, folder / name)

    async def _copy(self, key: str, name: str, target: Path) -> None:
        file = await asyncio.to_thread(target.open, "wb")
        with file:
            async for piece in await self._recordings.open(key, name):
                await asyncio.to_thread(file.write, piece)


def _missing(call_sid: str) -> NotStored:
    return NotStored(f"there is no call {call_sid}: check its CallSid")
