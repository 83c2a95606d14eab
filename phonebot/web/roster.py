"""
Which processes of this machine run: each holds a lock on a file of its own, which the system takes away with it.

    with roster.enrolled():                     # this process runs
        roster.has_ended("web-1/4711-ab12cd")   # True: it ran on this machine, and is dead

So another process knows at once of one that was killed. Of those on other machines, or with another data folder,
nothing is known here.
"""

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

KEPT = 100
"""Files of processes that ended without a word, the newest."""


class Roster:
    """`folder` has the files; it need not be there yet. `process` is the name of this one."""

    def __init__(self, folder: Path, process: str) -> None:
        self._folder, self._process = folder, process

    @contextmanager
    def enrolled(self) -> Iterator[None]:
        """This process runs while the block does. Where no file can be written, it runs unknown to the others."""
        with suppress(OSError):
            self._tidy()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            file = self._path(self._process).open("wb")
        except OSError:
            yield
            return
        with file:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
            with suppress(OSError):
                self._path(self._process).unlink()

    def has_ended(self, process: str) -> bool:
        """Whether it is known that this one runs no more."""
        return process != self._process and _is_free(self._path(process))

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
