"""
Holds the clock of a call in tests: a Call, the network and the emulated carrier in virtual time.

    driver = CallDriver()
    driver.say("item_1", 2000)              # the model sends two seconds of audio in one delta
    driver.run(700)                         # 700 ms pass: frames, marks and ticks come and go
    assert driver.feed(SpeechStarted(700)) == [ClearPlayback(), ...]

The caller is silent until he is given something to say (`speak`) or a key to press (`press`).

Each item's audio is made of one byte of its own, so that the carrier's record of what was played tells how much of
each item the caller heard: `heard_ms`.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from math import ceil
from pathlib import Path
from random import Random

from phonebot.audio import wav
from phonebot.audio.g711 import pcm_to_ulaw
from phonebot.call.actions import Action, ClearPlayback, CloseStream, PlayAudio, SendMark, Tell
from phonebot.call.call import Call
from phonebot.call.clock import MediaClock
from phonebot.call.inputs import Input, ModelReady, Tick
from phonebot.call.plan import CallPlan
from phonebot.carrier.messages import Media, Start, StreamReader, StreamWriter
from phonebot.realtime.events import (
    AppendAudio,
    AudioDelta,
    AudioDone,
    Command,
    DeleteItem,
    Event,
    ItemTruncated,
    Message,
    OutputItemAdded,
    OutputItemDone,
    Response,
    ResponseCreated,
    ResponseDone,
    Session,
    SpokenTextDelta,
    SpokenTextDone,
    TruncateItem,
    TurnDetection,
)
from phonebot.simulator.carrier import FRAME_BYTES, FRAME_MS, SILENCE, Carrier, Oddities
from phonebot.simulator.network import Link, Network

PLAN = CallPlan(Session(turn_detection=TurnDetection("server_vad")))
BYTES_PER_MS = 8
DELTA_MS = 400
NOISE = b"\x55" * FRAME_BYTES
FIXTURES = Path(__file__).parent.parent / "fixtures"


def recorded(name: str) -> bytes:
    """A fixture's audio as mu-law."""
    return pcm_to_ulaw(wav.read(FIXTURES / f"{name}.wav").data)


class CallDriver:
    """
    A call that has been answered: the stream started 400 ms before the model was ready, which is 100 ms ago.

    Not `model_ready`: it is not yet, 400 ms after the stream's start.

    `log` holds every action with its call time, except the caller's audio on its way to the model: that is counted.
    """

    def __init__(
        self,
        plan: CallPlan = PLAN,
        ready: ModelReady | None = None,
        network: Network | None = None,
        oddities: Oddities | None = None,
        seed: int = 0,
        *,
        model_ready: bool = True,
    ) -> None:
        network, rng = network or Network(), Random(seed)
        self.call = Call(plan)
        self.carrier = Carrier(oddities, rng)
        self.log: list[tuple[int, Action]] = []
        self.caller_audio: list[str] = []
        # Every input with its call time and what came of it: enough to write the call's log.
        self.happened: list[tuple[int, Input, list[Action]]] = []
        self.local_ms = 0
        self.closed: CloseStream | None = None
        self._clock = MediaClock(0)
        self._to_us: Link[str] = Link(network.uplink_delay_ms, network.uplink_jitter_ms, rng)
        self._to_carrier: Link[str] = Link(network.downlink_delay_ms, network.downlink_jitter_ms, rng)
        self._reader = StreamReader()
        self._writer = StreamWriter("MZ" + "3" * 32)
        self._stream_offset_ms = self.carrier.oddities.first_timestamp_ms - FRAME_MS
        self._caller_says = b""
        # What the caller says when he has nothing else to: SILENCE, or a noise that is none.
        self._caller_hums = SILENCE
        # When the carrier's next frame begins, by its clock and by ours.
        self._tick_ms = self.carrier.oddities.first_timestamp_ms
        self._tick_local_ms = self._local_of(self._tick_ms)
        # What is to happen later: when, a number that keeps the order, what.
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []
        self._noted = 0
        # Is told each command, when the model gets it is its own affair.
        self.listeners: list[Callable[[Command], object]] = []
        self._items: list[str] = []
        self._responses: dict[str, list[str]] = {}
        self._send_up(
            self.carrier.start(stream_sid="MZ" + "3" * 32, account_sid="AC" + "2" * 32, call_sid="CA" + "1" * 32)
        )
        self.run(400)
        if model_ready:
            self.feed(ready or ModelReady(Session()))
            self.run(100)

    # ------------------------------------------------------------------------------ time

    @property
    def now(self) -> int:
        """Call time."""
        return self._clock.now(self.local_ms)

    def run(self, ms: int) -> list[Action]:
        """Let `ms` pass. Returns what the call did meanwhile."""
        first, end_ms = len(self.log), self.local_ms + ms
        while self.local_ms < end_ms:
            self.local_ms = min(self._next_ms(), end_ms)
            self._carry()
            for message in self._to_us.due(self.local_ms):
                self.feed(self._reader.receive(message))
            while self._agenda and self._agenda[0][0] <= self.local_ms:
                heappop(self._agenda)[2]()
            if self.call.wakeup_ms is not None and self.now >= self.call.wakeup_ms:
                self.feed(Tick())
        return [action for _, action in self.log[first:]]

    def freeze(self, ms: int) -> None:
        """Our process stands still: the carrier and the network go on, and what arrives waits."""
        end_ms = self.local_ms + ms
        while self.local_ms < end_ms:
            self.local_ms += 1
            self._carry()

    def hold_network(self, ms: int) -> None:
        """From now on nothing gets through for `ms`, either way."""
        for link in (self._to_us, self._to_carrier):
            link.stand_still(self.local_ms + ms)

    @property
    def in_transit(self) -> bool:
        """Something is on its way to the carrier."""
        return len(self._to_carrier) > 0

    def later(self, ms: float, happens: Callable[[], object]) -> None:
        """Something happens `ms` from now, while `run` passes the time."""
        self._noted += 1
        heappush(self._agenda, (self.local_ms + ms, self._noted, happens))

    def _carry(self) -> None:
        """What the carrier does in this ms: a frame that began before a message came begins first."""
        arrives_ms = self._to_carrier.next_due()
        if arrives_ms is not None and self._tick_local_ms < arrives_ms:
            self._tick()
        for message in self._to_carrier.due(self.local_ms):
            self._send_up(self.carrier.receive(message, self._stream_ms))
        self._tick()

    def _tick(self) -> None:
        """The carrier's next frame begins, if it is time."""
        if self.local_ms >= self._tick_local_ms:
            self._send_up(self.carrier.tick(self._tick_ms, self._next_frame()))
            self._tick_ms += FRAME_MS
            self._tick_local_ms = self._local_of(self._tick_ms)

    def _local_of(self, stream_ms: float) -> float:
        return (stream_ms - self._stream_offset_ms) / (1 + self.carrier.oddities.drift_ppm / 1e6)

    def _next_ms(self) -> int:
        """The next whole ms at which something may happen."""
        due = [ceil(self._tick_local_ms)]
        due += [ceil(at_ms) for at_ms, _, _ in self._agenda[:1]]
        due += [
            ceil(link_ms) for link in (self._to_us, self._to_carrier) if (link_ms := link.next_due()) is not None
        ]
        if self.call.wakeup_ms is not None:
            due.append(self.local_ms + self.call.wakeup_ms - self.now)
        return max(min(due), self.local_ms + 1)

    def feed(self, *received: Input) -> list[Action]:
        """These happen now. Returns what the call does about them."""
        actions: list[Action] = []
        for one in received:
            if isinstance(one, Start):
                self._clock = MediaClock(self.local_ms)  # as the shell does
            if isinstance(one, Media):
                self._clock.arrive(self.local_ms, one.timestamp_ms)
            done = self.call.receive(one, self.now)
            self.happened.append((self.now, one, done))
            actions += self._perform(done)
        return actions

    def speak(self, audio: bytes) -> None:
        """From now on the caller says this, mu-law, frame by frame, as time passes."""
        self._caller_says += audio

    def hum(self, humming: bool) -> None:
        """From now on the caller makes a noise, or is silent again."""
        self._caller_hums = NOISE if humming else SILENCE

    def press(self, digit: str) -> list[Action]:
        """The caller presses a key. Returns what the call did within the next 100 ms."""
        self._send_up(self.carrier.dtmf(digit))
        return self.run(100)

    def _next_frame(self) -> bytes:
        frame, self._caller_says = self._caller_says[:FRAME_BYTES], self._caller_says[FRAME_BYTES:]
        return frame.ljust(FRAME_BYTES, self._caller_hums[:1])

    @property
    def _stream_ms(self) -> float:
        """The carrier's clock."""
        return self.local_ms * (1 + self.carrier.oddities.drift_ppm / 1e6) + self._stream_offset_ms

    def _send_up(self, messages: Iterable[str]) -> None:
        for message in messages:
            self._to_us.send(self.local_ms, message)

    def _perform(self, actions: list[Action]) -> list[Action]:
        shown: list[Action] = []
        for action in actions:
            match action:
                case Tell(AppendAudio(audio)):
                    self.caller_audio.append(audio)
                    continue
                case PlayAudio(payload):
                    self._to_carrier.send(self.local_ms, self._writer.media(payload))
                case SendMark(name):
                    self._to_carrier.send(self.local_ms, self._writer.mark(name))
                case ClearPlayback():
                    self._to_carrier.send(self.local_ms, self._writer.clear())
                case CloseStream():
                    self.closed = action
                case Tell(command):
                    for listener in self.listeners:
                        listener(command)
            shown.append(action)
        self.log += [(self.now, action) for action in shown]
        return shown

    # ------------------------------------------------------------------------------ the model

    def say(
        self, item_id: str, ms: int, response_id: str = "resp_1", text: str = "", delta_ms: int = DELTA_MS
    ) -> list[Action]:
        """The model sends an item's audio all at once, and its text, and ends the response."""
        actions = self.begin(item_id, response_id)
        for begin in range(0, ms, delta_ms):
            actions += self.more(item_id, min(delta_ms, ms - begin), response_id)
        actions += self.end(item_id, response_id, text)
        return actions + self.done(response_id)

    def begin(self, item_id: str, response_id: str = "resp_1") -> list[Action]:
        """The model begins an item, and its response if that is new."""
        events: list[Event] = []
        if response_id not in self._responses:
            events.append(ResponseCreated(Response(response_id, "in_progress")))
        self._responses.setdefault(response_id, []).append(item_id)
        message = Message("assistant", id=item_id, status="in_progress")
        return self.feed(*events, OutputItemAdded(response_id, len(self._responses[response_id]) - 1, message))

    def more(self, item_id: str, ms: int, response_id: str = "resp_1") -> list[Action]:
        """A delta of `ms` of an item's audio."""
        audio = b64encode(self._byte(item_id) * (ms * BYTES_PER_MS)).decode()
        return self.feed(AudioDelta(response_id, item_id, 0, 0, audio))

    def end(self, item_id: str, response_id: str = "resp_1", text: str = "") -> list[Action]:
        """The model has said all of an item."""
        return self.feed(
            SpokenTextDelta(response_id, item_id, 0, 0, text),
            AudioDone(response_id, item_id, 0, 0),
            SpokenTextDone(response_id, item_id, 0, 0, text),
            OutputItemDone(response_id, 0, Message("assistant", id=item_id, status="completed")),
        )

    def done(self, response_id: str = "resp_1") -> list[Action]:
        return self.feed(ResponseDone(Response(response_id, "completed")))

    def cancelled(self, response_id: str = "resp_1") -> list[Action]:
        """The model heard the caller and has stopped."""
        return self.feed(ResponseDone(Response(response_id, "cancelled", reason="turn_detected")))

    # ------------------------------------------------------------------------------ what is known

    def heard_ms(self, item_id: str) -> float:
        """How much of an item the caller heard, as the carrier knows."""
        byte = self._byte(item_id)[0]
        return sum(frame.audio.count(byte) for frame in self.carrier.frames) / BYTES_PER_MS

    def told(self, *kinds: type) -> list[Command]:
        """The commands of these kinds that the model was told, in order."""
        commands = [action.command for _, action in self.log if isinstance(action, Tell)]
        return [command for command in commands if isinstance(command, kinds)]

    def believed_ms(self, **lengths_ms: int) -> dict[str, int]:
        """What the model believes was heard of each item, given their lengths."""
        believed = dict(lengths_ms)
        for _, action in self.log:
            match action:
                case Tell(TruncateItem(item_id, _, audio_end_ms)):
                    believed[item_id] = audio_end_ms
                case Tell(DeleteItem(item_id)):
                    believed[item_id] = 0
        return believed

    def did(self, *kinds: type) -> list[Action]:
        """The actions of these kinds, in order."""
        return [action for _, action in self.log if isinstance(action, kinds)]

    def truncated(self, item_id: str, heard_ms: int) -> list[Action]:
        """The model confirms a truncation."""
        return self.feed(ItemTruncated(item_id, 0, heard_ms))

    def _byte(self, item_id: str) -> bytes:
        if item_id not in self._items:
            self._items.append(item_id)
        return bytes([1 + self._items.index(item_id)])
