"""
What calls in progress ask of a PostgreSQL, and whether it keeps up.

    report = measure_database(url, Load(calls=10_000, processes=40), seconds=30)

The load is played by processes of the system (`generators`, database_load.py), each a share of the processes of a
deployment. The database has to be an empty one, since nobody could tell afterwards what was there before; it is
given its tables, and is left with what was written.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable

import msgspec
import uvloop
from sqlalchemy import text

from phonebot.bench import database_load as played
from phonebot.bench.database_calls import news_per_round
from phonebot.bench.database_figures import Figures, figures_of, growth
from phonebot.bench.database_load import Order, Played
from phonebot.bench.database_report import DatabaseReport, Kind, Load
from phonebot.bench.report import Delays
from phonebot.bench.timings import together
from phonebot.caps import watch
from phonebot.errors import PhonebotError, StoreError
from phonebot.store.database import Database
from phonebot.web import others, publishing

MAX_ANSWER_BYTES = 64 * 1024 * 1024
START_S = 300.0
"""How long it may take until all calls are in progress."""
ANSWER_S = 60.0
"""And, once it was measured, until what was measured is told."""


def measure_database(
    url: str, load: Load, seconds: float = 30.0, progress: Callable[[str], None] = lambda said: None
) -> DatabaseReport:
    """
    Put the load on the database at `url`. Raises StoreError for one that is no PostgreSQL, that holds calls, or
    that cannot be used.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(url, load, seconds, progress))


async def _measure(url: str, load: Load, seconds: float, progress: Callable[[str], None]) -> DatabaseReport:
    database = Database(url)
    generators: list[Process] = []
    try:
        await _prepare(database)
        progress(f"{load.calls:,} calls begin")
        generators += [await _start(order) for order in _orders(url, load, seconds)]
        async with asyncio.timeout(START_S):
            await asyncio.gather(*(_ready(each) for each in generators))
        before = await figures_of(database)
        progress(f"measuring for {seconds:g} s")
        async with asyncio.timeout(seconds + ANSWER_S):
            answers = await asyncio.gather(*(_played(each) for each in generators))  # which go on meanwhile
        after = await figures_of(database)
        return _report(database.name, load, before, after, answers)
    except TimeoutError:
        raise StoreError("what plays the load takes too long: try fewer calls, or more generators") from None
    finally:
        for each in generators:
            if each.returncode is None:
                each.kill()
            await each.wait()
        await database.close()


async def _prepare(database: Database) -> None:
    if database.is_sqlite:
        raise StoreError("`bench database` measures a PostgreSQL: set PHONEBOT_DATABASE_URL to one that is empty")
    await database.upgrade()
    holds = "SELECT EXISTS (SELECT FROM calls) OR EXISTS (SELECT FROM live_calls) OR EXISTS (SELECT FROM numbers)"
    async with database.read() as session:
        if await session.scalar(text(holds)):
            raise StoreError(
                f"the database {database.name} is in use, it holds calls or numbers: "
                "set PHONEBOT_DATABASE_URL to an empty one"
            )


def _orders(url: str, load: Load, seconds: float) -> list[Order]:
    """The processes are dealt out one by one, so that each generator has as many, or one more."""
    generators = min(load.generators, load.processes)
    return [
        Order(
            url,
            tuple(range(number, load.processes, generators)),
            load.processes,
            load.calls,
            load.call_s,
            seconds,
            load.consoles,
            load.slower,
        )
        for number in range(generators)
    ]


async def _start(order: Order) -> Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", played.__name__, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=MAX_ANSWER_BYTES
    )
    assert process.stdin is not None, "it has a pipe"
    # Not among its arguments, which all of the machine can read: the address holds a password.
    process.stdin.write(msgspec.json.encode(order) + b"\n")
    await process.stdin.drain()
    return process


async def _ready(generator: Process) -> None:
    assert generator.stdout is not None, "it has a pipe"
    if not await generator.stdout.readline():
        raise await _failure(generator)


async def _played(generator: Process) -> Played:
    assert generator.stdin is not None, "it has a pipe"
    assert generator.stdout is not None, "it has a pipe"
    generator.stdin.write(b"\n")
    if not (line := await generator.stdout.readline()):
        raise await _failure(generator)
    return msgspec.json.decode(line, type=Played)


async def _failure(generator: Process) -> PhonebotError:
    """It says in one line what is wrong; a fault of ours has more of them, and ends with the reason."""
    assert generator.stderr is not None, "it has a pipe"
    lines = (await generator.stderr.read()).decode(errors="replace").strip().splitlines()
    return StoreError(lines[-1] if lines else f"what plays the load has ended with {await generator.wait()}")


def _report(name: str, load: Load, before: Figures, after: Figures, answers: list[Played]) -> DatabaseReport:
    timed = together([each.timed for each in answers])
    seconds = max(each.seconds for each in answers)
    kinds = tuple(
        Kind(
            kind,
            wanted,
            round(timed.done(kind) / seconds, 3),
            Delays.of(timed.ms.get(kind, ())),
            timed.failed.get(kind, 0),
        )
        for kind, wanted in _wanted(load).items()
    )
    return DatabaseReport(
        database=name,
        load=load,
        seconds=round(seconds, 1),
        kinds=kinds,
        waiting=sum(each.waiting for each in answers),
        growth=growth(before, after, timed.done(played.FILED)),
        generator_busy=max(each.cpu_s / each.seconds for each in answers),
        late_ms=Delays.of(timed.ms.get(played.LATE, ())),
    )


def _wanted(load: Load) -> dict[str, float | None]:
    """
    How much of each kind there would be in a second if nothing took any time; None: it depends.

    Of the rows of live calls only those are written that have changed. A console asks for the list, and then for
    what has changed of it.
    """
    begin = load.calls / load.call_s
    news = news_per_round(load.call_s, publishing.ROUND_S)
    looks = sum(1 / every_s for every_s in played.LOOKS_EVERY_S.values())
    wanted: dict[str, float | None] = {
        played.ROWS: load.calls * news / publishing.ROUND_S,
        played.ROUNDS: load.processes / publishing.ROUND_S,
        played.AT_ONCE: None,
        played.LET_IN: begin,
        played.ENDED: begin,
        played.FILED: begin,
        played.SPENT: load.processes * 2 / watch.ROUND_S,
        played.LOOKS: load.processes * looks,
        played.CONSOLES: min(load.consoles, load.processes) * 2 / others.POLL_S,
    }
    return {kind: None if count is None else count / load.slower for kind, count in wanted.items()}
