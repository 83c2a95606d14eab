"""
Files that are made of a call's log when somebody asks for one, and gone once it was sent.

    if making.is_full: ...                                      # too many are asked for: say so
    async with making.turn(), book.log(call_sid) as log:
        return await asyncio.to_thread(made, log, "CA1.wav", "audio/wav", write_heard_of)

A browser asks for parts of a recording (RFC 9110, 14): Starlette's FileResponse answers that.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import mkdtemp

from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from phonebot.replay.heard import write_heard
from phonebot.replay.reader import read

MADE_AT_ONCE = 2
MOST_WAITING = 20
"""That are being made or wait for it."""
_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class Making:
    """Whose turn it is among those who make files: each takes a thread, so a few do at once."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(MADE_AT_ONCE)
        self._waiting = 0

    @property
    def is_full(self) -> bool:
        """Nobody else should wait."""
        return self._waiting >= MOST_WAITING

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        self._waiting += 1
        try:
            async with self._turns:
                yield
        finally:
            self._waiting -= 1


class _PassingFile(FileResponse):
    """A file whose folder goes when it has been sent, or was not."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            shutil.rmtree(Path(self.path).parent, ignore_errors=True)


def made(
    log: Path, name: str, media_type: str, make: Callable[[Path, Path], None], *, inline: bool = False
) -> FileResponse:
    """
    The answer with a file of this name, which `make` writes, given the log and where to. It blocks.

    `inline`: a browser shows it, and does not save it.
    """
    folder = Path(mkdtemp(prefix="phonebot-call-"))
    try:
        make(log, folder / name)
        return _PassingFile(
            folder / name,
            media_type=media_type,
            filename=name,
            headers=_HEADERS,
            content_disposition_type="inline" if inline else "attachment",
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def write_heard_of(log: Path, target: Path) -> None:
    """The recording of the call whose log it is."""
    write_heard(read(log), target)
