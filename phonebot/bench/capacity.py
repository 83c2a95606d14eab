"""What a call costs: CPU time and memory of the service, beside relays that only move the audio."""

from collections.abc import Sequence
from importlib.util import find_spec

from phonebot.bench.capacity_report import CapacityReport, ratios
from phonebot.bench.load import (
    LATE_MS,
    LOAD_TOO_BUSY,
    ONE_CORE,
    Cores,
    Progress,
    Terms,
    measure,
    pinned,
    run,
    unpinned,
)
from phonebot.bench.report import Machine, Run
from phonebot.bench.subject import Subject

RELAY, PICOWS, PHONEBOT = Subject("relay"), Subject("picows"), Subject("phonebot")
SUBJECTS = (RELAY, PICOWS, PHONEBOT, Subject("phonebot", log=False))
OTHERS_BUSY = 0.1
NO_PICOWS = "picows is not installed, so its relay was left out: pip install 'phonebot[bench]'"
SHARED_CORES = "The system placed the server and its load: what counts here is CPU time, not delay."


def measure_capacity(
    calls: int = 100,
    seconds: float = 20.0,
    *,
    warmup_s: float = 5.0,
    rounds: int = 2,
    progress: Progress = lambda sentence: None,
) -> CapacityReport:
    """
    Put the relays, phonebot, and phonebot without its call logs under `calls` calls in turn, `rounds` times.

    Takes, for each server of each round, `seconds`, twice `warmup_s`, and some more. Runs an event loop of its own:
    call it from no other. Raises PhonebotError when a server does not take the calls, or the system is not Linux.
    """
    with_picows = has_picows()
    subjects = [subject for subject in SUBJECTS if with_picows or subject is not PICOWS]
    with pinned() as cores:
        turns = _turns(subjects, Terms(calls, seconds, warmup_s), rounds, cores, progress)
        told = [] if with_picows else [NO_PICOWS]
        return _report(turns, (RELAY, PICOWS), cores, (*told, *notes(_all(turns), cores)))


def measure_workers(
    workers: int,
    calls: int = 100,
    seconds: float = 20.0,
    *,
    warmup_s: float = 5.0,
    rounds: int = 2,
    progress: Progress = lambda sentence: None,
) -> CapacityReport:
    """
    What a call costs `phonebot serve` with so many workers, at least 2, as a multiple of what it costs with one.

    CPU time is that of all of its processes, wherever the system places them. Otherwise as `measure_capacity`.
    """
    subjects = [Subject("phonebot", workers=count) for count in (1, workers)]
    with unpinned() as cores:
        turns = _turns(subjects, Terms(calls, seconds, warmup_s), rounds, cores, progress)
        return _report(turns, subjects[:1], cores, (SHARED_CORES,))


def has_picows() -> bool:
    return find_spec("picows") is not None


def notes(runs: Sequence[Run], cores: Cores) -> tuple[str, ...]:
    """What a reader should know before believing the figures."""
    found = []
    if cores.server is None:
        found.append(ONE_CORE)
    busiest = max(run.load_busy for run in runs)
    if busiest > LOAD_TOO_BUSY:
        found.append(f"The load needed {busiest:.0%} of its core: the delays are partly its own.")
    latest_ms = max(run.frames_late_ms.p99_ms for run in runs)
    if latest_ms > LATE_MS:
        found.append(f"The load was {latest_ms:.0f} ms behind its time at p99: the delays are partly its own.")
    others = max((run.others_busy or 0.0 for run in runs), default=0.0)
    if others > OTHERS_BUSY:
        found.append(f"Other processes took up to {others:.0%} of the server's core: delays hold the wait for it.")
    return tuple(found)


def _turns(
    subjects: Sequence[Subject], terms: Terms, rounds: int, cores: Cores, progress: Progress
) -> list[list[Run]]:
    return [run(_turn(subjects, terms, cores, progress, f"{turn + 1}/{rounds}")) for turn in range(rounds)]


async def _turn(
    subjects: Sequence[Subject], terms: Terms, cores: Cores, progress: Progress, number: str
) -> list[Run]:
    runs = []
    for subject in subjects:
        progress(f"{number}: {subject.name}, {terms.calls} calls")
        runs.append(await measure(subject, terms, cores))
    return runs


def _all(turns: Sequence[Sequence[Run]]) -> tuple[Run, ...]:
    return tuple(each for turn in turns for each in turn)


def _report(
    turns: Sequence[Sequence[Run]], yardsticks: Sequence[Subject], cores: Cores, told: tuple[str, ...]
) -> CapacityReport:
    found = ratios(turns, [each.name for each in yardsticks])
    return CapacityReport(Machine.this(cores.available), _all(turns), told, found)
