"""
Whether a service is worth asking, going by what came of it lately. No I/O: the time comes in, in seconds.

    closed      it is asked
    open        it failed FAILURES times in a row, or lost so many sessions: it is asked only by who has no choice
    half-open   its time has come: one attempt shows whether it works again

A trial that fails doubles the time until the next one.
"""

from typing import Literal, TypeAlias

FAILURES = 3
FIRST_WAIT_S = 15.0
LONGEST_WAIT_S = 120.0

State: TypeAlias = Literal["closed", "open", "half_open"]


class Breaker:
    """
    Of one service, for all calls of a process.

    Each attempt is begun with `begin`, and ends with `succeed`, `fail` or `abandon`; the latter two are given what
    that returned: whether it is the trial.
    """

    def __init__(self) -> None:
        self._failures = 0  # attempts in a row
        self._losses = 0  # of sessions, since one has lasted
        self._due_s: float | None = None  # when the next trial may be; None: it is closed
        self._wait_s = FIRST_WAIT_S
        self._on_trial = False

    def state(self, now_s: float) -> State:
        if self._due_s is None:
            return "closed"
        return "half_open" if self._on_trial or now_s >= self._due_s else "open"

    def admits(self, now_s: float) -> bool:
        """Whether it is to be asked before those that it is not."""
        return self._due_s is None or (not self._on_trial and now_s >= self._due_s)

    @property
    def due_s(self) -> float:
        """When its next trial may be; 0 while it is closed."""
        return self._due_s or 0.0

    def begin(self, now_s: float) -> bool:
        """An attempt begins, whether it is admitted or not; True: it is the trial."""
        is_trial = self._due_s is not None and self.admits(now_s)
        self._on_trial = self._on_trial or is_trial
        return is_trial

    def succeed(self) -> None:
        """It has opened a session; whether that lasts is another question."""
        self._failures, self._due_s, self._wait_s, self._on_trial = 0, None, FIRST_WAIT_S, False

    def fail(self, was_trial: bool, now_s: float) -> None:
        if was_trial and self._due_s is not None:  # else somebody who had no choice found meanwhile that it works
            self._on_trial = False
            self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
            self._due_s = now_s + self._wait_s
        elif self._due_s is None:  # while it is open, attempts of those who had no choice prolong nothing
            self._failures += 1
            self._open_if_due(now_s)

    def lose(self, now_s: float) -> None:
        """A session was lost as soon as it had begun."""
        self._losses += 1
        if self._due_s is None:
            self._open_if_due(now_s)

    def last(self) -> None:
        """A session has lasted."""
        self._losses = 0

    def _open_if_due(self, now_s: float) -> None:
        if max(self._failures, self._losses) >= FAILURES:
            self._due_s = now_s + self._wait_s

    def abandon(self, was_trial: bool) -> None:
        """It was given up before anything came of it."""
        if was_trial:
            self._on_trial = False
