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

An echo may be late for reasons of its own, so it is an upper bound: it moves the send clock later only where the
queue can have run dry, that is behind a bare mark. What followed without a gap has played no later than reckoned,
and an echo of it that is late only tells how unevenly echoes come (`Run.confirm`). One that is early always counts.

How well a position is known: to a frame where the fence comes back; where echoes wait for one another, to half of
that wait more, since both the begin of audio and the end of it are dated by echoes; where no frame of the caller
dates them, to the jitter of their way more. Without the fence the least is claimed that can have been heard.

Positions are bytes of mu-law at 8 kHz, 8 to the ms. Times are call time; the carrier's clock runs ahead of it by
the time a message travels to us, and a message of ours arrives there one round trip after "now".
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from phonebot.audio.g711 import BYTES_PER_MS, FRAME_BYTES, FRAME_MS
from phonebot.call.actions import Action, ClearPlayback, PlayAudio, SendMark
from phonebot.call.delays import PLAIN, ROUNDING_MS, Delays, Reckoning
from phonebot.call.framing import Framer, Frames
from phonebot.call.plan import CarrierTraits
from phonebot.call.run import STAMP_JITTER_MS, Pending, Run, Segment
from phonebot.call.unheard import Unheard

# The first pieces of a run are short, so that its marks tell early whether it began when we think: 20, 40, 80 ms.
FIRST_PIECES_BYTES = (160, 320, 640)
MAX_LEAD_MS = 30_000  # what is further ahead of playout waits with us
# Audio that would arrive this close to the end of the queue gets a mark in front: the queue may have run dry.
DRY_MARGIN_MS = 150
# What a carrier sends in one go arrives within so many ms, where no frame in between tells.
IN_ONE_GO_MS = 5


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


@dataclass(slots=True)
class Hold:
    """
    Playback is paused. `unheard` was sent before; how much of it was heard is known once the fence is back.

    `fence` None: that is known, or nothing was playing. `resumes`: playback goes on as soon as it is known.
    """

    fence: str | None
    unheard: Unheard
    resumes: bool = False


class PlayoutLedger:
    """
    The ledger of one stream.

    Give it each media timestamp (`arrive`), all audio in order (`queue`, and `finish` at an item's end), every echo
    (`echo`), and say `clear` to interrupt. What has to be sent comes back as actions; what was heard comes out of
    `played` (items heard to the end) and as `Settlement`s (items a clear has cut), from `echo` and `settle_due`.

    `holds`: playback may be paused (`hold`), and `resume` goes on where it was cut. Only then is audio kept for it.
    """

    def __init__(self, traits: CarrierTraits = PLAIN, holds: bool = False) -> None:
        self._delays = Delays(traits)
        self._run = Run(0)
        self._closed: deque[Cleared] = deque()
        self._framer = Framer()
        self._waiting: deque[Frames] = deque()  # not yet sent
        self._marks_sent = 0
        # Marks sent while there was nothing to play, to measure the round trip, and when.
        self._pings: dict[str, int] = {}
        self._doubt: Doubt | None = None
        # What was sent in the run and is not known to have been heard; None: it is not kept.
        self._unheard = Unheard() if holds else None
        self._hold: Hold | None = None  # None: playback is not paused

    # ---------------------------------------------------------------------------------- what is sent

    def ping(self, now: int) -> list[Action]:
        """Measure the round trip, should nothing be there to play."""
        if not self.empty:
            return []
        name = self._new_name(self._run)
        self._pings[name] = now
        return [SendMark(name)]

    def queue(self, item_id: str, item_start: int, payload: str, now: int) -> list[Action]:
        """
        Send audio of an item: `payload` is base64 mu-law, its first byte the item's byte `item_start`.

        Returns what to send: whole frames, and nothing for audio more than MAX_LEAD_MS ahead, which follows from
        `release`.
        """
        return self._send_in_turn(self._framer.feed(item_id, item_start, payload), now)

    def finish(self, now: int) -> list[Action]:
        """An item's audio is complete: send what was left over of it."""
        return self._send_in_turn(self._framer.finish(), now)

    def _send_in_turn(self, frames: Frames | None, now: int) -> list[Action]:
        if frames is None:
            return []
        self._waiting.append(frames)
        return self.release(now)

    def release(self, now: int) -> list[Action]:
        """Send what waits, as far as the lead allows."""
        actions: list[Action] = []
        while self._waiting and not self._hold and self._run.end_ms < now + MAX_LEAD_MS:
            at_rest = not self._run.marks
            dry = self._run.end_ms < now + self._delays.round_trip_ms + DRY_MARGIN_MS
            if dry:
                actions.append(self._bare_mark(now, probe=at_rest))
            # Until a start buffer has shown, only marks tell whether what meets an empty queue has begun.
            early = at_rest or (dry and self._delays.unknown_buffer_ms > 0)
            pieces = self._waiting.popleft().pieces(FIRST_PIECES_BYTES if early else ())
            for piece in pieces:
                actions += self._send(piece, now)
                if self._run.end_ms >= now + MAX_LEAD_MS:
                    break
            self._waiting.extendleft(reversed(list(pieces)))
        return actions

    def _send(self, piece: Frames, now: int) -> tuple[Action, Action]:
        run = self._run
        run.hold(piece)
        if self._unheard is not None:
            self._unheard.append(piece, run.sent + piece.size)
        return PlayAudio(piece.payload), self._mark(piece.size, now)

    def _bare_mark(self, now: int, probe: bool) -> SendMark:
        name = self._new_name(self._run)
        self._run.append(Pending(name, self._run.sent, now, True, probe), 0, self._delays.likely)
        return SendMark(name)

    def _mark(self, length: int, now: int) -> SendMark:
        name = self._new_name(self._run)
        self._run.append(Pending(name, self._run.sent + length, now), length, self._delays.likely)
        return SendMark(name)

    def _new_name(self, run: Run) -> str:
        self._marks_sent += 1
        return f"{run.generation}:{self._marks_sent}"

    def postpone(self, by_ms: int) -> None:
        """All that was sent so far was sent so much later than `now` said: the carrier's clock was not known."""
        self._run.postpone_all(by_ms)
        self._pings = {name: sent_ms + by_ms for name, sent_ms in self._pings.items()}

    # ---------------------------------------------------------------------------------- what comes back

    def arrive(self, stamp_ms: int, now: int) -> None:
        """A frame of the caller stamped `stamp_ms` arrived: what comes next was sent after it."""
        in_turn = self._delays.arrive(stamp_ms, now)
        if self._delays.resumed_ms == now:
            for run in (self._run, *(closed.run for closed in self._closed)):
                run.hold_up(self._delays.unsure_ms)
        self._redate(self._closed, in_turn)

    def _redate(self, cleared: Iterable[Cleared], in_turn: bool) -> None:
        """What came late after the newest frame: the next one came in its turn, or the carrier has paused."""
        if self._doubt:
            self._resolve(self._doubt, in_turn)
        for closed in cleared:
            closed.redate(in_turn, self._delays.jitter_ms)

    def _resolve(self, doubt: Doubt, in_turn: bool) -> None:
        """The next frame came in its turn, so the echo was dated right; or the carrier had paused."""
        self._doubt = None
        run = doubt.run
        if not in_turn and run.confirmed == doubt.position:
            run.postpone(doubt.at_ms, self._delays.jitter_ms)
        if doubt.probe_sent_ms is not None:
            self._delays.measure_round_trip(doubt.probe_sent_ms, doubt.dated_ms if in_turn else doubt.at_ms)

    def _measure(self, sent_ms: int, now: int) -> None:
        """A ping came back. What can't be told from one that waits for the next frame is not measured."""
        dated_ms = self._delays.date_ms(now)
        if not self._delays.is_doubtful(now):
            self._delays.measure_round_trip(sent_ms, dated_ms)
        elif not self._doubt:
            self._doubt = Doubt(self._run, None, dated_ms, now, sent_ms)

    def echo(self, name: str, now: int) -> tuple[Settlement, ...]:
        """
        A mark came back. Returns what it settles.

        An echo that names no pending mark (a double, a stranger's) changes nothing.
        """
        if (sent_ms := self._pings.pop(name, None)) is not None:
            self._measure(sent_ms, now)
            return ()
        if any(name == closed.fence for closed in self._closed):
            return self._requeued(self._settle_through(name, now))
        for closed in self._closed:
            if mark := closed.run.find(name):
                self._note(closed, mark, now)
                return ()
        if mark := self._run.find(name):
            self._confirm(self._run, self._echo(mark, now))
            if self._unheard is not None:
                self._unheard.forget_before(self._run.confirmed)
        return ()

    def played(self) -> list[Segment]:
        """The segments that, since the last call, were confirmed as played to their end."""
        return list(self._run.retire_segments())

    def _echo(self, mark: Pending, now: int) -> Echo:
        delays = self._delays
        at_ms = delays.date_ms(now)
        latest_ms = max(at_ms, now) if delays.is_doubtful(now) else at_ms
        return Echo(mark, at_ms, latest_ms, delays.is_dated(now), delays.undated_ms(now))

    def _confirm(self, run: Run, echo: Echo) -> None:
        delays, mark, at_ms = self._delays, echo.mark, echo.at_ms
        if self._doubt and not echo.is_dated:
            self._resolve(self._doubt, in_turn=False)
        if echo.is_doubtful:
            self._doubt = self._doubted(run, echo)
        elif mark.probe:
            delays.measure_round_trip(mark.sent_ms, at_ms)
        if run.marks[0] is not mark:
            delays.miss_mark()
        met_empty_ms, began = run.met_empty_ms, run.confirmed
        if not mark.bare:
            at_ms = delays.less_lag(at_ms)
            if met_empty_ms is not None and not echo.is_doubtful:
                delays.measure_buffer(at_ms - met_empty_ms - (mark.position - began) / BYTES_PER_MS)
        tolerance_ms = self._tolerance_ms(echo.undated_ms)
        if mark.bare:  # the carrier's lag may be in its echo: that depends on whether the queue was empty
            tolerance_ms += delays.mark_lag_ms
        differ_ms = run.confirm(mark, at_ms, delays.likely, tolerance_ms, echo.is_dated, echo.undated_ms)
        if echo.is_dated and not echo.is_doubtful:
            delays.measure_spread(differ_ms)

    def _doubted(self, run: Run, echo: Echo) -> Doubt:
        """What an echo tells should the carrier have paused: no more than that it came now."""
        before, mark, at_ms = self._doubt, echo.mark, echo.latest_ms
        if run.is_firm(mark):
            due_ms, _ = run.due(mark, self._delays.likely)
            if before and before.run is run and before.position == run.confirmed:
                due_ms += max(before.at_ms - run.confirmed_ms, 0.0)
            at_ms = min(at_ms, due_ms)
        return Doubt(run, mark.position, echo.at_ms, at_ms, mark.sent_ms if mark.probe else None)

    def _tolerance_ms(self, undated_ms: int) -> float:
        """How far an echo's date may be off, to the late side."""
        return ROUNDING_MS + self._delays.spread_ms + undated_ms

    # ---------------------------------------------------------------------------------- interruptions

    @property
    def empty(self) -> bool:
        """Nothing is left to play: the last mark was echoed, and nothing waits."""
        return not self._run.marks and not self._waiting and not (self._hold and self._hold.fence)

    def is_over(self, now: int) -> bool:
        """As `empty`, or so long after the end of all audio that the marks behind it must have been lost."""
        return self.empty or (
            not self._waiting and not self._hold and now > self._run.end_ms + self._delays.patience_ms
        )

    def arrives_ms(self, now: int) -> float:
        """When what is sent now takes effect at the carrier, on its clock."""
        return self._delays.likely.takes_effect_ms(now)

    @property
    def waiting_ms(self) -> int:
        """How much audio waits with us."""
        return sum(frames.size for frames in self._waiting) // BYTES_PER_MS

    def unheard_ms(self, now: int) -> int:
        """About how much audio a clear would throw away, were it sent now."""
        likely = self._delays.likely
        unplayed = self._run.sent - self._run.position(likely.takes_effect_ms(now), likely)
        return unplayed // BYTES_PER_MS + self.waiting_ms

    def clear(self, now: int) -> tuple[str, list[Action]]:
        """
        Throw away what is left to play.

        Returns the fence's name, which the `Settlement` that tells what was heard will bear, and the actions:
        first the clear, then the fence. Call it only when not `empty`.
        """
        self.drop()
        return self._throw_away(now)

    def drop(self) -> None:
        """What was not sent yet is not to be heard."""
        self._framer.drop()
        self._waiting.clear()

    def _throw_away(self, now: int) -> tuple[str, list[Action]]:
        """Throw away what the carrier has."""
        run = self._run
        if self._unheard is not None:
            self._unheard = Unheard()
        self._run = Run(run.generation + 1, self._delays.likely.takes_effect_ms(now))
        fence = self._new_name(self._run)
        self._closed.append(Cleared(run, fence, now, now + self._delays.patience_ms, []))
        return fence, [ClearPlayback(), SendMark(fence)]

    @property
    def give_up_ms(self) -> int | None:
        """When `settle_due` has something to do: the oldest fence is then too late."""
        return self._closed[0].give_up_ms if self._closed else None

    def settle_due(self, now: int) -> tuple[Settlement, ...]:
        """Settle, by a low estimate, the clears whose fence did not come back in time."""
        settled = []
        while self._closed and self._closed[0].give_up_ms <= now:
            settled.append(self._settle_low(self._closed.popleft(), now))
        return self._requeued(tuple(settled))

    def settle_all(self, now: int) -> tuple[Settlement, ...]:
        """Settle every clear now, by a low estimate: its echo can no longer be waited for."""
        settled = tuple(self._settle_low(closed, now) for closed in self._closed)
        self._closed.clear()
        return self._requeued(settled)

    def hang_up(self, now: int, by_carrier: bool = False) -> dict[str, int]:
        """
        The stream ended: bytes heard of each item not yet confirmed, by a low estimate.

        `by_carrier`: it says so, behind the caller's frames, which date that.
        """
        at_ms = (min(now, self._delays.date_ms(now)) if by_carrier else now) - self._delays.further_ms
        return self._run.heard(self._low(self._run, lambda reckoning: at_ms, now))

    # ---------------------------------------------------------------------------------- pauses

    @property
    def held(self) -> bool:
        """Playback is paused, or is to go on and can't yet."""
        return self._hold is not None

    def hold(self, now: int) -> list[Action]:
        """
        Pause playback by a clear, of which nothing is lost; what is queued from now on waits.

        Returns the clear and its fence, or nothing when nothing is left to play. A settlement will tell what was
        heard of each item. `resume` or `abandon` end the pause; called in between, `hold` takes a `resume` back.
        """
        assert self._unheard is not None, "a ledger that may be held keeps what it needs for it"
        if self._hold:
            self._hold.resumes = False
            return []
        if self.empty:
            self._hold = Hold(None, Unheard())
            return []
        unheard = self._unheard
        fence, actions = self._throw_away(now)
        self._hold = Hold(fence, unheard)
        return actions

    def resume(self, now: int) -> list[Action]:
        """
        Go on from the byte at which playback was paused.

        Returns what to send: nothing yet, if it is not known what was heard. Then `release` has it, as soon as the
        settlement came.
        """
        assert self._hold is not None, "only what is paused goes on"
        self._hold.resumes = True
        if self._hold.fence:
            return []
        self._hold = None
        return self.release(now)

    def abandon(self) -> str | None:
        """
        Throw away what waits: the pause was an interruption.

        Returns the name of the settlement that is still to come; None when it has come, or nothing was playing.
        """
        assert self._hold is not None, "only a pause is abandoned"
        fence, self._hold = self._hold.fence, None
        self.drop()
        return fence

    def _requeued(self, settled: tuple[Settlement, ...]) -> tuple[Settlement, ...]:
        """Where the pause is among what is settled, the rest of what it cut is put in front of what waits."""
        hold = self._hold
        for settlement in settled:
            if hold and settlement.fence == hold.fence:
                self._waiting.extendleft(reversed(list(hold.unheard.rest(settlement.heard))))
                self._hold = None if hold.resumes else Hold(None, Unheard())
        return settled

    # ---------------------------------------------------------------------------------- echoes after a clear

    def _note(self, closed: Cleared, mark: Pending, now: int) -> None:
        """An echo after the clear: whether it was played or flushed shows once it is known what comes next."""
        if closed.undecided and not self._together(closed, now):
            self._accept(closed, now)
        if mark in closed.run.marks and all(mark is not echo.mark for echo in closed.undecided):
            closed.undecided.append(self._echo(mark, now))
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
            self._redate((closed,), in_turn=False)
        for echo in closed.undecided:
            if run.flushed_ms is None and self._is_too_much(closed, echo):
                run.flush(echo.mark, echo.at_ms)
            elif run.flushed_ms is None:
                self._confirm(run, echo)
        closed.undecided.clear()

    def _decide(self, closed: Cleared, now: int, low: bool = False, fence_ms: float | None = None) -> None:
        """
        Nothing tells whether these echoes were played: were they on schedule?

        `low`: what was played is taken to have been as late as can be, since no frame will show it. `fence_ms`: the
        date of the fence, which came behind them; None: it has none.
        """
        if not self._delays.is_dated(now):
            self._redate((closed,), in_turn=False)
        # Where one shows that the clear has taken effect, it has for those that came with it.
        in_effect = self._are_too_many(closed) or any(self._is_too_much(closed, echo) for echo in closed.undecided)
        for echo in closed.undecided:
            if self._came_before(closed, echo, fence_ms):
                self._confirm(closed.run, echo)
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
        if echo.at_ms >= fence_ms - FRAME_MS - self._tolerance_ms(0) - delays.mark_lag_ms:
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
            self._confirm(run, echo.at_the_latest(self._delays.jitter_ms) if low else echo)
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
        return delays.likely, FRAME_MS + self._tolerance_ms(0) + delays.mark_lag_ms

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

    def _settle_through(self, fence: str, now: int) -> tuple[Settlement, ...]:
        """A fence came back: its clear is settled exactly, older ones, whose fence was lost, by their estimate."""
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
            following = self._closed[0].run if self._closed else self._run
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
            tolerance_ms = self._tolerance_ms(0) + delays.mark_lag_ms
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
        doubt = self._doubt
        if doubt and doubt.run is run and doubt.position == run.confirmed:
            run.postpone(doubt.at_ms, self._delays.jitter_ms)
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
            position = self._low(surely, lambda reckoning: reckoning.takes_effect_ms(closed.cleared_ms), now)
        return Settlement(closed.fence, run.heard(position), exact=False)

    def _low(self, run: Run, ends_ms: Callable[[Reckoning], float], now: int) -> int:
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
