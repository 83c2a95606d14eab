"""
Audio of our own: what a call plays that no model made, such as a recorded greeting or a notice.

A clip goes through the ledger as an answer of the model does, and is interrupted as one. Once it is settled how
much of it was heard, the model is told: as an assistant's message of text, since a client can create no assistant
audio (Realtime API, conversation.item.create). A clip of which no word was heard was not said.

By then the conversation may have gone on. `Places` knows where in it a clip belongs.
"""

from phonebot.audio.base64 import base64_length, is_base64
from phonebot.call.actions import Action, Tell
from phonebot.call.plan import MAX_CLIP_MS, Clip
from phonebot.call.run import BYTES_PER_MS
from phonebot.call.transcript import SpokenItem
from phonebot.realtime.events import CreateItem, Message, Part

MAX_ID_CHARACTERS = 32  # Realtime API, the item object: what a client may call an item


class Clips:
    """The clips of one call: what they are called, and what the model is told of them once it is ready."""

    def __init__(self) -> None:
        self.places = Places()
        self._ids: set[str] = set()
        self._model_ready = False
        # What the model is to be told once it is ready.
        self._untold: list[Action] = []
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
        self.places.keep(clip_id)
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
        """The words that were heard of a clip are known: tell the model, now or once it is ready."""
        if not heard:
            self.places.removed(item.item_id)
            return []
        previous = self.places.take(item.item_id)
        message = Message("assistant", (Part("output_text", text=heard),), id=item.item_id)
        told: list[Action] = [Tell(CreateItem(message, previous))]
        if self._model_ready:
            return told
        self._untold += told
        return []

    def model_ready(self) -> list[Action]:
        """The model is there: what it is to be told before anything else."""
        self._model_ready = True
        untold, self._untold = self._untold, []
        return untold

    def _new_id(self) -> str:
        number = len(self._ids) + 1
        while f"clip-{number}" in self._ids:
            number += 1
        return f"clip-{number}"


class Places:
    """
    The order of the model's conversation, and the places that clips have in it until they are told.

    Say what is in the conversation (`added`, `removed`) and when the caller begins to speak: what he says will
    stand behind the clips kept by then, though it may get there before them.
    """

    def __init__(self) -> None:
        self._order: list[str] = []
        # Of these: clips that are not in the conversation yet.
        self._kept: set[str] = set()
        # And turns of the caller that are not.
        self._coming: set[str] = set()

    def __contains__(self, item_id: str) -> bool:
        """Whether an item is in the conversation."""
        return item_id in self._order and item_id not in self._kept and item_id not in self._coming

    def keep(self, clip_id: str) -> None:
        """A clip begins here."""
        self._order.append(clip_id)
        self._kept.add(clip_id)

    def caller_begins(self, item_id: str | None) -> None:
        """The caller begins to speak; `item_id` is what his turn will be called, if that was said."""
        if not item_id or item_id not in self._order:
            self._order.append(item_id or "")
            self._coming.add(item_id or "")

    def added(self, item_id: str | None) -> None:
        """An item is in the conversation: where it was expected, else at the end."""
        if not item_id:
            return
        self._coming.discard(item_id)
        self._kept.discard(item_id)
        if item_id not in self._order:
            self._order.append(item_id)

    def removed(self, item_id: str) -> None:
        """An item is not in the conversation any more, or a clip never will be."""
        if item_id in self._order:
            self._order.remove(item_id)
        self._kept.discard(item_id)

    def take(self, clip_id: str) -> str | None:
        """
        The item that a clip is to be created behind, "root" for none: and it is there now.

        None: at the end. Nothing that follows it can be in the conversation yet.
        """
        at = self._order.index(clip_id)
        self._kept.discard(clip_id)
        if all(later in self._kept for later in self._order[at + 1 :]):
            return None
        absent = self._kept | self._coming
        return next((earlier for earlier in reversed(self._order[:at]) if earlier not in absent), "root")
