"""
Calls in virtual time that are over within some tenths of a second, and their logs.

    call = rehearsed(WaitForQuiet(600), SPEAKS, Interrupt(500, SPEECH), WaitForQuiet(600))
    folder = saved(tmp_path / "call", call)

The bot greets with `GREETING` and repeats what it understood, which is always `UNDERSTOOD`.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from msgspec.structs import replace as altered

from phonebot.agents.profile import Profile
from phonebot.call.plan import CallPlan
from phonebot.call.planning import plan_for
from phonebot.rehearsal.virtual import VirtualCall
from phonebot.rehearsal.virtual_model import VirtualModel
from phonebot.rehearsal.voice import spoken
from phonebot.replay.log import Header, abridged
from phonebot.replay.reader import CallLog, Step, outcome_of
from phonebot.replay.update import write
from phonebot.simulator.caller import Caller, HangUp, Interrupt, Say, WaitForQuiet
from phonebot.simulator.caller import Step as Does
from phonebot.simulator.carrier import Oddities
from phonebot.simulator.mind import EchoMind
from phonebot.simulator.network import Network

GREETING = "Hello, how can I help?"
UNDERSTOOD = "opening hours"
SPEECH = spoken("opening hours")
SPEAKS = Say(SPEECH)
QUIET = WaitForQuiet(600)
INTERRUPTED: tuple[Does, ...] = (QUIET, SPEAKS, Interrupt(500, SPEECH), QUIET, HangUp())
STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NEAR = Network(uplink_delay_ms=30, uplink_jitter_ms=4, downlink_delay_ms=30, downlink_jitter_ms=4)


class SureEar:
    """Always understands the same."""

    async def recognise(self, pcm8k: bytes) -> str:
        return UNDERSTOOD


def plan(**profile: Any) -> CallPlan:
    table = {
        "name": "Front desk",
        "greeting": GREETING,
        "model": "gpt-realtime-2.1",
        "transcription": {"model": "gpt-4o-mini-transcribe"},
        "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
    }
    made = Profile.from_table(table | profile, "test")
    return plan_for(made, caller="+15550100001", number="+15550100002", now=STARTED)


def rehearsed(
    *steps: Does, network: Network = NEAR, oddities: Oddities | None = None, seed: int = 0, **profile: Any
) -> VirtualCall:
    """A call that has ended."""
    model = VirtualModel(EchoMind(), ear=SureEar(), seed=seed)
    call = VirtualCall(plan(**profile), Caller(*steps), model, network=network, oddities=oddities, seed=seed)
    assert call.run_until(lambda: call.ended, within_ms=120_000)
    assert call.caller.failures == []
    assert call.carrier.violations == []
    return call


def header_of(call: VirtualCall, **changes: Any) -> Header:
    header = Header(
        call_sid="CA1",
        software="phonebot test",
        started=STARTED,
        ended=STARTED + timedelta(milliseconds=call.now_ms),
        outcome=outcome_of(call.steps[-1].actions),
    )
    return altered(header, **changes)


def kept(steps: Iterable[Step]) -> tuple[Step, ...]:
    """The steps as they would be read from a log."""
    return tuple(
        replace(step, actions=tuple(abridged(action, keep_audio=True) for action in step.actions)) for step in steps
    )


def log_of(call: VirtualCall, **header: Any) -> CallLog:
    """The call as it would be read from its log."""
    return CallLog(header_of(call, **header), call.plan, kept(call.steps))


def saved(folder: Path, call: VirtualCall, **header: Any) -> Path:
    """The call's log, on disk."""
    folder.mkdir(parents=True)
    made = header_of(call, **header)
    write(folder, made, CallLog(made, call.plan, tuple(call.steps)))
    return folder


@lru_cache
def interrupted() -> VirtualCall:
    """The caller asks, interrupts the answer half a second into it, and hears the next one out."""
    return rehearsed(*INTERRUPTED)
