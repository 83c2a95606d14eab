"""
A call in virtual time in which anything may happen, held against what the emulated carrier knows was heard.

    call = RandomCall(Conditions(...))
    call.answer(Answer(...))            # the model begins a response
    call.play(1_000)                    # audio of our own is queued behind it
    call.interrupt("in mid-item")       # the caller speaks at that moment
    call.finish()                       # AssertionError where the model believes what was not heard

The model here keeps its own books: what it generated, what it was told to truncate and to delete. It refuses what
the service would refuse (Realtime API reference, conversation.item.truncate, conversation.item.delete).
"""

from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from math import ceil
from typing import Literal, TypeAlias

from driver import CallDriver

from phonebot.audio.g711 import alaw_to_ulaw, ulaw_to_alaw, ulaw_to_pcm
from phonebot.call.actions import ClearPlayback, Cut, Line, PlayAudio
from phonebot.call.delays import CLOCK_FRAMES, UNSEEN_FRAMES
from phonebot.call.inputs import ModelReady, PlayClip
from phonebot.call.plan import CallPlan, CarrierTraits
from phonebot.call.run import OVERDUE_MS, STAMP_JITTER_MS
from phonebot.carrier.messages import Media
from phonebot.realtime.events import (
    AudioCommitted,
    AudioDelta,
    AudioDone,
    AudioFormat,
    CancelResponse,
    Command,
    CreateItem,
    CreateResponse,
    DeleteItem,
    ErrorDetail,
    ErrorEvent,
    Event,
    ItemAdded,
    ItemDeleted,
    ItemTruncated,
    Message,
    OutputItemAdded,
    OutputItemDone,
    Part,
    Response,
    ResponseCreated,
    ResponseDone,
    Session,
    SpeechStarted,
    SpeechStopped,
    SpokenTextDelta,
    SpokenTextDone,
    TruncateItem,
    TurnDetection,
)
from phonebot.simulator.carrier import Oddities
from phonebot.simulator.network import Network

FRAME_MS = 20
BYTES_PER_MS = 8
MODEL_MS = 20  # one way to the model
NOTICE_MS = 200  # of speech, before the model tells of it
WORD_MS = 300  # a word of the text, blank included, is said in that time
UNSEEN = 0.1  # so much more than it is may the jitter be taken for, in parts of it
QUIET_MS = 9_000  # after which nothing more comes of anything: an answer is waited for 8 s
# Bytes of mu-law that stand for items: those that survive A-law.
LEVELS = bytes(
    code
    for code in range(0, 0x100, 2)
    if code not in b"\x7e\xfe" and alaw_to_ulaw(ulaw_to_alaw(bytes([code]))) == bytes([code])
)

Moment: TypeAlias = Literal[
    "before the first audio",
    "in the first frame",
    "in mid-item",
    "at an item's end",
    "in the tail",
    "after everything",
    "now",
]


@dataclass(frozen=True)
class Conditions:
    """What does not change during a call."""

    network: Network = field(default_factory=Network)
    oddities: Oddities = field(default_factory=Oddities)
    detection: Literal["server_vad", "semantic_vad"] = "server_vad"
    interrupt_response: bool = True
    output: AudioFormat = "pcmu"
    seed: int = 0
    traits: CarrierTraits = field(default_factory=CarrierTraits)

    @property
    def edge_ms(self) -> int:
        """The filter spreads an item's edges over so much, whose bytes may have any item's level."""
        return 4 if self.output == "pcm24k" else 0

    @property
    def doubt_ms(self) -> float:
        """
        How much longer than a frame nothing tells when a clear took effect, or when audio began.

        Each end of what was heard is dated by an echo. One that waits for others is late by as much as they wait;
        where that is known the middle is taken, which is at most half of it wrong. One that no frame of the caller
        dates is late by the jitter of its way to us, which may also part the echoes that a clear flushed by so
        much, and two frames, that the first ones seem played. And whether a bare mark met an empty queue, so that
        its echo was sent without the carrier's lag, shows in no echo; what waited for a lag's end has waited for a
        boundary. Nor shows whether the queue was empty for the carrier, and its start buffer begins, when it held
        back less than a frame.
        """
        carrier = self.oddities
        wait_ms = carrier.marks_burst_ms * (1 if self.traits.mark_spread_ms else 2)
        held_ms = carrier.start_buffer_ms if carrier.short_frame == "hold" else 0
        return held_ms + wait_ms + self.undated_ms + ceil(carrier.marks_lag_ms / FRAME_MS) * FRAME_MS

    @property
    def undated_ms(self) -> float:
        """How wrong an echo may be dated that comes in the caller's silence."""
        jitter_ms = self.network.uplink_jitter_ms
        return jitter_ms + 2 * FRAME_MS if self.oddities.silence_suppressed and jitter_ms else 0

    def bounds_ms(self, exact: bool, frames: int = 1_000) -> tuple[float, float]:
        """
        How far what the model believes may lie from what was heard: too low (negative), too high.

        Where no echo of the clear came in time, its arrival is reckoned from the round trips. They are measured to
        a frame, and call time is in whole ms and follows uneven stamps and a drifting clock: where a ms decides
        between two of the carrier's frames, for the begin of audio or for its end, the estimate is a frame lower.
        Both ends rest on echoes, and the later begin and the earlier end is taken: the doubt counts twice.

        The jitter is taken for a little more than what shows of it; for more while few `frames` of the caller have
        come, since then little of it shows. A mark that is missing may be lost or late, and
        is taken to be late for a while; right where the clear took effect that is a frame.

        Not known at all is a start buffer before its first echoes, a burst that nobody measured, in his silence
        how uneven the network is, and by how much the way to the carrier is more uneven than the way to us, which
        is all that his frames show and is taken for both: then, only, the estimate may be too high by as much.
        """
        network, carrier = self.network, self.oddities
        loses = 0 < carrier.marks_lost < 1
        if exact:
            return -FRAME_MS - self.doubt_ms - (FRAME_MS if loses else 0), FRAME_MS + self.doubt_ms
        unknown_ms: float = max(carrier.start_buffer_ms - (self.traits.start_buffer_ms or 0), 0)
        unknown_ms += self.undated_ms
        unknown_ms += carrier.marks_burst_ms if not self.traits.mark_spread_ms else 0
        unknown_ms += max(network.downlink_jitter_ms - network.uplink_jitter_ms, 0)
        unseen = 1 + max(UNSEEN, UNSEEN_FRAMES / max(frames, CLOCK_FRAMES))
        jitter_ms = unseen * (network.uplink_jitter_ms + max(network.uplink_jitter_ms, network.downlink_jitter_ms))
        low_ms = jitter_ms + carrier.start_buffer_ms + FRAME_MS
        low_ms += FRAME_MS + STAMP_JITTER_MS + OVERDUE_MS if loses else 0
        return -low_ms - FRAME_MS - 2 * self.doubt_ms, unknown_ms


@dataclass(frozen=True)
class Answer:
    """A response: the lengths of its items, how fast it comes (None: at once), in which deltas, with stalls."""

    items_ms: tuple[int, ...] = (2_000,)
    speed: float | None = 4.0
    delta_ms: int = 200
    stalls: tuple[tuple[int, int], ...] = ()  # (after so much audio of the response, for so long)
    late_ms: int = 0  # so long deltas still come after a cancel
    followed: bool = False  # the model begins another response as soon as this one is done


# What a call may have been a case of; `RandomCall.cases` says of which it was.
CASES: dict[str, Callable[[Conditions], bool] | None] = {
    "no delay": lambda c: not (c.network.uplink_delay_ms or c.network.downlink_delay_ms),
    "delay over 100 ms": lambda c: max(c.network.uplink_delay_ms, c.network.downlink_delay_ms) > 100,
    "delay 300 ms each way": lambda c: c.network.uplink_delay_ms == c.network.downlink_delay_ms == 300,
    "no jitter": lambda c: not c.network.uplink_jitter_ms,
    "jitter 100 ms": lambda c: c.network.uplink_jitter_ms == 100,
    "carrier clock fast": lambda c: c.oddities.drift_ppm > 0,
    "carrier clock slow": lambda c: c.oddities.drift_ppm < 0,
    "model at 1x": None,
    "model at 8x": None,
    "model all at once": None,
    "deltas of 10 ms": None,
    "deltas of 2 s": None,
    "one stall": None,
    "several stalls": None,
    "1 item": None,
    "2 items": None,
    "3 items": None,
    "4 items": None,
    "two responses queued": None,
    "a response follows at once": None,
    "before the first audio": None,
    "in the first frame": None,
    "in mid-item": None,
    "at an item's end": None,
    "in the tail": None,
    "after everything": None,
    "interrupted again": None,
    "within 50 ms of a clear": None,
    "late deltas": None,
    "our own audio in the queue": None,
    "interrupt_response true": lambda c: c.interrupt_response,
    "interrupt_response false": lambda c: not c.interrupt_response,
    "server_vad": lambda c: c.detection == "server_vad",
    "semantic_vad": lambda c: c.detection == "semantic_vad",
    "marks lost": lambda c: 0 < c.oddities.marks_lost < 1,
    "all marks lost": lambda c: c.oddities.marks_lost == 1,
    "marks doubled": lambda c: c.oddities.marks_doubled > 0,
    "marks delayed": lambda c: c.oddities.marks_delay_ms > 0,
    "marks in bursts": lambda c: c.oddities.marks_burst_ms > 0,
    "marks lag behind audio": lambda c: c.oddities.marks_lag_ms > 0,
    "no echoes on clear": lambda c: not c.oddities.clear_echoes,
    "start buffer": lambda c: c.oddities.start_buffer_ms > 0,
    "no frames in silence": lambda c: c.oddities.silence_suppressed,
    "first timestamp not 100": lambda c: c.oddities.first_timestamp_ms != 100,
    "uneven timestamps": lambda c: c.oddities.timestamp_jitter_ms > 0,
    "short frames padded": lambda c: c.oddities.short_frame == "pad",
    "short frames held": lambda c: c.oddities.short_frame == "hold",
    "mu-law session": lambda c: c.output == "pcmu",
    "A-law session": lambda c: c.output == "pcma",
    "PCM16 session": lambda c: c.output == "pcm24k",
    "settled by the fence": None,
    "settled low": None,
    "an item never heard": None,
    "an item heard in full": None,
}


@dataclass
class _Item:
    name: str
    response: str
    planned_ms: int
    sent_ms: int = 0
    complete: bool = False
    truncated_ms: int | None = None
    deleted: bool = False
    told: str | None = None  # of our own audio: the words of it that the model was told

    @property
    def is_own(self) -> bool:
        return not self.response

    @property
    def believed_ms(self) -> float:
        """What the model believes was heard."""
        if self.deleted:
            return 0
        return self.sent_ms if self.truncated_ms is None else self.truncated_ms

    @property
    def text(self) -> str:
        return words(self.planned_ms)


def answer_cases(answer: Answer) -> Iterator[str]:
    """The cases that an answer makes by itself."""
    items = len(answer.items_ms)
    yield "1 item" if items == 1 else f"{items} items"
    if answer.speed in _PACES:
        yield _PACES[answer.speed]
    if answer.delta_ms in (10, 2_000):
        yield "deltas of 10 ms" if answer.delta_ms == 10 else "deltas of 2 s"
    stalls = sum(after_ms < sum(answer.items_ms) for after_ms, _ in answer.stalls)
    if stalls:
        yield "one stall" if stalls == 1 else "several stalls"


_PACES = {1.0: "model at 1x", 8.0: "model at 8x", None: "model all at once"}


def words(ms: int) -> str:
    """What is said in `ms`: words of one length."""
    return " ".join(["four"] * max(1, ms // WORD_MS))


@dataclass
class _Response:
    id: str
    items: list[_Item]
    answer: Answer
    done: bool = False
    stops_ms: float | None = None  # cancelled: what would come later does not


class RandomCall:
    """A call under these conditions. `cases` names what happened in it."""

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions
        self.cases = {case for case, holds in CASES.items() if holds and holds(conditions)}
        detection = TurnDetection(conditions.detection, interrupt_response=conditions.interrupt_response)
        session = Session(turn_detection=detection)
        self.driver = CallDriver(
            CallPlan(session, carrier=conditions.traits),
            ModelReady(session, output_format=conditions.output),
            conditions.network,
            conditions.oddities,
            conditions.seed,
        )
        self.driver.listeners.append(self._told)
        self._items: dict[str, _Item] = {}
        self._responses: list[_Response] = []
        self._waiting: list[Answer] = []  # for the one before to be done
        self._refused: list[str] = []
        self._numbers = count(1)
        self._clears_ms: list[float] = []
        # Bytes of each level that the caller heard in so many frames.
        self._counts: Counter[int] = Counter()
        self._frames_counted = 0
        self._speech = 0  # counts the times the caller began to speak
        # What each clear must have silenced: the number of the clear, the levels of the items said before it.
        self._silenced: list[tuple[int, list[int]]] = []

    # ------------------------------------------------------------------------------ the model

    def answer(self, answer: Answer) -> None:
        """The model begins a response, or will once the one before is done."""
        if any(not response.done for response in self._responses):
            self._waiting.append(answer)
            self.cases.add("two responses queued")
            return
        number = next(self._numbers)
        items = [_Item(f"item_{number}_{n}", f"resp_{number}", length) for n, length in enumerate(answer.items_ms)]
        response = _Response(f"resp_{number}", items, answer)
        self._responses.append(response)
        self._items |= {item.name: item for item in items}
        self.cases |= set(answer_cases(answer))
        self._event(ResponseCreated(Response(response.id, "in_progress")))
        self._generate(response)

    def play(self, ms: int) -> None:
        """The call is asked to play audio of our own."""
        item = _Item(f"clip_{next(self._numbers)}", "", ms, sent_ms=ms, complete=True)
        self._items[item.name] = item
        self.cases.add("our own audio in the queue")
        audio = b64encode(bytes([self._level(item)]) * (ms * BYTES_PER_MS)).decode()
        self.driver.feed(PlayClip(item.text, audio, item.name))

    def _generate(self, response: _Response) -> None:
        """Schedule all that the response will bring."""
        answer, at_ms, said_ms = response.answer, 0.0, 0
        stalls = sorted(answer.stalls)
        for item in response.items:
            self._later(response, at_ms, partial(self._begin, response, item))
            begin = 0
            while begin < item.planned_ms:
                while stalls and stalls[0][0] <= said_ms:
                    at_ms += stalls.pop(0)[1]
                length = min(answer.delta_ms, item.planned_ms - begin)
                self._later(response, at_ms, partial(self._delta, item, length))
                begin, said_ms = begin + length, said_ms + length
                at_ms += length / answer.speed if answer.speed else 0
            self._later(response, at_ms, partial(self._complete, response, item))
        self._later(response, at_ms, partial(self._done, response))

    def _later(self, response: _Response, ms: float, happens: Callable[[], object]) -> None:
        def happen() -> None:
            if response.stops_ms is None or self.driver.local_ms <= response.stops_ms:
                happens()

        self.driver.later(ms, happen)

    def _begin(self, response: _Response, item: _Item) -> None:
        index = response.items.index(item)
        self._event(OutputItemAdded(response.id, index, Message("assistant", id=item.name, status="in_progress")))

    def _delta(self, item: _Item, length_ms: int) -> None:
        before = words(item.sent_ms) if item.sent_ms else ""
        item.sent_ms += length_ms
        text = words(item.sent_ms).removeprefix(before)
        self._event(SpokenTextDelta(item.response, item.name, 0, 0, text))
        self._event(AudioDelta(item.response, item.name, 0, 0, self._audio(item, length_ms)))

    def _audio(self, item: _Item, ms: int) -> str:
        ulaw = bytes([self._level(item)]) * (ms * BYTES_PER_MS)
        match self.conditions.output:
            case "pcma":
                return b64encode(ulaw_to_alaw(ulaw)).decode()
            case "pcm24k":
                samples = ulaw_to_pcm(ulaw)
                return b64encode(b"".join(samples[i : i + 2] * 3 for i in range(0, len(samples), 2))).decode()
            case _:
                return b64encode(ulaw).decode()

    def _level(self, item: _Item) -> int:
        return LEVELS[list(self._items).index(item.name)]

    def _complete(self, response: _Response, item: _Item, status: str = "completed") -> None:
        item.complete = status == "completed"
        index = response.items.index(item)
        text = item.text if item.complete else words(item.sent_ms)
        self._event(
            AudioDone(response.id, item.name, index, 0),
            SpokenTextDone(response.id, item.name, index, 0, text),
            OutputItemDone(response.id, index, Message("assistant", id=item.name, status=status)),  # type: ignore[arg-type]
        )

    def _done(self, response: _Response) -> None:
        response.done = True
        self._event(ResponseDone(Response(response.id, "completed")))
        if response.answer.followed:
            self.cases.add("a response follows at once")
            self.answer(Answer(response.answer.items_ms, response.answer.speed, response.answer.delta_ms))
        self._next()

    def _next(self) -> None:
        if self._waiting and all(response.done for response in self._responses):
            self.answer(self._waiting.pop(0))

    def _cancel(self, response: _Response, reason: Literal["turn_detected", "client_cancelled"]) -> None:
        """The response ends early; what is in the pipe still comes."""
        if response.done or response.stops_ms is not None:
            return
        late_ms = response.answer.late_ms
        response.stops_ms = self.driver.local_ms + late_ms
        self._waiting.clear()  # what the model was about to say it has to think about again
        if late_ms >= 400:
            self.cases.add("late deltas")

        def end() -> None:
            if response.done:
                return
            for item in response.items:
                if item.sent_ms and not item.complete:
                    self._complete(response, item, "incomplete")
            response.done = True
            self._event(ResponseDone(Response(response.id, "cancelled", reason=reason)))
            self._next()

        self.driver.later(late_ms, end)

    def _event(self, *events: Event) -> None:
        self.driver.feed(*events)

    # ------------------------------------------------------------------------------ what the model is told

    def _told(self, command: Command) -> None:
        self.driver.later(MODEL_MS, lambda: self._obey(command))

    def _obey(self, command: Command) -> None:
        match command:
            case TruncateItem(item_id, _, audio_end_ms):
                self._truncate(self._items.get(item_id), audio_end_ms)
            case DeleteItem(item_id):
                self._delete(self._items.get(item_id))
            case CancelResponse():
                for response in self._responses:
                    if response.id == command.response_id or command.response_id is None:
                        self._cancel(response, "client_cancelled")
            case CreateItem(Message("assistant", (Part(text=str(text)),), id=str(item_id)) as message):
                self._items[item_id].told = text
                self.driver.later(MODEL_MS, lambda: self._event(ItemAdded(message)))
            case CreateResponse():
                self.answer(Answer())

    def _truncate(self, item: _Item | None, audio_end_ms: int) -> None:
        if item is None or item.deleted or not item.sent_ms:
            self._refuse("Only model output audio messages can be truncated", "unsupported_content_type")
        elif audio_end_ms > item.sent_ms:
            said = f"Audio content of {item.sent_ms}ms is already shorter than {audio_end_ms}ms"
            self._refuse(said, "invalid_value")
        else:
            item.truncated_ms = audio_end_ms
            self.driver.later(MODEL_MS, lambda: self._event(ItemTruncated(item.name, 0, audio_end_ms)))

    def _delete(self, item: _Item | None) -> None:
        if item is None or item.deleted:
            self._refuse("Item with item_id not found", "item_delete_invalid_item_id")
        else:
            item.deleted = True
            self.driver.later(MODEL_MS, lambda: self._event(ItemDeleted(item.name)))

    def _refuse(self, message: str, code: str) -> None:
        self._refused.append(message)
        detail = ErrorDetail(message, type="invalid_request_error", code=code)
        self.driver.later(MODEL_MS, lambda: self._event(ErrorEvent(detail)))

    # ------------------------------------------------------------------------------ the caller

    def interrupt(self, moment: Moment, offset_ms: int = 0, speech_ms: int = 600) -> None:
        """The caller begins to speak at that moment, more or less by `offset_ms` where it says "in" or "at"."""
        self._await(moment, offset_ms)
        self.driver.hum(True)
        now_ms = self.driver.local_ms
        if any(now_ms - at_ms <= 50 for at_ms in self._clears_ms):
            self.cases.add("within 50 ms of a clear")
        if self._clears_ms:
            self.cases.add("interrupted again")
        if moment != "now":
            self.cases.add(moment)
        speech_item = f"caller_{next(self._numbers)}"
        clears = len(self.driver.did(ClearPlayback))
        self._event(SpeechStarted(0, speech_item))
        if len(self.driver.did(ClearPlayback)) > clears:
            self._clears_ms.append(now_ms)
            self._silenced.append((clears, [self._level(item) for item in self._items.values()]))
        for response in self._responses:
            if self.conditions.interrupt_response:
                self._cancel(response, "turn_detected")
        self._speech += 1
        speech = self._speech
        self.driver.later(speech_ms, lambda: self._stop_speaking(speech, speech_item))
        self.driver.later(speech_ms + 20, lambda: self._event(AudioCommitted(speech_item)))

    def _stop_speaking(self, speech: int, item: str) -> None:
        if speech == self._speech:  # else he went on, and the model has told of it again
            self.driver.hum(False)
        self._event(SpeechStopped(0, item))

    def _lead_up(self, ms: int) -> None:
        """Let `ms` pass, in the end of which the caller begins to speak: the model takes its time to notice."""
        network = self.conditions.network
        lead_ms = NOTICE_MS + int(network.uplink_delay_ms + network.uplink_jitter_ms)
        self.driver.run(max(ms - lead_ms, 0))
        self.driver.hum(True)
        self.driver.run(min(ms, lead_ms))

    def _await(self, moment: Moment, offset_ms: int) -> None:
        match moment:
            case "before the first audio" | "in the first frame":
                self._lead_up(0)  # he speaks already when the answer comes
                self._await_first(moment, offset_ms)
            case "at an item's end":
                self._until(lambda: self._audible_left_ms() is not None)
                left_ms = (self._audible_left_ms() or 0) - int(self.conditions.network.downlink_delay_ms)
                self._lead_up(max(1, left_ms + offset_ms % 60 - 30))
            case "in the tail":
                self._until(self._all_done)
                self._lead_up(1 + offset_ms)
            case "after everything":
                self._until(self._all_done)
                self._until(lambda: not self.driver.carrier.buffered_bytes and not self.driver.in_transit)
                self._lead_up(1_000)
            case "in mid-item":
                self._until(lambda: self._audible_left_ms() is not None)
                self._lead_up(1 + offset_ms)
            case "now":
                self.driver.run(1 + offset_ms % 50)

    def _await_first(self, moment: Moment, offset_ms: int) -> None:
        if moment == "before the first audio":
            self._until(lambda: any(item.sent_ms for item in self._items.values()))
        else:
            self._until(lambda: bool(self.driver.did(PlayAudio)))
            self.driver.run(1 + offset_ms % FRAME_MS)

    def _all_done(self) -> bool:
        return all(response.done for response in self._responses)

    def _until(self, happened: Callable[[], object]) -> None:
        for _ in range(6_000):
            if happened():
                return
            self.driver.run(5)

    def _audible_left_ms(self) -> int | None:
        """How much is left to play of the item that is heard now; None: none is, or it is not all there."""
        heard = self._heard_ms()
        for item in self._items.values():
            if 0 < heard[item.name] < item.sent_ms and item.complete:
                return int(item.sent_ms - heard[item.name])
        return None

    # ------------------------------------------------------------------------------ the books

    def _heard_ms(self) -> dict[str, float]:
        """Of each item, as the carrier knows."""
        frames = self.driver.carrier.frames
        for frame in frames[self._frames_counted :]:
            self._counts.update(frame.audio)
        self._frames_counted = len(frames)
        return {
            item.name: self._counts[level] / BYTES_PER_MS
            for item, level in zip(self._items.values(), LEVELS, strict=False)
        }

    def finish(self) -> None:
        """Let everything come to rest, then compare what the model believes with what was heard."""
        self._waiting.clear()
        responses = 0
        while responses < len(self._responses):  # the call may ask for one more, where an answer failed to come
            responses = len(self._responses)
            self._until(lambda: all(response.done for response in self._responses))
            self._until(lambda: not self.driver.carrier.buffered_bytes)
            self.driver.run(QUIET_MS)
        assert not self.driver.carrier.violations, self.driver.carrier.violations
        assert not self._refused, self._refused
        heard = self._heard_ms()
        settled = {cut.item_id: cut for cut in self.driver.did(Cut) if isinstance(cut, Cut)}
        for item in self._items.values():
            self._check(item, heard[item.name], settled.get(item.name))
        self._check_lines(heard, settled)
        self._check_ghosts()

    def _check(self, item: _Item, heard_ms: float, cut: Cut | None) -> None:
        if not item.sent_ms:
            return
        error_ms = (self._claimed_ms(item, cut) if item.is_own else item.believed_ms) - heard_ms
        exact = cut is None or cut.settled in ("fence", "at_once")
        self.cases.add("settled by the fence" if exact else "settled low")
        if not heard_ms:
            self.cases.add("an item never heard")
        low_ms, high_ms = self.conditions.bounds_ms(exact, self._frames_before(cut))
        if cut is None:  # believed heard in full: perhaps by an estimate
            high_ms = max(high_ms, self.conditions.bounds_ms(False)[1])
        edge_ms = self.conditions.edge_ms
        assert low_ms - edge_ms <= error_ms <= high_ms + edge_ms, (error_ms, item, heard_ms, cut)
        if item.complete and heard_ms >= item.sent_ms - edge_ms:
            self.cases.add("an item heard in full")

    def _frames_before(self, cut: Cut | None) -> int:
        """How many frames of the caller had come when it was settled what was heard."""
        settled_ms = next((now for now, action in self.driver.log if action is cut), self.driver.now)
        return sum(isinstance(each, Media) for now, each, _ in self.driver.happened if now <= settled_ms)

    def _claimed_ms(self, item: _Item, cut: Cut | None) -> float:
        """How much of our own audio was heard, by what the call says; the model was told the same, in words."""
        lines = [
            line.text for line in self.driver.did(Line) if isinstance(line, Line) and line.item_id == item.name
        ]
        assert [item.told] == lines or (item.told is None and lines in ([], [""])), (item, lines)
        if cut is not None:
            return cut.heard_ms
        return item.sent_ms if item.told else 0

    def _check_lines(self, heard: dict[str, float], settled: dict[str, Cut]) -> None:
        """The text of a cut item ends where the caller stopped hearing it, if its whole length was known then."""
        for line in self.driver.did(Line):
            assert isinstance(line, Line)
            if line.role != "bot" or not line.cut:
                continue
            item = self._items[line.item_id]
            if settled[item.name].received_ms < item.planned_ms:
                continue
            cut = settled[item.name]
            exact = cut.settled in ("fence", "at_once")
            low_ms, high_ms = self.conditions.bounds_ms(exact, self._frames_before(cut))
            share = heard[item.name] / item.planned_ms * len(item.text)
            assert len(line.text) <= share + 1 + max(high_ms, FRAME_MS) / WORD_MS * 5, (line, share)
            assert len(line.text) >= share - 6 + low_ms / WORD_MS * 5, (line, share)

    def _check_ghosts(self) -> None:
        """Nothing that was said before an interruption is heard after its clear."""
        frames = self.driver.carrier.frames
        for clear, levels in self._silenced:
            cleared_ms = self.driver.carrier.clears[clear].at_ms
            ghosts = sum(
                sum(frame.audio.count(level) for level in levels) for frame in frames if frame.at_ms > cleared_ms
            )
            assert ghosts <= self.conditions.edge_ms * BYTES_PER_MS, (
                f"{ghosts / BYTES_PER_MS} ms were heard after clear {clear}"
            )
