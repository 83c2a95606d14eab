"""
How much of its conversation a model still reads: the session's `truncation` (Realtime, session object).

What has left the window stays in the list of items, and does not come back. The window is that of gpt-realtime:
32,768 tokens, of which an answer may take 4,096.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from phonebot.simulator.conversation import Item
from phonebot.simulator.schema import invalid
from phonebot.simulator.tokens import item_tokens, text_tokens

INPUT_TOKENS = 32_768 - 4_096


class Window:
    """Of one conversation."""

    def __init__(self) -> None:
        self._gone: set[str] = set()

    def read(self, truncation: Any, instructions: str, items: Sequence[Item]) -> tuple[Item, ...]:
        """The items that a response reads now. Raises Refused where they are too many and none may go."""
        room = INPUT_TOKENS - text_tokens(instructions)
        keeps = 1.0
        if isinstance(truncation, dict):
            limits = truncation.get("token_limits") or {}
            room = min(room, limits.get("post_instructions", room))
            keeps = truncation["retention_ratio"]
        kept = [item for item in items if item.id not in self._gone]
        if _tokens(kept) > room:
            if truncation == "disabled":
                raise invalid("session.truncation", f"the conversation has more than {room} tokens")
            kept = _newest(kept, room * keeps)
        self._gone |= {item.id for item in items} - {item.id for item in kept}
        return tuple(kept)


def _newest(items: Sequence[Item], most_tokens: float) -> list[Item]:
    """As many of the newest as may be, one at least; no output of a function without its call."""
    first, left = len(items) - 1, most_tokens - _tokens(items[-1:])
    while first > 0 and (left := left - _tokens(items[first - 1 : first])) >= 0:
        first -= 1
    calls = {item.call_id for item in items[first:] if item.type == "function_call"}
    return [item for item in items[first:] if item.type != "function_call_output" or item.call_id in calls]


def _tokens(items: Iterable[Item]) -> int:
    return sum(item_tokens(item).total for item in items)
