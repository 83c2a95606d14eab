"""What a model believes to have said: its items' audio, less what it was told nobody heard."""

from phonebot.bench import events
from phonebot.bench.events import Json

NO_AUDIO = "Only model output audio messages can be truncated"


class Belief:
    """
    The assistant's items of one conversation, in the order in which they began.

    Truncation and deletion are answered as the service does (Realtime API reference, conversation.item.truncate
    and .delete): what is refused changes nothing, so the model goes on believing that it said everything.
    """

    def __init__(self) -> None:
        self.refusals: list[str] = []
        self.told = 0  # truncations and deletions, the refused ones included
        self._generated: dict[str, int] = {}  # ms of audio
        self._kept: dict[str, int] = {}  # what was left of those truncated or deleted
        self._deleted: set[str] = set()

    def __len__(self) -> int:
        return len(self._generated)

    def begin(self, item_id: str) -> int:
        """An item begins. Returns its number, from 0."""
        self._generated[item_id] = 0
        return len(self._generated) - 1

    def extend(self, item_id: str, ms: int) -> None:
        """More of an item was generated, and sent. A truncated one stays as it is."""
        self._generated[item_id] += ms

    @property
    def generated_ms(self) -> dict[str, int]:
        """How much of each item was generated and sent."""
        return dict(self._generated)

    @property
    def said_ms(self) -> dict[str, int]:
        """How much of each item the model believes to have said."""
        return {item_id: self._length_ms(item_id) for item_id in self._generated}

    def truncate(self, item_id: str, audio_end_ms: int, event_id: str | None) -> Json:
        """Returns the answer: done, or an error."""
        self.told += 1
        if item_id not in self._generated or item_id in self._deleted:
            return self._refuse(f"Item {item_id} does not exist", "item_truncate_invalid_item_id", event_id)
        length_ms = self._length_ms(item_id)
        if not length_ms:
            return self._refuse(NO_AUDIO, "unsupported_content_type", event_id)
        if audio_end_ms > length_ms:
            shorter = f"Audio content of {length_ms}ms is already shorter than {audio_end_ms}ms"
            return self._refuse(shorter, "invalid_value", event_id)
        self._kept[item_id] = audio_end_ms
        return {
            "type": "conversation.item.truncated",
            "item_id": item_id,
            "content_index": 0,
            "audio_end_ms": audio_end_ms,
        }

    def delete(self, item_id: str, event_id: str | None) -> Json:
        """Returns the answer: done, or an error."""
        self.told += 1
        if item_id not in self._generated or item_id in self._deleted:
            return self._refuse(f"Item {item_id} does not exist", "item_delete_invalid_item_id", event_id)
        self._kept[item_id] = 0
        self._deleted.add(item_id)
        return {"type": "conversation.item.deleted", "item_id": item_id}

    def _length_ms(self, item_id: str) -> int:
        return self._kept.get(item_id, self._generated[item_id])

    def _refuse(self, message: str, code: str, event_id: str | None) -> Json:
        self.refusals.append(message)
        return events.error(message, code, event_id)
