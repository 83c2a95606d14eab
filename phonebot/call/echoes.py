"""
Echoes of marks: when each was sent, and what that tells of the run whose mark it is.

    echo = echoes.date(mark, now)           # a mark came back
    echoes.confirm(run, echo)               # and tells that the audio before it has played
    echoes.resolve(in_turn)                 # the caller's next frame came

An echo is dated by the caller's own frames (delays.py). Where it comes late after the newest of them the network
has held it up, or the carrier has paused since: which of the two shows with the next frame. Until then it is taken
to have been sent when its date says, and what it would tell in the other case is kept, as a doubt.
"""

from dataclasses import dataclass

from phonebot.audio.g711 import BYTES_PER_MS
from phonebot.call.delays import ROUNDING_MS, Delays
from phonebot.call.run import Pending, Run


@dataclass(frozen=True, slots=True)
class Echo:
    """
    `mark` came back and was sent at `at_ms`, as its date says; at `latest_ms` where the carrier has paused.

    `is_dated`: by a frame of the caller. If not, it may seem later by `undated_ms` than it was.
    """

    mark: Pending
    at_ms: float
    latest_ms: float
    is_dated: bool
    undated_ms: int

    @property
    def is_doubtful(self) -> bool:
        return self.latest_ms > self.at_ms

    def at_the_latest(self, jitter_ms: int) -> "Echo":
        """The same, should the carrier have paused before it."""
        if not self.is_doubtful:
            return self
        return Echo(self.mark, self.latest_ms, self.latest_ms, is_dated=False, undated_ms=jitter_ms)


@dataclass(frozen=True, slots=True)
class Doubt:
    """
    An echo that came late after the newest frame of the caller: the network held it up, or he fell silent.

    Should the carrier have paused, the audio before `position` had played by `at_ms`, and not by `dated_ms`.
    """

    run: Run
    position: int | None  # None: there was none
    dated_ms: float
    at_ms: float
    probe_sent_ms: int | None  # to measure the round trip by, once it is known


class Echoes:
    """
    Those of one stream. What they show of the network and the carrier, `delays` is told.

    `doubt` is that of the newest echo; None: there is none.
    """

    def __init__(self, delays: Delays) -> None:
        self.doubt: Doubt | None = None
        self._delays = delays

    def date(self, mark: Pending, now: int) -> Echo:
        """A mark came back."""
        delays = self._delays
        at_ms = delays.date_ms(now)
        latest_ms = max(at_ms, now) if delays.is_doubtful(now) else at_ms
        return Echo(mark, at_ms, latest_ms, delays.is_dated(now), delays.undated_ms(now))

    def measure(self, run: Run, sent_ms: int, now: int) -> None:
        """
        A mark came back that was sent at `sent_ms`, while there was nothing to play.

        What can't be told from one that waits for the next frame is not measured before that has come.
        """
        dated_ms = self._delays.date_ms(now)
        if not self._delays.is_doubtful(now):
            self._delays.measure_round_trip(sent_ms, dated_ms)
        elif not self.doubt:
            self.doubt = Doubt(run, None, dated_ms, now, sent_ms)

    def confirm(self, run: Run, echo: Echo) -> None:
        """The audio before a pending mark of the run had played by the date of this echo."""
        delays, mark, at_ms = self._delays, echo.mark, echo.at_ms
        if not echo.is_dated:
            self.resolve(in_turn=False)
        if echo.is_doubtful:
            self.doubt = self._doubted(run, echo)
        elif mark.probe:
            delays.measure_round_trip(mark.sent_ms, at_ms)
        if run.marks[0] is not mark:
            delays.miss_mark()
        met_empty_ms, began = run.met_empty_ms, run.confirmed
        if not mark.bare:
            at_ms = delays.less_lag(at_ms)
            if met_empty_ms is not None and not echo.is_doubtful:
                delays.measure_buffer(at_ms - met_empty_ms - (mark.position - began) / BYTES_PER_MS)
        tolerance_ms = self.tolerance_ms(echo.undated_ms)
        if mark.bare:  # the carrier's lag may be in its echo: that depends on whether the queue was empty
            tolerance_ms += delays.mark_lag_ms
        differ_ms = run.confirm(mark, at_ms, delays.likely, tolerance_ms, echo.is_dated, echo.undated_ms)
        if echo.is_dated and not echo.is_doubtful:
            delays.measure_spread(differ_ms)

    def _doubted(self, run: Run, echo: Echo) -> Doubt:
        """What an echo tells should the carrier have paused: no more than that it came now."""
        before, mark, at_ms = self.doubt, echo.mark, echo.latest_ms
        if run.is_firm(mark):
            due_ms, _ = run.due(mark, self._delays.likely)
            if before and before.run is run and before.position == run.confirmed:
                due_ms += max(before.at_ms - run.confirmed_ms, 0.0)
            at_ms = min(at_ms, due_ms)
        return Doubt(run, mark.position, echo.at_ms, at_ms, mark.sent_ms if mark.probe else None)

    def resolve(self, in_turn: bool) -> None:
        """The caller's next frame came in its turn, so the echo was dated right; or the carrier had paused."""
        doubt, self.doubt = self.doubt, None
        if doubt is None:
            return
        run = doubt.run
        if not in_turn and run.confirmed == doubt.position:
            run.postpone(doubt.at_ms, self._delays.jitter_ms)
        if doubt.probe_sent_ms is not None:
            self._delays.measure_round_trip(doubt.probe_sent_ms, doubt.dated_ms if in_turn else doubt.at_ms)

    def take_late(self, run: Run) -> None:
        """No frame will tell: what is in doubt of the run is taken to have played as late as can be."""
        doubt = self.doubt
        if doubt and doubt.run is run and doubt.position == run.confirmed:
            run.postpone(doubt.at_ms, self._delays.jitter_ms)

    def tolerance_ms(self, undated_ms: int) -> float:
        """How far an echo's date may be off, to the late side."""
        return ROUNDING_MS + self._delays.spread_ms + undated_ms
