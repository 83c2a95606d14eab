"""A call in virtual time, from one line of a test to the next."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from phonebot.agents.answering import answer
from phonebot.call.actions import Check, RunTool
from phonebot.call.inputs import Checked, ToolResult
from phonebot.call.planning import plan_for
from phonebot.guardrails.guard import Guard
from phonebot.guardrails.guardroom import Guardroom
from phonebot.rehearsal.builtins import builtins
from phonebot.rehearsal.line import Dialled
from phonebot.rehearsal.virtual import CALL_SID, Look, RunFunction, VirtualCall
from phonebot.rehearsal.virtual_model import VirtualModel
from phonebot.replay.reader import Step as Happening
from phonebot.simulator.caller import HangUp, PromptedCaller
from phonebot.simulator.network import Network
from phonebot.tools.running import ToolContext
from phonebot.tools.toolbox import Toolbox
from phonebot.tools.workshop import Workshop

NETWORK = Network(uplink_delay_ms=30, downlink_delay_ms=30)
# Made up: the prompt may tell the time, and a test shall not differ by it.
NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
CLOSE_MS = 10_000


def functions_of(toolbox: Toolbox, takes_ms: float) -> RunFunction:
    """Runs functions to their end while virtual time stands still; then each is said to have taken `takes_ms`."""

    def run(wanted: RunTool) -> tuple[float, ToolResult]:
        # In a thread: whoever holds the call may run an event loop of his own.
        with ThreadPoolExecutor(1) as thread:
            return takes_ms, thread.submit(lambda: asyncio.run(toolbox.result(wanted))).result()

    return run


def look_of(guard: Guard | None) -> Look | None:
    """Looks while virtual time stands still."""
    if guard is None:
        return None

    def look(wanted: Check) -> list[Checked]:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(guard.results(wanted))).result()

    return look


class VirtualLine:
    """A `Line` on which nothing waits: time passes only while something is waited for."""

    def __init__(self, dialled: Dialled) -> None:
        profile = dialled.numbers.profile_for(dialled.number)
        workshop = Workshop(dialled.functions, guardrails=dialled.guardrails, builtins=builtins())
        equipment = workshop.equip(profile)
        answered = answer(profile, NOW)
        plan = plan_for(
            answered.profile,
            caller=dialled.caller,
            number=dialled.number,
            now=answered.now,
            offers=equipment.offers,
            looked_up={**(profile.lookup.defaults if profile.lookup else {}), **answered.values},
        )
        context = ToolContext(CALL_SID, dialled.caller, dialled.number, profile.name)
        toolbox, guard = equipment.toolbox(context), Guardroom(workshop).guard(profile, context)
        self.caller = PromptedCaller()
        model = VirtualModel(dialled.mind(), ear=dialled.ear)
        self._call = VirtualCall(
            plan,
            self.caller,
            model,
            network=NETWORK,
            on_event=dialled.ear.note,
            run_function=functions_of(toolbox, dialled.takes_ms),
            look=look_of(guard),
        )

    @property
    def happened(self) -> list[Happening]:
        return self._call.steps

    @property
    def over(self) -> bool:
        return self._call.ended

    def wait(self, is_so: Callable[[], bool], within_ms: float) -> bool:
        return self._call.run_until(is_so, within_ms)

    def close(self) -> list[str]:
        if not self.over:
            self.caller.do(HangUp())
            self._call.run_until(lambda: self.over, CLOSE_MS)
        return [str(violation) for violation in self._call.carrier.violations]
