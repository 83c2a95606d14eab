"""
The stream as an experiment sees it: what it sends, what comes back, and when.

Call time is the carrier's, as the core reckons it (call/clock.py): a message of ours that is sent at t arrives
there one round trip later. An echo is dated by the media around it. Both travel on one connection, in order, so
an echo that follows the frame stamped t was sent between t and t + 20 ms (Twilio, Media Streams,
media.timestamp); within that, our clock decides. So the network's jitter moves a date by a frame at most.

An experiment is a generator: it yields the local time, in ms, at which it wants to go on. It also goes on with each
message that comes, looks whether what it waits for has happened, and yields again.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from phonebot.audio.g711 import BYTES_PER_MS, FRAME_MS, ULAW_SILENCE
from phonebot.calibration.tone import ToneEar, tone
from phonebot.call.actions import Action, ClearPlayback, PlayAudio, SendMark
from phonebot.call.clock import MediaClock
from phonebot.carrier.messages import Media

T = TypeVar("T")
Steps: TypeAlias = Generator[float, None, T]

MAX_PIECE_MS = 200
# The longest that an echo is waited for once it is due, and the returning tone: longer than any round trip.
PATIENCE_MS = 2_000
# Without a frame for so long the stream's own clock can't date an echo.
STALE_MEDIA_MS = 150


@dataclass(slots=True, eq=False)
class SentMark:
    """
    A mark of ours. `echo_ms` None: it has not come back. `place` counts the echoes.

    `sent_ms` and `echo_ms` are call time, `sent_local_ms` is not.
    """

    name: str
    sent_ms: int
    sent_local_ms: float
    echo_ms: float | None = None
    place: int = -1
    copies: int = 0

    @property
    def came(self) -> bool:
        return self.echo_ms is not None

    def since(self, begin_ms: float) -> float:
        """How long after `begin_ms` it came back; ask only if it `came`."""
        assert self.echo_ms is not None, "an experiment asks only for marks that came back"
        return self.echo_ms - begin_ms


@dataclass(frozen=True, slots=True)
class Arrival:
    """A frame of the far end: when it arrived (local ms), and its stamp."""

    local_ms: float
    timestamp_ms: int
    size_bytes: int


class Line:
    """
    Set `local_ms` first, then hand over what came at that time. Sends by adding to `actions`.

    Local times are ms of one monotonic clock, in order.
    """

    def __init__(self, local_ms: float) -> None:
        self.local_ms = local_ms
        self.actions: list[Action] = []
        self.marks: list[SentMark] = []
        self.arrivals: list[Arrival] = []
        self.strangers = 0  # echoes of marks that we did not send
        self.ear = ToneEar()
        self._clock = MediaClock(local_ms)
        self._by_name: dict[str, SentMark] = {}
        self._echoes = 0

    # ------------------------------------------------------------------ what comes

    @property
    def now(self) -> int:
        """Call time."""
        return self._clock.now(self.local_ms)

    def hear(self, media: Media) -> None:
        self._clock.arrive(self.local_ms, media.timestamp_ms)
        frame = b64decode(media.payload)
        self.arrivals.append(Arrival(self.local_ms, media.timestamp_ms, len(frame)))
        self.ear.hear(frame, media.timestamp_ms)

    def echo(self, name: str) -> None:
        mark = self._by_name.get(name)
        if mark is None:
            self.strangers += 1
            return
        mark.copies += 1
        if mark.echo_ms is None:
            mark.echo_ms, mark.place = self._echo_ms(), self._echoes
            self._echoes += 1

    def _echo_ms(self) -> float:
        now = self.now
        if not self.arrivals or now > self.arrivals[-1].timestamp_ms + STALE_MEDIA_MS:
            return now
        newest_ms = self.arrivals[-1].timestamp_ms
        return min(max(now, newest_ms), newest_ms + FRAME_MS)

    # ------------------------------------------------------------------ what is sent

    def mark(self) -> SentMark:
        mark = SentMark(str(len(self.marks)), self.now, self.local_ms)
        self.marks.append(mark)
        self._by_name[mark.name] = mark
        self.actions.append(SendMark(mark.name))
        return mark

    def play(self, ms: int, *, audible: bool = False) -> None:
        """Play so much silence, or tone."""
        for begin in range(0, ms, MAX_PIECE_MS):
            piece_ms = min(MAX_PIECE_MS, ms - begin)
            audio = tone(piece_ms) if audible else bytes([ULAW_SILENCE]) * (piece_ms * BYTES_PER_MS)
            self.actions.append(PlayAudio(b64encode(audio).decode()))

    def clear(self) -> None:
        self.actions.append(ClearPlayback())

    # ------------------------------------------------------------------ waiting

    def wait(self, is_over: Callable[[], bool], within_ms: float) -> Steps[bool]:
        """Until it is over. Returns False when it was not within that time."""
        deadline_ms = self.local_ms + within_ms
        while not is_over():
            if self.local_ms >= deadline_ms:
                return False
            yield deadline_ms
        return True

    def wait_for(self, *marks: SentMark, within_ms: float) -> Steps[bool]:
        """Until these marks have come back. Returns False when they did not within that time."""
        return (yield from self.wait(lambda: all(mark.came for mark in marks), within_ms))

    def rest(self, ms: float) -> Steps[None]:
        end_ms = self.local_ms + ms
        while self.local_ms < end_ms:
            yield end_ms

    def align(self, phase_ms: float) -> Steps[None]:
        """
        Until so long after one of the next frames of the far end; at once when the last frame is that old.

        What is sent then meets the carrier's own frame boundaries at a place that moves with `phase_ms`.
        """
        frame_ms = self.arrivals[-1].timestamp_ms if self.arrivals else 0
        yield from self.rest((frame_ms + phase_ms - self.now) % FRAME_MS)

    def quiet(self, ms: int) -> Steps[None]:
        """Until no tone has been heard for so long."""

        def is_quiet() -> bool:
            return self.ear.began_ms is None or self.now - self.ear.ended_ms >= ms

        yield from self.rest(ms)
        yield from self.wait(is_quiet, PATIENCE_MS)
