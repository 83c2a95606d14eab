"""Where the time of a call's answers went, for its page: who was waited for, in half of them and at most."""

from collections.abc import Iterable
from dataclasses import dataclass

from phonebot.store.tables import CallRow, TurnRow


@dataclass(frozen=True, slots=True)
class AnswerPart:
    """A part of the time, in ms: `half` of the answers took no more, and none more than `most`."""

    name: str
    means: str
    half_ms: float
    most_ms: float


def answer_parts(call: CallRow) -> list[AnswerPart]:
    """
    The parts, in the order in which they follow. Empty: it is not known of any answer.

    What the model and we took is measured. The rest of what the caller waited for is the network's, and the time in
    which it was found out that he had ended.
    """
    known = [turn for turn in call.turns if turn.model_ms is not None and turn.ours_us is not None]
    heard = [turn.latency_ms - _known_ms(turn) for turn in known if turn.latency_ms is not None]
    told = (
        ("End of turn, network", "To find out that the caller had ended; and both ways to him", heard),
        ("Model", "Until the first audio of its answer was there", [turn.model_ms or 0 for turn in known]),
        ("phonebot", "To ask the model, and to pass on its audio", [(turn.ours_us or 0) / 1000 for turn in known]),
    )
    return [part for name, means, values_ms in told if (part := _part(name, means, values_ms))]


def _known_ms(turn: TurnRow) -> float:
    return (turn.model_ms or 0) + (turn.ours_us or 0) / 1000


def _part(name: str, means: str, values_ms: Iterable[float]) -> AnswerPart | None:
    ordered = sorted(max(value, 0.0) for value in values_ms)
    return AnswerPart(name, means, ordered[(len(ordered) - 1) // 2], ordered[-1]) if ordered else None
