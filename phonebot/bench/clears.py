"""
How long a clear takes with many calls at once: from the model's word to the carrier's socket, seen from outside,
and what of it the service itself takes. The word is that the caller speaks, or what a guardrail stops the bot for.
"""

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from phonebot.bench.carrier import Carrier
from phonebot.bench.events import Json
from phonebot.bench.load import Cores, Usage
from phonebot.bench.report import MAX_FAULTS, ClearsUnderLoad, Delays, Reaction
from phonebot.bench.scenario import CUT, TABOO, Pause, Reply, Speak, Step
from phonebot.bench.scripted import Play, Silent, repeated, serve_script, until_done
from phonebot.bench.stamps import Tally
from phonebot.bench.subject import Subject, running

FIRST_NUMBER = 15550102000
TURNS = 4  # the first one, in which calls are still being dialled, does not count


@dataclass(frozen=True, slots=True)
class Cause:
    """
    What stops the bot, once in each `turn`: the event for which `stops` is true.

    A turn takes `period_ms`; the calls' turns begin evenly spread over it.
    """

    turn: tuple[Step, ...]
    stops: Callable[[Json], bool]
    period_ms: int = 5000


SPEECH = Cause(
    (Reply((5000,)), Pause(3000), CUT, Pause(500)),
    lambda event: event["type"] == "input_audio_buffer.speech_started",
)
"""The caller interrupts."""

GUARDRAIL = Cause(
    # Once he has spoken, guardrails that tripped before are forgiven.
    (Reply((5000,), says=TABOO, says_at_ms=2000), Pause(2500), Speak(500), Pause(2000)),
    lambda event: event["type"] == "response.output_audio_transcript.delta" and TABOO in event["delta"],
)
"""The bot says what it must not, and the delta in which it does is looked at."""


class _Stopped(Silent):
    """A call in which the bot is stopped again and again: directs its model, and sees its clears arrive."""

    def __init__(self, cause: Cause) -> None:
        super().__init__()
        self._cause = cause
        self.delays_ms: list[float] = []
        self.stops = 0  # that count
        self._turns = 0
        self._stopped_s: float | None = None  # when the word was written that a clear has to follow

    def wrote(self, event: Json) -> None:
        if self._cause.stops(event):
            self._turns += 1
            if self._turns > 1:
                self.stops += 1
                self._stopped_s = time.monotonic()

    def cleared(self) -> None:
        if self._stopped_s is not None:
            self.delays_ms.append((time.monotonic() - self._stopped_s) * 1000)
            self._stopped_s = None


async def measure_clears(subject: Subject, calls: int, cores: Cores, cause: Cause = SPEECH) -> ClearsUnderLoad:
    """Stop the bot in `calls` calls of a timed subject, three times in each that count. Takes half a minute."""
    within_s = 3 * (TURNS + 1) * cause.period_ms / 1000  # three times what it takes
    stopped = {f"+{FIRST_NUMBER + number}": _Stopped(cause) for number in range(calls)}
    # The caller's last words have no answer: phonebot tells him to wait, and asks for one.
    plays = {
        number: Play(repeated(cause.turn, TURNS, cause.period_ms, index), call, asked=True)
        for index, (number, call) in enumerate(stopped.items())
    }
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(serve_script(plays))
        server = await stack.enter_async_context(running(subject, model.url, cores.server))
        carrier = await stack.enter_async_context(Carrier(server.url, calls, Tally(), Tally()))
        for number, call in stopped.items():
            await carrier.dial(number, call.cleared)
        carrier.late_ms.clear()
        await server.reactions()  # what came of dialling does not count
        begin = Usage.now(server, cores)
        await until_done(stopped.values(), within_s)
        used = begin.until(Usage.now(server, cores))
        late_ms = Delays.of(carrier.late_ms)
        reacted = await server.reactions()
        problems = [call.problem for call in stopped.values() if call.problem]
        faults = tuple(dict.fromkeys((*model.faults, *carrier.faults, *problems)))[:MAX_FAULTS]
    tooks = [took for clears in reacted.clears for took in clears[-TURNS + 1 :]]
    delays_ms = [ms for call in stopped.values() for ms in call.delays_ms]
    lost = sum(call.stops for call in stopped.values()) - len(delays_ms)
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
