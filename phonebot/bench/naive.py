"""
The position as most public bots compute it, from what crosses the same sockets.

Position = the newest media timestamp - the one at the item's first delta. The start is taken anew whenever a delta
is of another item than the one before, and only that last item is truncated; marks merely count whether something
may still be playing (twilio-samples/speech-assistant-openai-realtime-api-python, main.py, `send_to_twilio` and
`handle_speech_started_event`).
"""


class NaiveBot:
    """
    Tell it what the service sees, in order; `said_ms` is then what such a bot's model would believe.

    It decides nothing about the call: what the caller heard is what the measured service let him hear.
    """

    def __init__(self) -> None:
        self._media_ms: int | None = None  # the newest timestamp
        self._start_ms: int | None = None  # the one when the item's first delta came
        self._item: str | None = None  # the last one; None: none since the interruption
        self._marks = 0  # sent and not yet echoed
        self._truncated: dict[str, int] = {}

    def receive_media(self, timestamp_ms: int) -> None:
        self._media_ms = timestamp_ms

    def receive_delta(self, item_id: str) -> None:
        if item_id != self._item:
            self._item, self._start_ms = item_id, self._media_ms

    def send_mark(self) -> None:
        self._marks += 1

    def receive_mark(self) -> None:
        self._marks = max(0, self._marks - 1)

    def interrupt(self) -> None:
        """The model reports that the caller speaks."""
        if self._item is None or not self._marks:
            return
        if self._start_ms is None or self._media_ms is None:
            return
        self._truncated[self._item] = self._media_ms - self._start_ms
        self._item = self._start_ms = None
        self._marks = 0

    def said_ms(self, generated_ms: dict[str, int]) -> dict[str, int]:
        """What its model believes of each item, given its length; a truncation beyond it is refused."""
        return {item_id: min(ms, self._truncated.get(item_id, ms)) for item_id, ms in generated_ms.items()}
