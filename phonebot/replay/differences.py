"""
How a replay differs from its log, in words, on the call's time line.

    0:12.340  the model hears the caller speak, at 11.98 s of him
              = clear what was not played yet
              - send mark 0:31
              + send mark 1:32

`=` is done now as then, `-` was done then, `+` is done now. Only the first difference is shown, with what stands
around it: what follows a first departure mostly follows from it.
"""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from phonebot.call.actions import Action, Tell
from phonebot.carrier.messages import Mark, Media
from phonebot.realtime.events import AppendAudio
from phonebot.replay.log import abridged
from phonebot.replay.player import Difference, Replay
from phonebot.replay.reader import Step, agrees
from phonebot.replay.words import changes, clock, of_action, of_input

BEFORE = 5  # lines of what happened around the difference
AFTER = 2
MAX_ACTIONS = 12  # of one input outside the difference
_INDENT = " " * 10


def described(replay: Replay) -> str:
    """The first difference and how many there are; "" when there is none."""
    if not replay.differences:
        return ""
    first = replay.differences[0]
    lines = [_headline(replay, first), "", *_before(replay, first), *_differing(replay, first)]
    lines += _after(replay, first)
    return "\n".join([*lines, "", _count(replay)])


def _headline(replay: Replay, difference: Difference) -> str:
    at = clock(replay.log.steps[difference.position].now_ms)
    match difference.kind:
        case "needless tick":
            due = "never" if difference.due_ms is None else f"at {clock(difference.due_ms)}"
            return f"At {at} the log has a tick that the call did not ask for; the next one is due {due}."
        case "missing tick":
            return f"At {clock(difference.due_ms or 0)} the call asked for a tick; the log has none by {at}."
        case _:
            return f"At {at} the call does something else than the log says (- then, + now):"


def _count(replay: Replay) -> str:
    count, steps = len(replay.differences), len(replay.log.steps)
    if count == 1:
        return f"This is the only difference in {steps} inputs."
    last = replay.log.steps[replay.differences[-1].position].now_ms
    return f"It is the first of {count} differences in {steps} inputs, the last at {clock(last)}."


def _differing(replay: Replay, difference: Difference) -> Iterator[str]:
    step = replay.log.steps[difference.position]
    yield f"{clock(step.now_ms)}  {of_input(step.input)}"
    if difference.kind == "actions":
        for sign, text in compared(step.actions, difference.found):
            yield f"{_INDENT}{sign} {text}"


def compared(kept: Sequence[Action], found: Sequence[Action]) -> Iterator[tuple[str, str]]:
    """A sign and the words for each action: "=" both have it, "-" only the log, "+" only today; " " explains."""
    # Texts to match by: what agrees must have the same one.
    before = [_key(action) for action in kept]
    after = [_matching_key(action, kept) for action in found]
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for operation, start, end, found_start, found_end in matcher.get_opcodes():
        if operation == "equal":
            yield from (("=", of_action(action)) for action in kept[start:end])
            continue
        gone, come = kept[start:end], found[found_start:found_end]
        yield from (("-", of_action(action)) for action in gone)
        yield from (("+", of_action(action)) for action in come)
        for one, other in zip(gone, come, strict=False):
            if type(one) is type(other) and of_action(one) == of_action(other):
                other = abridged(other, keep_audio=True)
                yield from ((" ", f"  {change}") for change in changes(one, other))


def _key(action: Action) -> str:
    return repr(action)


def _matching_key(action: Action, kept: Sequence[Action]) -> str:
    return next((_key(each) for each in kept if agrees(each, action)), _key(abridged(action, keep_audio=True)))


def _before(replay: Replay, difference: Difference) -> list[str]:
    lines: list[str] = []
    position = difference.position
    while position and len(lines) < BEFORE:
        end = position
        while position and _is_quiet(replay.log.steps[position - 1]):
            position -= 1
        if position < end:
            lines.insert(0, _quiet(replay.log.steps[position:end]))
        elif position:
            position -= 1
            lines[:0] = _told(replay.log.steps[position])
    return lines


def _after(replay: Replay, difference: Difference) -> list[str]:
    lines: list[str] = []
    position, steps = difference.position + 1, replay.log.steps
    while position < len(steps) and len(lines) < AFTER:
        end = position
        while end < len(steps) and _is_quiet(steps[end]):
            end += 1
        if end > position:
            lines.append(_quiet(steps[position:end]))
            position = end
        else:
            lines += _told(steps[position])
            position += 1
    return lines


def _is_quiet(step: Step) -> bool:
    """A frame of the caller that at most was passed on to the model, or a mark of which nothing came."""
    if isinstance(step.input, Mark):
        return not step.actions
    return isinstance(step.input, Media) and all(
        isinstance(action, Tell) and isinstance(action.command, AppendAudio) for action in step.actions
    )


def _quiet(steps: Sequence[Step]) -> str:
    frames = [step for step in steps if isinstance(step.input, Media)]
    marks = [step.input.name for step in steps if isinstance(step.input, Mark)]
    parts = []
    if frames:
        count = "a frame" if len(frames) == 1 else f"{len(frames)} frames"
        early = "" if any(step.actions for step in frames) else ", before the model is told"
        parts.append(f"{count} of the caller{early}")
    if len(marks) == 1:
        parts.append(f"mark {marks[0]} comes back")
    elif marks:
        parts.append(f"marks {marks[0]} to {marks[-1]} come back")
    return f"{clock(steps[0].now_ms)}  {'; '.join(parts)}"


def _told(step: Step) -> list[str]:
    lines = [f"{clock(step.now_ms)}  {of_input(step.input)}"]
    lines += [f"{_INDENT}= {of_action(action)}" for action in step.actions[:MAX_ACTIONS]]
    if len(step.actions) > MAX_ACTIONS:
        lines.append(f"{_INDENT}= and {len(step.actions) - MAX_ACTIONS} more")
    return lines
