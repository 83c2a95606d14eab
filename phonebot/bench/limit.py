"""
How many calls a server carries on its core: more and more of them, until the audio is late.

Each step is a server that was started for it. What is judged is the delay itself, not what is left of it beside a
relay's: the wire and the load are in it, so the service's own share is less, and a caller hears the whole.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeAlias

from phonebot.bench.capacity import notes
from phonebot.bench.capacity_report import Bound, Found, LimitReport
from phonebot.bench.load import LATE_MS, LOAD_TOO_BUSY, Cores, Progress, Terms, measure, pinned, run
from phonebot.bench.report import Machine, Run
from phonebot.bench.subject import Subject

GOAL_MS = 20  # the length of a frame
GROWTH = 1.25
FINE, FINEST = 20, 5  # the answer is good to one in so many calls, or to so many
Verdict: TypeAlias = Literal["fits", "late", "load"]
Measure: TypeAlias = Callable[[int], Awaitable[Run]]
"""Measures so many calls."""


def find_limits(
    subjects: Sequence[Subject],
    first: int = 100,
    most: int = 1000,
    seconds: float = 10.0,
    *,
    warmup_s: float = 4.0,
    progress: Progress = lambda sentence: None,
) -> LimitReport:
    """
    Find how many calls, from `first` to `most`, each server carries within GOAL_MS at p99.

    A step takes `seconds`, twice `warmup_s`, and the time to dial; there are about ten. Runs an event loop of its
    own: call it from no other. Raises PhonebotError when a server does not take the calls, or this is not Linux.
    """
    runs, found = list[Run](), list[Found]()
    with pinned() as cores:
        for subject in subjects:
            steps, limit = run(_find(subject, first, most, seconds, warmup_s, cores, progress))
            runs += steps
            found.append(limit)
        fit = [each for each in runs if verdict(each) == "fits"]
        told = notes(fit, cores) if fit else ()
        return LimitReport(Machine.this(cores.available), tuple(runs), told, GOAL_MS, tuple(found))


async def _find(
    subject: Subject, first: int, most: int, seconds: float, warmup_s: float, cores: Cores, progress: Progress
) -> tuple[list[Run], Found]:
    async def at(calls: int) -> Run:
        progress(f"{subject.name}, {calls} calls")
        return await measure(subject, Terms(calls, seconds, warmup_s), cores)

    return await search(subject.name, at, first, most)


async def search(server: str, at: Measure, first: int, most: int) -> tuple[list[Run], Found]:
    """
    The steps in their order, and what they came to.

    From `first` calls on a quarter more each time; when those are too many, the middle between what fits and what
    does not, until they are close. What does not fit is tried twice: some other process may have been the cause.
    """
    runs = list[Run]()
    fits, more = 0, most + 1
    bound: Bound = "asked"
    calls = min(first, most)
    while True:
        judged: Verdict = "fits"
        for _ in range(2):
            runs.append(await at(calls))
            judged = verdict(runs[-1])
            if judged == "fits":
                break
        if judged == "fits":
            fits = calls
        else:
            more, bound = calls, judged
        if more - fits <= max(FINEST, fits // FINE):
            return runs, Found(server, fits, more if bound != "asked" else None, bound)
        calls = (fits + more) // 2 if bound != "asked" else min(most, max(fits + 1, round(fits * GROWTH)))


def verdict(step: Run) -> Verdict:
    """Whether so many calls fit; "load": that can't be told, since the load was at its own limit."""
    if step.load_busy > LOAD_TOO_BUSY or step.frames_late_ms.p99_ms > LATE_MS:
        return "load"
    late = max(step.to_model.p99_ms, step.to_caller.p99_ms) > GOAL_MS
    return "late" if late or step.to_model.lost or step.to_caller.lost else "fits"
