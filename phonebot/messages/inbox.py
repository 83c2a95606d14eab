"""
Where messages go as they are taken: onto the disk, into the store, and off the disk.

    async with Inbox(store.messages, data_dir / "messages", told=afterwards.wake) as inbox:
        await inbox.take(note)

The folder is the queue, as that of call logs is (filing/filer.py): a message lies there until it is in the store.
So a database that is away, or a process that is killed, costs a delay and no message. Each is kept under an id of
its own, once, however often it is brought there: by this process, or another one that looks through the folder.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from phonebot.disk_queue import DiskQueue
from phonebot.errors import StoreError, StoreUnavailable
from phonebot.messages.note import Note
from phonebot.store.messages import Kept, MessageStore

log = logging.getLogger(__name__)

STORE_S = 2.0
"""For so long a caller waits for the store; then the message is as safe on the disk."""
SWEEP_S = 300.0
RETRY_S, LONGEST_RETRY_S = 1.0, 60.0
MAX_AT_ONCE = 1_000  # files of a look; the rest comes with the next one
_FILE = re.compile(r".+\.json")


class MessageLost(StoreError):
    """Neither the store nor the disk took a message."""


class Inbox:
    """`told`: there is a message of which somebody is to be told. `folder` need not be there yet."""

    def __init__(
        self,
        store: MessageStore,
        folder: Path,
        told: Callable[[], None] = lambda: None,
        *,
        store_s: float = STORE_S,
        retry_s: float = RETRY_S,
    ) -> None:
        self._store, self._told = store, told
        self._waiting = DiskQueue(folder, _FILE)
        self._store_s, self._retry_s = store_s, retry_s
        # Something was left in the folder.
        self._left = asyncio.Event()
        # Files that cannot be read: they stay, and are not tried again in this process.
        self._hopeless: set[str] = set()
        self._is_away = False
        self._task: asyncio.Task[None] | None = None

    async def take(self, note: Note) -> None:
        """Keep a message. Raises MessageLost when that is not possible."""
        name = f"{note.message_id}.json"
        is_safe = True
        try:
            await asyncio.to_thread(self._waiting.put, name, msgspec.json.encode(note))
        except OSError as error:
            log.error("messages cannot be written to %s: %s", self._waiting.folder, error.strerror)
            is_safe = False
        try:
            async with asyncio.timeout(self._store_s):
                await self._keep(note)
        except (StoreUnavailable, TimeoutError) as error:
            if not is_safe:
                raise MessageLost(f"a message of call {note.call_sid} could not be kept: {error}") from error
            log.warning("a message of call %.40r waits in %s for the database", note.call_sid, self._waiting.folder)
            self._left.set()
            return
        except BaseException:  # the call has ended meanwhile, or it is a mistake of ours
            self._left.set()
            raise
        if is_safe:
            await asyncio.to_thread(self._waiting.remove, name)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="messages")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What waits stays on the disk, for the next process."""
        assert self._task is not None, "it was entered"
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        wait_s = self._retry_s
        while True:
            self._left.clear()
            try:
                await self._sweep()
            except StoreUnavailable as error:
                if not self._is_away:
                    log.warning("messages wait in %s until they can be kept: %s", self._waiting.folder, error)
                self._is_away = True
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, LONGEST_RETRY_S)
                continue
            except Exception:
                # A fault of ours in this must not end the calls in progress.
                log.exception("messages that wait in %s are not kept yet", self._waiting.folder)
            wait_s, self._is_away = self._retry_s, False
            with suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_S):
                    await self._left.wait()

    async def _sweep(self) -> None:
        """Bring to the store what lies in the folder, whoever left it there."""
        names = [name for name in await asyncio.to_thread(self._waiting.names) if name not in self._hopeless]
        for name in names[:MAX_AT_ONCE]:
            try:
                written = await asyncio.to_thread(self._waiting.get, name)
                if written is None:
                    continue  # another process was faster
                note = msgspec.json.decode(written, type=Note)
            except (OSError, msgspec.MsgspecError) as error:
                log.error("the message %s cannot be read, and stays there: %s", self._waiting.folder / name, error)
                self._hopeless.add(name)
                continue
            await self._keep(note)
            await asyncio.to_thread(self._waiting.remove, name)

    async def _keep(self, note: Note) -> Kept:
        kept = await self._store.keep(note.row(), note.wishes)
        if kept == "new" and note.tell is not None:
            self._told()
        return kept
