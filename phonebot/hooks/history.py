"""
What was said and done in a call so far, in order: the messages and the functions that were called.

    history.add(MessageItem(...))           # True: it is new
    history.change("item_1", status="completed", text="Hello")
    history.items                           # never changes: a later one is another tuple

The order is that in which items came into the model's conversation.
"""

from typing import Any

from msgspec.structs import replace

from phonebot.hooks.events import HistoryItem

MAX_ITEMS = 2_000
"""Of one call; of more the oldest are left out."""


class History:
    """Of one call. Items are known by their ids."""

    def __init__(self) -> None:
        self._items: dict[str, HistoryItem] = {}
        # Made when it is asked for; None: something has changed since.
        self._tuple: tuple[HistoryItem, ...] | None = ()

    @property
    def items(self) -> tuple[HistoryItem, ...]:
        if self._tuple is None:
            self._tuple = tuple(self._items.values())
        return self._tuple

    def get(self, item_id: str) -> HistoryItem | None:
        return self._items.get(item_id)

    def add(self, item: HistoryItem) -> bool:
        """Put it at the end, unless one of its id is there. Whether it is new."""
        if item.item_id in self._items:
            return False
        self._items[item.item_id] = item
        if len(self._items) > MAX_ITEMS:
            del self._items[next(iter(self._items))]
        self._tuple = None
        return True

    def change(self, item_id: str, **fields: Any) -> bool:
        """Change fields of an item; whether that changed anything."""
        item = self._items.get(item_id)
        changed = item and replace(item, **fields)
        if changed is None or changed == item:
            return False
        self._items[item_id] = changed
        self._tuple = None
        return True

    def remove(self, item_id: str) -> bool:
        """Whether it was there."""
        if self._items.pop(item_id, None) is None:
            return False
        self._tuple = None
        return True
