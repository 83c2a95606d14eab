"""
Every truncation that was asked for, so that one that is refused is asked for again.

A refusal leaves the model believing that it said everything; its error names the length that the item has (Realtime
API, conversation.item.truncate).
"""

from phonebot.realtime.events import ErrorDetail, TruncateItem
from phonebot.realtime.severity import already_shorter_ms, asked_truncation_ms

TRUNCATIONS = 2  # how often an item's truncation is asked for, should the service refuse it


class Truncations:
    """The truncations of one call."""

    def __init__(self) -> None:
        self._asked: dict[str, TruncateItem] = {}  # by event id: a refusal should name it

    def ask(self, item_id: str, content_index: int, audio_end_ms: int) -> TruncateItem | None:
        """The command; None when it was asked for often enough."""
        if sum(each.item_id == item_id for each in self._asked.values()) == TRUNCATIONS:
            return None
        event_id = f"truncate-{len(self._asked) + 1}"
        self._asked[event_id] = TruncateItem(item_id, content_index, audio_end_ms, event_id)
        return self._asked[event_id]

    def shortened(self, error: ErrorDetail) -> TruncateItem | None:
        """What was refused, as it would have been accepted; None when the error is about nothing we know."""
        length_ms = already_shorter_ms(error)
        refused = self._asked.get(error.event_id or "") or self._newest(asked_truncation_ms(error))
        if refused is None or length_ms is None:
            return None
        return TruncateItem(refused.item_id, refused.content_index, min(length_ms, refused.audio_end_ms))

    def _newest(self, audio_end_ms: int | None) -> TruncateItem | None:
        """The one a refusal is about that names no command but the position."""
        asked = (each for each in reversed(self._asked.values()) if each.audio_end_ms == audio_end_ms)
        return next(asked, None)
