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

Audio between two clears is a `Run` (run.py), which counts its own bytes from 0; its number, the generation, is part
of each mark's name, so an echo can never be taken for one of a later run. An echo is dated, and its run told, by
echoes.py. After a clear the run is closed, and clears.py finds out what was heard of it. Here stands what is sent,
in its order, and what of it is sent once more after a pause.

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
from dataclasses import dataclass

from phonebot.audio.g711 import BYTES_PER_MS
from phonebot.call.actions import Action, ClearPlayback, PlayAudio, SendMark
from phonebot.call.clears import Clears, Settlement
from phonebot.call.delays import PLAIN, Delays
from phonebot.call.echoes import Echoes
from phonebot.call.framing import Framer, Frames
from phonebot.call.plan import CarrierTraits
from phonebot.call.run import Pending, Run, Segment
from phonebot.call.unheard import Unheard

# The first pieces of a run are short, so that its marks tell early whether it began when we think: 20, 40, 80 ms.
FIRST_PIECES_BYTES = (160, 320, 640)
MAX_LEAD_MS = 30_000  # what is further ahead of playout waits with us
# Audio that would arrive this close to the end of the queue gets a mark in front: the queue may have run dry.
DRY_MARGIN_MS = 150


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
        self._echoes = Echoes(self._delays)
        self._clears = Clears(self._delays, self._echoes)
        self._framer = Framer()
        self._waiting: deque[Frames] = deque()  # not yet sent
        self._marks_sent = 0
        # Marks sent while there was nothing to play, to measure the round trip, and when.
        self._pings: dict[str, int] = {}
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
        return PlayAudio(piece.payload, piece.item_id), self._mark(piece.size, now)

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
            for run in (self._run, *self._clears.runs):
                run.hold_up(self._delays.unsure_ms)
        self._clears.redate(in_turn)

    def echo(self, name: str, now: int) -> tuple[Settlement, ...]:
        """
        A mark came back. Returns what it settles.

        An echo that names no pending mark (a double, a stranger's) changes nothing.
        """
        if (sent_ms := self._pings.pop(name, None)) is not None:
            self._echoes.measure(self._run, sent_ms, now)
            return ()
        if self._clears.has(name):
            return self._requeued(self._clears.settle_through(name, self._run, now))
        if not self._clears.note(name, now) and (mark := self._run.find(name)):
            self._echoes.confirm(self._run, self._echoes.date(mark, now))
            if self._unheard is not None:
                self._unheard.forget_before(self._run.confirmed)
        return ()

    def played(self) -> list[Segment]:
        """The segments that, since the last call, were confirmed as played to their end."""
        return list(self._run.retire_segments())

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
        self._clears.close(run, fence, now)
        return fence, [ClearPlayback(), SendMark(fence)]

    @property
    def give_up_ms(self) -> int | None:
        """When `settle_due` has something to do: the oldest fence is then too late."""
        return self._clears.give_up_ms

    def settle_due(self, now: int) -> tuple[Settlement, ...]:
        """Settle, by a low estimate, the clears whose fence did not come back in time."""
        return self._requeued(self._clears.settle_due(now))

    def settle_all(self, now: int) -> tuple[Settlement, ...]:
        """Settle every clear now, by a low estimate: its echo can no longer be waited for."""
        return self._requeued(self._clears.settle_all(now))

    def hang_up(self, now: int, by_carrier: bool = False) -> dict[str, int]:
        """
        The stream ended: bytes heard of each item not yet confirmed, by a low estimate.

        `by_carrier`: it says so, behind the caller's frames, which date that.
        """
        at_ms = (min(now, self._delays.date_ms(now)) if by_carrier else now) - self._delays.further_ms
        return self._run.heard(self._clears.least(self._run, lambda reckoning: at_ms, now))

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
