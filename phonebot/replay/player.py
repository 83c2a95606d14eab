"""
Plays a call log to a fresh core, in no time, and compares what comes of it with what the log says.

    replay = play(read(folder))
    replay.differences                  # () when today's core does what the recorded one did

The inputs come with their recorded call times, so the result depends on the log and the code, and on nothing else.
A Tick is the one input that is the call's own wish: it is compared too. One that was not asked for is a difference,
and so is one that was asked for and is not in the log.

`perform` does not compare. It gives the call its ticks when it asks for them, and returns the steps as they are
now: what an update writes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from phonebot.call.actions import Action
from phonebot.call.call import Call
from phonebot.call.inputs import Input, Tick
from phonebot.call.plan import LocalTurns
from phonebot.replay.log import EVENTS_FILE, HEADER_FILE, LogError
from phonebot.replay.reader import CallLog, Step, agrees

LATE_MS = 1_000
"""A tick that did not come within this time of the first input that found it due is missing, not slow."""

Kind: TypeAlias = Literal["actions", "needless tick", "missing tick"]


@dataclass(frozen=True, slots=True)
class Difference:
    """
    Where today's core departs from the log: at `position` among its steps.

    "actions": the input is answered by `found`. "needless tick": the log has a tick that was not asked for; today's
    is due at `due_ms` (None: never). "missing tick": at `due_ms` one was asked for, and by this step none had come.
    """

    kind: Kind
    position: int
    found: tuple[Action, ...] = ()
    due_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """A log, where it differs, and the steps as they are now: the same inputs with today's actions."""

    log: CallLog
    steps: tuple[Step, ...]
    differences: tuple[Difference, ...]


def play(log: CallLog) -> Replay:
    """
    Feed the log's inputs to a fresh core and compare.

    Raises LogError for a log that lacks what its core acted upon (`check_playable`): nothing can be told of it.
    """
    check_playable(log)
    call = Call(log.plan)
    steps: list[Step] = []
    differences: list[Difference] = []
    overdue_from_ms: int | None = None  # when an input first found a tick due that had not come
    last = len(log.steps) - 1
    for position, step in enumerate(log.steps):
        now, received, due_ms = step.now_ms, step.input, call.wakeup_ms
        if isinstance(received, Tick):
            if due_ms is None or due_ms > now:
                differences.append(Difference("needless tick", position, due_ms=due_ms))
            overdue_from_ms = None
        elif due_ms is None or due_ms > now:
            overdue_from_ms = None
        elif overdue_from_ms is None:
            overdue_from_ms = now
        elif overdue_from_ms + LATE_MS < now:
            differences.append(Difference("missing tick", position, due_ms=due_ms))
            overdue_from_ms = now  # once a second, not at each frame
        found = call.receive(received, now)
        if not same(step.actions, found) and not (position == last and _is_torn(log, step.actions, found)):
            differences.append(Difference("actions", position, tuple(found)))
        steps.append(Step(now, received, tuple(found)))
    return Replay(log, tuple(steps), tuple(differences))


def perform(log: CallLog) -> tuple[Step, ...]:
    """The log's inputs with what today's core does about them, its ticks as it asks for them. Raises as `play`."""
    check_playable(log)
    call = Call(log.plan)
    return tuple(_performed(call, log.steps))


def _performed(call: Call, steps: Sequence[Step]) -> Iterator[Step]:
    def fed(now: int, received: Input) -> Step:
        return Step(now, received, tuple(call.receive(received, now)))

    now = 0
    for position, step in enumerate(steps):
        due_ms = call.wakeup_ms
        if isinstance(step.input, Tick):
            if due_ms is not None and due_ms <= step.now_ms:
                yield fed(step.now_ms, step.input)
        else:
            # The log's own tick may be the next line: it comes as late as it did.
            while due_ms is not None and due_ms < step.now_ms and not _tick_follows(steps, position):
                yield fed(max(now, due_ms), Tick())
                if call.wakeup_ms == due_ms:
                    break  # it is not moved by time
                due_ms = call.wakeup_ms
            yield fed(step.now_ms, step.input)
        now = step.now_ms


def _tick_follows(steps: Sequence[Step], position: int) -> bool:
    """Whether the log has a tick soon after this step."""
    until_ms = steps[position].now_ms + LATE_MS
    for step in steps[position:]:
        if step.now_ms > until_ms:
            return False
        if isinstance(step.input, Tick):
            return True
    return False


def check_playable(log: CallLog) -> None:
    """Raises LogError for a log that cannot be played: what its core heard was not kept, or is hidden."""
    if log.header.unplayable:
        raise LogError(HEADER_FILE, None, log.header.unplayable)
    turns = log.plan.turns
    if turns is None or log.header.audio:
        return
    problem = ""
    if isinstance(turns, LocalTurns):
        problem = "this call's turns were found in the caller's audio"
    elif turns.withhold_silence:
        problem = "what the model was sent was found in the caller's audio"
    if problem:
        raise LogError(EVENTS_FILE, None, f"{problem}, which was not recorded: it cannot be replayed")


def same(kept: Sequence[Action], found: Sequence[Action]) -> bool:
    """Whether these actions are those that the log keeps."""
    return len(kept) == len(found) and all(map(agrees, kept, found))


def _is_torn(log: CallLog, kept: Sequence[Action], found: Sequence[Action]) -> bool:
    """A process that was killed may have written part of the last input's actions."""
    ended = log.header.ended is not None and not log.header.counts.lost
    return not ended and same(kept, found[: len(kept)])
