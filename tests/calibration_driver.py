"""A measuring call in virtual time: a Measurement, the network, the emulated carrier and its caller."""

from collections.abc import Callable, Iterable
from random import Random

from phonebot.calibration.figures import Figures
from phonebot.calibration.measurement import Measurement
from phonebot.call.actions import Action, ClearPlayback, PlayAudio, SendMark
from phonebot.carrier.messages import StreamReader, StreamWriter
from phonebot.simulator.caller import Caller, Pause, SayBack
from phonebot.simulator.carrier import FRAME_MS, Carrier, Oddities, StreamClock
from phonebot.simulator.network import Link, Network

LONGEST_MS = 600_000
STREAM_SID = "MZ" + "3" * 32


class MeasuringCall:
    """
    One measuring call. `zero_ms` is our clock's time at its start: it decides how our ms lie among the carrier's.

    `loop_ms` None: the far end is silent. `far_end` is asked what it says, given what it would say by itself.
    """

    def __init__(
        self,
        oddities: Oddities | None = None,
        network: Network | None = None,
        loop_ms: int | None = 60,
        repeats: int = 8,
        zero_ms: float = 12_345.6,
        far_end: Callable[[bytes], bytes] = bytes,
        seed: int = 0,
    ) -> None:
        network, rng = network or Network(), Random(seed)
        self.carrier = Carrier(oddities, rng)
        self.local_ms = zero_ms
        self.clears_seen = 0
        self._measurement = Measurement(zero_ms, repeats)
        self._caller = Caller(Pause(LONGEST_MS) if loop_ms is None else SayBack(loop_ms))
        self._far_end = far_end
        self._clock = StreamClock.starting(zero_ms / 1000, self.carrier.oddities)
        self._tick_ms = float(self.carrier.oddities.first_timestamp_ms)
        self._to_us: Link[str] = Link(network.uplink_delay_ms, network.uplink_jitter_ms, rng)
        self._to_carrier: Link[str] = Link(network.downlink_delay_ms, network.downlink_jitter_ms, rng)
        self._reader, self._writer = StreamReader(), StreamWriter(STREAM_SID)
        self._send_up(self.carrier.start(stream_sid=STREAM_SID, account_sid="AC" + "2" * 32, call_sid="CA1"))

    def run(self) -> Figures:
        """Let it go on until it has measured everything."""
        end_ms = self.local_ms + LONGEST_MS
        while self._measurement.figures is None:
            self.local_ms = max(self._next_ms(), self.local_ms)
            assert self.local_ms < end_ms, "it goes on for ever"
            for message in self._to_carrier.due(self.local_ms):
                self._send_up(self.carrier.receive(message, self._stream_ms))
            if self.local_ms >= self._tick_local_ms:
                said = self._far_end(self._caller.hear(self.carrier.hearing).audio)
                self._send_up(self.carrier.tick(self._tick_ms, said))
                self._tick_ms += FRAME_MS
            for text in self._to_us.due(self.local_ms):
                self._perform(self._measurement.receive(self._reader.receive(text), self.local_ms))
            if self.local_ms >= self._measurement.wakeup_ms:
                self._perform(self._measurement.tick(self.local_ms))
        return self._measurement.figures

    @property
    def _stream_ms(self) -> float:
        return self._clock.stream_ms(self.local_ms / 1000)

    @property
    def _tick_local_ms(self) -> float:
        return self._clock.local_s(self._tick_ms) * 1000

    def _next_ms(self) -> float:
        due_ms = [self._to_us.next_due(), self._to_carrier.next_due()]
        return min(self._tick_local_ms, self._measurement.wakeup_ms, *(ms for ms in due_ms if ms is not None))

    def _send_up(self, messages: Iterable[str]) -> None:
        for message in messages:
            self._to_us.send(self.local_ms, message)

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case PlayAudio(payload):
                    self._to_carrier.send(self.local_ms, self._writer.media(payload))
                case SendMark(name):
                    self._to_carrier.send(self.local_ms, self._writer.mark(name))
                case ClearPlayback():
                    self._to_carrier.send(self.local_ms, self._writer.clear())
