"""
The playout ledger: what the caller has heard of the audio sent so far.

The carrier plays what we send from one queue at real time, echoes a mark once all audio before it has played, and
on a clear drops the queue and echoes the marks it dropped too (Twilio, Media Streams, media, mark, clear). An echo
therefore means "played or flushed", and it comes late. The ledger joins three sources:

- the send clock: each piece starts when it arrives or when the one before it ends, whichever is later. It answers
  at once, but knows nothing of delays at the carrier;
- marks: one after each piece, and one before audio that may meet an empty queue. Its echo moves the send clock to
  where the carrier really is;
- the fence: a mark right behind each clear. Its echo tells when the clear took effect, and that every older mark
  has been answered by then.

Audio between two clears is a `Run`, which counts its own bytes from 0; its number, the generation, is part of each
mark's name, so an echo can never be taken for one of a later run. After a clear the run is closed: an echo for it
is believed only if it comes no earlier than the audio before it can have played (the schedule test), and the
fence's echo settles what was heard of each item.

Positions are bytes of mu-law at 8 kHz, 8 to the ms. Times are call time; the carrier's clock runs ahead of it by
the time a message travels to us, and a message of ours arrives there one round trip after "now".
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from phonebot.audio.base64 import base64_length, base64_silence
from phonebot.call.actions import Action, ClearPlayback, PlayAudio, SendMark

BYTES_PER_MS = 8
FRAME_MS = 20
FRAME_BYTES = 160

PIECE_CHARACTERS = 1920  # 180 ms: base64 splits without decoding at every 4 characters, 3 bytes
# The first pieces of a run are short, so that its marks tell early whether it began when we think.
FIRST_PIECES_CHARACTERS = (212, 428, 856)

MAX_LEAD_MS = 30_000  # what is further ahead of playout waits with us
# Before the first round trip is measured. Too long only delays a decision; too short would claim unheard audio.
UNKNOWN_ROUND_TRIP_MS = 200
# Audio that would arrive this close to the end of the queue gets a mark in front: the queue may have run dry.
DRY_MARGIN_MS = 150
# Timestamps are measured: they may lie so far off the frame's true time.
STAMP_JITTER_MS = 5
# A mark this late was lost, not slow: it stops holding the position back.
OVERDUE_MS = 60
# Without a media message for this long the stream's own clock can't date an echo, call time must.
STALE_MEDIA_MS = 150


@dataclass(slots=True)
class Segment:
    """Bytes `start` to `start + length` of a run are an item's audio, from the item's byte `item_start` on."""

    item_id: str
    item_start: int
    start: int
    length: int


@dataclass(slots=True)
class Pending:
    """A mark sent and not yet answered. All audio of its run before `position` was sent before it."""

    name: str
    position: int
    sent_ms: int
    probe: bool  # sent to an empty queue: its echo measures the round trip


@dataclass(slots=True)
class Waiting:
    """Audio not yet sent. An empty payload stands for the silence that fills an item's last frame."""

    item_id: str
    item_start: int
    payload: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """
    How much was heard, in bytes from the item's begin, of each item that a clear cut or kept from being heard.

    `exact` is False when no echo came to confirm it: the figure is then a low estimate. `fence` is the name that
    `clear` returned.
    """

    fence: str
    heard: dict[str, int]
    exact: bool


class Run:
    """The audio sent between two clears."""

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.sent = 0
        # `confirmed` bytes are known to have played at `confirmed_ms`; later positions are reckoned from there.
        self.confirmed = 0
        self.confirmed_ms = 0.0
        # The carrier time at which all audio sent will have played.
        self.end_ms = 0.0
        self.marks: deque[Pending] = deque()
        # Not yet confirmed as played in full, in order.
        self.segments: deque[Segment] = deque()
        # After the clear: the first mark that came back flushed, and when: the clear took effect then. None: none.
        self.flushed: Pending | None = None
        self.flushed_ms = 0

    def schedule(self, round_trip_ms: int) -> Iterator[tuple[Pending, float, float]]:
        """Each pending mark with the carrier times at which the audio before it begins and ends to play."""
        position, time_ms = self.confirmed, self.confirmed_ms
        for mark in self.marks:
            begin_ms = max(time_ms, mark.sent_ms + round_trip_ms)
            time_ms = begin_ms + (mark.position - position) / BYTES_PER_MS
            position = mark.position
            yield mark, begin_ms, time_ms

    def append(self, name: str, length: int, now: int, round_trip_ms: int, probe: bool = False) -> None:
        """`length` bytes (perhaps none) and a mark behind them are sent at `now`."""
        self.sent += length
        self.end_ms = max(self.end_ms, now + round_trip_ms) + length / BYTES_PER_MS
        self.marks.append(Pending(name, self.sent, now, probe))

    def position(self, at_ms: float, round_trip_ms: int) -> int:
        """Bytes played at carrier time `at_ms`, as the send clock reckons from what was confirmed."""
        position = self.confirmed
        for mark, begin_ms, end_ms in self.schedule(round_trip_ms):
            if begin_ms >= at_ms:
                break
            if end_ms > at_ms:
                return position + int((at_ms - begin_ms) * BYTES_PER_MS)
            position = mark.position
        return position

    def held_back(self, at_ms: float, round_trip_ms: int) -> int:
        """
        The most that can have played if every mark that is due had been answered by carrier time `at_ms`.

        The oldest pending mark holds the position back, unless it is overdue.
        """
        for mark, _, end_ms in self.schedule(round_trip_ms):
            if end_ms + OVERDUE_MS > at_ms:
                return mark.position
        return self.sent

    def due(self, mark: Pending, round_trip_ms: int) -> tuple[float, bool]:
        """When the audio before a mark has played, and whether the queue was perhaps dry when the mark came."""
        position, time_ms = self.confirmed, self.confirmed_ms
        for pending, begin_ms, end_ms in self.schedule(round_trip_ms):
            if pending is mark:
                return end_ms, mark.position == position and begin_ms > time_ms
            position, time_ms = pending.position, end_ms
        raise AssertionError("only a pending mark is asked for")

    def confirm(self, mark: Pending, at_ms: int, round_trip_ms: int) -> None:
        """
        The echo of `mark` was sent at carrier time `at_ms`. Older marks are retired with it.

        It is sent when the frame in which the mark's audio ends has ended, so it may follow that audio by up to a
        frame. An echo that comes within that time only confirms what was reckoned. An earlier one shows that audio
        began before we thought, a later one that the queue had run dry.
        """
        due_ms, dry = self.due(mark, round_trip_ms)
        reckoned = due_ms <= at_ms <= due_ms + FRAME_MS + STAMP_JITTER_MS and not dry
        while self.marks.popleft() is not mark:
            pass
        self.confirmed, self.confirmed_ms = mark.position, due_ms if reckoned else at_ms
        if reckoned:
            return  # and so is the end
        self.end_ms = self.confirmed_ms
        for _, _, end_ms in self.schedule(round_trip_ms):
            self.end_ms = end_ms

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


@dataclass(slots=True)
class Cleared:
    """A closed run that waits for its fence."""

    run: Run
    fence: str
    cleared_ms: int
    give_up_ms: int


class PlayoutLedger:
    """
    The ledger of one stream.

    Give it each media timestamp (`arrive`), all audio in order (`queue`, and `finish` at an item's end), every echo
    (`echo`), and say `clear` to interrupt. What has to be sent comes back as actions; what was heard comes out of
    `played` (items heard to the end) and as `Settlement`s (items a clear has cut), from `echo` and `settle_due`.
    """

    def __init__(self) -> None:
        self._run = Run(0)
        self._closed: deque[Cleared] = deque()
        self._waiting: deque[Waiting] = deque()
        self._marks_sent = 0
        self._media_ms = 0  # the newest media timestamp
        self._round_trips: deque[int] = deque(maxlen=8)

    # ---------------------------------------------------------------------------------- what is sent

    def queue(self, item_id: str, item_start: int, payload: str, now: int) -> list[Action]:
        """
        Send audio of an item: `payload` is base64 mu-law, its first byte the item's byte `item_start`.

        Returns what to send, which is nothing for audio more than MAX_LEAD_MS ahead: that follows from `release`.
        """
        self._waiting.append(Waiting(item_id, item_start, payload))
        return self.release(now)

    def finish(self, now: int) -> list[Action]:
        """
        An item's audio is complete: fill its last frame with silence.

        A carrier may hold back less than a frame until more audio comes, and its mark with it. The filling is no
        item's audio.
        """
        self._waiting.append(Waiting("", 0, ""))
        return self.release(now)

    def release(self, now: int) -> list[Action]:
        """Send what waits, as far as the lead allows."""
        actions: list[Action] = []
        while self._waiting and self._run.end_ms < now + MAX_LEAD_MS:
            waiting = self._waiting.popleft()
            if not waiting.payload:
                actions += self._fill(now)
                continue
            at_rest = not self._run.marks
            if self._run.end_ms < now + self.round_trip_ms + DRY_MARGIN_MS:
                actions.append(self._mark(0, now, probe=at_rest))
            actions += self._send_as_far(waiting, now, FIRST_PIECES_CHARACTERS if at_rest else ())
        return actions

    def _send_as_far(self, waiting: Waiting, now: int, first: tuple[int, ...]) -> Iterator[Action]:
        """Send the pieces that the lead allows; the rest goes on waiting."""
        sent = 0
        for piece in pieces(waiting.payload, first):
            if self._run.end_ms >= now + MAX_LEAD_MS:
                rest = Waiting(waiting.item_id, waiting.item_start, waiting.payload[sent:])
                self._waiting.appendleft(rest)
                return
            yield from self._send(waiting.item_id, waiting.item_start, piece, now)
            waiting.item_start += base64_length(piece)
            sent += len(piece)

    def _send(self, item_id: str, item_start: int, piece: str, now: int) -> tuple[Action, Action]:
        run, length = self._run, base64_length(piece)
        last = run.segments[-1] if run.segments else None
        if last and last.item_id == item_id and last.start + last.length == run.sent:
            last.length += length
        else:
            run.segments.append(Segment(item_id, item_start, run.sent, length))
        return PlayAudio(piece), self._mark(length, now)

    def _fill(self, now: int) -> list[Action]:
        missing = -self._run.sent % FRAME_BYTES
        if not missing:
            return []
        return [PlayAudio(base64_silence(missing)), self._mark(missing, now)]

    def _mark(self, length: int, now: int, probe: bool = False) -> SendMark:
        name = self._new_name(self._run)
        self._run.append(name, length, now, self.round_trip_ms, probe)
        return SendMark(name)

    def _new_name(self, run: Run) -> str:
        self._marks_sent += 1
        return f"{run.generation}:{self._marks_sent}"

    # ---------------------------------------------------------------------------------- what comes back

    def arrive(self, timestamp_ms: int) -> None:
        """A media message stamped `timestamp_ms` arrived: what comes next happened after it."""
        self._media_ms = timestamp_ms

    def echo(self, name: str, now: int) -> tuple[Settlement, ...]:
        """
        A mark came back. Returns what it settles.

        An echo that names no pending mark (a double, a stranger's) changes nothing.
        """
        at_ms = self._echo_ms(now)
        if any(name == closed.fence for closed in self._closed):
            return self._settle_through(name, at_ms)
        for closed in self._closed:
            if mark := closed.run.find(name):
                self._judge(closed.run, mark, at_ms)
                return ()
        if mark := self._run.find(name):
            self._measure(mark, at_ms)
            self._run.confirm(mark, at_ms, self.round_trip_ms)
        return ()

    def played(self) -> list[Segment]:
        """The segments that, since the last call, were confirmed as played to their end."""
        return list(self._run.retire_segments())

    def _echo_ms(self, now: int) -> int:
        # The echo and the media travel on one connection, so the echo was sent within a frame after the newest
        # media: a date free of the network's jitter. The carrier works in frames; what it did took effect at the
        # next one.
        if now > self._media_ms + STALE_MEDIA_MS:
            return now
        return self._media_ms + FRAME_MS

    def _measure(self, mark: Pending, at_ms: int) -> None:
        if mark.probe:
            self._round_trips.append(max(at_ms - mark.sent_ms, 0))

    def _judge(self, run: Run, mark: Pending, at_ms: int) -> None:
        """An echo after the clear: was the audio before it played, or thrown away?"""
        if run.flushed is not None:
            return
        self._measure(mark, at_ms)
        due_ms, _ = run.due(mark, self.round_trip_ms)
        if mark.position == run.confirmed or at_ms >= due_ms:
            run.confirm(mark, at_ms, self.round_trip_ms)
        elif at_ms < due_ms - FRAME_MS - STAMP_JITTER_MS:
            run.flushed, run.flushed_ms = mark, at_ms
        # In between both may be: what was reckoned is a lower bound, good to a frame. It stands, and so it is one
        # frame at most that may be missing, while a burst of flushed echoes can't pull each other forward.

    # ---------------------------------------------------------------------------------- interruptions

    @property
    def round_trip_ms(self) -> int:
        """From us to the carrier and back: the quickest of the last few measured."""
        return min(self._round_trips, default=UNKNOWN_ROUND_TRIP_MS)

    @property
    def empty(self) -> bool:
        """Nothing is left to play: the last mark was echoed, and nothing waits."""
        return not self._run.marks and not self._waiting

    @property
    def waiting_ms(self) -> int:
        """How much audio waits with us."""
        return sum(base64_length(waiting.payload) for waiting in self._waiting) // BYTES_PER_MS

    def unheard_ms(self, now: int) -> int:
        """About how much audio a clear would throw away, were it sent now."""
        unplayed = self._run.sent - self._run.position(now + self.round_trip_ms, self.round_trip_ms)
        return unplayed // BYTES_PER_MS + self.waiting_ms

    def clear(self, now: int) -> tuple[str, list[Action]]:
        """
        Throw away what is left to play.

        Returns the fence's name, which the `Settlement` that tells what was heard will bear, and the actions:
        first the clear, then the fence. Call it only when not `empty`.
        """
        run = self._run
        for waiting in self._waiting:  # never sent: beyond all that can have been played
            if length := base64_length(waiting.payload):
                run.segments.append(Segment(waiting.item_id, waiting.item_start, run.sent, length))
        self._waiting.clear()
        self._run = Run(run.generation + 1)
        self._run.confirmed_ms = now
        fence = self._new_name(self._run)
        slowest_ms = max(self._round_trips, default=2 * UNKNOWN_ROUND_TRIP_MS)
        patience_ms = min(max(300, 2 * slowest_ms + 200), 2_000)
        self._closed.append(Cleared(run, fence, now, now + patience_ms))
        return fence, [ClearPlayback(), SendMark(fence)]

    @property
    def give_up_ms(self) -> int | None:
        """When `settle_due` has something to do: the oldest fence is then too late."""
        return self._closed[0].give_up_ms if self._closed else None

    def settle_due(self, now: int) -> tuple[Settlement, ...]:
        """Settle, by a low estimate, the clears whose fence did not come back in time."""
        settled = []
        while self._closed and self._closed[0].give_up_ms <= now:
            settled.append(self._settle_low(self._closed.popleft()))
        return tuple(settled)

    def settle_all(self) -> tuple[Settlement, ...]:
        """Settle every clear now, by a low estimate: its echo can no longer be waited for."""
        settled = tuple(self._settle_low(closed) for closed in self._closed)
        self._closed.clear()
        return settled

    def hang_up(self, now: int) -> dict[str, int]:
        """The stream ended: bytes heard of each item not yet confirmed, by a low estimate."""
        run, round_trip_ms = self._run, self.round_trip_ms
        return run.heard(min(run.position(now, round_trip_ms), run.held_back(now, round_trip_ms)))

    def _settle_through(self, fence: str, at_ms: int) -> tuple[Settlement, ...]:
        """A fence came back: its clear is settled exactly, older ones, whose fence was lost, by their estimate."""
        settled = []
        while self._closed:
            closed = self._closed.popleft()
            if closed.fence != fence:
                settled.append(self._settle_low(closed))
                continue
            self._round_trips.append(max(at_ms - closed.cleared_ms, 0))
            if not self._closed:  # later audio counts from here: the queue was empty when the clear took effect
                self._run.confirmed_ms = max(self._run.confirmed_ms, at_ms)
            settled.append(Settlement(fence, self._heard(closed.run, at_ms), exact=True))
            break
        return tuple(settled)

    def _settle_low(self, closed: Cleared) -> Settlement:
        return Settlement(closed.fence, self._heard(closed.run, closed.cleared_ms), exact=False)

    def _heard(self, run: Run, at_ms: int) -> dict[str, int]:
        """Heard of a closed run whose clear took effect at carrier time `at_ms`, or sooner, as it shows."""
        if run.flushed:
            return run.heard(min(run.position(run.flushed_ms, self.round_trip_ms), run.flushed.position))
        return run.heard(min(run.position(at_ms, self.round_trip_ms), run.held_back(at_ms, self.round_trip_ms)))


def pieces(payload: str, first: tuple[int, ...]) -> Iterator[str]:
    """Cut base64 text into pieces of at most 180 ms, the first ones shorter: of `first` characters."""
    begin = 0
    for size in first:
        if begin < len(payload):
            yield payload[begin : begin + size]
        begin += size
    for later in range(begin, len(payload), PIECE_CHARACTERS):
        yield payload[later : later + PIECE_CHARACTERS]
