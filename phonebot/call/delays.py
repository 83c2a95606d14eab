"""
What shows of the time between us and the carrier, on the stream's clock.

Call time runs behind the carrier's clock by the time its quickest message takes to us (clock.py). What we send at
call time t therefore arrives at t plus a round trip, and what the carrier sends at t arrives at t or later.

The carrier works in frames of 20 ms: audio that arrives begins with the next one, and a clear lets the one under
way end. Each frame of the caller is stamped at such a boundary, so the stamps tell where they lie.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil

from phonebot.audio.g711 import FRAME_MS
from phonebot.call.clock import ahead_ms
from phonebot.call.plan import CarrierTraits

PLAIN = CarrierTraits()
# Before the first round trip is measured. It cancels out: it delays the begin of audio as much as its end.
UNKNOWN_ROUND_TRIP_MS = 200
# Where it does not, at a call's end: how much longer than that one may be.
FAR_AWAY_MS = 600
UNKNOWN_BUFFER_MS = 200  # a start buffer that nobody has measured has no more
UNKNOWN_JITTER_MS = 100  # before there were frames that show it
UNEVEN_MS = 8  # a stamp further off the others' frames begins a new count of frames
PHASE_STAMPS = 64  # so many stamps tell together where the boundaries lie
# Without a media message for this long the stream's own clock can't date an echo, call time must. It is less once
# the carrier was seen to pause in the caller's silence.
STALE_MEDIA_MS = 150
# So long may messages be held up, by the network or by our own process standing still, where the carrier was never
# seen to pause. The next frame shows whether they were.
HELD_UP_MS = 1_000
PAUSE_MS = 300  # a gap between two frames that shows it
KNOWN_STAMPS = 25  # so many frames show how unevenly they travel
STILL_MS = 60  # so long without a frame: longer than any pause in a process of ours that runs
EVEN_MS = 5  # frames that come so evenly came without jitter
# What so many frames have shown of the jitter may be half of it; of what more of them have shown, less is missing.
UNSEEN_FRAMES = 16
CLOCK_FRAMES = 8  # so many frames put call time right: until then the network may have held all of them up
ROUNDING_MS = 1.5  # call time and stamps are in whole ms, and a clock may run fast
JITTER_BUCKET_MS = 2_000
JITTER_BUCKETS = 5


@dataclass(frozen=True, slots=True)
class Reckoning:
    """
    How what we send is taken to fare: it arrives `trip_ms` later; `boundary_ms` is one of the carrier's frames.

    Audio that meets an empty queue waits `buffer_ms` more. `cautious`: what is known to a frame ended with it.
    """

    trip_ms: float
    boundary_ms: float
    buffer_ms: int = 0
    cautious: bool = False

    def takes_effect_ms(self, sent_ms: float) -> float:
        """When the carrier's first frame after its arrival begins."""
        arrives_ms = sent_ms + self.trip_ms
        return arrives_ms + (self.boundary_ms - arrives_ms) % FRAME_MS

    def begins_ms(self, sent_ms: float) -> float:
        """When audio begins to play if it meets an empty queue."""
        return self.takes_effect_ms(sent_ms + self.buffer_ms)


class Delays:
    """Watches the caller's frames and the echoes of one stream."""

    def __init__(self, traits: CarrierTraits = PLAIN) -> None:
        self._traits = traits
        # The boundary that the newest media timestamp stands for, and how many stamps have told where they lie.
        self._stamp_ms = 0
        self._phase_ms = 0.0  # boundaries are so far from multiples of a frame
        self._stamps = 0
        self._ahead_ms = 0  # call time less the stream's
        self._pauses = False  # the carrier sends nothing while the caller is silent
        # How late frames came, at most, in each of the last few periods.
        self._lateness_ms: deque[tuple[int, int]] = deque([(0, 0)], maxlen=JITTER_BUCKETS)
        self._round_trips_ms: deque[int] = deque(maxlen=8)
        self._frames = 0
        # The same, less by how much the clock may have been held up when they began.
        self._true_trips_ms: deque[float] = deque(maxlen=8)
        self._first_ms: int | None = None  # when the first frame came
        self._newest_ms = 0  # and the newest
        self.resumed_ms: int | None = None
        """When the first frame came after a time in which nothing did, of a carrier that sends all the time."""
        self.unsure_ms = 0
        """What was sent after that, and before `resumed_ms`, may have been held up, too."""
        self._loses_marks = False  # a mark was never echoed though a later one was
        self._spread_ms = 0.0  # how slow one echo was compared with another
        self._buffers_ms: deque[int] = deque(maxlen=8)

    def arrive(self, stamp_ms: int, now: int) -> bool:
        """
        A frame of the caller stamped `stamp_ms` arrived: what comes next was sent after it.

        True if it is the one that followed the last in time, without a pause.
        """
        if not self._stamps:
            self._ahead_ms = ahead_ms(stamp_ms, now)
        stamp_ms += self._ahead_ms
        self._frames += 1
        in_turn = stamp_ms <= self._stamp_ms + FRAME_MS + UNEVEN_MS
        self._pauses = self._pauses or stamp_ms > self._stamp_ms + PAUSE_MS
        self._stamp_ms = self._boundary_ms(stamp_ms)
        if self._first_ms is None:
            self._first_ms = now
        if now > self._newest_ms + STILL_MS and self._is_steady(now - self._newest_ms):
            self.resumed_ms, self.unsure_ms = now, self.reached_ms
        self._newest_ms = now
        bucket = now // JITTER_BUCKET_MS
        newest, lateness_ms = self._lateness_ms[-1]
        late_ms = now - self._stamp_ms
        if bucket != newest:
            self._lateness_ms.append((bucket, late_ms))
        elif late_ms > lateness_ms:
            self._lateness_ms[-1] = (bucket, late_ms)
        return in_turn

    def _boundary_ms(self, stamp_ms: int) -> int:
        """The boundary a stamp stands for: stamps are measured, and lie around the frames' true times."""
        off_ms = self._off_ms(stamp_ms)
        if not self._stamps or abs(off_ms) > UNEVEN_MS:  # the first, or the frames have begun anew
            self._stamps, self._phase_ms = 0, stamp_ms
        self._stamps = min(self._stamps + 1, PHASE_STAMPS)
        self._phase_ms += self._off_ms(stamp_ms) / self._stamps
        return round(stamp_ms - self._off_ms(stamp_ms))

    def _off_ms(self, stamp_ms: int) -> float:
        return (stamp_ms - self._phase_ms + FRAME_MS / 2) % FRAME_MS - FRAME_MS / 2

    def is_dated(self, now: int) -> bool:
        """Whether the caller's frames come, so that they date what comes between them."""
        patience_ms = STALE_MEDIA_MS
        if self._stamps > KNOWN_STAMPS:
            patience_ms = FRAME_MS + EVEN_MS if self._pauses else HELD_UP_MS
        return now <= self._stamp_ms + patience_ms + self.jitter_ms

    def is_doubtful(self, now: int) -> bool:
        """Whether an echo that comes now may be misdated: it came late, or the carrier pauses and no frame will."""
        return self._stamp_ms + FRAME_MS + EVEN_MS < now and self.is_dated(now)

    @property
    def gap(self) -> int:
        """Tells apart the times between two frames of the caller."""
        return self._stamp_ms

    def date_ms(self, now: int) -> int:
        """
        By when what an echo reports that arrives now had happened: at the end of that frame.

        The echo and the caller's frames travel on one connection, so it was sent within a frame after the newest
        one: a date free of the network's jitter.
        """
        return self._stamp_ms + FRAME_MS if self.is_dated(now) else now

    def seen_ms(self, now: int) -> int:
        """What was echoed by then has come back by now: frames and echoes keep their order."""
        dated = self.is_dated(now) or self.stands_still(now)
        return self._stamp_ms if dated else now - self.undated_ms(now)

    def stands_still(self, now: int) -> bool:
        """Nothing comes from a carrier that sends all the time: nor need anything of ours have got there."""
        silent_ms = now - self._newest_ms
        return self._is_steady(silent_ms) and silent_ms > STILL_MS + self.jitter_ms

    def _is_steady(self, silent_ms: int) -> bool:
        """The carrier sends all the time, as far as it shows; the longer it is silent, the fewer frames show it."""
        return self._stamps > (KNOWN_STAMPS if silent_ms < HELD_UP_MS else CLOCK_FRAMES) and not self._pauses

    @property
    def reached_ms(self) -> int:
        """What we sent by then has reached the carrier for sure: its newest frame was sent after that came."""
        return self._newest_ms - self.round_trip_ms - self.jitter_ms

    def measure_round_trip(self, sent_ms: int, echoed_ms: float) -> None:
        trip_ms = max(int(echoed_ms - sent_ms), 0)
        self._round_trips_ms.append(trip_ms)
        frames = max(sent_ms - (self._first_ms or 0), 1) / FRAME_MS
        self._true_trips_ms.append(trip_ms - self.most_jitter_ms * min(CLOCK_FRAMES / frames, 1.0))

    def miss_mark(self) -> None:
        """A mark was not echoed, and never will be."""
        self._loses_marks = True

    @property
    def silence_tells(self) -> bool:
        """Whether it means something that a mark has not come back yet: the carrier echoes, and each of them."""
        return bool(self._round_trips_ms) and not self._loses_marks

    def measure_spread(self, differ_ms: float) -> None:
        """Two echoes took times that differ by so much. What the carrier's frames explain does not count."""
        if differ_ms > FRAME_MS:
            self._spread_ms = max(self._spread_ms, differ_ms)

    @property
    def spread_ms(self) -> float:
        """How much later than another an echo may be sent."""
        return max(self._spread_ms, self._traits.mark_spread_ms)

    def undated_ms(self, now: int) -> int:
        """How much later than it was sent an echo may seem that comes now: nothing, if frames date it."""
        if self.is_dated(now):
            return 0
        return self.jitter_ms if self._stamps > KNOWN_STAMPS else max(self.jitter_ms, UNKNOWN_JITTER_MS)

    @property
    def uneven_ms(self) -> float:
        """By how much a dated echo, or the begin of audio on an empty queue, may be later than it seems."""
        return self.spread_ms + self.buffer_ms

    def effect_ms(self, cleared_ms: int, echo_ms: float, now: int) -> tuple[float, float]:
        """
        When the clear sent at `cleared_ms` took effect, at the earliest and the latest, by an echo that it caused.

        Where all echoes take the same time it was at the echo's date, `echo_ms`. Where they do not, or no frame
        dates it, it may have been earlier, though not before the clear can have arrived; and not later than it
        will have. Nothing tells which: a jittery network and uneven echoes together leave the shorter time open.
        """
        slow_ms = self.spread_ms + self.undated_ms(now)
        if slow_ms < FRAME_MS or not self._round_trips_ms:
            return echo_ms, echo_ms
        first_ms = replace(self.likely, trip_ms=self.quickest_trip_ms).takes_effect_ms(cleared_ms)
        last_ms = replace(self.likely, trip_ms=self.round_trip_ms + self.jitter_ms).takes_effect_ms(cleared_ms)
        first_ms = min(max(first_ms, echo_ms - slow_ms), echo_ms)
        return first_ms, max(min(last_ms, echo_ms), first_ms)

    def measure_buffer(self, waited_ms: float) -> None:
        """Audio that met an empty queue began so long after its arrival."""
        self._buffers_ms.append(max(round(waited_ms), 0))

    @property
    def round_trip_ms(self) -> int:
        """From us to the carrier and back to the end of a frame: the quickest of the last few."""
        return min(self._round_trips_ms, default=UNKNOWN_ROUND_TRIP_MS)

    @property
    def further_ms(self) -> int:
        """How much longer than `round_trip_ms` it may take, as long as no echo has told."""
        return 0 if self._round_trips_ms else FAR_AWAY_MS

    @property
    def quickest_trip_ms(self) -> float:
        """
        The least that would explain the round trips measured.

        Each was measured to the end of the frame in which it ended, in whole ms, and may have met with jitter.
        """
        if not self._is_even:
            return self.surest_trip_ms
        # Stamps that are off shift call time, which follows the earliest of them, by as much as frames seem late.
        slowest_ms = max(self._round_trips_ms, default=UNKNOWN_ROUND_TRIP_MS)
        # While there were few of them, neither that nor where the boundaries lie shows in full.
        unseen_ms = 0 if self._stamps > KNOWN_STAMPS else EVEN_MS
        return slowest_ms - self.jitter_ms - unseen_ms - FRAME_MS - ROUNDING_MS

    @property
    def _is_even(self) -> bool:
        """Messages take the same time each, as far as it shows, and so do echoes."""
        # The caller's frames show the jitter of one direction, the round trips that of the other.
        uneven_ms = max(self.jitter_ms, self._differ_ms - FRAME_MS)
        return uneven_ms <= EVEN_MS and self.spread_ms < FRAME_MS and not self.mark_lag_ms

    @property
    def surest_trip_ms(self) -> float:
        """
        No message of ours arrives sooner, however unevenly the network or the carrier's echoes have run.

        The slowest round trip tells most: it was the quickest possible one and, at most, all there is of unevenness
        and the carrier's lag. What of how round trips differ is explained by that, and by uneven echoes, is not the
        network's, too.
        """
        explained_ms = self.jitter_ms + self.spread_ms + ceil(self.mark_lag_ms / FRAME_MS) * FRAME_MS
        uneven_ms = max(self.jitter_ms, self._differ_ms - explained_ms) * self._unseen
        trips_ms = self._true_trips_ms or (UNKNOWN_ROUND_TRIP_MS,)
        surely_ms = max(min(trips_ms), max(trips_ms) - self.mark_lag_ms)
        return surely_ms - uneven_ms - self.spread_ms - FRAME_MS - ROUNDING_MS

    @property
    def _differ_ms(self) -> int:
        """By how much the round trips measured differ."""
        return max(self._round_trips_ms, default=UNKNOWN_ROUND_TRIP_MS) - self.round_trip_ms

    @property
    def possible_trips_ms(self) -> Iterator[float]:
        """From the quickest on, in steps of a ms: to the one measured, or a frame of them."""
        trip_ms = self.quickest_trip_ms
        highest_ms = self.round_trip_ms + ROUNDING_MS
        if not self._is_even:
            highest_ms = min(highest_ms, trip_ms + FRAME_MS)
        while trip_ms < highest_ms:
            yield trip_ms
            trip_ms += 1
        yield highest_ms

    @property
    def patience_ms(self) -> int:
        """How long a fence is waited for."""
        slowest_ms = max(self._round_trips_ms, default=2 * UNKNOWN_ROUND_TRIP_MS)
        return min(max(300, 2 * slowest_ms + 200), 2_000)

    @property
    def jitter_ms(self) -> int:
        """How unevenly messages have travelled lately."""
        return max(lateness_ms for _, lateness_ms in self._lateness_ms)

    @property
    def most_jitter_ms(self) -> float:
        """As unevenly as messages may travel, if few frames have shown how they do."""
        return self.jitter_ms * self._unseen

    @property
    def _unseen(self) -> float:
        return 1 + UNSEEN_FRAMES / max(self._frames, CLOCK_FRAMES)

    @property
    def buffer_ms(self) -> int:
        """
        How long the carrier lets audio wait that meets an empty queue: as it was set, or as measured.

        Measured once, a frame may have been nothing but the time to the next boundary.
        """
        measured_ms = min(self._buffers_ms, default=0)
        is_sure = len(self._buffers_ms) > 1 or measured_ms > FRAME_MS
        return self._traits.start_buffer_ms or (measured_ms if is_sure else 0)

    @property
    def unknown_buffer_ms(self) -> int:
        """For how long audio on an empty queue may wait, as long as nothing has shown it."""
        known = self._traits.start_buffer_ms is not None or self._buffers_ms
        return 0 if known else UNKNOWN_BUFFER_MS

    @property
    def mark_lag_ms(self) -> int:
        return self._traits.mark_lag_ms

    def less_lag(self, echo_ms: float) -> float:
        """
        When the frame had ended that an echo dated `echo_ms` is about: the carrier sends it with a lag.

        Such an echo, too, is sent at a boundary, so it may have waited for that.
        """
        if not self.mark_lag_ms:
            return echo_ms
        ended_ms = echo_ms - self.mark_lag_ms
        return ended_ms - (ended_ms - self._stamp_ms) % FRAME_MS

    @property
    def likely(self) -> Reckoning:
        """The quickest that things can go, as far as it shows."""
        return Reckoning(self.round_trip_ms, self._stamp_ms, self.buffer_ms)
