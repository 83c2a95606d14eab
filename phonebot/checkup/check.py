"""
What a check found, and how checks are made.

    checks = await run([database(store.database), storage(store.recordings)])

A probe changes nothing that stays and costs nothing, but for `model_session`, which opens a session with the model.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

DEADLINE_S = 8.0

State: TypeAlias = Literal["ok", "warning", "failed", "skipped"]
_BADNESS: dict[State, int] = {"skipped": 0, "ok": 1, "warning": 2, "failed": 3}
_END = (".", "!", "?")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """
    What was found. `remedy`: what to do, if anything; a sentence.

    "skipped": it was not looked at, and the sentence says because of what. Neither holds a secret.
    """

    name: str
    state: State
    sentence: str
    remedy: str = ""

    @classmethod
    def of_problem(cls, name: str, problem: str, state: State = "failed") -> "Check":
        """An error of ours: its words up to the first colon say what is wrong, those behind it what to do."""
        # A wrong value is shown as it is, and may hold a colon.
        told, _, remedy = problem.partition("; it must be ")
        if remedy:
            return cls(name, state, told, sentence_of(f"it must be {remedy}"))
        told, _, remedy = problem.partition(": ")
        return cls(name, state, told, sentence_of(remedy))


def skipped(name: str, why: str, remedy: str = "") -> Check:
    return Check(name, "skipped", why, remedy)


def sentence_of(words: str) -> str:
    """The end of a sentence of ours, as one of its own."""
    if not words:
        return ""
    return f"{words[0].upper()}{words[1:]}{'' if words.endswith(_END) else '.'}"


Found: TypeAlias = Check | Sequence[Check]


@dataclass(frozen=True, slots=True)
class Probe:
    """Looks at one thing, within `deadline_s`; what it finds may be more than one check."""

    name: str
    look: Callable[[], Awaitable[Found]]
    deadline_s: float = DEADLINE_S


def known(check: Check) -> Probe:
    """What was found already."""

    async def look() -> Check:
        return check

    return Probe(check.name, look)


async def run(probes: Sequence[Probe]) -> list[Check]:
    """What they find, in their order; they look at the same time."""
    found = await asyncio.gather(*map(_run, probes))
    return [check for checks in found for check in checks]


async def _run(probe: Probe) -> Sequence[Check]:
    try:
        async with asyncio.timeout(probe.deadline_s):
            found = await probe.look()
    except TimeoutError:
        sentence = f"did not answer within {probe.deadline_s:g} s"
        return [Check(probe.name, "failed", sentence, "Check the network between it and this machine.")]
    except Exception:  # the edge of a task: one probe must not hide what the others found
        _log.exception("the check of %s failed", probe.name)
        return [Check(probe.name, "failed", "could not be checked", "The log says why: please report it.")]
    return [found] if isinstance(found, Check) else found


def together(name: str, probes: Sequence[Probe]) -> Probe:
    """Several as one check, which is as bad as the worst of them."""

    async def look() -> Check:
        checks = await run(probes)
        if len(checks) == 1:
            return replace(checks[0], name=name)
        worst = max(checks, key=lambda check: _BADNESS[check.state])
        told = "; ".join(f"{check.name}: {check.sentence}" for check in checks)
        return Check(name, worst.state, told, worst.remedy)

    return Probe(name, look, max(probe.deadline_s for probe in probes) + 1)
