"""What a call costs: CPU time and memory of the service, beside a relay that only moves the audio."""

from phonebot.bench.load import ONE_CORE, Cores, Progress, Terms, measure, pinned, run
from phonebot.bench.report import CapacityReport, Machine, Run, ratios
from phonebot.bench.subject import Subject

SUBJECTS = (Subject("relay"), Subject("phonebot"), Subject("phonebot", log=False))
LOAD_TOO_BUSY = 0.8


def measure_capacity(
    calls: int = 50,
    seconds: float = 20.0,
    *,
    warmup_s: float = 5.0,
    rounds: int = 2,
    progress: Progress = lambda sentence: None,
) -> CapacityReport:
    """
    Put the relay, phonebot, and phonebot without its call logs under `calls` calls in turn, `rounds` times.

    Takes `rounds` times three times the sum of both times, and some seconds. Runs an event loop of its own: call it
    from no other. Raises PhonebotError when a server does not take the calls, or the system is not Linux.
    """
    terms = Terms(calls, seconds, warmup_s)
    with pinned() as cores:
        turns = [run(_turn(terms, cores, progress, f"{number + 1}/{rounds}")) for number in range(rounds)]
    runs = tuple(each for turn in turns for each in turn)
    return CapacityReport(Machine.this(cores.available), runs, notes(runs, cores), ratios(turns))


async def _turn(terms: Terms, cores: Cores, progress: Progress, number: str) -> list[Run]:
    runs = []
    for subject in SUBJECTS:
        progress(f"{number}: {subject.name}, {terms.calls} calls")
        runs.append(await measure(subject, terms, cores))
    return runs


def notes(runs: tuple[Run, ...], cores: Cores) -> tuple[str, ...]:
    """What a reader should know before believing the figures."""
    found = []
    if cores.server is None:
        found.append(ONE_CORE)
    busiest = max(run.load_busy for run in runs)
    if busiest > LOAD_TOO_BUSY:
        found.append(f"The load needed {busiest:.0%} of its core: the delays are partly its own.")
    return tuple(found)
