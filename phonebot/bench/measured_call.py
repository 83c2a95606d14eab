"""
One call of the accuracy benchmark, seen from all its sides at once.

It directs the scripted model (`Director`), taps the carrier's socket (`Tap`), and in the end compares what the
carrier played with what the model believes.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence

import msgspec

from phonebot.bench.accuracy_report import ItemHeard, Row
from phonebot.bench.events import Json
from phonebot.bench.listener import Listener
from phonebot.bench.naive import NaiveBot
from phonebot.bench.scenario import MODEL_DELAY_MS, Scenario
from phonebot.bench.scripted import Play
from phonebot.bench.subject import RunningServer
from phonebot.bench.tones import sounding_ms
from phonebot.simulator.carrier import Carrier, PlayedFrame
from phonebot.simulator.phone import dial

VAD_MS = 60  # what a model's ear needs to notice speech
AFTER_S = 0.7  # so long a call goes on after its last step: what is still to be told is told
MAX_CALL_S = 90.0


class _Media(msgspec.Struct):
    timestamp: int


class _Message(msgspec.Struct):
    event: str
    media: _Media | None = None


_TO_SERVICE = msgspec.json.Decoder(_Message, strict=False)  # the timestamp is a string


class _Event(msgspec.Struct):
    event: str


_TO_CARRIER = msgspec.json.Decoder(_Event)  # media have no timestamp


class MeasuredCall:
    """
    A call from `number`, by which the model knows it. `play` is the model's part of it.

    `seed` decides the network's jitter and what befalls the marks.
    """

    def __init__(self, scenario: Scenario, number: str, seed: int) -> None:
        self.number = number
        self.play = Play(scenario.steps, self, scenario.format, MODEL_DELAY_MS)
        self._scenario, self._seed = scenario, seed
        self._listener = Listener()
        self._naive = NaiveBot()
        self._naive_saw_all = True  # False: at an interruption the service was blind
        self._server: RunningServer | None = None  # once the call is held
        self._frozen = False
        self._spoke_s: float | None = None  # when the model's last word of speech was written; None: it was cleared
        self._begun = 0  # items, at that time
        self._clears: list[tuple[float, int]] = []  # how long each took, and the items begun before it
        self._problems: list[str] = []

    async def hold(self, server: RunningServer, after_s: float) -> Row:
        """Hold the call, to begin in `after_s`. A service that fails makes a row that says so."""
        self._server = server
        await asyncio.sleep(after_s)
        record = await dial(
            f"{server.url}/twilio/voice",
            self._listener,
            from_number=self.number,
            network=self._scenario.network,
            oddities=self._scenario.oddities,
            seed=self._seed,
            max_call_s=MAX_CALL_S,
            tap=self,
        )
        if record.outcome != "caller hung up":
            self._problems.append(f"the call ended: {record.outcome}, {record.reason}")
        self._problems += [str(violation) for violation in record.violations]
        return self._row(record.streams[0].carrier if record.streams else Carrier())

    def _row(self, carrier: Carrier) -> Row:
        belief = self.play.belief
        generated_ms, said_ms = belief.generated_ms, belief.said_ms
        heard_ms = sounding_ms((frame.audio for frame in carrier.frames), len(belief))
        naive_ms = self._naive.said_ms(generated_ms)
        items = (
            ItemHeard(generated, heard, said_ms[item_id], naive_ms[item_id] if self._naive_saw_all else None)
            for (item_id, generated), heard in zip(generated_ms.items(), heard_ms, strict=True)
        )
        return Row.of(
            self._scenario,
            items,
            ghost_ms=ghost_ms(
                carrier.frames,
                # A clear still under way when the caller hung up had no effect.
                [(clear.at_ms, begun) for clear, (_, begun) in zip(carrier.clears, self._clears, strict=False)],
            ),
            refusals=belief.refusals,
            clears_ms=(ms for ms, _ in self._clears),
            told=belief.told,
            faults=self._problems,
        )

    # ------------------------------------------------------------------------------ directing the model

    async def until_heard(self, item: int, ms: float) -> None:
        await self._listener.until_heard(item, ms)

    async def speak(self, ms: int) -> None:
        self._listener.speak(ms)
        network = self._scenario.network
        travels_ms = network.uplink_delay_ms + network.uplink_jitter_ms + MODEL_DELAY_MS
        await asyncio.sleep((travels_ms + VAD_MS) / 1000)

    async def freeze(self, ms: int) -> None:
        assert self._server is not None, "a model speaks in a call that is held"
        self._frozen = True
        await self._server.freeze(ms)
        self._frozen = False

    def wrote(self, event: Json) -> None:
        match event["type"]:
            case "response.output_audio.delta":
                self._naive.receive_delta(event["item_id"])
            case "input_audio_buffer.speech_started":
                self._spoke_s, self._begun = time.monotonic(), len(self.play.belief)
                self._naive_saw_all = self._naive_saw_all and not self._frozen
                self._naive.interrupt()

    def finished(self, problem: str | None) -> None:
        if problem:
            self._problems.append(problem)
        asyncio.get_running_loop().call_later(AFTER_S, self._listener.hang_up)

    # ------------------------------------------------------------------------------ the carrier's socket

    def sent(self, message: str) -> None:
        match _TO_SERVICE.decode(message):
            case _Message("media", _Media(timestamp_ms)):
                self._naive.receive_media(timestamp_ms)
            case _Message("mark"):
                self._naive.receive_mark()

    def received(self, message: str | bytes) -> None:
        match _TO_CARRIER.decode(message).event:
            case "mark":
                self._naive.send_mark()
            case "clear":
                now_s = time.monotonic()
                self._clears.append(((now_s - (self._spoke_s or now_s)) * 1000, self._begun))
                self._spoke_s = None


def ghost_ms(frames: Iterable[PlayedFrame], clears: Sequence[tuple[float, int]]) -> float:
    """
    How much was played of audio that a clear should have silenced.

    `clears`: when each took effect, and how many items had begun by then; the frame in flight at that time still
    counts as heard.
    """
    ghosts_ms = 0.0
    for frame in frames:
        begun = max((begun for at_ms, begun in clears if at_ms < frame.at_ms), default=0)
        ghosts_ms += sum(sounding_ms([frame.audio], begun))
    return ghosts_ms
