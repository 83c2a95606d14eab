"""What was measured: values, the tables people read, the JSON scripts read."""

import platform
from collections.abc import Iterable, Sequence
from math import ceil
from typing import Self

import msgspec
from rich import box
from rich.table import Table

from phonebot import __version__

MAX_FAULTS = 10
GOAL_MS = 2  # the clear is to be written within so long of the interruption's being read


class Delays(msgspec.Struct, frozen=True):
    """How long something took, `count` times, in ms. `lost` more never arrived. All 0 when nothing did."""

    count: int = 0
    lost: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0

    @classmethod
    def of(cls, delays_ms: Iterable[float], lost: int = 0) -> Self:
        ordered = sorted(delays_ms)
        if not ordered:
            return cls(lost=lost)
        return cls(len(ordered), lost, percentile(ordered, 50), percentile(ordered, 99), round(ordered[-1], 3))

    def __str__(self) -> str:
        return f"{self.p50_ms:.2f} / {self.p99_ms:.2f}" if self.count else "none"


class Reaction(msgspec.Struct, frozen=True):
    """How long the service took from reading the model's word to handing its transport the clear, in ms."""

    delays: Delays
    within_2_ms: float | None  # which share was no slower; None: there was none

    @classmethod
    def of(cls, delays_ms: Iterable[float]) -> Self:
        delays_ms = tuple(delays_ms)
        within = sum(ms <= GOAL_MS for ms in delays_ms)
        return cls(Delays.of(delays_ms), round(within / len(delays_ms), 4) if delays_ms else None)

    def __str__(self) -> str:
        ms, share = self.delays, self.within_2_ms
        shown = "none measured" if share is None else f"{share:.1%} within {GOAL_MS} ms"
        return f"p50 {ms.p50_ms:.2f}, p99 {ms.p99_ms:.2f}, max {ms.max_ms:.2f}, {shown}"


class ClearsUnderLoad(msgspec.Struct, frozen=True):
    """
    The time a clear takes with `calls` at once, measured as in a row.

    `delays` are an upper bound: they hold the loopback's time and that of the load's own process. `inside` is what
    the service saw of them itself, `inside_cpu` the CPU time in that: the rest is other processes' and threads'.
    `loop_late_ms` is how late its event loop was with a timer. Shares of a core: what the server needed, what the
    load needed of another, what other processes took of the server's (None: it had none). `frames_late_ms`: how far
    behind time the load sent its frames.
    """

    calls: int
    delays: Delays
    inside: Reaction
    inside_cpu: Reaction
    loop_late_ms: Delays
    server_busy: float
    load_busy: float
    others_busy: float | None
    frames_late_ms: Delays
    faults: tuple[str, ...]

    def __str__(self) -> str:
        ms, late = self.delays, self.frames_late_ms
        return (
            f"clear with {self.calls} calls at once, in ms: p50 {ms.p50_ms:.1f}, p99 {ms.p99_ms:.1f}, "
            f"max {ms.max_ms:.1f} ({ms.count} times, {ms.lost} without a clear); an upper bound, "
            f"which holds the loopback and the load's own work; inside the server, from reading the model's word "
            f"to handing the clear to its transport: {self.inside}; CPU time in that: "
            f"{self.inside_cpu}; its event loop was "
            f"{self.loop_late_ms.p99_ms:.1f} ms late at p99, {self.loop_late_ms.max_ms:.1f} at most; "
            f"busy: server {self.server_busy:.0%}, "
            f"load {self.load_busy:.0%}"
            + ("" if self.others_busy is None else f", others on the server's core {self.others_busy:.0%}")
            + f"; the load was {late.p99_ms:.0f} ms behind its time at p99"
        )


class FirstWord(msgspec.Struct, frozen=True):
    """
    How soon a caller hears the first word, from the request to the voice webhook and from the stream's start.

    `kept`: the greeting is played, as the model spoke it to the first caller; otherwise the model speaks it.
    """

    kept: bool
    from_webhook: Delays
    from_start: Delays
    faults: tuple[str, ...]

    def __str__(self) -> str:
        who = "a kept greeting is played" if self.kept else "the model speaks, 300 ms after its session was made"
        return (
            f"first word, in ms (p50 / p99), {who}: {self.from_start} after the start of the stream, "
            f"{self.from_webhook} after the webhook was asked"
        )


class AnswersUnderLoad(msgspec.Struct, frozen=True):
    """
    Where the time goes from the end of the caller's speech to the first frame of the answer, by whom (answers.py).

    `lost` answers never arrived. `others_busy`: what other processes took of the server's core (None: it had none).
    """

    calls: int
    model: Delays
    ours: Delays
    network: Delays
    lost: int
    others_busy: float | None
    faults: tuple[str, ...]

    def __str__(self) -> str:
        others = "" if self.others_busy is None else f"; others on the server's core {self.others_busy:.0%}"
        return (
            f"answers in {self.calls} calls at once, from the end of the caller's speech to the first frame, "
            f"in ms (p50 / p99): model {self.model}, phonebot {self.ours} ({self.ours.max_ms:.2f} at most), "
            f"network, here the loopback and the load, {self.network} "
            f"({self.ours.count} answers, {self.lost} lost){others}"
        )


class Run(msgspec.Struct, frozen=True):
    """
    One server under one load.

    `cpu_ms` is its CPU time per call and second, `cpu_shares` the parts of it by process; `memory_mb` what it held
    in the end, `call_kb` by how much that grew per call, from a fifth of the calls to all of them (None: there was
    one). `to_model` counts the caller's frames, `to_caller` the model's deltas by their first piece.
    `faults` are the first of `fault_count` things that a carrier or a model would have complained of.

    The rest says how far to trust this: `load_busy`, the share of its core that the load needed; `frames_late_ms`,
    how far behind time it sent; `others_busy`, the share of the server's core that other processes took (None: it
    had no core of its own).
    """

    server: str
    calls: int
    seconds: float
    cpu_ms: float
    cpu_shares: tuple[float, ...]
    memory_mb: float
    call_kb: float | None
    to_model: Delays
    to_caller: Delays
    first_audio: Delays
    fault_count: int
    faults: tuple[str, ...]
    load_busy: float
    frames_late_ms: Delays
    others_busy: float | None


class Machine(msgspec.Struct, frozen=True):
    """Where it ran."""

    cores: int
    python: str
    phonebot: str

    @classmethod
    def this(cls, cores: int) -> Self:
        return cls(cores, platform.python_version(), __version__)


class Report(msgspec.Struct, frozen=True):
    machine: Machine
    runs: tuple[Run, ...]
    notes: tuple[str, ...]

    def to_json(self) -> str:
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode()

    @property
    def faults(self) -> tuple[str, ...]:
        return tuple(f"{run.server}: {fault}" for run in self.runs for fault in run.faults)

    def captioned(self, table: Table, *lines: str) -> Table:
        """The table with these lines below it, then the notes and the faults."""
        table.caption = "\n".join((*lines, *self.notes, *self.faults)) or None
        table.caption_justify = "left"
        return table


class LatencyReport(Report, frozen=True):
    """
    How much later audio arrives because of the server, and how soon a caller hears something.

    `guardrail`: how soon playback stops for one, from the model's delta with the offending words; `answers`: where
    their time goes; `first_words`: without and with a kept greeting. None, or empty: that was not measured.
    """

    guardrail: ClearsUnderLoad | None = None
    answers: AnswersUnderLoad | None = None
    first_words: tuple[FirstWord, ...] = ()

    @property
    def faults(self) -> tuple[str, ...]:
        further = (self.guardrail, self.answers, *self.first_words)
        return (*super().faults, *(fault for each in further if each for fault in each.faults))

    def table(self) -> Table:
        title = f"{self.runs[0].calls} calls, times in ms (p50 / p99)"
        table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0))
        table.add_column("server")
        for heading in ("to model", "to caller", "webhook to first audio", "faults"):
            table.add_column(heading, justify="right", no_wrap=True)
        for run in self.runs:
            table.add_row(
                run.server, str(run.to_model), str(run.to_caller), str(run.first_audio), str(run.fault_count)
            )
        lines = [str(each) for each in (*self.first_words, self.answers) if each]
        if self.guardrail:
            lines.append(f"guardrail, from its words to the {self.guardrail}")
        return self.captioned(table, *lines)


def percentile(ordered: Sequence[float], percent: int) -> float:
    """The nearest-rank percentile of values in ascending order, at least one."""
    return round(ordered[ceil(len(ordered) * percent / 100) - 1], 3)
