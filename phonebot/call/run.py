"""
The audio sent between two clears, and what is known of its playing.

Bytes are counted from the run's begin. Up to `confirmed` they are known to have played, at `confirmed_ms`; from
there on the send clock reckons: each piece begins when it arrives or when the one before it ends, whichever is
later. The marks behind the pieces that were not answered yet are pending.
"""

from collections import deque
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass

from phonebot.audio.g711 import BYTES_PER_MS, FRAME_BYTES, FRAME_MS
from phonebot.call.delays import Reckoning
from phonebot.call.framing import Frames

# Timestamps are measured: they may lie so far off the frame's true time.
STAMP_JITTER_MS = 5
# A mark this late was lost, not slow: it stops holding the position back.
OVERDUE_MS = 60
# An echo may be so late though the audio before it followed on other audio: later than that, it was the audio.
SLOW_ECHO_MS = 150


@dataclass(slots=True)
class Segment:
    """Bytes `start` to `start + length` of a run are an item's audio, from the item's byte `item_start` on."""

    item_id: str
    item_start: int
    start: int
    length: int


@dataclass(slots=True)
class Pending:
    """
    A mark sent and not yet answered. All audio of its run before `position` was sent before it.

    A `bare` one has no audio of its own before it: it was sent because the queue may be empty. `probe`: it surely
    is. `answered`: its echo came after a clear, and so close to its time that it tells nothing. `held_up`: the
    network stood still, so the audio before it may have come late, to an empty queue.
    """

    name: str
    position: int
    sent_ms: int
    bare: bool = False
    probe: bool = False
    answered: bool = False
    held_up: bool = False


class Run:
    """The audio sent between two clears."""

    def __init__(self, generation: int, begins_ms: float = 0.0) -> None:
        self.generation = generation
        self.sent = 0
        self.confirmed = 0
        self.confirmed_ms = begins_ms
        self.has_begun = False  # `confirmed_ms` is known, by an echo; before that it is reckoned
        # An echo has told when the audio last confirmed has played. What follows without a bare mark follows it
        # without a gap, so an echo of that which is late was slow itself.
        self.anchored = False
        # By so much later than `confirmed_ms` may it have been: echoes are sent at the end of a frame.
        self.slack_ms = 0.0
        # By so much earlier: no frame of the caller dates the echo that tells it.
        self.undated_ms = 0
        # The carrier time at which all audio sent will have played.
        self.end_ms = begins_ms
        self.marks: deque[Pending] = deque()
        # Not yet confirmed as played in full, in order.
        self.segments: deque[Segment] = deque()
        # When the bare mark came back that found the queue empty, if what followed it has yet to be confirmed.
        self.met_empty_ms: float | None = None
        # After the clear: when a mark came back because of it; None: none did. It shows that no more than `limit`
        # can have played, all in all.
        self.flushed_ms: float | None = None
        self.limit = 0

    def copy(self) -> "Run":
        """The run as it is now, to reckon with."""
        run = copy(self)
        run.marks = deque(self.marks)
        return run

    def hold(self, piece: Frames) -> None:
        """A piece is about to be sent, and `append` will follow: its item's audio begins where the run ends."""
        last = self.segments[-1] if self.segments else None
        if last and last.item_id == piece.item_id and last.start + last.length == self.sent:
            last.length += piece.length
        else:
            self.segments.append(Segment(piece.item_id, piece.item_start, self.sent, piece.length))

    def append(self, mark: Pending, length: int, reckoning: Reckoning) -> None:
        """`length` bytes, perhaps none, and a mark behind them are sent."""
        self.sent += length
        self.end_ms = max(self.end_ms, reckoning.begins_ms(mark.sent_ms)) + length / BYTES_PER_MS
        self.marks.append(mark)

    def schedule(self, reckoning: Reckoning) -> Iterator[tuple[Pending, float, float]]:
        """Each pending mark with the carrier times at which the audio before it begins and ends to play."""
        position, time_ms = self.confirmed, self.confirmed_ms
        if reckoning.cautious and self.slack_ms > STAMP_JITTER_MS:  # what is less is no frame, but how stamps are
            time_ms += self.slack_ms
        # Whether the queue ran dry for a moment, and a start buffer counts anew, is decided by less than a frame.
        dry_ms = FRAME_MS if reckoning.cautious and reckoning.buffer_ms else 0
        for mark in self.marks:
            arrives_ms = reckoning.takes_effect_ms(mark.sent_ms)
            if mark.position == position:
                begin_ms = max(time_ms, arrives_ms)
            elif arrives_ms + dry_ms > time_ms or position == 0:  # a clear leaves an empty queue
                begin_ms = max(time_ms, reckoning.begins_ms(mark.sent_ms))
            else:
                begin_ms = time_ms
            end_ms = begin_ms + (mark.position - position) / BYTES_PER_MS
            yield mark, begin_ms, end_ms
            if mark.position != position:
                position, time_ms = mark.position, end_ms

    def position(self, at_ms: float, reckoning: Reckoning) -> int:
        """Bytes played at carrier time `at_ms`."""
        position = self.confirmed
        for mark, begin_ms, end_ms in self.schedule(reckoning):
            if begin_ms >= at_ms:
                break
            if end_ms > at_ms:
                return position + int((at_ms - begin_ms) * BYTES_PER_MS)
            position = mark.position
        return position

    def sent_by(self, at_ms: float) -> int:
        """Bytes that were sent by then, as far as their marks tell; those confirmed in any case."""
        return max((mark.position for mark in self.marks if mark.sent_ms <= at_ms), default=self.confirmed)

    def whole_frames(self, position: int) -> int:
        """The same to the nearest frame: one is heard whole or not at all."""
        return min(round(position / FRAME_BYTES) * FRAME_BYTES, self.sent)

    def flush(self, mark: Pending | None, at_ms: float) -> None:
        """The clear took effect at `at_ms`. `mark`: it came back because of it, so no more than it had played."""
        self.flushed_ms = at_ms
        self.limit = mark.position if mark else self.sent

    def came_late(self, mark: Pending, at_ms: float, reckoning: Reckoning, slow_ms: float) -> bool:
        """
        Whether the audio right before a pending mark came late, if it had not played by `at_ms`.

        It should have ended more than `slow_ms` ago, and longer ago than it lasts if nobody has seen the network
        stand still.
        """
        for pending, begin_ms, end_ms in self.schedule(reckoning):
            if pending.position > self.confirmed:
                late_ms = slow_ms if pending.held_up else max(slow_ms, end_ms - begin_ms)
                return mark.position == pending.position and at_ms > end_ms + late_ms
        return False

    def at_most(self, effect_ms: float, resumed_ms: float | None, reckoning: Reckoning, slow_ms: float) -> int:
        """
        The most that can have played when a clear took effect that flushed the marks from `limit` on.

        Of audio that came late it is what plays from `resumed_ms` on, when what we send got through again; None:
        nothing tells when that was, so none of it is claimed.
        """
        flushed = next((mark for mark in self.marks if mark.position == self.limit), None)
        if flushed is None or not self.came_late(flushed, effect_ms, reckoning, slow_ms):
            return self.limit
        played_ms = effect_ms - max(resumed_ms, self.confirmed_ms) if resumed_ms is not None else 0.0
        return min(self.confirmed + int(max(played_ms, 0.0) * BYTES_PER_MS), self.limit)

    def held_back(self, at_ms: float, reckoning: Reckoning, tolerance_ms: float, perhaps_ms: int = 0) -> int:
        """
        The most that can have played at `at_ms`, seeing which marks have been answered by then.

        One that is not, though its audio should have ended by then, holds the position back: by less than a frame
        whatever has become of it; else if it is late by more than a frame and `tolerance_ms`, unless it is overdue:
        that shows so much later as `at_ms` may be too late and the begin of audio too early, which is `perhaps_ms`.
        One whose audio followed on other audio without a gap does not.
        """
        firm = self.anchored
        for mark, begin_ms, end_ms in self.schedule(reckoning):
            firm = firm and not (mark.bare or mark.held_up)
            # One that was there when the echo right before it was sent would have come with that: it is lost.
            if firm or (mark.position == self.confirmed and self.anchored and begin_ms <= self.confirmed_ms):
                continue
            late_ms = at_ms - end_ms
            if late_ms <= 0:
                break
            overdue_ms = late_ms - FRAME_MS - tolerance_ms
            if not mark.answered and (late_ms <= FRAME_MS or 0 < overdue_ms < OVERDUE_MS + perhaps_ms):
                return mark.position
        return self.sent

    def due(self, mark: Pending, reckoning: Reckoning) -> tuple[float, bool]:
        """When the audio before a mark has played, and whether the queue was perhaps empty when the mark came."""
        time_ms = self.confirmed_ms
        for pending, begin_ms, end_ms in self.schedule(reckoning):
            if pending is mark:
                return end_ms, mark.bare and begin_ms > time_ms
            time_ms = end_ms
        raise AssertionError("only a pending mark is asked for")

    def confirm(
        self,
        mark: Pending,
        at_ms: float,
        reckoning: Reckoning,
        tolerance_ms: float,
        is_dated: bool = True,
        undated_ms: int = 0,
    ) -> float:
        """
        The audio before `mark` had played by carrier time `at_ms`. Older marks are retired with it.

        The echo is sent when the frame in which that audio ends has ended, and is dated to `tolerance_ms` more. One
        that comes within that time only confirms what was reckoned. An earlier one shows that audio began before we
        thought; a later one that the queue had run dry, or, where it can't have, that the echo was slow: one that
        no frame of the caller dates may be late by any time, for our process may have stood still. `undated_ms` of
        the tolerance are for that.

        Returns by how much echoes are seen to differ in the time they take, in ms.
        """
        due_ms, dry = self.due(mark, reckoning)
        if mark.bare and self.anchored and mark.position == self.confirmed and at_ms <= self.confirmed_ms:
            due_ms, dry = at_ms, False  # it came with the echo of the audio before it: it had waited behind that
        # What no frame dates anchors nothing against what one does.
        firm = self.is_firm(mark) and not (is_dated and self.undated_ms)
        if firm:  # whatever was reckoned of its way
            due_ms = self.confirmed_ms + (mark.position - self.confirmed) / BYTES_PER_MS
        latest_ms = at_ms
        earliest_ms = latest_ms - tolerance_ms - (FRAME_MS if mark.bare else 0)
        slow = firm and earliest_ms - due_ms > 0 and (earliest_ms - due_ms < SLOW_ECHO_MS or not is_dated)
        reckoned = slow or (earliest_ms <= due_ms <= latest_ms and not dry)
        while self.marks.popleft() is not mark:
            pass
        self.confirmed, self.confirmed_ms = mark.position, due_ms if reckoned else at_ms
        if not slow:
            self.undated_ms = undated_ms
        before_ms = self.slack_ms
        if firm:
            latest_ms = min(latest_ms, due_ms + before_ms)
        self.slack_ms = max(latest_ms - self.confirmed_ms, 0.0)
        self.has_begun = True
        self.anchored = not mark.bare
        self.met_empty_ms = None
        if mark.bare and not reckoned:
            # What follows has met an empty queue: it waits for the carrier's start buffer.
            self.met_empty_ms = at_ms
            self.confirmed_ms += reckoning.buffer_ms
            self.slack_ms = 0.0
        if not reckoned:
            self.end_ms = self._ends_ms(reckoning)
        if not firm:
            return 0.0
        return max(earliest_ms - due_ms - before_ms if slow else due_ms - latest_ms, 0.0)

    def _ends_ms(self, reckoning: Reckoning) -> float:
        """When all audio sent will have played."""
        return max((end_ms for _, _, end_ms in self.schedule(reckoning)), default=self.confirmed_ms)

    def postpone(self, at_ms: float, undated_ms: int) -> None:
        """What is confirmed had played by `at_ms` and no sooner, or the run begins then: known to `undated_ms`."""
        if at_ms > self.confirmed_ms or not self.has_begun:
            self.confirmed_ms, self.undated_ms = at_ms, undated_ms
        self.has_begun = True

    def postpone_all(self, by_ms: int) -> None:
        """All of it was sent, and what has played did so, by so much later."""
        for mark in self.marks:
            mark.sent_ms += by_ms
        self.confirmed_ms += by_ms
        self.end_ms += by_ms
        if self.met_empty_ms is not None:
            self.met_empty_ms += by_ms

    def hold_up(self, since_ms: float) -> None:
        """What was sent after `since_ms` may have been held up by the network."""
        for mark in self.marks:
            mark.held_up = mark.held_up or mark.sent_ms > since_ms

    def is_too_much(self, mark: Pending, at_ms: float, uneven_ms: float) -> bool:
        """
        The audio before a pending mark can't have played by `at_ms`: nothing plays faster than real time.

        `uneven_ms`: by so much may dated echoes tell too late when the audio before it has played.
        """
        played_ms = (mark.position - self.confirmed) / BYTES_PER_MS
        return self.has_begun and played_ms > at_ms - self.confirmed_ms + 2 * FRAME_MS + self.undated_ms + uneven_ms

    def is_firm(self, mark: Pending) -> bool:
        """Whether the audio before a pending mark follows without a gap on audio known to have played."""
        for pending in self.marks:
            if pending.bare or pending.held_up:
                return False
            if pending is mark:
                return self.anchored
        raise AssertionError("only a pending mark is asked for")

    def find(self, name: str) -> Pending | None:
        return next((mark for mark in self.marks if mark.name == name), None)

    def retire_segments(self) -> Iterator[Segment]:
        """The segments now confirmed as played in full."""
        while self.segments and self.segments[0].start + self.segments[0].length <= self.confirmed:
            yield self.segments.popleft()

    def heard(self, position: int) -> dict[str, int]:
        """Bytes heard of each item not yet confirmed in full, if `position` bytes of the run were played."""
        heard: dict[str, int] = {}
        for segment in self.segments:
            played = min(max(position - segment.start, 0), segment.length)
            if played or segment.item_id not in heard:
                heard[segment.item_id] = segment.item_start + played
        return heard
