"""examples/triage: hand-overs, guardrails, and a transfer to a colleague who hears a summary first."""

import asyncio
import json
from pathlib import Path

import pytest
from example_driver import Example

from phonebot.simulator.callees import Human
from phonebot.simulator.caller import Caller, Pause, Press
from phonebot.simulator.switchboard import Switchboard

CALLER, LINE, COLLEAGUE = "+15550100001", "+15550100000", "+15550100009"


async def test_its_rehearsals_pass(tmp_path: Path) -> None:
    async with Example.open("triage", tmp_path) as example:
        assert "6 passed" in await example.rehearse()


@pytest.mark.slow
async def test_recorded_callers_are_handed_over_and_one_is_taken_by_a_colleague(tmp_path: Path) -> None:
    async with Example.open("triage", tmp_path) as example, Switchboard.open(speed=20) as carrier:
        await example.serve_for(carrier, LINE)
        carrier.callees[COLLEAGUE] = Human((Pause(6_000), Press("1"), Pause(60_000)), after_s=2)
        human = carrier.leave(Caller(*example.caller("wants-a-human")), to_number=LINE, from_number=CALLER)
        await asyncio.gather(human, example.type_in("phonebot call ", "asks.toml"))
        await carrier.settled()
        (colleague,) = carrier.calls_to(COLLEAGUE)
        assert colleague.told("heard") == [
            f"A call from {CALLER}. He has a question about his bill. Press 1 to take it."
        ]
        assert carrier.position(CALLER, "bridged with", COLLEAGUE)
        log = [json.loads(line) for line in (example.folder / "triage.jsonl").read_text().splitlines()]
        handed_over = sorted((entry["from"], entry["to"]) for entry in log)
        assert handed_over == [("billing", "technical"), ("main", "billing"), ("main", "billing")]
