"""
Files of calls: recordings and logs, in a folder of this machine or in S3-compatible storage.

    recordings = Recordings("s3://calls/phonebot?region=eu-central-1")
    await recordings.put("20261127-120000-CA1", folder)
    async for piece in await recordings.open("20261127-120000-CA1", "caller.wav"):
        ...

What belongs to a call has its key before it, KEY/NAME: all of it goes with one `delete`. Files come and go in
pieces, so a call of hours takes no more memory than one of seconds.

The library is used from threads of ours. Its own async functions hand results over from threads of its own, which
may still do so when the process ends: with Python 3.11 every second one that had read a file then aborted.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, S3Store

from phonebot.errors import NotStored, StoreError, StoreUnavailable
from phonebot.private_folders import make_private

if TYPE_CHECKING:  # obstore has these for type checkers alone
    from obstore import GetOptions, GetResult, ObjectMeta

T = TypeVar("T")

PIECE_BYTES = 256 * 1024
PART_BYTES = 5 * 1024 * 1024  # the least that S3 takes as a part of an upload (Amazon S3, Multipart upload limits)
PARTS_AT_ONCE = 2
DELETE_AT_ONCE = 1000  # as many as S3 takes in one request (Amazon S3, DeleteObjects)
CONNECT_S, RETRY_S = 5, 20
THREADS = 8

_OPTIONS = frozenset({"region", "endpoint", "virtual_hosted_style_request"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@-]{0,199}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_WANTED = (
    "PHONEBOT_STORAGE_URL is no address of a storage: it must be file:///PATH or "
    "s3://BUCKET[/PREFIX][?region=REGION&endpoint=URL]; S3's keys come from AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, or from the machine's role"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A file that is read from `start` up to `end`, once. `size` is the whole file's, in bytes."""

    size: int
    start: int
    end: int
    _result: "GetResult"
    _threads: Executor

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = iter(self._result.stream(min_chunk_size=PIECE_BYTES))
        while (piece := await _in(self._threads, next, pieces, None)) is not None:
            yield bytes(piece)


class Recordings:
    """
    The storage at a URL: `file:///PATH`, or `s3://BUCKET/PREFIX?region=REGION&endpoint=URL`.

    Raises StoreError for another URL. Nothing is opened before it is used; the folder is made then. Methods raise
    StoreUnavailable when the storage is away or refuses, and ValueError for a key or name that might mean another
    place.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._folder: Path | None = None
        self._store: LocalStore | S3Store | None = None
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="recordings")
        match parts.scheme:
            case "file" if parts.netloc in ("", "localhost") and parts.path.startswith("/") and not parts.query:
                self._folder = Path(unquote(parts.path))
                self.name = str(self._folder)
            case "s3" if _BUCKET.fullmatch(parts.netloc):
                self._store = _s3(parts)
                self.name = f"s3://{parts.netloc}{parts.path}"
            case _:
                raise StoreError(_WANTED)

    def __repr__(self) -> str:
        return f"Recordings({self.name})"

    def close(self) -> None:
        """Let its threads end once they have done what they are at. Nothing can be asked of it afterwards."""
        self._threads.shutdown(wait=False)

    @property
    def folder(self) -> Path | None:
        """Where they are kept on this machine; None: elsewhere."""
        return self._folder

    def are_in(self, folder: Path) -> bool:
        """Whether this folder is where the files are kept: what lies there need not be put."""
        return self._folder is not None and _same(folder, self._folder)

    async def put(self, key: str, folder: Path) -> int:
        """
        Keep the files of a folder under a key, in place of those of the same names; the number of files.

        Nothing is copied when the folder is the one in which they are kept.
        """
        files = {_path(key, file.name): file for file in _files(folder)}
        store = self._opened()
        if self._folder is None or not _same(folder, self._folder / key):
            for path, file in files.items():
                put = partial(obstore.put, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)
                with self._told():
                    await _in(self._threads, put, store, path, file)
        return len(files)

    async def open(self, key: str, name: str, start: int = 0, end: int | None = None) -> Reading:
        """
        Read a file, or its bytes from `start` up to `end`; `start` must lie within it.

        Raises NotStored when it is not there.
        """
        options: GetOptions = {}
        if start or end is not None:
            options = {"range": {"offset": start} if end is None else (start, end)}
        with self._told(f"{key}/{name}"):
            get = partial(obstore.get, options=options)
            result = await _in(self._threads, get, self._opened(), _path(key, name))
        return Reading(result.meta["size"], *result.range, result, self._threads)

    async def files(self, key: str) -> dict[str, int]:
        """The names of the files under a key, with their sizes in bytes; empty when there are none."""
        found = {}
        prefix = f"{_path(key)}/"
        with self._told():
            async for page in self._pages(prefix):
                found.update({str(each["path"]).removeprefix(prefix): int(each["size"]) for each in page})
        return dict(sorted(found.items()))

    async def all_keys(self) -> AsyncIterator[str]:
        """All keys under which there are files."""
        last = None
        with self._told():
            async for page in self._pages():
                for each in page:
                    key = str(each["path"]).rpartition("/")[0]
                    if key not in ("", last):
                        yield key
                    last = key

    async def delete(self, key: str) -> int:
        """Delete everything under a key; the number of files. There may be none."""
        paths = [_path(key, name) for name in await self.files(key)]
        for first in range(0, len(paths), DELETE_AT_ONCE):
            with self._told():
                await _in(self._threads, obstore.delete, self._opened(), paths[first : first + DELETE_AT_ONCE])
        return len(paths)

    async def _pages(self, prefix: str | None = None) -> "AsyncIterator[Sequence[ObjectMeta]]":
        pages = iter(obstore.list(self._opened(), prefix))
        while (page := await _in(self._threads, next, pages, None)) is not None:
            yield page

    def _opened(self) -> LocalStore | S3Store:
        if self._store is None:
            assert self._folder is not None  # one of the two is there
            with self._told():
                make_private(self._folder)
                self._store = LocalStore(self._folder, automatic_cleanup=True)
        return self._store

    @contextmanager
    def _told(self, what: str = "") -> Iterator[None]:
        """What the storage refuses, in a sentence. Its own words are long and may hold a key's name."""
        try:
            yield
        except FileNotFoundError:
            raise NotStored(f"{what or 'the bucket or folder'} is not in the storage {self.name}") from None
        except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
            raise StoreUnavailable(f"the storage {self.name} {self._refusal}") from error
        except (BaseError, OSError) as error:
            raise StoreUnavailable(f"the storage {self.name} {self._fault}") from error

    @property
    def _refusal(self) -> str:
        if self._folder is not None:
            return "refuses access: give phonebot the right to read and write there"
        return "refuses access: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and what they may do there"

    @property
    def _fault(self) -> str:
        if self._folder is not None:
            return "cannot be used: check that it is a folder and that its disk has room"
        return "cannot be reached: check PHONEBOT_STORAGE_URL, and that there are keys for it"


async def _in(threads: Executor, work: Callable[..., T], *arguments: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, work, *arguments)


def _s3(parts: SplitResult) -> S3Store:
    try:
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError:
        raise StoreError(_WANTED) from None
    endpoint = options.get("endpoint", "")
    if not options.keys() <= _OPTIONS or (endpoint and not endpoint.startswith(("https://", "http://"))):
        raise StoreError(_WANTED)
    return S3Store(
        parts.netloc,
        prefix=parts.path.strip("/") or None,
        config=options,  # type: ignore[arg-type]  # its keys are those of _OPTIONS
        client_options={"allow_http": endpoint.startswith("http://"), "connect_timeout": f"{CONNECT_S}s"},
        retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=RETRY_S)},
    )


def _path(*parts: str) -> str:
    """Raises ValueError where a part is not a plain name: nothing of it may mean another place."""
    for part in parts:
        if not all(_NAME.fullmatch(name) for name in part.split("/")):
            raise ValueError(f"{part!r} cannot be the key or name of a recording")
    return "/".join(parts)


def _files(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.iterdir()) if file.is_file()]


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
