"""What was measured, as values."""

from collections.abc import Iterable
from math import ceil
from statistics import median
from typing import Literal, Self, TypeAlias

from msgspec import Struct

from phonebot.call.plan import CarrierTraits
from phonebot.errors import PhonebotError

NOISE_MS = 5.0  # timers, stamps in whole ms

ShortFrame: TypeAlias = Literal["pad", "hold", "lost"]


class CalibrationFailed(PhonebotError):
    """A measuring call measured nothing. `reason` says why, in a sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class Spread(Struct, frozen=True):
    """The same quantity measured `count` times, in ms. All 0 when it never was."""

    count: int = 0
    min_ms: float = 0.0
    median_ms: float = 0.0
    p95_ms: float = 0.0
    max_ms: float = 0.0

    @property
    def scatter_ms(self) -> float:
        """By how much half of them miss the least."""
        return self.median_ms - self.min_ms

    @classmethod
    def of(cls, samples_ms: Iterable[float]) -> Self:
        ordered = sorted(round(float(sample), 1) for sample in samples_ms)
        if not ordered:
            return cls()
        p95_ms = ordered[ceil(len(ordered) * 0.95) - 1]
        return cls(len(ordered), ordered[0], round(median(ordered), 1), p95_ms, ordered[-1])


class Behind(Struct, frozen=True):
    """
    How late the echo of a mark behind audio comes: after the audio arrived at an empty queue, less its length.

    `late_ms` is the least, to `error_ms`: the start buffer and the lag of echoes together. `by_length_ms` has it
    for each length played: equal, unless the audio plays at another rate. `before_ms` is how much later than a
    bare mark one comes back that stands before audio.
    """

    late_ms: float
    error_ms: float
    by_length_ms: dict[int, float]
    before_ms: float


class Parts(Struct, frozen=True):
    """`Behind.late_ms`, parted: often one of the two is all of it."""

    start_buffer_ms: float = 0.0
    mark_lag_ms: float = 0.0


class Run(Struct, frozen=True):
    """
    A long run of pieces, each sent while those before it play.

    `late` is how much later than the earliest its echoes come, each less the audio before it. `gap_ms` is what
    passes between two pieces on average, `rate_ppm` the same as a rate: how much slower than the stream's clock
    they play.
    """

    late: Spread
    gap_ms: float
    rate_ppm: float


class Loop(Struct, frozen=True):
    """
    The far end returns what it hears.

    `round_trip_ms` is from the sending of a tone to a stamp of ours that says it is back, the start buffer not
    counted, to `error_ms`. Less than a mark's round trip: the carrier holds every echo back.
    """

    round_trip_ms: float
    error_ms: float


class Clears(Struct, frozen=True):
    """
    What a clear does. Times count from when it took effect at the carrier.

    `flushed` are the marks that it dropped, `echoed` those of them that came back, `after` when. `in_order`: as
    they were sent, and before the fence. `fence` is when the mark right behind the clear came back. `audible` is
    how long audio went on, as returned by the far end; None: it returns nothing.
    """

    flushed: int
    echoed: int
    in_order: bool
    after: Spread
    fence: Spread
    audible: Spread | None


class Stream(Struct, frozen=True):
    """
    The far end's frames. `arrival` is how late they arrive, the earliest being in time; `stamps_ms` how far off a
    multiple of 20 ms their stamps are; `share` how much of the time they cover; `longest_gap_ms` from one stamp
    to the next. `clock_ppm` is how much faster than ours the stream's clock runs. All but `frames` mean nothing
    without any.
    """

    frames: int
    first_ms: int
    frame_bytes: int
    arrival: Spread
    stamps_ms: float
    share: float
    longest_gap_ms: int
    clock_ppm: float


class Echoes(Struct, frozen=True):
    """All marks of the call: how many were sent, never came back, came back more than once, came out of order."""

    sent: int
    lost: int
    doubled: int
    out_of_order: int


class Figures(Struct, frozen=True):
    """All that one call measured. `round_trip` is a mark's on an empty queue. `loop` None: it was not heard."""

    round_trip: Spread
    behind: Behind
    parts: Parts
    run: Run
    loop: Loop | None
    clears: Clears
    short_frame: ShortFrame
    stream: Stream
    echoes: Echoes

    @property
    def noise_ms(self) -> float:
        """
        How far off `behind`, `parts` and `run` may be.

        Where round trips scatter, the least of those measured need not be the least there is.
        """
        return round(max(NOISE_MS, self.behind.error_ms, self.round_trip.scatter_ms), 1)

    def traits(self) -> CarrierTraits:
        """What the service is to be told of this carrier; what is within the error of measuring counts as 0."""
        measured_ms = (self.parts.start_buffer_ms, self.parts.mark_lag_ms, self.run.late.p95_ms)
        return CarrierTraits(*(0 if ms < self.noise_ms else round(ms) for ms in measured_ms))
