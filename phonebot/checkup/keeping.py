"""Where things are kept: the database, the storage of calls, the data folder and its disk."""

import asyncio
import getpass
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from phonebot.checkup.check import Check, Probe
from phonebot.errors import StoreError
from phonebot.store.database import Database
from phonebot.store.examination import Facts, examine
from phonebot.store.recordings import Recordings

CLOCKS_APART_S = 5.0  # a token for a stream holds for a minute; what leases work counts in tens of seconds
LITTLE_ROOM_BYTES, NO_ROOM_BYTES = 1_000_000_000, 100_000_000
CALL_BYTES_PER_HOUR = 2 * 8_000 * 3600  # two recordings in G.711: 8000 bytes a second each

_KEPT = ("phonebot.db", "calls", "audio", "messages", "opt-outs")  # in the data folder, of callers
_MAKE = "Start the service, or run `phonebot db upgrade`: both make them."
_UPGRADE = "Start the service, or run `phonebot db upgrade`: both bring them up to date."


def database(opened: Database, learnt: Callable[[Facts], None] = lambda facts: None) -> Probe:
    """
    Whether it is there, has this version's tables, may be written to, and has our time. Changes nothing.

    `learnt` is given what could be found out.
    """

    async def look() -> Check:
        try:
            facts = await examine(opened)
            learnt(facts)
            return of_facts(opened, facts)
        except StoreError as error:
            return Check.of_problem("Database", error.problem)

    return Probe("Database", look)


def of_facts(opened: Database, facts: Facts) -> Check:
    """What these facts of a database mean."""
    where = f"SQLite in {near(opened.name)}" if opened.is_sqlite else f"PostgreSQL at {opened.name}"
    if facts.revision is None:
        return Check("Database", "warning", f"{where} has no tables yet", _MAKE)
    if facts.revision != facts.newest:
        told = f"the tables of {where} are at {facts.revision}, not at {facts.newest}"
        return Check("Database", "warning", told, _UPGRADE)
    if abs(facts.ahead_s) > CLOCKS_APART_S:
        told = f"the clock of {where} is {apart(facts.ahead_s)} ours"
        return Check("Database", "warning", told, "Let both machines take their time from NTP.")
    return Check("Database", "ok", f"{where}: tables at {facts.revision}, {facts.took_ms} ms")


def near(path: str) -> str:
    """A path as one would write it in the working directory."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def apart(ahead_s: float) -> str:
    return f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'}"


def storage(recordings: Recordings) -> Probe:
    """Writes a file, reads it and deletes it; a folder that is not there yet is not made."""
    name = "Storage of calls"

    async def look() -> Check:
        shown = f"the folder {near(recordings.name)}" if recordings.folder else recordings.name
        if recordings.folder is not None and not recordings.folder.exists():
            return _missing(name, recordings.folder)
        key, content = f"checkup-{secrets.token_hex(8)}", secrets.token_bytes(16)
        try:
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "checkup").write_bytes(content)
                await recordings.put(key, Path(folder))
            try:
                read = b"".join([piece async for piece in await recordings.open(key, "checkup")])
            finally:
                await recordings.delete(key)
        except StoreError as error:
            return Check.of_problem(name, error.problem)
        if read != content:
            told = f"{shown} gave back something else than it got"
            return Check(name, "failed", told, "Name another storage by PHONEBOT_STORAGE_URL.")
        return Check(name, "ok", f"{shown} takes a file and gives it back")

    return Probe(name, look)


def data_folder(folder: Path, shown: str) -> Probe:
    """Whether we may write there and others may not read. `shown`: as the settings name it."""
    return Probe("Data folder", _in_thread(lambda: _data_folder(folder, shown)))


def disk(folder: Path) -> Probe:
    """How much room there is for calls."""
    return Probe("Disk", _in_thread(lambda: of_room(shutil.disk_usage(_existing(folder)).free)))


def _in_thread(look: Callable[[], Check]) -> "Callable[[], asyncio.Future[Check]]":
    """A folder may lie in a network, and take its time."""
    return lambda: asyncio.ensure_future(asyncio.to_thread(look))


def of_room(free_bytes: int) -> Check:
    """What so much room for the data folder means."""
    hours = free_bytes // CALL_BYTES_PER_HOUR
    told = f"{free_bytes / 1e9:.1f} GB free, about {hours:,} hours of calls"
    remedy = "Free some, keep calls for fewer days, or move PHONEBOT_DATA_DIR."
    if free_bytes < NO_ROOM_BYTES:
        return Check("Disk", "failed", told, remedy)
    return Check("Disk", "warning", told, remedy) if free_bytes < LITTLE_ROOM_BYTES else Check("Disk", "ok", told)


def _data_folder(folder: Path, shown: str) -> Check:
    name = "Data folder"
    if not folder.exists():
        return _missing(name, folder, shown)
    if not folder.is_dir():
        return Check(name, "failed", f"PHONEBOT_DATA_DIR is {shown}, which is no folder", "Let it name a folder.")
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".checkup-"):
            pass
    except OSError as error:
        return _not_writable(name, shown, error.strerror or type(error).__name__)
    if opened := _open_to_others(folder):
        told = f"others on this machine may read {', '.join(opened)} in {shown}"
        return Check(name, "warning", told, f"Run `chmod -R go= {shown}`.")
    return Check(name, "ok", f"the folder {shown} can be written to, by us alone")


def _missing(name: str, folder: Path, shown: str | None = None) -> Check:
    shown, parent = shown or near(str(folder)), _existing(folder)
    if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK):
        return Check(name, "ok", f"the folder {shown} is made when it is needed")
    return _not_writable(name, shown, f"it is not there, and cannot be made in {parent}")


def _not_writable(name: str, shown: str, why: str) -> Check:
    user = _user()
    remedy = f"Let {user} write there (`chown -R {user} FOLDER`), or name another folder."
    return Check(name, "failed", f"the folder {shown} cannot be written to: {why[0].lower()}{why[1:]}", remedy)


def _user() -> str:
    """The name of who we run as, or his number: in a container he may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _existing(folder: Path) -> Path:
    """The nearest that is there."""
    folder = folder.absolute()
    return next(each for each in (folder, *folder.parents) if each.exists())


def _open_to_others(folder: Path) -> list[str]:
    """What of the data others may read: calls and transcripts are nobody else's business."""
    if not folder.stat().st_mode & 0o011:
        return []
    named = [each for each in _KEPT if (folder / each).exists()]
    return [each for each in named if (folder / each).stat().st_mode & 0o044]
