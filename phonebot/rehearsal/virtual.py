"""
A whole call in virtual time: a caller, the emulated carrier, the core and the embedded model's session.

    call = VirtualCall(plan, caller, VirtualModel(mind))
    call.run_until(lambda: call.ended, within_ms=60_000)
    call.steps                          # all that happened, and what the core did about it

Nothing waits and nothing is random: the same call gives the same steps. What stands between the core and the two
sockets in the service (bridge.py) is played here in a few lines.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from random import Random

from phonebot.call.actions import (
    Action,
    Check,
    ClearPlayback,
    CloseModel,
    CloseStream,
    OpenModel,
    PlayAudio,
    RunTool,
    SendMark,
    StopTool,
    Tell,
)
from phonebot.call.call import Call
from phonebot.call.clock import MediaClock
from phonebot.call.inputs import Checked, Input, ModelLost, Tick, ToolResult
from phonebot.call.plan import CallPlan
from phonebot.carrier.messages import Connected, Media, Start, StreamReader, StreamWriter
from phonebot.realtime.events import Command
from phonebot.rehearsal.virtual_model import VirtualModel
from phonebot.replay.reader import Step
from phonebot.simulator.caller import Caller, Event
from phonebot.simulator.carrier import FRAME_MS, Carrier, Oddities
from phonebot.simulator.network import Link, Network

STREAM_SID = "MZ" + "3" * 32
ACCOUNT_SID = "AC" + "2" * 32
CALL_SID = "CA" + "1" * 32


RunFunction = Callable[[RunTool], tuple[float, ToolResult]]
"""Runs a function that the model calls: how many ms it is said to take, and what comes of it."""

Look = Callable[[Check], Sequence[Checked]]
"""Looks at something for guardrails, which is said to take no time: what comes of it."""


class VirtualCall:
    """
    One call, from its start message to its end.

    `steps` are the core's inputs with their call times and all that came of them; `carrier` knows what was heard.
    `heard` and `said` are mu-law, a frame of each per tick of the carrier: byte n was heard, and said, at n / 8 +
    `Oddities.first_timestamp_ms` - 20 ms on the carrier's clock.
    """

    def __init__(
        self,
        plan: CallPlan,
        caller: Caller,
        model: VirtualModel,
        *,
        network: Network | None = None,
        oddities: Oddities | None = None,
        seed: int = 0,
        on_event: Callable[[Event], object] = lambda event: None,
        run_function: RunFunction | None = None,
        look: Look | None = None,
        further: Iterable[VirtualModel] = (),
    ) -> None:
        """`further` are the sessions that follow that of `model`, should the call need them."""
        network, rng = network or Network(), Random(seed)  # noqa: S311 - jitter, no secret
        self.steps: list[Step] = []
        self.plan = plan
        self._on_event = on_event  # is told what the caller does
        self.carrier = Carrier(oddities, rng)
        self.caller = caller
        self.said, self.heard = bytearray(), bytearray()
        self.over = False  # the stream has ended, whoever ended it
        self._call = Call(plan)
        self._model: VirtualModel | None = None  # None: not asked for, or closed
        self._models = iter((model, *further))
        self._run_function = run_function  # None: the plan has no functions
        self._look = look  # None: the plan has no guardrails
        # What came of that, and what was typed into the call: the core does not know of it yet.
        self._beside: deque[Input] = deque()
        # By call id, the results of functions that run, and when they are there by our own clock.
        self._results: dict[str, tuple[float, ToolResult]] = {}
        self._now_ms = 0.0  # our own clock; the stream's runs beside it
        self._clock = MediaClock(0)
        self._up: Link[str] = Link(network.uplink_delay_ms, network.uplink_jitter_ms, rng)
        self._down: Link[str | CloseStream] = Link(network.downlink_delay_ms, network.downlink_jitter_ms, rng)
        self._reader, self._writer = StreamReader(), StreamWriter(STREAM_SID)
        self._tick_ms = float(self.carrier.oddities.first_timestamp_ms)  # by the carrier's clock
        self._offset_ms = self._tick_ms - FRAME_MS
        self._send_up(self.carrier.start(stream_sid=STREAM_SID, account_sid=ACCOUNT_SID, call_sid=CALL_SID))

    @property
    def now_ms(self) -> int:
        """Call time."""
        return self._clock.now(self._now_ms)

    def happens(self, received: Input) -> None:
        """Something besides the sockets, such as a text that is typed, or their end: the call is told of it now."""
        self._beside.append(received)

    @property
    def ended(self) -> bool:
        """Whether nothing more comes: the stream is over, and the core knows."""
        return self.over and self._call.ended

    def run_until(self, is_so: Callable[[], bool], within_ms: float) -> bool:
        """Let time pass until it is so, at most so long; whether it is."""
        end_ms = self._now_ms + within_ms
        while not is_so():
            if self.ended:
                return False
            next_ms = self._next_ms()
            if next_ms > end_ms:
                self._now_ms = end_ms
                return False
            self._now_ms = max(self._now_ms, next_ms)
            self._advance()
        return True

    # ------------------------------------------------------------------------------ time

    def _next_ms(self) -> float:
        due = [self._up.next_due(), self._down.next_due(), None if self.over else self._local(self._tick_ms)]
        if self._model:
            due.append(self._model.next_ms())
        due += [due_ms for due_ms, _ in self._results.values()]
        due += [self._now_ms] if self._beside else []
        if self._call.wakeup_ms is not None:
            due.append(self._now_ms + max(self._call.wakeup_ms - self.now_ms, 0))
        return min((each for each in due if each is not None), default=math.inf)

    def _advance(self) -> None:
        """Let happen what is due at this moment."""
        for message in self._down.due(self._now_ms):
            self._arrive_at_carrier(message)
        if not self.over and self._local(self._tick_ms) <= self._now_ms:
            self._tick()
        for text in self._up.due(self._now_ms):
            self._feed(self._reader.receive(text))
        if self._model:
            for received in self._model.due(self._now_ms):
                self._feed(received)
        for call_id, (due_ms, result) in list(self._results.items()):
            if due_ms <= self._now_ms and call_id in self._results:
                del self._results[call_id]
                self._feed(result)
        while self._beside:
            self._feed(self._beside.popleft())
        wakeup_ms = self._call.wakeup_ms
        if wakeup_ms is not None and self.now_ms >= wakeup_ms:
            self._feed(Tick())

    def _local(self, stream_ms: float) -> float:
        return (stream_ms - self._offset_ms) / (1 + self.carrier.oddities.drift_ppm / 1e6)

    @property
    def _stream_ms(self) -> float:
        return self._now_ms * (1 + self.carrier.oddities.drift_ppm / 1e6) + self._offset_ms

    # ------------------------------------------------------------------------------ the carrier's side

    def _tick(self) -> None:
        """The frame that ends now was heard, and in the same 20 ms the caller said his."""
        heard = self.carrier.hearing
        said = self.caller.hear(heard)
        self.heard += heard
        self.said += said.audio
        for event in said.events:
            self._on_event(event)
        if said.key:
            self._send_up(self.carrier.dtmf(said.key))
        self._send_up(self.carrier.tick(self._tick_ms, said.audio))
        self._tick_ms += FRAME_MS
        if said.hangs_up:
            self.over = True
            self._send_up(self.carrier.stop())

    def _arrive_at_carrier(self, message: str | CloseStream) -> None:
        if isinstance(message, CloseStream):
            self.over = True
            self.caller.call_ended()
        else:
            self._send_up(self.carrier.receive(message, self._stream_ms))

    def _send_up(self, messages: Sequence[str]) -> None:
        for message in messages:
            self._up.send(self._now_ms, message)

    # ------------------------------------------------------------------------------ the service's side

    def _feed(self, received: Input) -> None:
        if self._call.ended or isinstance(received, Connected):
            return  # the latter is read at the stream's door
        if isinstance(received, Start):
            self._clock = MediaClock(self._now_ms)
        if isinstance(received, Media):
            self._clock.arrive(self._now_ms, received.timestamp_ms)
        if isinstance(received, ModelLost):
            self._model = None
        now = self.now_ms
        actions = self._call.receive(received, now)
        self.steps.append(Step(now, received, tuple(actions)))
        for action in actions:
            self._perform(action)

    def _perform(self, action: Action) -> None:
        match action:
            case Tell(command):
                self._tell(command)
            case PlayAudio(payload):
                self._down.send(self._now_ms, self._writer.media(payload))
            case SendMark(name):
                self._down.send(self._now_ms, self._writer.mark(name))
            case ClearPlayback():
                self._down.send(self._now_ms, self._writer.clear())
            case CloseStream():
                self._down.send(self._now_ms, action)
            case OpenModel(session):
                self._model = next(self._models)
                self._model.open(session, self._now_ms)
            case CloseModel():
                self._model = None
            case RunTool() | StopTool():
                self._use_function(action)
            case Check():
                assert self._look is not None, "a plan with guardrails comes with who looks"
                self._beside += self._look(action)

    def _tell(self, command: Command) -> None:
        if self._model:
            self._model.tell(command, self._now_ms)

    def _use_function(self, action: RunTool | StopTool) -> None:
        if isinstance(action, StopTool):
            self._results.pop(action.call_id, None)
            return
        assert self._run_function is not None, "a plan with functions comes with what runs them"
        takes_ms, result = self._run_function(action)
        self._results[action.call_id] = (self._now_ms + takes_ms, result)
