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
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from phonebot.errors import StoreError, StoreUnavailable
from phonebot.messages.note import Note
from phonebot.store.messages import Kept, MessageStore

log = logging.getLogger(__name__)

STORE_S = 2.0
"""For so long a caller waits for the store; then the message is as safe on the disk."""
SWEEP_S = 300.0
RETRY_S, LONGEST_RETRY_S = 1.0, 60.0
MAX_AT_ONCE = 1_000  # files of a look; the rest comes with the next one
_SUFFIX = ".json"


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
        self._store, self._folder, self._told = store, folder, told
        self._store_s, self._retry_s = store_s, retry_s
        # Something was left in the folder.
        self._left = asyncio.Event()
        # Files that cannot be read: they stay, and are not tried again in this process.
        self._hopeless: set[str] = set()
        self._is_away = False
        self._task: asyncio.Task[None] | None = None

    async def take(self, note: Note) -> None:
        """Keep a message. Raises MessageLost when that is not possible."""
        path: Path | None = None
        try:
            path = await asyncio.to_thread(self._write, note)
        except OSError as error:
            log.error("messages cannot be written to %s: %s", self._folder, error.strerror)
        try:
            async with asyncio.timeout(self._store_s):
                await self._keep(note)
        except (StoreUnavailable, TimeoutError) as error:
            if path is None:
                raise MessageLost(f"a message of call {note.call_sid} could not be kept: {error}") from error
            log.warning("a message of call %.40r waits in %s for the database", note.call_sid, self._folder)
            self._left.set()
            return
        except BaseException:  # the call has ended meanwhile, or it is a mistake of ours
            self._left.set()
            raise
        if path:
            await asyncio.to_thread(path.unlink, missing_ok=True)

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
                    log.warning("messages wait in %s until they can be kept: %s", self._folder, error)
                self._is_away = True
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, LONGEST_RETRY_S)
                continue
            except Exception:
                # A fault of ours in this must not end the calls in progress.
                log.exception("messages that wait in %s are not kept yet", self._folder)
            wait_s, self._is_away = self._retry_s, False
            with suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_S):
                    await self._left.wait()

    async def _sweep(self) -> None:
        """Bring to the store what lies in the folder, whoever left it there."""
        for path in await asyncio.to_thread(self._waiting):
            try:
                note = await asyncio.to_thread(_read, path)
            except FileNotFoundError:
                continue  # another process was faster
            except (OSError, msgspec.MsgspecError) as error:
                log.error("the message %s cannot be read, and stays there: %s", path, error)
                self._hopeless.add(path.name)
                continue
            await self._keep(note)
            await asyncio.to_thread(path.unlink, missing_ok=True)

    async def _keep(self, note: Note) -> Kept:
        kept = await self._store.keep(note.row(), note.wishes)
        if kept == "new" and note.tell is not None:
            self._told()
        return kept

    def _waiting(self) -> list[Path]:
        try:
            paths = sorted(path for path in self._folder.iterdir() if path.suffix == _SUFFIX)
        except FileNotFoundError:
            return []
        return [path for path in paths if path.name not in self._hopeless][:MAX_AT_ONCE]

    def _write(self, note: Note) -> Path:
        """Whole or not at all, and readable by our user alone. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{note.message_id}{_SUFFIX}"
        descriptor, name = tempfile.mkstemp(dir=self._folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(note))
                file.flush()
                os.fsync(file.fileno())
            Path(name).rename(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return path


def _read(path: Path) -> Note:
    return msgspec.json.decode(path.read_bytes(), type=Note)
