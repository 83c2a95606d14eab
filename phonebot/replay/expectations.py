"""
What a call must come to, written by hand beside its log: `expected.toml`.

    outcome = "caller_hung_up"
    barge_ins = 1
    heard = [                               # all lines, in the order in which they became final
        "bot: Hello, how can I help?",
        "caller: what are your opening hours",
        "bot: We are open from Monday …",    # begins so, and was cut
    ]

    [[cuts]]                                # one for each item that was cut, in order
    heard_ms = [1450, 1550]                 # from, to
    settled = "fence"

Every key may be left out. The recorded actions say what the call did; these say what matters of it. An update of
the log never touches them.
"""

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from phonebot.call.actions import Action, BargeIn, Cut, Line, Outcome, Settled, Trouble
from phonebot.replay.archive import EXPECTED_FILE, MAX_EXPECTED_BYTES
from phonebot.replay.log import LogError
from phonebot.replay.reader import Step, outcome_of

CUT = "…"

_Ms = Annotated[int, Meta(ge=0)]


class ExpectedCut(Struct, frozen=True, forbid_unknown_fields=True):
    """Where an item was cut: between these ms of it. `settled` None: however the position was settled."""

    heard_ms: tuple[_Ms, _Ms]
    settled: Settled | None = None


class Expected(Struct, frozen=True, forbid_unknown_fields=True):
    """None: not expected to be anything particular. Troubles are expected only if they are listed."""

    outcome: Outcome | None = None
    barge_ins: int | None = None
    heard: tuple[Annotated[str, Meta(pattern="^(bot|caller|instruction): ")], ...] | None = None
    cuts: tuple[ExpectedCut, ...] | None = None
    troubles: tuple[str, ...] = ()


def expected_of(folder: Path) -> Expected | None:
    """What stands beside a log; None if nothing does. Raises LogError for what is not as described above."""
    path = folder / EXPECTED_FILE
    try:
        with path.open("rb") as file:
            text = file.read(MAX_EXPECTED_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(text) > MAX_EXPECTED_BYTES:
        raise LogError(EXPECTED_FILE, None, f"longer than {MAX_EXPECTED_BYTES} bytes")
    try:
        return msgspec.convert(tomllib.loads(text.decode()), Expected)
    except (ValueError, msgspec.ValidationError, RecursionError) as error:
        raise LogError(EXPECTED_FILE, None, str(error)) from error


def shortcomings(steps: Iterable[Step], expected: Expected) -> Iterator[str]:
    """A sentence for each expectation that these steps do not meet."""
    actions = [action for step in steps for action in step.actions]
    outcome = outcome_of(actions)
    if expected.outcome not in (None, outcome):
        yield f"the outcome is {outcome}, expected was {expected.outcome}"
    barge_ins = sum(isinstance(action, BargeIn) for action in actions)
    if expected.barge_ins not in (None, barge_ins):
        yield f"there are {barge_ins} barge-ins, expected were {expected.barge_ins}"
    if expected.heard is not None:
        yield from _wrong_lines([action for action in actions if isinstance(action, Line)], expected.heard)
    if expected.cuts is not None:
        yield from _wrong_cuts([action for action in actions if isinstance(action, Cut)], expected.cuts)
    yield from _wrong_troubles(actions, expected.troubles)


def _wrong_lines(lines: list[Line], expected: tuple[str, ...]) -> Iterator[str]:
    for number, (line, text) in enumerate(zip(lines, expected, strict=False), 1):
        told = f"{line.role}: {line.text}{f' {CUT}' if line.cut else ''}"
        agrees = line.cut and told.startswith(text[: -len(CUT)].rstrip()) if text.endswith(CUT) else told == text
        if not agrees:
            yield f"line {number} is {told!r}, expected was {text!r}"
    if len(lines) != len(expected):
        yield f"there are {len(lines)} lines, expected were {len(expected)}"


def _wrong_cuts(cuts: list[Cut], expected: tuple[ExpectedCut, ...]) -> Iterator[str]:
    for number, (cut, wanted) in enumerate(zip(cuts, expected, strict=False), 1):
        first_ms, last_ms = wanted.heard_ms
        if not first_ms <= cut.heard_ms <= last_ms:
            yield f"cut {number} is at {cut.heard_ms} ms of its item, expected was {first_ms} to {last_ms} ms"
        if wanted.settled not in (None, cut.settled):
            yield f"cut {number} is settled by {cut.settled}, expected was {wanted.settled}"
    if len(cuts) != len(expected):
        yield f"there are {len(cuts)} cuts, expected were {len(expected)}"


def _wrong_troubles(actions: list[Action], expected: tuple[str, ...]) -> Iterator[str]:
    troubles = [action.problem for action in actions if isinstance(action, Trouble)]
    if len(troubles) != len(expected) or not all(
        text in trouble for text, trouble in zip(expected, troubles, strict=True)
    ):
        yield f"the troubles are {troubles}, expected were {list(expected)}"
