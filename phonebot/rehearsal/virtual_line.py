"""A call in virtual time, from one line of a test to the next."""

from collections.abc import Callable
from datetime import UTC, datetime

from phonebot.call.plan import plan_for
from phonebot.rehearsal.line import Dialled
from phonebot.rehearsal.virtual import VirtualCall
from phonebot.rehearsal.virtual_model import VirtualModel
from phonebot.replay.reader import Step as Happening
from phonebot.simulator.caller import HangUp, PromptedCaller
from phonebot.simulator.network import Network

NETWORK = Network(uplink_delay_ms=30, downlink_delay_ms=30)
NOW = datetime(
    2026, 1, 2, 12, 0, tzinfo=UTC
)  # made up: the prompt may tell the time, and a test shall not differ by it
CLOSE_MS = 10_000


class VirtualLine:
    """A `Line` on which nothing waits: time passes only while something is waited for."""

    def __init__(self, dialled: Dialled) -> None:
        profile = dialled.numbers.profile_for(dialled.number)
        plan = plan_for(profile, caller=dialled.caller, number=dialled.number, now=NOW)
        self.caller = PromptedCaller()
        model = VirtualModel(dialled.mind(), ear=dialled.ear)
        self._call = VirtualCall(plan, self.caller, model, network=NETWORK, on_event=dialled.ear.note)

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
