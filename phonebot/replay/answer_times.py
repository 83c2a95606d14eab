"""
Where the time of each answer went, from the log: who was waited for, the model or phonebot.

    times = answer_times(log.steps)         # by the item in which the answer begins
    round_trip_ms(log.steps)                # between us and the carrier
    watch.see(now_ms, received, actions)    # the same while a call goes on: an AnswerWatch is told what happens

From the moment at which the caller's turn is known to be over, the log has all there is in ms of call time. What is
shorter, from reading the first audio of a response to handing it to the carrier's socket, the service has measured
itself (AnswerSent). What is left of an answer's whole time is the network's, and what it took to find out that the
turn is over.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from phonebot.call.actions import Action, PlayAudio, SendMark, Tell
from phonebot.call.inputs import AnswerSent, Input
from phonebot.carrier.messages import Mark, Media
from phonebot.realtime.events import (
    AudioCommitted,
    AudioDelta,
    CommitAudio,
    CreateResponse,
    ResponseCreated,
    SpeechStarted,
    SpeechStopped,
)
from phonebot.replay.reader import Step


class AnswerTimes(Struct, frozen=True, kw_only=True):
    """
    Of one answer: its turn was known to be over at `turn_end_ms` of the call.

    `model_ms`: from then, or from when we asked for the answer, until its first audio was read; functions that ran
    before it belong to that. `ours_us`: what we took, in microseconds: from the end of the turn until we asked, and
    from reading the first audio until the carrier's socket had it.
    """

    turn_end_ms: int
    model_ms: int
    ours_us: int


class FirstAudio(Struct, frozen=True, kw_only=True):
    """
    The first audio of an answer to a turn of the caller's; all in ms of the call.

    The turn was known to be over at `turn_end_ms`, the answer was asked for at `asked_ms`, its audio was read at
    `read_ms` and sent at `sent_ms`.
    """

    item_id: str
    response_id: str
    turn_end_ms: int
    asked_ms: int
    read_ms: int
    sent_ms: int

    @property
    def model_ms(self) -> int:
        """For how long the model was waited for."""
        return self.read_ms - self.asked_ms

    @property
    def waited_ms(self) -> int:
        """For how long the caller was kept waiting, as far as it is known here."""
        return self.sent_ms - self.turn_end_ms


def answer_times(steps: Sequence[Step]) -> dict[str, AnswerTimes]:
    """Of each answer to a turn of the caller's, by the id of the item in which it begins."""
    found: dict[str, AnswerTimes] = {}
    watch = AnswerWatch()
    took_us = {step.input.response_id: step.input.took_us for step in steps if isinstance(step.input, AnswerSent)}
    for step in steps:
        if first := watch.see(step.now_ms, step.input, step.actions):
            ours_us = (first.waited_ms - first.model_ms) * 1000 + took_us.get(first.response_id, 0)
            found[first.item_id] = AnswerTimes(
                turn_end_ms=first.turn_end_ms, model_ms=first.model_ms, ours_us=ours_us
            )
    return found


class AnswerWatch:
    """What has happened since the caller's turn began. Frames that only pass to the model it need not see."""

    def __init__(self) -> None:
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._turn_end_ms: int | None = None
        self._asked_ms: int | None = None
        # The first audio of the answer: of which item and response, and when it was read.
        self._first: tuple[str, str, int] | None = None

    def see(self, now_ms: int, received: Input, actions: Sequence[Action]) -> FirstAudio | None:
        """The first audio of an answer, where it is sent in this step."""
        match received:
            case SpeechStarted():
                self._begin_anew()
            case SpeechStopped() | AudioCommitted() if self._turn_end_ms is None:
                self._turn_end_ms = now_ms
            case ResponseCreated() if self._waits and self._asked_ms is None:
                self._asked_ms = self._turn_end_ms  # the service answers by itself
            case AudioDelta(response_id=response_id, item_id=item_id) if self._waits:
                self._first = item_id, response_id, now_ms
        for action in actions:
            match action:
                case Tell(CommitAudio()) if self._first is None:
                    self._turn_end_ms, self._asked_ms = now_ms, None
                case Tell(CreateResponse()) if self._waits and self._asked_ms is None:
                    self._asked_ms = now_ms
                case PlayAudio(item_id=item_id) if self._first and item_id == self._first[0]:
                    return self._sent(self._first, now_ms)
        return None

    @property
    def _waits(self) -> bool:
        return self._turn_end_ms is not None and self._first is None

    def _sent(self, first: tuple[str, str, int], sent_ms: int) -> FirstAudio:
        item_id, response_id, read_ms = first
        assert self._turn_end_ms is not None, "an answer is waited for from there on"
        end_ms = self._turn_end_ms
        asked_ms = end_ms if self._asked_ms is None else self._asked_ms
        self._begin_anew()
        return FirstAudio(
            item_id=item_id,
            response_id=response_id,
            turn_end_ms=end_ms,
            asked_ms=asked_ms,
            read_ms=read_ms,
            sent_ms=sent_ms,
        )


def round_trip_ms(steps: Iterable[Step]) -> int | None:
    """
    From us to the carrier and back, the quickest there was; None: nothing has measured it.

    A mark on an empty queue comes back at once. The carrier works in frames, so up to 20 ms of it may be a frame's.
    One that was sent before the first frame of the caller tells nothing: call time may have jumped since.
    """
    has_clock = False
    pending: dict[str, int | None] = {}
    quickest: int | None = None
    for step in steps:
        has_clock = has_clock or isinstance(step.input, Media)
        if isinstance(step.input, Mark):
            sent_ms = pending.pop(step.input.name, None)
            if sent_ms is not None:
                quickest = min(step.now_ms - sent_ms, step.now_ms if quickest is None else quickest)
        for action in step.actions:
            match action:
                case PlayAudio():
                    pending.setdefault("", None)  # something plays until its mark is back
                case SendMark(name):
                    pending[name] = step.now_ms if has_clock and not pending else None
                    pending.pop("", None)
    return quickest
