"""
The experiments, each a generator that returns what it found.

What arrives at the carrier between two of its frames waits for the next one, up to 20 ms. So each experiment is
done several times, at phases that share the 20 ms out evenly: the least that is found is then too much by half
the distance of two phases on average, which is taken off, and by that much it may be wrong.
"""

from dataclasses import dataclass
from itertools import pairwise
from statistics import linear_regression

from phonebot.audio.g711 import FRAME_MS
from phonebot.calibration.figures import Behind, CalibrationFailed, Clears, Loop, Parts, Run, ShortFrame, Spread
from phonebot.calibration.line import PATIENCE_MS, Line, SentMark, Steps

WARM_UP_MS = 2_000
PAUSE_MS = 80  # between two trials: the queue is empty for sure
LENGTHS_MS = (100, 300, 700)
# A whole number of frames that has no factor in common with the periods at which echoes might leave together.
RUN_PIECE_MS = 140
RUN_LEAD = 4  # pieces
PARTS_TRIALS = 12  # at most
LEAST_PARTS_TRIALS = 5
PARTS_ERROR_MS = 6.0
FIRST_MS, SECOND_MS = 200, 100
TONE_MS = 300
LOOP_TRIALS = 4
OUT_OF_ORDER_MS = 300  # how much later than the fence an echo might come that should be before it
LONG_MS, MARK_EVERY_MS, CLEAR_AFTER_MS = 2_000, 200, 480
SHORT_MS, FULL_FRAME_REST_MS = 105, 15
SHORT_TRIALS = 3
HELD_MS = 400  # no audio that plays is echoed later than this after it is due


def phases(count: int, first: float = 0.0) -> list[float]:
    """`count` places, evenly spread over a frame, in ms. `first` is that of the first, in distances."""
    return [(first + number) * FRAME_MS / count for number in range(count)]


def bare_marks(line: Line, count: int) -> Steps[Spread]:
    """The round trip of a mark on an empty queue. Raises CalibrationFailed when there is none."""
    round_trips_ms = []
    for phase_ms in phases(count):
        yield from line.align(phase_ms)
        mark = line.mark()
        if (yield from line.wait_for(mark, within_ms=PATIENCE_MS)):
            round_trips_ms.append(mark.since(mark.sent_ms))
        elif not round_trips_ms:
            raise CalibrationFailed(f"the carrier did not echo a mark on an empty queue within {PATIENCE_MS} ms")
        yield from line.rest(PAUSE_MS)
    return Spread.of(round_trips_ms)


def behind_audio(line: Line, repeats: int, round_trip_ms: float) -> Steps[Behind]:
    """Play pieces of several lengths to an empty queue, a mark before and one behind."""
    before_ms: list[float] = []
    late_ms: dict[int, list[float]] = {length_ms: [] for length_ms in LENGTHS_MS}
    for number, length_ms in enumerate(LENGTHS_MS):
        for phase_ms in phases(repeats, number / len(LENGTHS_MS)):
            yield from line.align(phase_ms)
            before, behind = yield from _play(line, length_ms)
            arrived_ms = before.sent_ms + round_trip_ms
            if before.came:
                before_ms.append(before.since(arrived_ms))
            if behind.came:
                late_ms[length_ms].append(behind.since(arrived_ms) - length_ms)
            yield from line.rest(PAUSE_MS)
    error_ms = FRAME_MS / repeats / 2
    least_ms = {length_ms: min(each) for length_ms, each in late_ms.items() if each}
    return Behind(
        # The phases of each length lie between those of the others.
        late_ms=round(max(min(least_ms.values(), default=0.0) - error_ms / len(LENGTHS_MS), 0.0), 1),
        error_ms=round(error_ms / len(LENGTHS_MS), 1),
        by_length_ms={length_ms: round(least - error_ms, 1) for length_ms, least in least_ms.items()},
        before_ms=max(min(before_ms, default=0.0), 0.0),
    )


def _play(line: Line, length_ms: int) -> Steps[tuple[SentMark, SentMark]]:
    """Play to an empty queue and wait for the end."""
    before = line.mark()
    line.play(length_ms)
    behind = line.mark()
    yield from line.wait_for(before, behind, within_ms=length_ms + PATIENCE_MS)
    return before, behind


def parts_of(line: Line, repeats: int, late_ms: float, round_trip: Spread) -> Steps[Parts]:
    """
    Part a lateness of `late_ms` into a start buffer and a lag of echoes.

    A second piece is sent so that it arrives when the first, had it begun at once, has been over for a while. If a
    start buffer still holds the first up, the second plays right behind it; if only its echo is late, the queue has
    run dry, and the second begins that while later. The while is varied until it is known from when on this is so.
    """
    if late_ms < FRAME_MS:
        # Too little to be parted. As a start buffer it makes us claim too little rather than too much.
        return Parts(start_buffer_ms=late_ms)
    # Where round trips scatter, no part of less than a frame can be told from none.
    error_ms = PARTS_ERROR_MS if round_trip.scatter_ms <= PARTS_ERROR_MS else FRAME_MS
    least_ms, most_ms = 0.0, late_ms
    ever_joined = ever_dry = False
    for number in range(min(LEAST_PARTS_TRIALS - 1 + repeats, PARTS_TRIALS)):
        if most_ms - least_ms <= PARTS_ERROR_MS:
            break
        # The first piece ends at a frame boundary of the carrier, half a frame late on average.
        while_ms = max(round((least_ms + most_ms) / 2 / FRAME_MS + 0.5), 1) * FRAME_MS
        # Far from the last phase: where the frame boundary lies decides what a trial can tell.
        yield from line.align(number * 7 % PARTS_TRIALS * FRAME_MS / PARTS_TRIALS)
        trial = yield from _second_piece(line, while_ms, round_trip.min_ms)
        if trial is None:
            continue
        bound_ms = trial.while_ms - min(max(trial.first_late_ms - late_ms, 0.0), FRAME_MS)
        if trial.gap_ms < trial.while_ms / 2:
            ever_joined, least_ms = True, max(least_ms, bound_ms)
        else:
            ever_dry, most_ms = True, min(most_ms, bound_ms)
    buffer_ms = min(max((least_ms + most_ms) / 2, 0.0), late_ms)
    if not ever_dry or late_ms - buffer_ms <= error_ms:
        return Parts(start_buffer_ms=late_ms)
    if not ever_joined or buffer_ms <= error_ms:
        return Parts(mark_lag_ms=late_ms)
    return Parts(round(buffer_ms, 1), round(late_ms - buffer_ms, 1))


@dataclass(frozen=True, slots=True)
class _SecondPiece:
    """What came of two pieces, the second sent `while_ms` after the first, had it begun at once, was over."""

    while_ms: float
    first_late_ms: float  # the echo behind the first
    gap_ms: float  # between the two, as played


def _second_piece(line: Line, while_ms: int, round_trip_ms: float) -> Steps[_SecondPiece | None]:
    """None when an echo was lost."""
    line.play(FIRST_MS)
    first = line.mark()
    yield from line.rest(FIRST_MS + while_ms)
    line.play(SECOND_MS)
    second = line.mark()
    yield from line.wait_for(first, second, within_ms=SECOND_MS + PATIENCE_MS)
    yield from line.rest(PAUSE_MS)
    if first.echo_ms is None or second.echo_ms is None:
        return None
    return _SecondPiece(
        second.sent_local_ms - first.sent_local_ms - FIRST_MS,
        first.since(first.sent_ms + round_trip_ms) - FIRST_MS,
        second.since(first.echo_ms) - SECOND_MS,
    )


def long_run(line: Line, repeats: int) -> Steps[Run]:
    """Keep the queue full for a while, with a mark behind each piece."""
    marks = []
    for number in range(5 * repeats + RUN_LEAD):
        if number >= RUN_LEAD:
            yield from line.rest(RUN_PIECE_MS)
        line.play(RUN_PIECE_MS)
        marks.append(line.mark())
    yield from line.wait_for(*marks, within_ms=RUN_LEAD * RUN_PIECE_MS + PATIENCE_MS)
    yield from line.rest(PAUSE_MS)
    played_ms = [number * RUN_PIECE_MS for number, mark in enumerate(marks) if mark.came]
    echoes_ms = [mark.since(0) for mark in marks if mark.came]
    if len(echoes_ms) < 2:
        return Run(Spread(), 0.0, 0.0)
    late_ms = [echo_ms - at_ms for at_ms, echo_ms in zip(played_ms, echoes_ms, strict=True)]
    slope, _ = linear_regression(played_ms, late_ms)
    return Run(
        Spread.of(late - min(late_ms) for late in late_ms), round(slope * RUN_PIECE_MS, 1) + 0.0, round(slope * 1e6)
    )


def loop(line: Line, repeats: int, start_buffer_ms: float) -> Steps[Loop | None]:
    """Play a tone and wait for it to come back. None when the first of them does not."""
    round_trips_ms = []
    trials = min(repeats, LOOP_TRIALS)
    for phase_ms in phases(trials):
        yield from line.quiet(PAUSE_MS)
        yield from line.align(phase_ms)
        line.ear.forget()
        sent = line.mark()
        line.play(TONE_MS, audible=True)
        yield from line.wait(lambda: line.ear.began_ms is not None, TONE_MS + PATIENCE_MS)
        if line.ear.began_ms is None:
            return None
        round_trips_ms.append(line.ear.began_ms - sent.sent_ms - start_buffer_ms)
        yield from line.quiet(TONE_MS)
    error_ms = FRAME_MS / trials / 2
    return Loop(round(min(round_trips_ms) - error_ms, 1), error_ms)


@dataclass(frozen=True, slots=True)
class _Cleared:
    """One clear: `dropped` are the marks that it must have dropped."""

    fence: SentMark
    dropped: list[SentMark]

    def is_in_order(self) -> bool:
        came = [mark for mark in (*self.dropped, self.fence) if mark.came]
        return all(mark.place < later.place for mark, later in pairwise(came))


def clears(
    line: Line, repeats: int, start_buffer_ms: float, round_trip_ms: float, heard: Loop | None
) -> Steps[Clears]:
    """Clear in the middle of a long run, a fence right behind."""
    trials: list[_Cleared] = []
    audible_ms: list[float] = []
    for phase_ms in phases(repeats):
        yield from line.quiet(PAUSE_MS)
        line.ear.forget()
        trial = yield from _clear(line, phase_ms, start_buffer_ms, audible=heard is not None)
        trials.append(trial)
        if heard is not None:
            yield from line.rest(heard.round_trip_ms)
            yield from line.quiet(TONE_MS)
            if line.ear.began_ms is not None:
                audible_ms.append(max(line.ear.ended_ms - trial.fence.sent_ms - heard.round_trip_ms, 0.0))
    echoed = [(mark, trial) for trial in trials for mark in trial.dropped if mark.came]
    return Clears(
        flushed=sum(len(trial.dropped) for trial in trials),
        echoed=len(echoed),
        in_order=all(trial.is_in_order() for trial in trials),
        after=Spread.of(mark.since(trial.fence.sent_ms + round_trip_ms) for mark, trial in echoed),
        fence=Spread.of(
            trial.fence.since(trial.fence.sent_ms + round_trip_ms) for trial in trials if trial.fence.came
        ),
        audible=None if heard is None else Spread.of(audible_ms),
    )


def _clear(line: Line, phase_ms: float, start_buffer_ms: float, *, audible: bool) -> Steps[_Cleared]:
    marks = []
    for _ in range(0, LONG_MS, MARK_EVERY_MS):
        line.play(MARK_EVERY_MS, audible=audible)
        marks.append(line.mark())
    yield from line.rest(start_buffer_ms + CLEAR_AFTER_MS)
    yield from line.align(phase_ms)
    line.clear()
    fence = line.mark()
    # Two pieces have played when the clear arrives, and a third is playing.
    dropped = marks[CLEAR_AFTER_MS // MARK_EVERY_MS :]
    yield from line.wait_for(fence, within_ms=PATIENCE_MS)
    yield from line.wait_for(*dropped, within_ms=OUT_OF_ORDER_MS)
    return _Cleared(fence, dropped)


def short_frame(line: Line, repeats: int, late_ms: float, round_trip_ms: float) -> Steps[ShortFrame]:
    """Play less than a whole number of frames: is its mark echoed before more audio comes?"""
    found: list[ShortFrame] = []
    for phase_ms in phases(min(repeats, SHORT_TRIALS)):
        yield from line.align(phase_ms)
        line.play(SHORT_MS)
        behind = line.mark()
        padded = yield from line.wait_for(behind, within_ms=SHORT_MS + late_ms + round_trip_ms + HELD_MS)
        if padded:
            found.append("pad")
        else:
            line.play(FULL_FRAME_REST_MS)
            rest = line.mark()
            yield from line.wait_for(rest, within_ms=PATIENCE_MS)
            found.append("hold" if behind.came else "lost")
        yield from line.rest(PAUSE_MS)
    return max(found, key=found.count)
