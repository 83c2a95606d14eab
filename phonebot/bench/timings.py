"""How long what is done takes, by kind, and how often it fails: in one process, while it counts."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from phonebot.errors import StoreError


class Timed(msgspec.Struct, frozen=True):
    """
    By kind: how long each of those took that were done, in ms; how much was done of what is counted otherwise; and
    how often it failed.
    """

    ms: dict[str, list[float]] = {}
    counted: dict[str, int] = {}
    failed: dict[str, int] = {}

    def done(self, kind: str) -> int:
        return self.counted.get(kind, 0) + len(self.ms.get(kind, ()))


class Timings:
    """From `reset` on it counts anew; `taken` is what it has counted."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._ms: defaultdict[str, list[float]] = defaultdict(list)
        self._counted: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    @contextmanager
    def timing(self, kind: str) -> Iterator[None]:
        """What the block does is of this kind, and has failed when it raises StoreError, which it raises again."""
        began_s = time.perf_counter()
        try:
            yield
        except StoreError:
            self._failed[kind] += 1
            raise
        self.note(kind, time.perf_counter() - began_s)

    def note(self, kind: str, took_s: float) -> None:
        """One more was done."""
        self._ms[kind].append(round(took_s * 1000, 3))

    def count(self, kind: str, done: int) -> None:
        """So many more were done, of which nobody asks how long they took."""
        self._counted[kind] += done

    @property
    def taken(self) -> Timed:
        return Timed(dict(self._ms), dict(self._counted), dict(self._failed))


def together(each: list[Timed]) -> Timed:
    """What several processes have counted, as one."""
    ms: defaultdict[str, list[float]] = defaultdict(list)
    counted: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for timed in each:
        for kind, took in timed.ms.items():
            ms[kind] += took
        counted.update(timed.counted)
        failed.update(timed.failed)
    return Timed(dict(ms), dict(counted), dict(failed))
