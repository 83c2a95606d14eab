"""
Audio of our own: what a call plays that no model made, such as a recorded greeting or a notice.

A clip goes through the ledger as an answer of the model does, and is interrupted as one. Once it is settled how
much of it was heard, the model is told: as an assistant's message of text, since a client can create no assistant
audio (Realtime API, conversation.item.create). A clip of which no word was heard was not said.

By then the conversation may have gone on: dialogue.py knows where in it a clip belongs.
"""

from phonebot.audio.base64 import base64_length, is_base64
from phonebot.audio.g711 import BYTES_PER_MS
from phonebot.call.actions import Action, Tell
from phonebot.call.dialogue import MAX_ID_CHARACTERS, Dialogue
from phonebot.call.plan import MAX_CLIP_MS, Clip
from phonebot.call.transcript import SpokenItem
from phonebot.realtime.events import CreateItem, Message


class Clips:
    """The clips of one call: what they are called, and what the model is told of them."""

    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue
        self._ids: set[str] = set()
        # Asked for while an item of the model grew, to be played behind it.
        self._waiting: list[tuple[SpokenItem, Clip]] = []

    def objection(self, clip: Clip) -> str | None:
        """Why the clip can't be played, in a sentence; None: it can."""
        if not is_base64(clip.audio):
            return f"clip {clip.clip_id}: its audio is no base64"
        if base64_length(clip.audio) > MAX_CLIP_MS * BYTES_PER_MS:
            return f"clip {clip.clip_id}: longer than {MAX_CLIP_MS // 1000} s"
        if clip.clip_id in self._ids or len(clip.clip_id or "") > MAX_ID_CHARACTERS:
            return f"clip {clip.clip_id}: its name was used before or has more than {MAX_ID_CHARACTERS} characters"
        return None

    def begin(self, clip: Clip) -> SpokenItem:
        """The item that a clip without an objection is from now on, behind all that the conversation holds."""
        clip_id = clip.clip_id or self._new_id()
        self._ids.add(clip_id)
        self._dialogue.keep(clip_id)
        length = base64_length(clip.audio)
        return SpokenItem(
            clip_id,
            response_id=clip_id,
            received_bytes=length,
            received_ms=length // BYTES_PER_MS,
            sent_bytes=length,
            complete=True,
            final_text=clip.text,
            is_clip=True,
        )

    def wait(self, item: SpokenItem, clip: Clip) -> None:
        self._waiting.append((item, clip))

    def take_waiting(self) -> list[tuple[SpokenItem, Clip]]:
        """The clips that waited, less those that an interruption has settled meanwhile."""
        waiting, self._waiting = self._waiting, []
        return [(item, clip) for item, clip in waiting if not item.stopped]

    def settle(self, item: SpokenItem, heard: str) -> list[Action]:
        """The words that were heard of a clip are known: tell the model."""
        if not heard:
            self._dialogue.removed(item.item_id)
            return []
        previous = self._dialogue.take(item.item_id)
        message = Message.written("assistant", heard, item.item_id)
        return [Tell(CreateItem(message, previous))]

    def _new_id(self) -> str:
        number = len(self._ids) + 1
        while f"clip-{number}" in self._ids:
            number += 1
        return f"clip-{number}"
