"""
How long a clear takes with many calls at once: from the model's word to the carrier's socket, seen from outside,
and what of it the service itself takes.
"""

import asyncio
import time
from contextlib import AsyncExitStack, suppress

from phonebot.bench.accuracy_report import ClearsUnderLoad, Reaction
from phonebot.bench.carrier import Carrier
from phonebot.bench.events import Json
from phonebot.bench.load import Cores, Usage
from phonebot.bench.model import GOLDEN
from phonebot.bench.report import MAX_FAULTS, Delays
from phonebot.bench.scenario import CUT, Pause, Reply, Step
from phonebot.bench.scripted import Play, serve_script
from phonebot.bench.stamps import Tally
from phonebot.bench.subject import Subject, running

FIRST_NUMBER = 15550102000
TURNS = 4  # the first one, in which calls are still being dialled, does not count
TURN = (Reply((5000,)), Pause(3000), CUT, Pause(500))
PERIOD_MS = 5000  # what a turn takes; the calls' turns begin evenly spread over it
WITHIN_S = 3 * (TURNS + 1) * PERIOD_MS / 1000  # three times what it takes


class _Interrupted:
    """A call that is interrupted again and again: directs its model, and sees its clears arrive."""

    def __init__(self) -> None:
        self.delays_ms: list[float] = []
        self.interruptions = 0  # that count
        self.problem: str | None = "it did not come to its end"
        self.done = asyncio.Event()
        self._turns = 0
        self._spoke_s: float | None = None

    async def until_heard(self, item: int, ms: float) -> None:
        raise AssertionError("nobody listens here")

    async def freeze(self, ms: int) -> None:
        raise AssertionError("nothing stands still here")

    async def speak(self, ms: int) -> None:
        self._turns += 1

    def wrote(self, event: Json) -> None:
        if event["type"] == "input_audio_buffer.speech_started" and self._turns > 1:
            self.interruptions += 1
            self._spoke_s = time.monotonic()

    def cleared(self) -> None:
        if self._spoke_s is not None:
            self.delays_ms.append((time.monotonic() - self._spoke_s) * 1000)
            self._spoke_s = None

    def finished(self, problem: str | None) -> None:
        self.problem = problem
        self.done.set()


async def measure_clears(subject: Subject, calls: int, cores: Cores) -> ClearsUnderLoad:
    """Interrupt `calls` calls of a timed subject three times each, while they speak. Takes half a minute."""
    interrupted = {f"+{FIRST_NUMBER + number}": _Interrupted() for number in range(calls)}
    plays = {number: Play(_steps(index), call) for index, (number, call) in enumerate(interrupted.items())}
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(serve_script(plays))
        server = await stack.enter_async_context(running(subject, model.url, cores.server))
        carrier = await stack.enter_async_context(Carrier(server.url, calls, Tally(), Tally()))
        for number, call in interrupted.items():
            await carrier.dial(number, call.cleared)
        carrier.late_ms.clear()
        await server.reactions()  # what came of dialling does not count
        begin = Usage.now(server, cores)
        with suppress(TimeoutError):
            async with asyncio.timeout(WITHIN_S):
                for call in interrupted.values():
                    await call.done.wait()
        used = begin.until(Usage.now(server, cores))
        late_ms = Delays.of(carrier.late_ms)
        reacted = await server.reactions()
        problems = [call.problem for call in interrupted.values() if call.problem]
        faults = tuple(dict.fromkeys((*model.faults, *carrier.faults, *problems)))[:MAX_FAULTS]
    tooks = [took for clears in reacted.clears for took in clears[-TURNS + 1 :]]
    delays_ms = [ms for call in interrupted.values() for ms in call.delays_ms]
    lost = sum(call.interruptions for call in interrupted.values()) - len(delays_ms)
    return ClearsUnderLoad(
        calls=calls,
        delays=Delays.of(delays_ms, lost),
        inside=Reaction.of(took.all_ms for took in tooks),
        inside_cpu=Reaction.of(took.cpu_ms for took in tooks),
        loop_late_ms=Delays.of(reacted.beats_late_ms),
        server_busy=round(used.server_s / used.at_s, 3),
        load_busy=round(used.load_s / used.at_s, 3),
        others_busy=used.others_busy,
        frames_late_ms=late_ms,
        faults=faults,
    )


def _steps(index: int) -> tuple[Step, ...]:
    """Again and again a reply and an interruption; all calls' interruptions are evenly spread in time."""
    first_ms = round(index * GOLDEN % 1 * PERIOD_MS)
    return (Pause(first_ms), *TURNS * TURN, Pause(PERIOD_MS - first_ms))
