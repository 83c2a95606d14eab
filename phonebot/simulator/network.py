"""The network between carrier and server. TCP: it delays what is sent, and never reorders or loses it."""

from collections import deque
from dataclasses import dataclass
from random import Random
from typing import Generic, TypeVar

Message = TypeVar("Message")


@dataclass(frozen=True, slots=True)
class Network:
    """How long messages take to the server (up) and from it (down), each with up to that much jitter."""

    uplink_delay_ms: float = 0.0
    uplink_jitter_ms: float = 0.0
    downlink_delay_ms: float = 0.0
    downlink_jitter_ms: float = 0.0


class Link(Generic[Message]):
    """
    One direction: delivers each message `delay_ms` after it was sent, plus up to `jitter_ms`, but never before an
    earlier one.

    Times are ms of any clock, virtual or real, and never run backwards. `rng` None: a generator of its own, seeded
    alike each time.
    """

    def __init__(self, delay_ms: float = 0.0, jitter_ms: float = 0.0, rng: Random | None = None) -> None:
        if delay_ms < 0 or jitter_ms < 0:
            raise ValueError(f"delay {delay_ms} ms and jitter {jitter_ms} ms must not be negative")
        self._delay_ms, self._jitter_ms = delay_ms, jitter_ms
        self._rng = rng or Random(0)  # noqa: S311 - jitter, no secret
        self._under_way: deque[tuple[float, Message]] = deque()
        self._last_due_ms = float("-inf")
        # When the last message was handed over, and by how much jitter it is late.
        self._sent_ms, self._late_ms = float("-inf"), 0.0

    def __len__(self) -> int:
        """How many messages are under way."""
        return len(self._under_way)

    def send(self, now_ms: float, message: Message) -> None:
        """Hand over a message."""
        if now_ms != self._sent_ms:
            # What is written in one go travels together.
            self._sent_ms = now_ms
            self._late_ms = self._rng.uniform(0, self._jitter_ms) if self._jitter_ms else 0.0
        due_ms = now_ms + self._delay_ms + self._late_ms
        # A segment that overtakes another waits for it in the receiver's TCP: late ones arrive together.
        self._last_due_ms = max(self._last_due_ms, due_ms)
        self._under_way.append((self._last_due_ms, message))

    def stand_still(self, until_ms: float) -> None:
        """Nothing arrives until then: what is under way, and what is sent meanwhile, waits."""
        self._last_due_ms = max(self._last_due_ms, until_ms)
        self._under_way = deque((max(due_ms, until_ms), message) for due_ms, message in self._under_way)

    def due(self, now_ms: float) -> list[Message]:
        """Take what has arrived by now, in order."""
        arrived = []
        while self._under_way and self._under_way[0][0] <= now_ms:
            arrived.append(self._under_way.popleft()[1])
        return arrived

    def next_due(self) -> float | None:
        """When the next message arrives; None when nothing is under way."""
        return self._under_way[0][0] if self._under_way else None
