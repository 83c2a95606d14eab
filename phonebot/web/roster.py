"""
Which processes of this machine run: each holds a lock on a file of its own, which the system takes away with it.

    with roster.enrolled():                             # this process runs
        await roster.has_ended("web-1/4711-ab12cd")     # True: it ran on this machine, and is dead

So another process knows at once of one that was killed. Of those with another data folder nothing is known here.
The folder may be one that several machines have, and then its file system may stand still: no call waits for it.
"""

import asyncio
import fcntl
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from phonebot.private_folders import make_private

LOOKS_S = 0.3
"""So long the folder has to answer: else nothing is known."""
KEPT = 100
"""Files of processes that ended without a word, the newest."""


class Roster:
    """`folder` has the files; it need not be there yet. `process` is the name of this one."""

    def __init__(self, folder: Path, process: str) -> None:
        self._folder, self._process = folder, process
        # Those that look at a file, in threads. None is begun while one is stuck.
        self._looking: set[asyncio.Future[bool]] = set()

    @contextmanager
    def enrolled(self) -> Iterator[None]:
        """This process runs while the block does. Where no file can be written, it runs unknown to the others."""
        with suppress(OSError):
            self._tidy()
        with ExitStack() as stack:
            with suppress(OSError):
                make_private(self._folder)
                file = stack.enter_context(self._path(self._process).open("wb"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
            with suppress(OSError):
                self._path(self._process).unlink()

    async def has_ended(self, process: str) -> bool:
        """Whether it is known that this one runs no more, within LOOKS_S."""
        if process == self._process or (self._looking and not await self._looked(*self._looking)):
            return False
        looking = asyncio.ensure_future(asyncio.to_thread(_is_free, self._path(process)))
        self._looking.add(looking)
        looking.add_done_callback(self._looking.discard)
        return await self._looked(looking) and looking.result()

    async def _looked(self, *looking: asyncio.Future[bool]) -> bool:
        """Whether these are done in time."""
        _, stuck = await asyncio.wait(looking, timeout=LOOKS_S)
        return not stuck

    def _tidy(self) -> None:
        """Remove the files of those that were killed long enough ago for nobody to ask about them any more."""
        files = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime)
        for path in files[:-KEPT]:
            if _is_free(path):
                path.unlink(missing_ok=True)

    def _path(self, process: str) -> Path:
        return self._folder / re.sub(r"[^A-Za-z0-9_.-]", "_", process)


def _is_free(path: Path) -> bool:
    """Whether there is such a file, and nobody holds it."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
