"""How much later audio arrives because of the service, and how soon a caller hears its first sound."""

from phonebot.bench.answers import measure_answers
from phonebot.bench.capacity import notes
from phonebot.bench.clears import GUARDRAIL, measure_clears
from phonebot.bench.first_word import GREETING, measure_first_words
from phonebot.bench.load import Cores, Progress, Terms, measure, pinned, run
from phonebot.bench.report import FirstWord, LatencyReport, Machine, Run
from phonebot.bench.subject import Subject

GUARDED = Subject("phonebot", prompt="{caller}", timed=True, guarded=True)


def measure_latency(
    calls: int = 5,
    seconds: float = 20.0,
    *,
    warmup_s: float = 2.0,
    greeted: int = 20,
    guarded: int = 20,
    asked: int = 50,
    progress: Progress = lambda sentence: None,
) -> LatencyReport:
    """
    Measure a few calls through the relay and through phonebot, which greets; the model answers at once. Then, in
    `asked` calls, where the time of an answer goes, and in `guarded` calls, how soon playback stops when the bot
    says what a guardrail stops it for (0: leave that out).

    The time to the first audio is that of `greeted` further calls, one after the other: from the voice webhook's
    request to the first audio on the media stream. That to the first word is measured in as many to which the model
    speaks the greeting, and in as many to which a kept one is played (first_word.py). Otherwise as
    `measure_capacity`.
    """
    with pinned() as cores:
        runs = run(_runs(calls, seconds, warmup_s, greeted, cores, progress))
        first_words: tuple[FirstWord, ...] = ()
        if greeted:
            progress(f"the first word, {2 * greeted} calls one after the other")
            first_words = run(measure_first_words(greeted, cores))
        answers = None
        if asked:
            progress(f"answers, {asked} calls")
            answers = run(measure_answers(asked, cores))
        stopped = None
        if guarded:
            progress(f"guardrails, {guarded} calls")
            stopped = run(measure_clears(GUARDED, guarded, cores, GUARDRAIL))
    return LatencyReport(Machine.this(cores.available), runs, notes(runs, cores), stopped, answers, first_words)


async def _runs(
    calls: int, seconds: float, warmup_s: float, greeted: int, cores: Cores, progress: Progress
) -> tuple[Run, ...]:
    progress(f"relay, {calls} calls")
    relay = await measure(Subject("relay"), Terms(calls, seconds, warmup_s), cores)
    progress(f"phonebot, {calls} calls")
    subject, terms = Subject("phonebot", greeting=GREETING), Terms(calls, seconds, warmup_s, greeted)
    return relay, await measure(subject, terms, cores)
