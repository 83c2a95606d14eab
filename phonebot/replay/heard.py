"""
What the caller said and what he heard, on the call's time line, from the log alone.

    write_heard(read(folder), folder / "heard.wav")     # stereo: the caller left, what he heard right

A log knows what was sent and when, and when the carrier echoed which mark. Audio plays from one queue: a piece
begins when it arrives, or when the piece before it ends, and a mark comes back once all audio before it has played
(Twilio, Media Streams, mark). So an echo tells when the audio before it ended at the latest, and the echo that is
least late tells when the whole run began. A clear cuts a run where the call found that its items were cut; where
the log does not say so, at the echo of the mark behind the clear.

Nothing of the core is used: a log of an older phonebot sounds as it did.
"""

from binascii import a2b_base64
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from phonebot.audio import wav
from phonebot.audio.g711 import BYTES_PER_MS, SAMPLE_RATE_HZ
from phonebot.call.actions import ClearPlayback, Cut, Ended, PlayAudio, SendMark
from phonebot.call.inputs import CarrierClosed, OperatorHangUp
from phonebot.carrier.messages import Mark, Media, Stop
from phonebot.replay.log import EVENTS_FILE, LogError
from phonebot.replay.reader import CallLog, Step

HEARD_FILE = "heard.wav"
MAX_CALL_MS = 14_400_000  # no profile lets a call last longer
WILD_STAMP_MS = 60_000  # a frame stamped further ahead of its arrival is not placed
SILENCE = b"\xff"


@dataclass(frozen=True, slots=True)
class Legs:
    """
    Legs of equal length, mu-law. Byte n is at n / 8 ms of call time.

    `unheard` is what the bot would have gone on to say where he was interrupted, as far as it had been sent, up to
    where it spoke again; silence everywhere else.
    """

    caller: bytes
    heard: bytes
    unheard: bytes = b""


@dataclass(frozen=True, slots=True)
class Played:
    """
    What was heard of a piece of audio, perhaps nothing, and when it began. `item_id`: whose it is; "": of no item.

    `unheard` is the rest of a piece that the caller interrupted.
    """

    item_id: str
    begin_ms: float
    audio: bytes
    unheard: bytes

    @property
    def end_ms(self) -> float:
        return self.begin_ms + len(self.audio) / BYTES_PER_MS


@dataclass(slots=True)
class _Piece:
    """Audio sent in one go. `start` is its place among the run's bytes."""

    sent_ms: int
    start: int
    audio: bytes
    item_id: str
    begins_ms: float = 0.0

    @property
    def end(self) -> int:
        return self.start + len(self.audio)

    @property
    def ends_ms(self) -> float:
        return self.begins_ms + len(self.audio) / BYTES_PER_MS


@dataclass(slots=True)
class _Mark:
    """`bare`: there is no audio between it and the mark before. `echoed_ms` None: it never came back."""

    run: "_Run"
    position: int
    sent_ms: int
    bare: bool
    echoed_ms: int | None = None


@dataclass(slots=True)
class _Run:
    """What was sent between two clears."""

    pieces: list[_Piece] = field(default_factory=list)
    marks: list[_Mark] = field(default_factory=list)
    sent: int = 0
    cleared_ms: int | None = None  # None: it was not
    fence: _Mark | None = None  # the mark right behind the clear
    cuts: list[Cut] = field(default_factory=list)  # what the call found was heard of its items


def legs(log: CallLog) -> Legs:
    """Render both legs. Raises LogError for a log that is longer than a call may be."""
    end_ms = max((step.now_ms for step in log.steps), default=0)
    if end_ms > MAX_CALL_MS:
        raise LogError(EVENTS_FILE, None, f"a call of {end_ms} ms; a call lasts {MAX_CALL_MS} ms at most")
    caller, (heard, unheard) = _caller_leg(log), _bot_legs(log)
    length = max(len(caller), len(heard))
    return Legs(*(bytes(leg[:length].ljust(length, SILENCE)) for leg in (caller, heard, unheard)))


def write_heard(log: CallLog, path: Path) -> None:
    """Write both legs as a stereo WAV file. Raises as `legs` does, OSError as `open` does."""
    both = legs(log)
    wav.write(path, wav.Wav("pcmu", SAMPLE_RATE_HZ, 2, wav.interleave(both.caller, both.heard)))


def _place(leg: bytearray, start: int, audio: bytes) -> None:
    leg += SILENCE * (start - len(leg))
    leg[start : start + len(audio)] = audio


def _caller_leg(log: CallLog) -> bytearray:
    """A frame is sent when it has ended, with that moment as its timestamp."""
    leg = bytearray()
    for step in log.steps:
        media = step.input
        if not isinstance(media, Media) or media.track != "inbound":
            continue
        if media.timestamp_ms > step.now_ms + WILD_STAMP_MS:
            continue
        audio = _bytes(media.payload)
        _place(leg, max(media.timestamp_ms * BYTES_PER_MS - len(audio), 0), audio)
    return leg


def _bot_legs(log: CallLog) -> tuple[bytearray, bytearray]:
    """What was heard of the bot, and what was not."""
    leg, unheard = bytearray(), bytearray()
    for played in playback(log):
        begins = round(played.begin_ms * BYTES_PER_MS)
        if played.audio:
            del unheard[begins:]
            _place(leg, begins, played.audio)
        _place(unheard, begins + len(played.audio), played.unheard)
    return leg, unheard


def playback(log: CallLog) -> Iterator[Played]:
    """Each piece of the bot's audio, in the order in which it was sent, as far as it was heard."""
    runs = _runs(log)
    round_trip_ms = _round_trip_ms(runs)
    over_ms = next((step.now_ms for step in log.steps if _is_end(step)), MAX_CALL_MS)
    free_ms = 0.0  # when the queue is empty again
    before: defaultdict[str, int] = defaultdict(int)  # bytes of each item that were heard in earlier runs
    for run in runs:
        _schedule(run, free_ms, round_trip_ms)
        heard = _heard(run, before, round_trip_ms)
        for piece in run.pieces:
            before[piece.item_id] += min(max(heard - piece.start, 0), len(piece.audio))
            length = min(heard - piece.start, int((over_ms - piece.begins_ms) * BYTES_PER_MS), len(piece.audio))
            length = max(length, 0)
            if length:
                free_ms = piece.begins_ms + length / BYTES_PER_MS
            # A bot that was only paused says the rest in the next run.
            rest = piece.audio[length:] if run.cuts else b""
            if length or rest:
                yield Played(piece.item_id, piece.begins_ms, piece.audio[:length], rest)


def _is_end(step: Step) -> bool:
    """Whether nothing more is heard from here on."""
    if isinstance(step.input, (Stop, CarrierClosed, OperatorHangUp)):
        return True
    return any(isinstance(each, Ended) for each in step.actions)


# ------------------------------------------------------------------------------------------- what was sent


def _runs(log: CallLog) -> list[_Run]:
    """All that was sent and what came back, run by run."""
    runs = [_Run()]
    marks: dict[str, _Mark] = {}
    for step in log.steps:
        if isinstance(step.input, Mark):
            _echoed(marks.get(step.input.name), step.now_ms)
        for action in step.actions:
            match action:
                case PlayAudio(payload, item_id):
                    audio = _bytes(payload)
                    runs[-1].pieces.append(_Piece(step.now_ms, runs[-1].sent, audio, item_id))
                    runs[-1].sent += len(audio)
                case SendMark(name):
                    marks[name] = _mark(runs, step.now_ms)
                case ClearPlayback():
                    runs[-1].cleared_ms = step.now_ms
                    runs.append(_Run())
                case Cut():
                    _cut(runs, action)
    return runs


def _mark(runs: list[_Run], now: int) -> _Mark:
    run = runs[-1]
    bare = run.sent == (run.marks[-1].position if run.marks else 0)
    mark = _Mark(run, run.sent, now, bare)
    run.marks.append(mark)
    if len(runs) > 1 and runs[-2].fence is None:
        runs[-2].fence = mark
    return mark


def _echoed(mark: _Mark | None, now: int) -> None:
    """The first echo counts; None: the mark is not one of ours."""
    if mark and mark.echoed_ms is None:
        mark.echoed_ms = now


def _cut(runs: list[_Run], cut: Cut) -> None:
    """The call found how much of an item was heard: so much of the run in which it was cleared."""
    for run in reversed(runs):
        if any(piece.item_id == cut.item_id for piece in run.pieces):
            run.cuts.append(cut)
            return


def _round_trip_ms(runs: list[_Run]) -> float:
    """How long a mark without audio before it takes; 0 when none tells."""
    tells = (mark for run in runs for mark in run.marks if mark.bare and mark.echoed_ms is not None)
    return min((mark.echoed_ms - mark.sent_ms for mark in tells if mark.echoed_ms is not None), default=0)


def _bytes(text: str) -> bytes:
    """Audio; nothing for a text that is none. What a log did not keep has a length."""
    count, is_left_out, _ = text.partition(" bytes")
    if is_left_out:
        return SILENCE * int(count) if count.isdecimal() and int(count) <= wav.DATA_LIMIT_BYTES else b""
    try:
        return a2b_base64(text)
    except ValueError:
        return b""


# ------------------------------------------------------------------------------------------- when it played


def _schedule(run: _Run, free_ms: float, round_trip_ms: float) -> None:
    """Say of each piece when it began to play."""
    first = 0
    while first < len(run.pieces):
        begins_ms = max(run.pieces[first].sent_ms + round_trip_ms, free_ms)
        end = _chain(run, first, begins_ms, round_trip_ms)
        # The echoes say how far off that is; later, it may reach pieces that seemed to meet an empty queue.
        while True:
            earliest_ms = max(float(run.pieces[first].sent_ms), free_ms)
            begins_ms = max(begins_ms + _late_ms(run, first, end), earliest_ms)
            reached = _chain(run, first, begins_ms, round_trip_ms)
            if reached <= end:
                break
            end = reached
        free_ms = run.pieces[end - 1].ends_ms
        first = end


def _chain(run: _Run, first: int, begins_ms: float, round_trip_ms: float) -> int:
    """Play the pieces from `first` on, one right after the other, as long as each comes in time; where it ends."""
    for position in range(first, len(run.pieces)):
        piece = run.pieces[position]
        if position > first and piece.sent_ms + round_trip_ms > begins_ms:
            return position
        piece.begins_ms = begins_ms
        begins_ms = piece.ends_ms
    return len(run.pieces)


def _late_ms(run: _Run, first: int, end: int) -> float:
    """By how much all echoes of these pieces are later than reckoned; 0 when there are none."""
    return min(_lateness(run, first, end), default=0.0)


def _lateness(run: _Run, first: int, end: int) -> Iterator[float]:
    pieces = iter(run.pieces[first:end])
    piece = next(pieces)
    for mark in run.marks:
        if mark.position <= run.pieces[first].start or mark.position > run.pieces[end - 1].end or mark.bare:
            continue
        # After a clear an echo may say that the audio was dropped.
        if mark.echoed_ms is None or (run.cleared_ms is not None and mark.echoed_ms >= run.cleared_ms):
            continue
        while piece.end < mark.position:
            piece = next(pieces)
        yield mark.echoed_ms - piece.ends_ms


def _cut_at(run: _Run, cut: Cut, before: dict[str, int]) -> int:
    first = next(piece for piece in run.pieces if piece.item_id == cut.item_id)
    return first.start + max(cut.heard_ms * BYTES_PER_MS - before[cut.item_id], 0)


def _heard(run: _Run, before: dict[str, int], round_trip_ms: float) -> int:
    """How many bytes of a run were heard, from its begin. A bot that was paused goes on in the next run."""
    if run.cleared_ms is None:
        return run.sent
    if run.cuts:
        return min(_cut_at(run, cut, before) for cut in run.cuts)
    fence = run.fence.echoed_ms if run.fence else None
    at_ms = run.cleared_ms + round_trip_ms if fence is None else fence
    played = (min(max(at_ms - piece.begins_ms, 0) * BYTES_PER_MS, len(piece.audio)) for piece in run.pieces)
    return int(sum(played))
