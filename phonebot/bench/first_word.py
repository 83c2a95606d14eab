"""
How soon a caller hears the first word: where the model has to speak it, and where its greeting is kept.

The model begins to speak 300 ms after its session was made, which is quick for one. Calls come one after the other.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from phonebot.bench.carrier import Carrier, Stream
from phonebot.bench.load import Cores
from phonebot.bench.report import MAX_FAULTS, Delays, FirstWord
from phonebot.bench.scenario import Pause, Reply, Step
from phonebot.bench.scripted import Play, Silent, serve_script
from phonebot.bench.stamps import Tally
from phonebot.bench.subject import Subject, running
from phonebot.errors import PhonebotError

GREETING = "Hello, how can I help?"
FIRST_NUMBER = 15550104000
GREETING_MS = 1_000
SPEAKS_AFTER_MS = 300
KEPT_AFTER_S = 0.5  # once all of it has played, its mark is on the way
SETTLED_S = 0.2  # the model's session is made while the greeting plays
WITHIN_S = 10.0
SPOKEN: tuple[Step, ...] = (
    Pause(SPEAKS_AFTER_MS),
    Reply((GREETING_MS,), delta_ms=GREETING_MS, says=GREETING),
    Pause(60_000),
)
SILENT: tuple[Step, ...] = (Pause(60_000),)


@dataclass(frozen=True, slots=True)
class _Heard:
    webhook_ms: float
    start_ms: float


async def measure_first_words(calls: int, cores: Cores) -> tuple[FirstWord, ...]:
    """Of `calls` calls whose greeting the model speaks, then of as many to which it is played."""
    return await _measure(calls, cores, kept=False), await _measure(calls, cores, kept=True)


async def _measure(calls: int, cores: Cores, kept: bool) -> FirstWord:
    numbers = [f"+{FIRST_NUMBER + number}" for number in range(calls + 1)]
    plays = {
        number: Play(SILENT if kept and number != numbers[0] else SPOKEN, Silent(), asked=True)
        for number in numbers
    }
    subject = Subject("phonebot", greeting=GREETING, prompt="{caller}", keeps_greeting=kept)
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(serve_script(plays))
        server = await stack.enter_async_context(running(subject, model.url, cores.server))
        carrier = await stack.enter_async_context(Carrier(server.url, 1, Tally(), Tally()))
        # What a server does once, it has done with the first call; and its greeting is kept, if it is to be.
        stream = await carrier.dial(numbers[0])
        await _first(stream)
        await asyncio.sleep(GREETING_MS / 1000 + KEPT_AFTER_S)
        await carrier.hang_up(stream)
        heard = [await _call(carrier, number) for number in numbers[1:]]
        faults = tuple(dict.fromkeys((*model.faults, *carrier.faults)))[:MAX_FAULTS]
    return FirstWord(
        kept=kept,
        from_webhook=Delays.of(each.webhook_ms for each in heard),
        from_start=Delays.of(each.start_ms for each in heard),
        faults=faults,
    )


async def _call(carrier: Carrier, number: str) -> _Heard:
    """Call, and hang up at the first audio."""
    stream = await carrier.dial(number)
    try:
        return await _first(stream)
    finally:
        await asyncio.sleep(SETTLED_S)
        await carrier.hang_up(stream)


async def _first(stream: Stream) -> _Heard:
    try:
        async with asyncio.timeout(WITHIN_S):
            webhook_ms = await stream.first_audio_ms()
    except TimeoutError:
        raise PhonebotError(f"the server did not greet within {WITHIN_S:g} s") from None
    return _Heard(webhook_ms, webhook_ms - stream.start_after_ms)
