"""
What Brightline's agents look up, and a log of who was handed over to whom.

    PYTHONPATH=. PHONEBOT_TOOLS=triage PHONEBOT_HOOKS=triage phonebot serve --dev

INVOICES and LINES stand for the systems of a real company: put its API in their place, in `async def` functions.
"""

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from phonebot.hooks import Event, LiveCall, hook
from phonebot.hooks.events import GuardrailTripped, HandOff
from phonebot.tools import ToolContext, ToolError, tool


class Invoice(TypedDict):
    """What is still to be paid."""

    number: str
    amount: str
    due: str


INVOICES: dict[str, Invoice] = {
    "+15550100001": {"number": "2207", "amount": "48 dollars", "due": "the first of May"},
}
LINES = {"+15550100001": "There is no signal: a technician has to come."}


@tool
async def find_invoice(call: ToolContext) -> Invoice:
    """Finds the invoice that the caller has still to pay."""
    if call.caller not in INVOICES:
        raise ToolError("There is no open invoice for the caller's number.")
    return INVOICES[call.caller]


@tool(fillers=("I am testing your line. That takes a moment.",))
async def check_line(call: ToolContext) -> str:
    """Tests the caller's line."""
    return LINES.get(call.caller, "The line is in order.")


@hook(events=("handoff", "guardrail_tripped"))
async def log_triage(event: Event, call: LiveCall) -> None:
    """A line of JSON for each hand-over and each guardrail that trips, in the file TRIAGE_LOG."""
    entry = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "call": call.call_sid}
    match event:
        case HandOff():
            entry |= {"from": event.from_agent, "to": event.to_agent, "note": event.note or ""}
        case GuardrailTripped():
            entry |= {"guardrail": event.guardrail, "why": event.why or ""}
    # In a thread: a hook runs in the event loop that serves all calls.
    await asyncio.to_thread(_append, json.dumps(entry))


def _append(line: str) -> None:
    with Path(os.environ.get("TRIAGE_LOG", "triage.jsonl")).open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
