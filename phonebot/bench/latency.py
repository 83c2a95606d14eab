"""How much later audio arrives because of the service, and how soon a caller hears its first sound."""

from phonebot.bench.capacity import notes
from phonebot.bench.clears import GUARDRAIL, measure_clears
from phonebot.bench.load import Cores, Progress, Terms, measure, pinned, run
from phonebot.bench.report import LatencyReport, Machine, Run
from phonebot.bench.subject import Subject

GUARDED = Subject("phonebot", prompt="{caller}", timed=True, guarded=True)
GREETING = "Hello, how can I help?"


def measure_latency(
    calls: int = 5,
    seconds: float = 20.0,
    *,
    warmup_s: float = 2.0,
    greeted: int = 20,
    guarded: int = 20,
    progress: Progress = lambda sentence: None,
) -> LatencyReport:
    """
    Measure a few calls through the relay and through phonebot, which greets; the model answers at once. Then, in
    `guarded` calls, how soon playback stops when the bot says what a guardrail stops it for (0: leave that out).

    The time to the first audio is that of `greeted` further calls, one after the other: from the voice webhook's
    request to the first audio on the media stream. Otherwise as `measure_capacity`.
    """
    with pinned() as cores:
        runs = run(_runs(calls, seconds, warmup_s, greeted, cores, progress))
        stopped = None
        if guarded:
            progress(f"guardrails, {guarded} calls")
            stopped = run(measure_clears(GUARDED, guarded, cores, GUARDRAIL))
    return LatencyReport(Machine.this(cores.available), runs, notes(runs, cores), stopped)


async def _runs(
    calls: int, seconds: float, warmup_s: float, greeted: int, cores: Cores, progress: Progress
) -> tuple[Run, ...]:
    progress(f"relay, {calls} calls")
    relay = await measure(Subject("relay"), Terms(calls, seconds, warmup_s), cores)
    progress(f"phonebot, {calls} calls")
    subject, terms = Subject("phonebot", greeting=GREETING), Terms(calls, seconds, warmup_s, greeted)
    return relay, await measure(subject, terms, cores)
