"""
Who spoke when in a call, and how long its answers took, from the log.

A call that is recorded is listened to again: both legs as one heard them. One that is not is told by who had the
floor: the caller's speech from when it was noticed until the silence began that gave the floor away. Both ends are
later by what the notice takes to come, some 50 ms.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from msgspec import UNSET

from phonebot.call.actions import Floor
from phonebot.call.plan import CallPlan, LocalTurns
from phonebot.call.turns import Turn
from phonebot.realtime.events import AudioCommitted
from phonebot.replay.heard import Played, legs, playback
from phonebot.replay.reader import CallLog
from phonebot.replay.utterances import BOT_GAP_MS, Answer, Utterance, answers, of_bot, of_caller

SERVICE_SILENCE_MS = 500
"""What ends a turn where the session does not say it (Realtime API, turn_detection, silence_duration_ms)."""


@dataclass(frozen=True, slots=True)
class Talk:
    """
    What the caller said, and what he heard of the bot, in order; and the answers (utterances.py).

    `items` says from when to when an item was spoken and heard: the bot's and, under the names that the model's
    service has for them, the caller's turns.
    """

    caller: tuple[Utterance, ...]
    bot: tuple[Utterance, ...]
    answers: tuple[Answer, ...]
    items: dict[str, Utterance]


def talk_of(log: CallLog) -> Talk:
    """Raises LogError for a log whose call is too long to be heard."""
    played = [piece for piece in playback(log) if piece.audio]
    end_ms = log.steps[-1].now_ms if log.steps else 0
    if log.header.audio:
        both = legs(log)
        caller, bot = of_caller(both), of_bot(both)
        found = answers(caller, bot, end_ms)
    else:
        silence_ms = _ending_silence_ms(log.plan)
        caller, bot = list(_noticed(log, silence_ms or 0)), list(_joined(played))
        # When his last word was is not known where meaning or a key ended his turn.
        found = [] if silence_ms is None else answers(caller, bot, end_ms)
    items = _heard_items(played) | _said_items(log, caller)
    return Talk(tuple(caller), tuple(bot), tuple(found), items)


def _ending_silence_ms(plan: CallPlan) -> int | None:
    """How long a silence ends the caller's turn; None: it is not a silence that does."""
    if isinstance(plan.turns, LocalTurns):
        return plan.turns.silence_duration_ms
    turns = plan.session.turn_detection
    if not turns or turns.type != "server_vad":
        return None
    return SERVICE_SILENCE_MS if turns.silence_duration_ms is UNSET else turns.silence_duration_ms


def _noticed(log: CallLog, silence_ms: int) -> Iterator[Utterance]:
    """The caller's speech, by who had the floor."""
    begin_ms: int | None = None
    for step in log.steps:
        for action in step.actions:
            if not isinstance(action, Floor):
                continue
            if action.turn is Turn.CALLER:
                begin_ms = step.now_ms
            elif begin_ms is not None:
                yield Utterance(begin_ms, max(step.now_ms - silence_ms, begin_ms))
                begin_ms = None


def _joined(played: Iterable[Played]) -> Iterator[Utterance]:
    """Pieces of audio as utterances, by the gap that parts what a bot says."""
    begin_ms = end_ms = -BOT_GAP_MS
    for piece in played:
        if piece.begin_ms - end_ms >= BOT_GAP_MS:
            if end_ms > begin_ms:
                yield Utterance(begin_ms, end_ms)
            begin_ms = round(piece.begin_ms)
        end_ms = round(piece.end_ms)
    if end_ms > begin_ms:
        yield Utterance(begin_ms, end_ms)


def _heard_items(played: Iterable[Played]) -> dict[str, Utterance]:
    found: dict[str, Utterance] = {}
    for piece in played:
        begin_ms = found[piece.item_id].begin_ms if piece.item_id in found else round(piece.begin_ms)
        found[piece.item_id] = Utterance(begin_ms, round(piece.end_ms))
    return found


def _said_items(log: CallLog, caller: list[Utterance]) -> dict[str, Utterance]:
    """The caller's turns: what he said since the one before, up to the moment at which the turn was over."""
    found: dict[str, Utterance] = {}
    position = 0
    for step in log.steps:
        if isinstance(step.input, AudioCommitted) and step.input.item_id not in found:
            first = position
            while position < len(caller) and caller[position].begin_ms < step.now_ms:
                position += 1
            if position > first:
                found[step.input.item_id] = Utterance(caller[first].begin_ms, caller[position - 1].end_ms)
    return found
