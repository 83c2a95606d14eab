"""
What calls cost today, as one process knows: its own calls, and what the database said of those of others.

    ledger.add("+15550100000", 0.02)
    ledger.of("+15550100000"), ledger.total

Pure: days and what others have spent are given. Another day begins with nothing.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date


class Ledger:
    """`day` is the one that it is about."""

    def __init__(self, day: date) -> None:
        self.day = day
        self.own: defaultdict[str, float] = defaultdict(float)
        # Numbers whose own figure has changed since `take_changed`.
        self._changed: set[str] = set()
        self._others: Mapping[str, float] = {}

    def begin(self, day: date) -> None:
        """It is this day now: nothing happens if it was before."""
        if day != self.day:
            self.day, self.own, self._others = day, defaultdict(float), {}
            self._changed.clear()

    def add(self, number: str, usd: float) -> None:
        """A call of this process has cost so much more."""
        if usd > 0:
            self.own[number] += usd
            self._changed.add(number)

    def learn(self, others: Mapping[str, float]) -> None:
        """What the calls of other processes have cost today, in all."""
        self._others = others

    def take_changed(self) -> dict[str, float]:
        """The own figures that have changed since this was asked last."""
        changed, self._changed = self._changed, set()
        return {number: self.own[number] for number in changed}

    def give_back(self, changed: Mapping[str, float]) -> None:
        """They could not be written: they count as changed."""
        self._changed |= changed.keys()

    def of(self, number: str) -> float:
        """What the calls of a number have cost."""
        return self.own.get(number, 0.0) + self._others.get(number, 0.0)

    @property
    def by_number(self) -> dict[str, float]:
        """The same of each number that has had a call."""
        return {number: self.of(number) for number in {*self.own, *self._others}}

    @property
    def total(self) -> float:
        """What all calls have cost."""
        return sum(self.own.values()) + sum(self._others.values())
