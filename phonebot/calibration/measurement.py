"""
The measuring call, without I/O: the carrier's messages and times in, what to send out.

    measurement = Measurement(now_ms)
    actions = measurement.receive(message, now_ms)      # as each comes
    actions = measurement.tick(now_ms)                  # at `wakeup_ms` at the latest
    until measurement.figures is not None

Times are ms of one monotonic clock, in order.
"""

from itertools import pairwise
from statistics import linear_regression

from phonebot.audio.g711 import FRAME_MS
from phonebot.calibration import experiments
from phonebot.calibration.figures import Echoes, Figures, Spread, Stream
from phonebot.calibration.line import Arrival, Line, Steps
from phonebot.call.actions import Action
from phonebot.carrier.messages import Mark, Media, Message

BARE_MARKS = 2.5  # as many as other trials
# In order. The last is no experiment of its own: the frames of the whole call are looked at.
TITLES = (
    "the far end's frames",
    "marks on an empty queue",
    "marks behind audio",
    "start buffer or late echoes",
    "a long run",
    "does the far end return what it hears",
    "clears",
    "a short last frame",
)


class Measurement:
    """
    One measuring call. `figures` None: it goes on. `repeats`: how often each thing is done, 1 or more.

    `wakeup_ms` is when `tick` is due. `receive` and `tick` raise CalibrationFailed when nothing can be measured.
    """

    def __init__(self, now_ms: float, repeats: int = 8) -> None:
        self.figures: Figures | None = None
        self.stage = 0  # the index of what is being measured in TITLES; their number at the end
        self._line = Line(now_ms)
        self._script = self._measure(repeats)
        self.wakeup_ms = next(self._script)

    def receive(self, message: Message, now_ms: float) -> list[Action]:
        """Take a message of the stream. One that says nothing about playout is ignored."""
        self._line.local_ms = now_ms
        if isinstance(message, Media):
            self._line.hear(message)
        elif isinstance(message, Mark):
            self._line.echo(message.name)
        return self._resume()

    def tick(self, now_ms: float) -> list[Action]:
        """Time has passed."""
        self._line.local_ms = now_ms
        return self._resume()

    def _resume(self) -> list[Action]:
        if self.figures is None:
            try:
                self.wakeup_ms = next(self._script)
            except StopIteration as finished:
                self.figures = finished.value
        actions, self._line.actions = self._line.actions, []
        return actions

    def _measure(self, repeats: int) -> Steps[Figures]:
        line = self._line
        yield from line.rest(experiments.WARM_UP_MS)
        self.stage += 1
        round_trip = yield from experiments.bare_marks(line, round(BARE_MARKS * repeats))
        round_trip_ms = round_trip.min_ms
        self.stage += 1
        behind = yield from experiments.behind_audio(line, repeats, round_trip_ms)
        self.stage += 1
        parts = yield from experiments.parts_of(line, repeats, behind.late_ms, round_trip)
        self.stage += 1
        run = yield from experiments.long_run(line, repeats)
        self.stage += 1
        loop = yield from experiments.loop(line, repeats, parts.start_buffer_ms)
        self.stage += 1
        clears = yield from experiments.clears(line, repeats, parts.start_buffer_ms, round_trip_ms, loop)
        self.stage += 1
        short_frame = yield from experiments.short_frame(line, repeats, behind.late_ms, round_trip_ms)
        self.stage += 1
        return Figures(
            round_trip=round_trip,
            behind=behind,
            parts=parts,
            run=run,
            loop=loop,
            clears=clears,
            short_frame=short_frame,
            stream=stream_of(line.arrivals),
            echoes=echoes_of(line),
        )


def echoes_of(line: Line) -> Echoes:
    """How the marks of the whole call fared."""
    came = [mark for mark in line.marks if mark.came]
    return Echoes(
        sent=len(line.marks),
        lost=len(line.marks) - len(came),
        doubled=sum(mark.copies > 1 for mark in came),
        out_of_order=sum(mark.place != number for number, mark in enumerate(came)),
    )


def stream_of(arrivals: list[Arrival]) -> Stream:
    """What the frames of the whole call tell of the stream."""
    if not arrivals:
        return Stream(0, 0, 0, Spread(), 0.0, 0.0, 0, 0.0)
    stamps_ms = [arrival.timestamp_ms for arrival in arrivals]
    late_ms = [arrival.local_ms - arrival.timestamp_ms for arrival in arrivals]
    slope = _floor_slope(arrivals)
    straight_ms = [late - slope * arrival.local_ms for late, arrival in zip(late_ms, arrivals, strict=True)]
    off_ms = [(stamp - stamps_ms[0] + FRAME_MS // 2) % FRAME_MS for stamp in stamps_ms]
    sizes = [arrival.size_bytes for arrival in arrivals]
    return Stream(
        frames=len(arrivals),
        first_ms=stamps_ms[0],
        frame_bytes=max(set(sizes), key=sizes.count),
        arrival=Spread.of(late - min(straight_ms) for late in straight_ms),
        stamps_ms=(max(off_ms) - min(off_ms)) / 2,
        share=round(len(arrivals) * FRAME_MS / (stamps_ms[-1] - stamps_ms[0] + FRAME_MS), 3),
        longest_gap_ms=max((later - stamp for stamp, later in pairwise(stamps_ms)), default=0),
        clock_ppm=round(-slope * 1e6, 1),
    )


def _floor_slope(arrivals: list[Arrival]) -> float:
    """
    By how much frames arrive later and later against their stamps, per ms of ours; 0 when too few came to tell.

    Only the earliest of each second count: the others were delayed on their way.
    """
    earliest: dict[int, Arrival] = {}
    for arrival in arrivals:
        second = int(arrival.local_ms // 1_000)
        best = earliest.setdefault(second, arrival)
        if arrival.local_ms - arrival.timestamp_ms < best.local_ms - best.timestamp_ms:
            earliest[second] = arrival
    if len(earliest) < 3:
        return 0.0
    times_ms = [arrival.local_ms for arrival in earliest.values()]
    return linear_regression(
        times_ms, [arrival.local_ms - arrival.timestamp_ms for arrival in earliest.values()]
    ).slope
