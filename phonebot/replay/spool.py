"""
The folder in which call logs are written: each lies there until it is filed, and longer if it is kept there.

A log is locked by who writes it, from its first byte to its last (flock on events.jsonl). The system takes the lock
away with the process, however that ends: so a log without an end that nobody has locked is one that was cut off.
Who reads a log shares a lock, and who removes the copy of one that is kept elsewhere wants it alone.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Literal, TypeAlias

from phonebot.replay.archive import is_log
from phonebot.replay.log import EVENTS_FILE, HEADER_FILE, LogError
from phonebot.replay.reader import read_header

MAX_SID_CHARACTERS = 64

State: TypeAlias = Literal["written", "ending", "free"]
"""Its call is in progress; it has ended and is locked still; or neither, also when it is not there."""


def sid_in_name(call_sid: str) -> str:
    """How a call's sid stands in its folder's name: it came from outside, and must not lead to another folder."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", call_sid)[:MAX_SID_CHARACTERS]


def hold(events: BinaryIO) -> None:
    """Lock a log that one is about to write, until its file of events is closed."""
    with suppress(OSError):  # a file system without locks: then nobody else can have one either, and all keep away
        fcntl.flock(events, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Spool:
    """
    The logs in a folder. It need not be there yet.

    Its methods wait for the disk: call them in a thread. They raise OSError as the file system does.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def logs(self) -> list[Path]:
        """The folders of all logs, the oldest first."""
        return [self.folder / name for name in self._names() if is_log(self.folder / name)]

    def of(self, call_sid: str) -> list[Path]:
        """The folders of a call's logs, the oldest first. One that cannot be read is nobody's."""
        # The second of the same second has a number behind it.
        named = re.compile(rf".*-{re.escape(sid_in_name(call_sid))}(-[0-9]+)?")
        return [
            self.folder / name
            for name in self._names()
            if named.fullmatch(name) and _is_of(self.folder / name, call_sid)
        ]

    def _names(self) -> list[str]:
        with suppress(FileNotFoundError):
            return sorted(os.listdir(self.folder))
        return []

    def get(self, name: str) -> Path | None:
        """The folder of the log of this name; None: it is not here."""
        folder = self.folder / name
        return folder if is_log(folder) else None

    def state(self, name: str) -> State:
        """What is going on with the log of this name."""
        log = self.folder / name
        with reading(log) as is_free:
            if is_free:
                return "free"
        try:
            return "written" if read_header(log).ended is None else "ending"
        except (LogError, OSError):
            return "free"

    def remove(self, name: str) -> None:
        """Remove a log and whatever else is in its folder. It may be gone already, as a whole or in part."""
        folder = self.folder / name
        with suppress(FileNotFoundError):
            # The header goes last: until then the folder is known for a log, and a crash leaves none unknown.
            for entry in sorted(folder.iterdir(), key=lambda path: path.name == HEADER_FILE):
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink(missing_ok=True)
            folder.rmdir()


@contextmanager
def reading(log: Path) -> Iterator[bool]:
    """Nobody removes the copy of a log while the block runs. False: it is being written, or removed."""
    with _locked(log, "rb", fcntl.LOCK_SH) as is_mine:
        yield is_mine


@contextmanager
def alone(log: Path) -> Iterator[bool]:
    """Nobody writes or reads a log while the block runs. False: somebody does, or it is gone."""
    with _locked(log, "r+b", fcntl.LOCK_EX) as is_mine:
        yield is_mine


@contextmanager
def _locked(log: Path, mode: str, kind: int) -> Iterator[bool]:
    try:
        events = (log / EVENTS_FILE).open(mode)
    except OSError:
        yield False
        return
    with events:
        try:
            fcntl.flock(events, kind | fcntl.LOCK_NB)
            # It may have been removed between the opening and the lock.
            is_there = os.path.samestat(os.fstat(events.fileno()), os.stat(log / EVENTS_FILE))
        except OSError:
            is_there = False
        yield is_there


def _is_of(log: Path, call_sid: str) -> bool:
    try:
        return read_header(log).call_sid == call_sid
    except (LogError, OSError):
        return False
