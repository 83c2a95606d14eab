"""
Where the time of an answer goes, with many calls at once: from the end of the caller's speech to the first frame.

    model      from writing that he has ended to writing the first audio of the answer
    way        from there to its arrival at the carrier: phonebot, the loopback, and the load's own reaction
    ours       of the way what phonebot took: from reading the audio to giving it to the carrier's socket
    network    what is left of the way

`ours` is what the service measures in every call (`AnswerSent`), so it is what its metrics and the console show.
"""

import time
from contextlib import AsyncExitStack

from phonebot.bench.carrier import Carrier
from phonebot.bench.events import Json
from phonebot.bench.load import Cores, Usage
from phonebot.bench.report import MAX_FAULTS, AnswersUnderLoad, Delays
from phonebot.bench.scenario import Pause, Reply, Speak, Step
from phonebot.bench.scripted import Play, Silent, repeated, serve_script, until_done
from phonebot.bench.stamps import Tally
from phonebot.bench.subject import Subject, running

FIRST_NUMBER = 15550103000
TURNS = 6  # the first one, in which calls are still being dialled, does not count
PERIOD_MS = 3_000
THINKS_MS = 300
TURN: tuple[Step, ...] = (Speak(600), Pause(THINKS_MS), Reply((1_000,)), Pause(PERIOD_MS - 600 - THINKS_MS))
ANSWERING = Subject("phonebot", prompt="{caller}", timed=True)


class _Asked(Silent):
    """A call in which the caller asks again and again. `model_ms` and `way_ms` have a figure for each answer."""

    def __init__(self) -> None:
        super().__init__()
        self.model_ms: list[float] = []
        self.way_ms: list[float] = []
        self._ended_s: float | None = None  # when it was written that the caller has ended; None: it was answered
        self._answered_s: float | None = None  # when the first audio was; None: it has arrived

    def wrote(self, event: Json) -> None:
        now_s = time.monotonic()
        if event["type"] == "input_audio_buffer.speech_stopped":
            self._ended_s = now_s
        elif event["type"] == "response.output_audio.delta" and self._ended_s is not None:
            self.model_ms.append((now_s - self._ended_s) * 1000)
            self._ended_s, self._answered_s = None, now_s

    def arrived(self) -> None:
        """The carrier was sent audio."""
        if self._answered_s is not None:
            self.way_ms.append((time.monotonic() - self._answered_s) * 1000)
            self._answered_s = None


async def measure_answers(calls: int, cores: Cores) -> AnswersUnderLoad:
    """Ask in `calls` calls at once, five times in each that count. Takes half a minute."""
    within_s = 3 * (TURNS + 1) * PERIOD_MS / 1000  # three times what it takes
    asked = {f"+{FIRST_NUMBER + number}": _Asked() for number in range(calls)}
    plays = {
        number: Play(repeated(TURN, TURNS, PERIOD_MS, index), call, asked=True)
        for index, (number, call) in enumerate(asked.items())
    }
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(serve_script(plays))
        server = await stack.enter_async_context(running(ANSWERING, model.url, cores.server))
        carrier = await stack.enter_async_context(Carrier(server.url, calls, Tally(), Tally()))
        for number, call in asked.items():
            await carrier.dial(number, on_audio=call.arrived)
        begin = Usage.now(server, cores)
        await until_done(asked.values(), within_s)
        used = begin.until(Usage.now(server, cores))
        took_ms = (await server.reactions()).answers_ms
        problems = [call.problem for call in asked.values() if call.problem]
        faults = tuple(dict.fromkeys((*model.faults, *carrier.faults, *problems)))[:MAX_FAULTS]
    ways_ms = [
        (way, ours) for call, took in zip(asked.values(), took_ms, strict=True) for way, ours in _paired(call, took)
    ]
    return AnswersUnderLoad(
        calls=calls,
        model=Delays.of(ms for call in asked.values() for ms in call.model_ms[1:]),
        ours=Delays.of(ours for _, ours in ways_ms),
        network=Delays.of(way - ours for way, ours in ways_ms),
        lost=sum(len(call.model_ms) - len(call.way_ms) for call in asked.values()),
        others_busy=used.others_busy,
        faults=faults,
    )


def _paired(call: _Asked, took_ms: tuple[float, ...]) -> list[tuple[float, float]]:
    """The way of each answer that counts, and what of it was ours: both are in the order of the answers."""
    return list(zip(call.way_ms, took_ms, strict=False))[1:]
