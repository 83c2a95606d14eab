"""What a call came to: what was said, which functions were called, how long answers took, what the model cost."""

from dataclasses import dataclass

from phonebot.call.actions import Line
from phonebot.realtime.events import (
    FunctionCall,
    OutputItemDone,
    ResponseDone,
    TranscriptionCompleted,
    TranscriptionUsage,
    Usage,
)
from phonebot.replay.heard import legs
from phonebot.replay.reader import CallLog, outcome_of
from phonebot.replay.utterances import answer_latencies_ms


@dataclass(frozen=True, slots=True)
class FunctionCalled:
    """`arguments` is JSON text, as the model wrote it."""

    at_ms: int
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Account:
    """
    `lines` with their call times. `latencies_ms` has a figure for each utterance of the caller that was answered.

    `tokens` are those of all responses; `cost_usd` is of these and of what wrote the caller's words down, at the
    tariff of the call's plan; None for a model without a price.
    """

    lines: tuple[tuple[int, Line], ...]
    functions: tuple[FunctionCalled, ...]
    latencies_ms: tuple[int, ...]
    tokens: Usage
    cost_usd: float | None
    length_ms: int
    outcome: str | None
    model: str | None

    @property
    def turns(self) -> tuple[tuple[Line, ...], ...]:
        """The lines; a turn begins with each line of the caller. The first is the greeting's, perhaps empty."""
        turns: list[list[Line]] = [[]]
        for _, line in self.lines:
            if line.role == "caller":
                turns.append([])
            turns[-1].append(line)
        return tuple(map(tuple, turns))


def account_of(log: CallLog) -> Account:
    """Raises LogError for a log whose call is too long to be heard."""
    actions = [(step.now_ms, action) for step in log.steps for action in step.actions]
    usages = [
        step.input.response.usage
        for step in log.steps
        if isinstance(step.input, ResponseDone) and step.input.response.usage
    ]
    tokens = summed(usages)
    return Account(
        lines=tuple((now, action) for now, action in actions if isinstance(action, Line)),
        functions=tuple(
            FunctionCalled(step.now_ms, step.input.item.name, step.input.item.arguments)
            for step in log.steps
            if isinstance(step.input, OutputItemDone) and isinstance(step.input.item, FunctionCall)
        ),
        latencies_ms=tuple(answer_latencies_ms(legs(log))),
        tokens=tokens,
        cost_usd=_cost_usd(log, tokens),
        length_ms=log.steps[-1].now_ms if log.steps else 0,
        outcome=outcome_of(action for _, action in actions),
        model=log.header.model,
    )


def _cost_usd(log: CallLog, tokens: Usage) -> float | None:
    responses_usd = log.plan.tariff.of(tokens)
    if responses_usd is None:
        return None
    return responses_usd + sum(map(log.plan.tariff.of_transcription, transcriptions(log)))


def transcriptions(log: CallLog) -> list[TranscriptionUsage]:
    """What writing down the caller's words took, as far as the service told: of each turn of his."""
    told = (step.input.usage for step in log.steps if isinstance(step.input, TranscriptionCompleted))
    return [usage for usage in told if usage]


def summed(usages: list[Usage]) -> Usage:
    """The tokens of all of them."""
    names = Usage.__struct_fields__
    return Usage(**{name: sum(getattr(usage, name) for usage in usages) for name in names})
