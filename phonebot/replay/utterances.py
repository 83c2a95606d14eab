"""Who spoke when in a recorded call, as one hears it: utterances on the call's time line, from both legs."""

from collections.abc import Sequence
from dataclasses import dataclass

from phonebot.audio.g711 import BYTES_PER_MS, FRAME_BYTES, FRAME_MS
from phonebot.audio.vad import SpeechDetector
from phonebot.replay.heard import Legs

CALLER_GAP_MS = 700  # a longer silence ends what a person says; within a sentence there is less
BOT_GAP_MS = 500
SHORTEST_MS = 80  # less is a click
# mu-law codes at or above -38 dB (ITU-T G.711, Table 2): the bot's leg has no noise to tell speech from.
_LOUD = bytes(code for code in range(256) if ~code & 0x7F >= 0x20)


@dataclass(frozen=True, slots=True)
class Utterance:
    """From the first to the last speech of it, in ms of call time."""

    begin_ms: int
    end_ms: int


def of_caller(legs: Legs) -> list[Utterance]:
    """What the caller said, found by a detector that adapts to the noise of his line."""
    frames = SpeechDetector().feed(legs.caller)
    return _joined([at for at, speech in enumerate(frames) if speech], CALLER_GAP_MS)


def of_bot(legs: Legs) -> list[Utterance]:
    """What the caller heard of the bot."""
    frames = (legs.heard[at : at + FRAME_BYTES] for at in range(0, len(legs.heard), FRAME_BYTES))
    return _joined([at for at, frame in enumerate(frames) if frame.translate(None, _LOUD) != frame], BOT_GAP_MS)


@dataclass(frozen=True, slots=True)
class Answer:
    """The bot answers an utterance of the caller. `latency_ms`: from his last sound to the first that he heard."""

    begin_ms: int
    latency_ms: int


def answers(caller: Sequence[Utterance], bot: Sequence[Utterance], end_ms: int) -> list[Answer]:
    """One for each utterance of the caller that was answered before he spoke again, or the call ended."""
    found = []
    untils_ms = [*(each.begin_ms for each in caller[1:]), end_ms]
    for utterance, until_ms in zip(caller, untils_ms, strict=False):
        begins_ms = (answer.begin_ms for answer in bot if utterance.end_ms <= answer.begin_ms <= until_ms)
        if (begin_ms := next(begins_ms, None)) is not None:
            found.append(Answer(begin_ms, begin_ms - utterance.end_ms))
    return found


def answer_latencies_ms(legs: Legs) -> list[int]:
    """For each utterance of the caller that was answered: from its last sound to the first of the answer."""
    found = answers(of_caller(legs), of_bot(legs), len(legs.caller) // BYTES_PER_MS)
    return [answer.latency_ms for answer in found]


def _joined(frames: list[int], gap_ms: int) -> list[Utterance]:
    """Frames of speech as utterances: those less than the gap apart belong together."""
    found: list[Utterance] = []
    for frame in frames:
        begin_ms, end_ms = frame * FRAME_MS, (frame + 1) * FRAME_MS
        if found and begin_ms - found[-1].end_ms < gap_ms:
            found[-1] = Utterance(found[-1].begin_ms, end_ms)
        else:
            found.append(Utterance(begin_ms, end_ms))
    return [each for each in found if each.end_ms - each.begin_ms >= SHORTEST_MS]
