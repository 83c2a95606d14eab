"""
Files the calls that have ended.

    async with Filer(store.calls, store.recordings, folder) as filer:
        async with Writer(folder, finished=filer.finished):
            ...

The folder of call logs is the queue: a log lies there, whole, until its call is in the store. So nothing is lost
when the database is away or the process is killed, and all that is kept in memory may be forgotten.

    read the log  ->  put its files into the storage  ->  file its rows  ->  remove the copy here

Each step may be done twice: by this process after it was cut off, and by two processes at once. The rows come
behind the files, so that what can be found can be read. Where the logs' folder is the storage itself, a log stays
where it was written, and the second and last step fall away.

Logs that other processes left are found by looking through the folder: at the start and every SWEEP_S. One that is
locked is being written (replay/spool.py) and left alone.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from msgspec.structs import replace

from phonebot.errors import NotStored, StoreError, StoreUnavailable
from phonebot.filing.reader import LogReader
from phonebot.filing.rows import noted_in, rows_of
from phonebot.replay.archive import is_log
from phonebot.replay.log import HEADER_FILE, LogError
from phonebot.replay.reader import read_header
from phonebot.replay.spool import MAX_SID_CHARACTERS, Spool, alone
from phonebot.replay.summary import CUT_OFF, Summary, has_audio
from phonebot.store.after import after_row
from phonebot.store.calls import CallStore, Filed
from phonebot.store.recordings import Recordings
from phonebot.store.tables import CallRow

log = logging.getLogger(__name__)

SWEEP_S = 300.0
YOUNG_S = 60.0  # a log that ended so lately is left to the process that wrote it
RETRY_S, LONGEST_RETRY_S = 1.0, 60.0
FLUSH_S = 10.0
MAX_WAITING = 10_000  # names of logs; of more, the latest are found again by looking
MAX_STREAMS = 100


class Afterwards(Protocol):
    """What is to be done after calls, and who does it."""

    async def wishes(self, call: CallRow) -> dict[str, Any]:
        """What is wanted after a call; empty: nothing. Raises StoreUnavailable."""
        ...

    def wake(self) -> None:
        """A call was filed after which something is to be done."""
        ...


class Filer:
    """
    One task that files one call after the other. `folder` is where logs are written; it need not be there yet.

    While the database or the storage is away it waits, longer each time, and says so once. A log that cannot be
    read is filed with what its header says. `retry_s` is the first wait, `sweep_s` how often it looks around.
    `filed` is told of each call that is filed, with the time.time_ns at which that began; None: nobody is.
    """

    def __init__(
        self,
        calls: CallStore,
        recordings: Recordings,
        folder: Path,
        *,
        reader: LogReader | None = None,
        retry_s: float = RETRY_S,
        sweep_s: float = SWEEP_S,
        flush_s: float = FLUSH_S,
        afterwards: Afterwards | None = None,
        filed: Callable[[str, int], None] | None = None,
    ) -> None:
        self._calls = calls
        self._filed = filed
        self._afterwards = afterwards
        self._recordings = recordings
        self._spool = Spool(folder)
        self._reader = reader or LogReader()
        self._retry_s, self._sweep_s, self._flush_s = retry_s, sweep_s, flush_s
        # Then a log stays where it was written.
        self._is_kept_here = recordings.are_in(folder)
        # The names of the logs that are to be filed, in their order; and of the one that is being filed.
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._current: str | None = None
        self._came = asyncio.Event()
        # None is waiting and none is being filed.
        self._idle = asyncio.Event()
        # What cannot be filed: it is not tried again in this process.
        self._hopeless: set[str] = set()
        self._is_away = False
        self._has_swept = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def finished(self, folder: Path) -> None:
        """A log will not grow any more. May be called from any thread, and at any time."""
        if self._loop:
            with suppress(RuntimeError):  # the loop has ended: the next process finds the log
                self._loop.call_soon_threadsafe(self._add, folder.name)

    @property
    def waiting(self) -> int:
        """Calls that are to be filed, as far as it is known; at most MAX_WAITING."""
        return len(self._waiting) + (self._current is not None)

    async def idle(self) -> None:
        """Wait until all is filed that was found or finished before."""
        await self._idle.wait()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run(), name="filer")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What waits is filed now, if that is done soon; the rest is filed by the next process."""
        assert self._task is not None, "it was entered"
        await asyncio.sleep(0)  # what the writing thread has told last
        with suppress(TimeoutError):
            if not self._is_away:
                async with asyncio.timeout(self._flush_s):
                    await self._idle.wait()
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await self._reader.close()
        if self.waiting:
            log.info("calls that are filed at the next start: %d", self.waiting)

    def _add(self, name: str) -> None:
        if name in self._hopeless or len(self._waiting) >= MAX_WAITING:
            return
        self._waiting[name] = None
        self._idle.clear()
        self._came.set()

    async def _run(self) -> None:
        sweep_at = time.monotonic()
        while True:
            if time.monotonic() >= sweep_at:
                await self._insist(self._sweep)
                sweep_at = time.monotonic() + self._sweep_s
            while self._waiting:
                # Taken out first: should it end while it is looked at, it is told of again, and looked at again.
                self._current, _ = self._waiting.popitem(last=False)
                await self._insist(partial(self._attempt, self._current))
                self._current = None
            self._idle.set()
            self._came.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(sweep_at - time.monotonic(), 0)):
                    await self._came.wait()

    async def _insist(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do it, again and again while the database or the storage is away."""
        wait_s = self._retry_s
        while True:
            try:
                await work()
            except StoreUnavailable as error:
                if not self._is_away:
                    log.warning(
                        "calls that end are kept in %s until they can be filed: %s", self._spool.folder, error
                    )
                self._is_away = True
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, LONGEST_RETRY_S)
            else:
                if self._is_away:
                    log.info("calls are filed again")
                self._is_away = False
                return

    async def _sweep(self) -> None:
        """Find the logs that are not filed, and the copies of those that are."""
        try:
            names = await asyncio.to_thread(self._found)
        except OSError as error:  # a network's folder, say; what this process writes itself is told of besides
            log.error("calls that others left in %s are not looked for: %s", self._spool.folder, error)
            return
        filed = await self._calls.owners(names)
        for name in names:
            if name not in filed or not self._is_kept_here:
                self._add(name)

    def _found(self) -> list[str]:
        youngest_s = time.time() - YOUNG_S if self._has_swept else None
        self._has_swept = True
        return [each.name for each in self._spool.logs() if not _is_younger(each, youngest_s)]

    async def _attempt(self, name: str) -> None:
        try:
            await self._file(name)
        except StoreUnavailable:
            raise
        except Exception:
            # A fault over one call must not keep the others from being filed.
            log.exception("the call log %s is not filed", name)
            self._hopeless.add(name)

    async def _file(self, name: str) -> None:
        if await asyncio.to_thread(self._spool.state, name) != "free":
            return  # who writes it will tell, or another look
        folder, began_ns = self._spool.folder / name, time.time_ns()
        if name not in await self._calls.owners([name]):
            summary = await self._summary(folder)
            if summary is None or not await self._put(name, folder):
                return
            if await self._file_rows(summary, name) == "deleted":
                await self._remove(name)
                return
            if self._filed:
                self._filed(summary.header.call_sid, began_ns)
        if not self._is_kept_here:
            await asyncio.to_thread(self._remove_copy, name)

    async def _summary(self, folder: Path) -> Summary | None:
        """What is to be filed of a log; None: nothing, since it is gone or not even its header can be read."""
        try:
            return await self._reader.summary(folder)
        except LogError as error:
            problem = str(error)
        try:
            return await asyncio.to_thread(_summary_of_header, folder, problem)
        except (LogError, OSError) as error:
            if is_log(folder):
                log.warning("the call log %s is not filed: %s", folder.name, error)
                self._hopeless.add(folder.name)
            return None

    async def _put(self, name: str, folder: Path) -> bool:
        """Put a log's files into the storage. False: it is gone."""
        try:
            await self._recordings.put(name, folder)
        except (NotStored, FileNotFoundError):
            if is_log(folder):
                raise
            return False
        return True

    async def _file_rows(self, summary: Summary, name: str) -> Filed:
        """A carrier may open several streams for one call: the second one's log has a number behind its sid."""
        sid = summary.header.call_sid
        for number in range(1, MAX_STREAMS + 1):
            rows = rows_of(summary, name, sid if number == 1 else f"{sid[: MAX_SID_CHARACTERS - 4]}-{number}")
            wishes = await self._afterwards.wishes(rows.call) if self._afterwards else {}
            if wishes:
                rows.call.after = after_row(wishes, noted_in(summary))
            done = await self._calls.file(rows.call, rows.turns, rows.tool_calls, rows.usage, rows.text)
            if done == "new" and wishes and self._afterwards:
                self._afterwards.wake()
            if done != "known" or name in await self._calls.owners([name]):
                return done
        raise StoreError(f"call {sid} has {MAX_STREAMS} logs already")

    async def _remove(self, name: str) -> None:
        """The call was deleted before it was filed."""
        if not self._is_kept_here:
            await self._recordings.delete(name)
        await asyncio.to_thread(self._spool.remove, name)

    def _remove_copy(self, name: str) -> None:
        """Unless somebody reads it: then another look removes it."""
        with alone(self._spool.folder / name) as is_mine:
            if is_mine:
                self._spool.remove(name)


def _is_younger(log_folder: Path, than_s: float | None) -> bool:
    if than_s is None:
        return False
    try:
        return (log_folder / HEADER_FILE).stat().st_mtime > than_s
    except OSError:  # it is gone
        return True


def _summary_of_header(folder: Path, problem: str) -> Summary:
    """All that is known of a call whose log cannot be read. Raises as `read_header`."""
    header = read_header(folder)
    note = " ".join(filter(None, [header.note, f"The log cannot be read: {problem}."]))
    length = header.ended - header.started if header.ended else timedelta()
    return Summary(
        header=replace(header, note=note),
        length_ms=round(length.total_seconds() * 1000),
        outcome=header.outcome or CUT_OFF,
        has_audio=has_audio(folder),
    )
