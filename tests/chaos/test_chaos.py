"""
Calls while everything around them fails, and the account of each.

Some twenty in each run of the tests; `make chaos` makes hundreds (`PHONEBOT_CHAOS`, `PHONEBOT_CHAOS_SEED`).
"""

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

import pytest
from chaos_driver import (
    FAR_MS,
    LOSES_THE_STREAM,
    Chaos,
    ChaosCall,
    LevelVoice,
    Numberer,
    PitchEar,
    believed_ms,
    caller_words,
    heard_ms,
    word,
)
from databases import PostgresServer
from faulty_relay import relaying
from service_driver import MODEL_KEY, PATIENCE_S, PROFILE, StartService, until

from phonebot.audio.g711 import ulaw_to_pcm
from phonebot.call import call as call_module
from phonebot.replay.player import play
from phonebot.simulator.server import serve
from phonebot.store.calls import Filters
from phonebot.store.database import Database
from phonebot.store.recordings import Recordings
from phonebot.store.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

CALLS = int(os.environ.get("PHONEBOT_CHAOS", "0")) or 8
SEED = int(os.environ.get("PHONEBOT_CHAOS_SEED", "0")) or 20261127
AT_ONCE = 4 if CALLS < 100 else 8  # all in one process: their callers, carrier and model, and the service
BROKEN = 31903  # the server broke the connection: so it looks to a carrier whose connection is cut
MOST_TOO_MUCH_MS = 60
WAY_MS = 2 * FAR_MS
MOST_TOO_LITTLE_MS = 120


class Mistakes(logging.Handler):
    """What our own code failed in, though somebody caught it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[0]:
            self.texts.append(self.format(record))


@pytest.fixture
def mistakes() -> Iterator[list[str]]:
    handler, ours = Mistakes(), logging.getLogger("phonebot")
    ours.addHandler(handler)
    yield handler.texts
    ours.removeHandler(handler)


@asynccontextmanager
async def stepped_clock(monkeypatch: pytest.MonkeyPatch, rng: Random) -> AsyncIterator[None]:
    """The wall clock is set back and forth all the time, by half a minute at most."""
    real, offset_s = time.time, 0.0
    monkeypatch.setattr(time, "time", lambda: real() + offset_s)

    async def step() -> None:
        nonlocal offset_s
        while True:
            await asyncio.sleep(rng.uniform(0.5, 2))
            offset_s = rng.uniform(-25, 25)

    stepping = asyncio.create_task(step())
    try:
        yield
    finally:
        stepping.cancel()
        await asyncio.gather(stepping, return_exceptions=True)


@asynccontextmanager
async def stopped_now_and_then(server: PostgresServer, rng: Random) -> AsyncIterator[None]:
    """The database is away for some seconds, again and again; afterwards it is there."""
    over = asyncio.Event()

    async def stop_and_start() -> None:
        while not await _comes(over, rng.uniform(1, 4)):
            await asyncio.to_thread(server.stop)
            await _comes(over, rng.uniform(1, 3))
            await asyncio.to_thread(server.start)

    meddling = asyncio.create_task(stop_and_start())
    try:
        yield
    finally:
        over.set()
        await meddling


async def _comes(event: asyncio.Event, within_s: float) -> bool:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), within_s)
    return event.is_set()


async def test_every_call_is_accounted_for_whatever_fails_around_it(
    start_service: StartService,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mistakes: list[str],
    request: pytest.FixtureRequest,
) -> None:
    """Streams and models are cut, held, slowed and spoilt, the clock is set, the database comes and goes."""
    if database.is_sqlite:
        pytest.skip("it cannot be stopped")
    print(f"PHONEBOT_CHAOS_SEED={SEED}")  # noqa: T201  (pytest shows it when the test fails)
    monkeypatch.setattr(call_module, "SILENT_CARRIER_MS", 3_000)
    postgres: PostgresServer = request.getfixturevalue("postgres")
    store = Store.of(database, Recordings((tmp_path / "calls").as_uri()))
    rng, numberer = Random(SEED), Numberer()
    async with (
        serve(minds=numberer.mind, ear=PitchEar(), voice=LevelVoice(), key=MODEL_KEY) as model,
        relaying(int(model.url.rpartition(":")[2].partition("/")[0])) as to_model,
    ):
        url = f"ws://127.0.0.1:{to_model.port}/v1/realtime"
        service = await start_service(model_url=url, store=store, profile=PROFILE)
        chaos = Chaos(service, to_model, SEED, AT_ONCE)
        async with stepped_clock(monkeypatch, rng), stopped_now_and_then(postgres, rng):
            calls = await chaos.run(CALLS, model_troubles=0.4)
            await until(lambda: not len(service.live))
        await until(lambda: not model.sessions)
        await service.stop()
        next_one = await start_service(model_url=url, store=store, profile=PROFILE)
        await _all_filed(store, len(next_one.logs()))
        await next_one.stop()
    logs = service.logs()
    for call in calls:
        call.logs = [log for log in logs if log.header.from_number == call.number]
    assert mistakes == []
    wrong = [(call, found) for call in calls if (found := problems(call))]
    assert not wrong, "\n".join(f"{call}: {found}, {call.record.events}" for call, found in wrong)
    filed = (await store.calls.page(Filters(), limit=CALLS * 5)).calls
    assert Counter(row.from_number for row in filed) == Counter(call.number for call in calls for _ in call.logs)


async def _all_filed(store: Store, logs: int) -> None:
    """
    What could not be written while the database was away is, once a service runs again.

    However much that is: it must go on.
    """
    filed = 0
    async with asyncio.timeout(PATIENCE_S) as patience:
        while filed < logs:
            found = len((await store.calls.page(Filters(), limit=CALLS * 5)).calls)
            if found > filed:
                filed = found
                patience.reschedule(asyncio.get_running_loop().time() + PATIENCE_S)
            await asyncio.sleep(0.05)


def problems(call: ChaosCall) -> list[str]:
    """What is wrong with what is known of a call."""
    return [problem for check in (_end, _replay, _heard, _said) for problem in check(call)]


def _end(call: ChaosCall) -> Iterator[str]:
    """Every stream has a log, and every log says how it ended."""
    admitted = sum(1 for stream in call.record.streams if stream.carrier.frames or stream.carrier.pieces)
    if len(call.logs) < admitted:
        yield f"{admitted} streams, {len(call.logs)} logs"
    if call.record.outcome in ("failed", "timed out"):
        yield f"the carrier saw it {call.record.outcome}: {call.record.reason}"
    wrong = [violation for violation in call.record.violations if violation.code != BROKEN]
    if wrong or (call.record.violations and call.trouble not in LOSES_THE_STREAM):
        yield f"what we sent was wrong: {call.record.violations}"
    for log in call.logs:
        if log.header.ended is None or log.header.outcome is None:
            yield "a log without an end"
    if call.trouble not in LOSES_THE_STREAM and call.record.failed_steps:
        yield f"the caller could not go on: {call.record.failed_steps}"


def _replay(call: ChaosCall) -> Iterator[str]:
    """What was decided follows from what happened, and from nothing else."""
    for log in call.logs:
        for difference in play(log).differences:
            if difference.kind == "actions":  # a tick that was late is the machine's doing
                yield f"its log replays to something else: {difference}"
                break


def _heard(call: ChaosCall) -> Iterator[str]:
    """Of each answer, what is believed to have been heard, against the carrier's truth."""
    truth, belief = heard_ms(call.record), believed_ms(call.logs)
    for level in sorted(truth | belief):
        error_ms = belief[level] - truth[level]
        # What was on its way when the stream was lost is heard by nobody, and no mark tells so.
        most_ms = MOST_TOO_MUCH_MS + (WAY_MS if call.trouble in LOSES_THE_STREAM else 0)
        if error_ms > most_ms:
            yield f"of level {level} {belief[level]} ms are believed to be heard, and {truth[level]} ms were"
        if error_ms < -MOST_TOO_LITTLE_MS and call.trouble == "none":
            yield f"of level {level} {truth[level]} ms were heard, and {belief[level]} ms are believed to be"


def _said(call: ChaosCall) -> Iterator[str]:
    """What the caller said is in the transcript once, in order."""
    said = [detail for detail in call.record.told("caller stops") if detail in call.words]
    words = caller_words(call.logs)
    for name, times in Counter(words).items():
        if times > 1:
            yield f"{name} stands {times} times in the transcript, and was said once"
    # Of his last word he may have hung up before it was understood.
    if call.trouble not in LOSES_THE_STREAM and words not in (said, said[:-1]):
        yield f"the transcript has {words}, and {said} was said"


@pytest.mark.parametrize("words", [("south",), ("east", "west"), ("north", "south"), ("west", "north", "west")])
async def test_the_ear_tells_apart_words_that_follow_each_other_at_once(
    words: tuple[str, ...],
) -> None:
    """The pitch of "east west" as a whole is that of "south"."""
    assert await PitchEar().recognise(ulaw_to_pcm(b"".join(map(word, words)))) == " ".join(words)
