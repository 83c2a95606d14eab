"""
What is told of a call, or of a message: the body of the request. docs/after-the-call.md and docs/telephony.md
explain each field.

`version` grows when a field changes its meaning or goes; new ones may come at any time.
"""

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from phonebot.store.tables import AfterRow, CallRow, MessageRow, ToolCallRow, TurnRow

VERSION = 1

_LATER_STREAM = re.compile(r"(CA[0-9a-f]{32})-\d+")
_KINDS = (
    *("input_text", "input_audio", "input_image"),
    *("cached_text", "cached_audio", "cached_image"),
    *("output_text", "output_audio"),
)


def body_of(call: CallRow, after: AfterRow, *, page_url: str, recording_url: str | None) -> bytes:
    """JSON. `recording_url` None: there is no recording, or it is not to be linked."""
    later = _LATER_STREAM.fullmatch(call.call_sid)
    noted = after.noted or {}
    told: dict[str, Any] = {
        "version": VERSION,
        "call_id": call.call_sid,
        "call_sid": later[1] if later else call.call_sid,
        "kind": call.kind,
        "from": call.from_number,
        "to": call.to_number,
        "started_at": _moment(call.started_at),
        "ended_at": _moment(call.ended_at),
        "duration_ms": call.duration_ms,
        "outcome": call.outcome,
        "profile": {"name": call.profile_name, "number": call.number, "version": call.profile_version},
        "transcript": [_turn(turn) for turn in call.turns],
        "tools": [_tool(tool) for tool in call.tool_calls],
        "hand_offs": noted.get("hand_offs", []),
        "guardrails": noted.get("guardrails", []),
        "summary": after.summary,
        "extracted": after.extracted,
        "problems": _problems(after),
        "cost": {"usd": call.cost_usd, "tokens": {kind: _total(call, kind) for kind in _KINDS}},
        "recording_url": recording_url,
        "page_url": page_url,
    }
    return msgspec.json.encode(told)


def message_body(message: MessageRow, *, page_url: str) -> bytes:
    """JSON of a message that a caller left; its call may be in progress."""
    told: dict[str, Any] = {
        "version": VERSION,
        "message_id": message.message_id,
        "call_sid": message.call_sid,
        "from": message.from_number,
        "to": message.number,
        "profile": message.profile_name,
        "taken_at": _moment(message.taken_at),
        "for": message.for_whom or None,
        "name": message.name or None,
        "call_back": message.call_back or None,
        "urgent": message.urgent,
        "message": message.text,
        "page_url": page_url,
    }
    return msgspec.json.encode(told)


def _turn(turn: TurnRow) -> dict[str, Any]:
    return {
        "role": turn.who,
        "text": turn.text,
        "cut": turn.cut,
        "heard_ms": turn.heard_ms,
        "t_ms": turn.start_ms,
    }


def _tool(tool: ToolCallRow) -> dict[str, Any]:
    return {
        "name": tool.name,
        "arguments": _arguments(tool.arguments),
        "output": tool.result,
        "problem": tool.error,
        "started_ms": tool.start_ms,
        "ended_ms": tool.end_ms,
    }


def _arguments(text: str) -> Any:
    """As an object; as text where they are none, for a model wrote them."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return text


def _problems(after: AfterRow) -> dict[str, str]:
    """Why a text that was wanted is missing."""
    found = {"summary": after.summary_problem, "extracted": after.extracted_problem}
    return {name: problem for name, problem in found.items() if problem is not None}


def _total(call: CallRow, kind: str) -> int:
    return sum(getattr(row, kind) for row in call.usage)


def _moment(moment: datetime | None) -> str | None:
    """RFC 3339, in UTC, to the ms."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
