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
async def test_a_recorded_caller_is_handed_over_and_another_one_is_put_through(tmp_path: Path) -> None:
    async with Example.open("triage", tmp_path) as example:
        await example.serve()
        _, put_through = await asyncio.gather(
            example.type_in("phonebot call ", "asks.toml"), example.type_in("phonebot call ", "wants-a-human.toml")
        )
        assert f"bridged with {COLLEAGUE}" in put_through
        assert hand_overs(example) == [("billing", "technical"), ("main", "billing"), ("main", "billing")]
        assert "transferred" in await example.type_in("phonebot calls list")


@pytest.mark.slow
async def test_with_an_account_the_colleague_hears_a_summary_and_takes_the_call(tmp_path: Path) -> None:
    async with Example.open("triage", tmp_path) as example, Switchboard.open(speed=20) as carrier:
        await example.serve_for(carrier, LINE)
        carrier.callees[COLLEAGUE] = Human((Pause(6_000), Press("1"), Pause(60_000)), after_s=2)
        await carrier.dial(Caller(*example.caller("wants-a-human")), to_number=LINE, from_number=CALLER)
        await carrier.settled()
        (colleague,) = carrier.calls_to(COLLEAGUE)
        assert colleague.told("heard") == [
            f"A call from {CALLER}. He has a question about his bill. Press 1 to take it."
        ]
        assert carrier.position(COLLEAGUE, "heard") < carrier.position(CALLER, "bridged with", COLLEAGUE)
        assert hand_overs(example) == [("main", "billing")]


def hand_overs(example: Example) -> list[tuple[str, str]]:
    """From whom to whom, as the example's log has it; sorted, for calls go on at the same time."""
    log = [json.loads(line) for line in (example.folder / "triage.jsonl").read_text().splitlines()]
    return sorted((entry["from"], entry["to"]) for entry in log)
