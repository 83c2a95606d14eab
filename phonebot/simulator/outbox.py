"""What a session has to send and to start, in order, in the dialect of its client."""

from random import Random
from typing import Any

import msgspec

from phonebot.simulator.config import Dialect, Format
from phonebot.simulator.conversation import Item
from phonebot.simulator.outputs import Close, Output, Recognise, Send, Speak
from phonebot.simulator.schema import Refused
from phonebot.simulator.shapes import Json, event_json, item_json

_ID_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Outbox:
    """Collects a session's outputs until they are taken. `ids` makes the ids."""

    def __init__(self, dialect: Dialect, ids: Random) -> None:
        self.dialect: Dialect = dialect
        self._ids = ids
        self._outputs: list[Output] = []
        self._jobs = 0
        self._closed = False

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{''.join(self._ids.choices(_ID_LETTERS, k=21))}"

    def item_shape(self, item: Item) -> Json:
        """The item as it is now, without audio."""
        return item_json(item, self.dialect)

    def tell(self, event_type: str, **fields: Any) -> None:
        """Send an event, named as in GA; the beta dialect renames it or has none. After a close nothing is sent."""
        event = event_json(event_type, self.dialect, self.new_id("event"), fields)
        if event is not None and not self._closed:
            self._outputs.append(Send(msgspec.json.encode(event).decode()))

    def tell_error(self, problem: Refused, event_id: str | None) -> None:
        """Answer a client's event, or nobody's (None), with an error."""
        error = {
            "type": "invalid_request_error",
            "code": problem.code,
            "message": problem.message,
            "param": problem.param,
            "event_id": event_id,
        }
        self.tell("error", error=error)

    def speak(self, text: str, audio_format: Format) -> int:
        """Start a job of the voice; return its number."""
        self._jobs += 1
        self._outputs.append(Speak(self._jobs, text, audio_format))
        return self._jobs

    def recognise(self, audio: bytes, audio_format: Format) -> int:
        """Start a job of the ear; return its number."""
        self._jobs += 1
        self._outputs.append(Recognise(self._jobs, audio, audio_format))
        return self._jobs

    def close(self, code: int, reason: str) -> None:
        self._outputs.append(Close(code, reason))
        self._closed = True

    def take(self) -> list[Output]:
        """Return what has been collected since the last time."""
        outputs, self._outputs = self._outputs, []
        return outputs
