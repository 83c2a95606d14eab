"""
What waits on the disk until the database has it: a file each, of which all processes of a machine know.

    queue = DiskQueue(data_dir / "opt-outs", re.compile(r"\\+[0-9]{7,15}"))
    queue.put("+15550100009", b"asked for it")
    for name in queue.names(): ...

It waits for the disk: call it in a thread.
"""

import os
import re
import tempfile
from pathlib import Path

from phonebot.private_folders import make_private


class DiskQueue:
    """
    The files of a folder whose names fit the pattern. The folder need not be there yet, and is ours alone.

    All methods raise OSError as the file system does.
    """

    def __init__(self, folder: Path, pattern: re.Pattern[str]) -> None:
        self.folder = folder
        self._pattern = pattern

    def put(self, name: str, content: bytes) -> None:
        """Keep it on the disk, whole or not at all, in place of what has this name, readable by our user alone."""
        make_private(self.folder)
        descriptor, written = tempfile.mkstemp(dir=self.folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(written).rename(self.folder / name)
        except BaseException:
            Path(written).unlink(missing_ok=True)
            raise

    def names(self) -> list[str]:
        """What waits, in order of the names."""
        try:
            found = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        return sorted(filter(self._pattern.fullmatch, found))

    def get(self, name: str) -> bytes | None:
        """None: it is gone; another process has brought it to the database."""
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> None:
        """It is in the database. It may be gone already."""
        (self.folder / name).unlink(missing_ok=True)
