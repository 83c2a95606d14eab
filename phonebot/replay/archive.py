"""
A call log as one has it: a folder, or that folder zipped.

    with opened(path) as folder:
        log = read(folder)

A zip file may come from anyone. Only the files of a call log are taken out of it, under names of ours, and no more
of each than `reader.read` would accept: what it claims of itself is not believed.
"""

import errno
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from phonebot.replay.log import (
    BOT_FILE,
    CALLER_FILE,
    EVENTS_FILE,
    HEADER_FILE,
    MAX_AUDIO_BYTES,
    MAX_EVENTS_BYTES,
    MAX_HEADER_BYTES,
    MODEL_FILE,
    LogError,
)

EXPECTED_FILE = "expected.toml"
MAX_EXPECTED_BYTES = 1024 * 1024
LIMITS = {
    HEADER_FILE: MAX_HEADER_BYTES,
    EVENTS_FILE: MAX_EVENTS_BYTES,
    CALLER_FILE: MAX_AUDIO_BYTES + 4096,  # and the header of the WAV file
    BOT_FILE: MAX_AUDIO_BYTES + 4096,
    MODEL_FILE: MAX_AUDIO_BYTES,
    EXPECTED_FILE: MAX_EXPECTED_BYTES,
}
"""The files of a log, each with the bytes it may have."""
MAX_MEMBERS = 100
MAX_ZIP_BYTES = sum(LIMITS.values())
COPY_BYTES = 1024 * 1024
# What zipfile raises for damaged files; RuntimeError (and NotImplementedError) for one that is encrypted.
UNREADABLE = (BadZipFile, EOFError, RuntimeError, ValueError, LookupError, OverflowError, struct.error, zlib.error)


def is_log(path: Path) -> bool:
    """Whether this looks like a log: a folder with its header, or a zip file."""
    return (path / HEADER_FILE).is_file() if path.is_dir() else path.suffix == ".zip" and path.is_file()


def logs_in(path: Path) -> list[Path]:
    """The logs that a path stands for: itself, or those in a folder that is none, in order of their names."""
    if path.is_dir() and not is_log(path):
        return sorted(filter(is_log, path.iterdir()))
    return [path]


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """
    The log's folder while the block runs; of a zip file it is a temporary one.

    Raises LogError for a zip file that is not a zipped log, OSError as `open` does.
    """
    if path.is_dir():
        yield path
        return
    if not path.exists():
        raise LogError(str(path), None, "there is no such call log; it is a folder, or a zip file of one")
    with TemporaryDirectory(prefix="phonebot-log-") as folder:
        _unpack(path, Path(folder))
        yield Path(folder)


def _unpack(archive: Path, folder: Path) -> None:
    if archive.stat().st_size > MAX_ZIP_BYTES:
        raise LogError(archive.name, None, f"longer than {MAX_ZIP_BYTES} bytes: no zipped call log is")
    try:
        with ZipFile(archive) as zipped:
            for name, member in _members(archive.name, zipped).items():
                _copy(archive.name, zipped, member, folder / name, LIMITS[name])
    except UNREADABLE as error:
        raise LogError(archive.name, None, f"no zip file that can be read: {error}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # A member is said to begin before the file does.
        raise LogError(archive.name, None, "no zip file that can be read: its directory is damaged") from error


def _members(archive: str, zipped: ZipFile) -> dict[str, ZipInfo]:
    """The members that are the log's files, by name. All stand in one folder, perhaps the zip file's own."""
    members = zipped.infolist()
    if len(members) > MAX_MEMBERS:
        raise LogError(archive, None, f"more than {MAX_MEMBERS} files: no call log has so many")
    found: dict[str, ZipInfo] = {}
    folders = set()
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in member.filename:
            raise LogError(archive, None, f"{member.filename[:80]!r} leads out of the folder")
        if member.is_dir() or path.name not in LIMITS:
            continue
        if path.name in found:
            raise LogError(archive, None, f"{path.name} is in it twice: zip one call at a time")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise LogError(archive, None, f"{path.name} is a link, not a file")
        if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise LogError(archive, None, f"{path.name} is compressed by a method other than deflate")
        found[path.name] = member
        folders.add(path.parent)
    if HEADER_FILE not in found or len(folders) > 1:
        raise LogError(archive, None, f"no call log: it has no {HEADER_FILE} with {EVENTS_FILE} beside it")
    return found


def _copy(archive: str, zipped: ZipFile, member: ZipInfo, target: Path, limit_bytes: int) -> None:
    left = limit_bytes
    with zipped.open(member) as source, target.open("wb") as file:
        while part := source.read(min(COPY_BYTES, left + 1)):
            left -= len(part)
            if left < 0:
                raise LogError(archive, None, f"{target.name} in it is longer than {limit_bytes} bytes")
            file.write(part)


def pack(folder: Path, archive: Path) -> None:
    """Zip a folder's files, in a folder named as the zip file, which is replaced if there is one."""
    with ZipFile(archive, "w", ZIP_DEFLATED) as zipped:
        for file in sorted(folder.iterdir()):
            if file.is_file() and not file.is_symlink():
                zipped.write(file, f"{archive.stem}/{file.name}")
