"""
How right the heard position is: scripted calls over real sockets, in real time, against a carrier that knows.

    Listener <- emulated carrier <--media stream--> server under test <--Realtime--> scripted model
        '---------------------- says when he has heard enough ----------------------------^

All calls run at once; only one in which the server stands still has a server of its own. What the caller heard of
each item is read from the frames that the carrier played, what the model believes from the truncations it took.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack

from phonebot.bench.accuracy_report import AccuracyReport, Row
from phonebot.bench.clears import measure_clears
from phonebot.bench.load import ONE_CORE, Cores, Progress, pinned, run
from phonebot.bench.measured_call import MeasuredCall
from phonebot.bench.report import Machine
from phonebot.bench.scenario import SCENARIOS, Scenario
from phonebot.bench.scripted import serve_script
from phonebot.bench.subject import Subject, running
from phonebot.errors import PhonebotError

SUBJECT = Subject("phonebot", prompt="{caller}")
TIMED = Subject("phonebot", prompt="{caller}", timed=True)
FIRST_NUMBER = 15550101000
APART_S = 0.037  # between the begins of two calls, so that their frames do not fall together


def chosen(names: Iterable[str]) -> tuple[Scenario, ...]:
    """The scenarios of these names, or whose names begin with these words; all when none is given."""
    found: list[Scenario] = []
    for name in names:
        of_that_name = [each for each in SCENARIOS if f"{each.name} ".startswith(f"{name} ")]
        if not of_that_name:
            raise PhonebotError(
                f"no scenario is called {name!r}; there are: {', '.join(s.name for s in SCENARIOS)}"
            )
        found += of_that_name
    return tuple(found) or SCENARIOS


def measure_accuracy(
    scenarios: Sequence[Scenario] = SCENARIOS,
    *,
    loaded_calls: int = 100,
    progress: Progress = lambda sentence: None,
) -> AccuracyReport:
    """
    Hold the scenarios' calls; then `loaded_calls` at once, for the time that a clear takes (0: leave that out).

    Runs an event loop of its own: call it from no other. Raises PhonebotError when a server does not start.
    """
    with pinned() as cores:
        rows = run(_hold_calls(scenarios, cores, progress))
        under_load = None
        if loaded_calls:
            progress(f"the time a clear takes, with {loaded_calls} calls at once")
            under_load = run(measure_clears(TIMED, loaded_calls, cores))
    notes = (ONE_CORE,) if cores.server is None else ()
    return AccuracyReport(Machine.this(cores.available), rows, under_load, notes)


async def _hold_calls(scenarios: Sequence[Scenario], cores: Cores, progress: Progress) -> tuple[Row, ...]:
    calls = [MeasuredCall(each, f"+{FIRST_NUMBER + number}", number) for number, each in enumerate(scenarios)]
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(serve_script({call.number: call.play for call in calls}))
        shared = await stack.enter_async_context(running(SUBJECT, model.url, cores.server))
        await shared.ready()
        servers = []
        for scenario in scenarios:
            server = shared
            if scenario.freezes:
                server = await stack.enter_async_context(running(SUBJECT, model.url, cores.server))
                await server.ready()
            servers.append(server)
        held = [
            asyncio.create_task(call.hold(server, number * APART_S))
            for number, (call, server) in enumerate(zip(calls, servers, strict=True))
        ]
        for ended, call_ended in enumerate(asyncio.as_completed(held)):
            progress(f"{len(held)} calls, {ended} have ended")
            await call_ended
        if model.faults:
            raise PhonebotError(f"the model had to complain: {'; '.join(model.faults)}")
        return tuple(task.result() for task in held)
