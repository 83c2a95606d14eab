"""How often somebody may try: so many times in a while, after which he waits."""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MAX_KEYS = 10_000
"""Of so many addresses or names attempts are known; of more, those go that were heard of longest ago."""
NETWORK_BITS = 64  # of an IPv6 address: who has one has all of its network (RFC 6177, 2)


@dataclass(slots=True)
class _Window:
    since_s: float
    attempts: int


class Attempts:
    """
    `limit` attempts of each key within `window_s` from its first one. In this process alone.

    `clock` gives seconds and is time.monotonic but in tests.
    """

    def __init__(
        self,
        limit: int,
        window_s: float,
        clock: Callable[[], float] = time.monotonic,
        max_keys: int = MAX_KEYS,
    ) -> None:
        self._limit = limit
        self._window_s = window_s
        self._clock = clock
        self._max_keys = max_keys
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def wait_s(self, key: str) -> int:
        """Whole seconds until the key may try again; 0: now."""
        window = self._windows.get(key)
        if window is None or window.attempts < self._limit:
            return 0
        return max(0, math.ceil(window.since_s + self._window_s - self._clock()))

    def count(self, key: str) -> None:
        """It tries."""
        now = self._clock()
        window = self._windows.pop(key, None)
        if window is None or now >= window.since_s + self._window_s:
            window = _Window(now, 0)
        window.attempts += 1
        self._windows[key] = window
        if len(self._windows) > self._max_keys:
            self._windows.popitem(last=False)

    def forget(self, key: str) -> None:
        """It has succeeded."""
        self._windows.pop(key, None)


def network(address: str) -> str:
    """What stands for an address: itself, or the network of an IPv6 one."""
    try:
        read = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(read, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((read, NETWORK_BITS), strict=False))
    return address
