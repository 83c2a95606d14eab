"""
Clears: what was heard of the audio that each has cut.

    clears.close(run, fence, now)                       # a clear was sent, and its fence right behind it
    clears.note(name, now)                              # True: this mark, which came back, is of a closed run
    settled = clears.settle_through(fence, run, now)    # the fence came back
    settled = clears.settle_due(now)                    # or it is too late

After a clear the carrier echoes the marks that it dropped, too, so an echo may mean "played" or "flushed". It is
believed only if it comes no earlier than the audio before it can have played: the schedule test. Those that come in
one go with the fence were flushed. The fence's echo settles what was heard of each item; without it the least is
claimed that can have been heard.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from phonebot.audio.g711 import BYTES_PER_MS, FRAME_BYTES, FRAME_MS
from phonebot.call.delays import ROUNDING_MS, Delays, Reckoning
from phonebot.call.echoes import Echo, Echoes
from phonebot.call.run import STAMP_JITTER_MS, Pending, Run

# What a carrier sends in one go arrives within so many ms, where no frame in between tells.
IN_ONE_GO_MS = 5


@dataclass(frozen=True, slots=True)
class Settlement:
    """
    How much was heard, in bytes from the item's begin, of each item that a clear cut or kept from being heard.

    `exact` is False when no echo came to confirm it: the figure is then a low estimate. `fence` is the clear's.
    """

    fence: str
    heard: dict[str, int]
    exact: bool


@dataclass(slots=True)
class Cleared:
    """A closed run that waits for its fence."""

    run: Run
    fence: str
    cleared_ms: int
    give_up_ms: int
    # Echoes of the run that came since the newest frame of the caller: should the fence come before the next one,
    # they were flushed with it.
    undecided: list[Echo]
    gap: int = 0  # in which they came
    noted_ms: int = 0  # when the last of them did
    # The run as it was before echoes were believed that the clear may have caused; None: none was.
    surely: Run | None = None

    def redate(self, in_turn: bool, jitter_ms: int) -> None:
        """The carrier's next frame came in its turn, so the echoes were dated right; or it had paused."""
        for index, echo in enumerate(self.undecided):
            if echo.is_doubtful and in_turn:
                self.undecided[index] = replace(echo, latest_ms=echo.at_ms)
            else:
                self.undecided[index] = echo.at_the_latest(jitter_ms)


class Clears:
    """Those of one stream whose fence is still to come back, the oldest first."""

    def __init__(self, delays: Delays, echoes: Echoes) -> None:
        self._delays, self._echoes = delays, echoes
        self._closed: deque[Cleared] = deque()

    @property
    def runs(self) -> Iterator[Run]:
        """The runs that they have closed."""
        return (closed.run for closed in self._closed)

    def close(self, run: Run, fence: str, now: int) -> None:
        """A clear was sent, with its fence behind it: nothing more of this run is sent."""
        self._closed.append(Cleared(run, fence, now, now + self._delays.patience_ms, []))

    def has(self, fence: str) -> bool:
        """Whether one of them waits for this fence."""
        return any(fence == closed.fence for closed in self._closed)

    def redate(self, in_turn: bool) -> None:
        """The next frame came in its turn, so what came late was dated right; or the carrier had paused."""
        if self._echoes.doubt:
            self._echoes.resolve(in_turn)
        for closed in self._closed:
            closed.redate(in_turn, self._delays.jitter_ms)

    @property
    def give_up_ms(self) -> int | None:
        """When `settle_due` has something to do: the oldest fence is then too late."""
        return self._closed[0].give_up_ms if self._closed else None

    def settle_due(self, now: int) -> tuple[Settlement, ...]:
        """Settle, by a low estimate, the clears whose fence did not come back in time."""
        settled = []
        while self._closed and self._closed[0].give_up_ms <= now:
            settled.append(self._settle_low(self._closed.popleft(), now))
        return tuple(settled)

    def settle_all(self, now: int) -> tuple[Settlement, ...]:
        """Settle every clear now, by a low estimate: its echo can no longer be waited for."""
        settled = tuple(self._settle_low(closed, now) for closed in self._closed)
        self._closed.clear()
        return settled

    # ---------------------------------------------------------------------------------- echoes after a clear

    def note(self, name: str, now: int) -> bool:
        """
        A mark came back. True if it is one of a closed run.

        Whether the audio before it was played or thrown away shows once it is known what comes next.
        """
        for closed in self._closed:
            if mark := closed.run.find(name):
                self._note(closed, mark, now)
                return True
        return False

    def _note(self, closed: Cleared, mark: Pending, now: int) -> None:
        if closed.undecided and not self._together(closed, now):
            self._accept(closed, now)
        if mark in closed.run.marks and all(mark is not echo.mark for echo in closed.undecided):
            closed.undecided.append(self._echoes.date(mark, now))
            closed.gap, closed.noted_ms = self._delays.gap, now

    def _together(self, closed: Cleared, now: int) -> bool:
        """Whether what comes now was sent in one go with the echoes noted last, as far as it shows."""
        return closed.gap == self._delays.gap and (
            self._delays.is_dated(now) or now <= closed.noted_ms + IN_ONE_GO_MS
        )

    def _accept(self, closed: Cleared, now: int) -> None:
        """
        These echoes were played: a clear flushes all its marks in one go, and others have come since.

        Should a carrier take its time to flush them, what is impossible shows it.
        """
        run = closed.run
        if not self._delays.is_dated(now):
            self._pause(closed)
        for echo in closed.undecided:
            if run.flushed_ms is None and self._is_too_much(closed, echo):
                run.flush(echo.mark, echo.at_ms)
            elif run.flushed_ms is None:
                self._echoes.confirm(run, echo)
        closed.undecided.clear()

    def _pause(self, closed: Cleared) -> None:
        """The carrier has paused, so these echoes, and what is in doubt, were sent when they came."""
        self._echoes.resolve(in_turn=False)
        closed.redate(False, self._delays.jitter_ms)

    def _decide(self, closed: Cleared, now: int, low: bool = False, fence_ms: float | None = None) -> None:
        """
        Nothing tells whether these echoes were played: were they on schedule?

        `low`: what was played is taken to have been as late as can be, since no frame will show it. `fence_ms`: the
        date of the fence, which came behind them; None: it has none.
        """
        if not self._delays.is_dated(now):
            self._pause(closed)
        # Where one shows that the clear has taken effect, it has for those that came with it.
        in_effect = self._are_too_many(closed) or any(self._is_too_much(closed, echo) for echo in closed.undecided)
        for echo in closed.undecided:
            if self._came_before(closed, echo, fence_ms):
                self._echoes.confirm(closed.run, echo)
            else:
                self._judge(closed, echo, in_effect, low)
        closed.undecided.clear()

    def _came_before(self, closed: Cleared, echo: Echo, fence_ms: float | None) -> bool:
        """
        Whether an echo came too long before the fence to have been flushed with it: then its audio had played.

        It had to be there for that: as early as our quickest message may have been.
        """
        delays, run = self._delays, closed.run
        if fence_ms is None or run.flushed_ms is not None or echo.is_doubtful or not echo.is_dated:
            return False
        if echo.at_ms >= fence_ms - FRAME_MS - self._echoes.tolerance_ms(0) - delays.mark_lag_ms:
            return False
        due_ms, _ = run.due(echo.mark, replace(delays.likely, trip_ms=delays.surest_trip_ms))
        return echo.at_ms >= due_ms and not self._is_too_much(closed, echo)

    def _judge(self, closed: Cleared, echo: Echo, in_effect: bool, low: bool) -> None:
        """Was the audio before an echoed mark played, or thrown away? `in_effect`: the clear surely is."""
        run, mark, at_ms = closed.run, echo.mark, echo.at_ms
        if run.flushed_ms is not None:
            return
        due_ms, _ = run.due(mark, self._delays.likely)
        played_ms = at_ms if mark.bare else self._delays.less_lag(at_ms)
        before_clear = not in_effect and at_ms < closed.cleared_ms + self._delays.surest_trip_ms
        in_doubt_ms = due_ms - FRAME_MS - STAMP_JITTER_MS
        # Whatever the round trips seem to say; or due for so long that it can only be the clear that has caused it.
        too_much = self._is_too_much(closed, echo) or (in_effect and run.came_late(mark, played_ms, *self._late()))
        if not too_much and (before_clear or mark.position == run.confirmed or played_ms >= due_ms):
            if not (before_clear or closed.surely):
                closed.surely = run.copy()  # one that the clear has caused, a frame sooner, would look the same
            self._echoes.confirm(run, echo.at_the_latest(self._delays.jitter_ms) if low else echo)
        elif too_much or at_ms < in_doubt_ms:
            run.flush(mark, at_ms)
        elif played_ms < in_doubt_ms:  # its audio had played, but it came before its time
            run.flush(None, at_ms)
        else:
            mark.answered = True
        # In between both may be: what was reckoned is a lower bound, good to a frame. It stands, and so it is one
        # frame at most that may be missing, while a burst of flushed echoes can't pull each other forward.

    def _late(self) -> tuple[Reckoning, float]:
        """By what the audio before a mark is reckoned, and how long after that its echo is no slow one."""
        delays = self._delays
        return delays.likely, FRAME_MS + self._echoes.tolerance_ms(0) + delays.mark_lag_ms

    def _are_too_many(self, closed: Cleared) -> bool:
        """Whether echoes that came in one go are of more audio than plays meanwhile: some the clear has caused."""
        positions = [echo.mark.position for echo in closed.undecided if not echo.is_doubtful and echo.is_dated]
        length_ms = (max(positions) - min(positions)) / BYTES_PER_MS if positions else 0.0
        return length_ms > 2 * FRAME_MS + self._delays.spread_ms + self._delays.mark_lag_ms

    def _is_too_much(self, closed: Cleared, echo: Echo) -> bool:
        """Whether an echo is of audio that can't have played by then: so the clear, if sent, has caused it."""
        if echo.latest_ms < closed.cleared_ms:
            return False
        return closed.run.is_too_much(echo.mark, echo.latest_ms, self._delays.uneven_ms)

    # ---------------------------------------------------------------------------------- the fence

    def settle_through(self, fence: str, newest: Run, now: int) -> tuple[Settlement, ...]:
        """
        A fence came back: its clear is settled exactly, older ones, whose fence was lost, by their estimate.

        `newest` is the run that is not closed.
        """
        settled = []
        at_ms: float = self._delays.date_ms(now)
        while self._closed:
            closed = self._closed.popleft()
            if closed.fence != fence:
                settled.append(self._settle_low(closed, now))
                continue
            if closed.undecided and not self._together(closed, now):
                # The fence may have waited for the frame under way, and so have come after what was flushed.
                self._decide(closed, now, fence_ms=at_ms if self._delays.is_dated(now) else None)
            if not (closed.undecided and closed.gap == self._delays.gap):
                # It came alone, so behind a frame under way: an echo behind audio is sent with the carrier's lag.
                at_ms = self._delays.less_lag(at_ms)
            if not self._delays.mark_lag_ms:
                self._delays.measure_round_trip(closed.cleared_ms, at_ms)
            # Later audio counts from here: the queue was empty when the clear took effect.
            following = self._closed[0].run if self._closed else newest
            following.postpone(at_ms, self._delays.undated_ms(now))
            settled.append(Settlement(fence, self._heard(closed, at_ms, now), exact=True))
            break
        return tuple(settled)

    def _heard(self, closed: Cleared, at_ms: float, now: int) -> dict[str, int]:
        """Heard of a run whose fence came back: its clear had taken effect by `at_ms`."""
        run, delays = closed.run, self._delays
        if closed.undecided and delays.is_dated(now) and run.flushed_ms is None:
            run.flush(self._surely_flushed(closed.undecided), at_ms)
        elif closed.undecided:
            self._decide(closed, now)
        if run.flushed_ms is not None:
            at_ms = run.flushed_ms
        first_ms, last_ms = delays.effect_ms(closed.cleared_ms, at_ms, now)
        effect_ms = (first_ms + last_ms) / 2  # nothing tells which: so it is at most half of that wrong
        position = run.whole_frames(run.position(effect_ms, delays.likely))
        if run.flushed_ms is not None:
            resumed_ms = delays.likely.takes_effect_ms(delays.resumed_ms) if delays.resumed_ms else None
            at_most = run.at_most(effect_ms, resumed_ms, *self._late())
            position = min(position, run.whole_frames(at_most))
        elif delays.silence_tells:
            # The fence came behind all that was echoed before it, however long it travelled.
            tolerance_ms = self._echoes.tolerance_ms(0) + delays.mark_lag_ms
            perhaps_ms = delays.undated_ms(now) + delays.unknown_buffer_ms
            held_back = run.held_back(effect_ms, delays.likely, tolerance_ms, perhaps_ms)
            position = min(position, held_back)
        return run.heard(position)

    def _surely_flushed(self, together: list[Echo]) -> Pending | None:
        """Of echoes that came in one go with a fence, the first that can't be one of audio that was played."""
        if self._delays.spread_ms >= FRAME_MS:
            return None
        first = together[0].mark
        if not self._delays.mark_lag_ms:
            return first
        # It may have waited for the lag's end; what is behind more audio would have waited for longer.
        return next((echo.mark for echo in together if echo.mark.position > first.position), None)

    # ---------------------------------------------------------------------------------- where no fence comes back

    def _settle_low(self, closed: Cleared, now: int) -> Settlement:
        """As little as can have been heard: the clear arrived as quickly as can be, the audio as late."""
        run = closed.run
        self._echoes.take_late(run)
        if closed.undecided:
            self._decide(closed, now, low=True)
        surely = closed.surely or run
        if run.flushed_ms is not None:
            cautious = replace(self._delays.likely, cautious=True)
            effect_ms, _ = self._delays.effect_ms(closed.cleared_ms, run.flushed_ms, now)
            # What was flushed is known to a frame, and to how long echoes may wait, in either direction.
            unsure = int((FRAME_MS + self._delays.spread_ms) * BYTES_PER_MS)
            position = max(min(run.position(effect_ms, cautious), run.limit) - unsure, surely.confirmed)
            position -= position % FRAME_BYTES
        else:
            position = self.least(surely, lambda reckoning: reckoning.takes_effect_ms(closed.cleared_ms), now)
        return Settlement(closed.fence, run.heard(position), exact=False)

    def least(self, run: Run, ends_ms: Callable[[Reckoning], float], now: int) -> int:
        """
        The least that can have played when a round trip ends at `ends_ms`.

        A round trip is measured in whole frames, and whether something fell into one frame or the next is decided
        by ms: each is tried. Marks tell what had not played a while ago; what is after that they can't tell.
        """
        likely, jitter_ms = self._delays.likely, self._delays.most_jitter_ms
        tolerance_ms = STAMP_JITTER_MS + self._delays.spread_ms + self._delays.mark_lag_ms
        lowest = run.sent_by(self._delays.reached_ms) if self._delays.stands_still(now) else run.sent
        for trip_ms in self._delays.possible_trips_ms:
            quick = replace(likely, trip_ms=trip_ms)
            slow = replace(quick, trip_ms=quick.trip_ms + jitter_ms + ROUNDING_MS, cautious=True)
            end_ms = ends_ms(quick)
            lowest = min(lowest, run.position(end_ms, slow))
            if self._delays.silence_tells:
                seen_ms = min(end_ms, self._delays.seen_ms(now))
                unseen = int((end_ms - seen_ms) * BYTES_PER_MS)
                lowest = min(lowest, run.held_back(seen_ms, slow, tolerance_ms) + unseen)
        # Audio begins and ends at boundaries: what is short of a frame by as much as stamps are off is one.
        lowest += STAMP_JITTER_MS * BYTES_PER_MS
        return min(lowest - lowest % FRAME_BYTES, run.sent)
