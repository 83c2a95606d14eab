"""
The assistant's items whose line is not final, and what the model is told of each once it is known what was heard.

    item = items.item("item_1", "resp_1")      # the model began it; it grows
    items.confirm("item_1", 1_600)             # a mark came back: so many bytes have played
    items.stop(items.unstopped(), fence)       # a clear has cut them
    items.settle(item, 1_440, "fence")         # and so much of this one was heard
    items.lose()                               # the model's session is gone: what it said so far is a clip of ours

What was heard in full is left alone, the one that was cut is truncated, what was not heard is removed.
"""

from collections.abc import Callable, Iterator
from typing import Literal

from phonebot.audio.g711 import BYTES_PER_MS
from phonebot.call.actions import Action, Cut, Line, Settled, Tell, Trouble
from phonebot.call.clips import Clips
from phonebot.call.dialogue import Dialogue
from phonebot.call.inputs import ModelReady
from phonebot.call.responses import Responses
from phonebot.call.transcript import SpokenItem
from phonebot.call.truncations import Truncations
from phonebot.realtime.events import DeleteItem, ErrorDetail


class Items:
    """The items of one call, in the order in which they were begun. `model`: None while there is none."""

    def __init__(self, responses: Responses, clips: Clips, dialogue: Dialogue) -> None:
        self.model: ModelReady | None = None
        self._responses = responses
        self._clips, self._dialogue = clips, dialogue
        self._open: dict[str, SpokenItem] = {}
        # The ids of those whose line is final: what still comes of them is ignored.
        self._final: set[str] = set()
        # The items each clear has stopped, by the fence that will settle them.
        self._stopped: dict[str, list[SpokenItem]] = {}
        # Never heard, and to be removed once their response is done: an item can't be deleted while it grows.
        self._unheard: list[SpokenItem] = []
        self._truncations = Truncations()

    def __iter__(self) -> Iterator[SpokenItem]:
        """Those that are open now; they may become final meanwhile."""
        return iter(tuple(self._open.values()))

    def get(self, item_id: str | None) -> SpokenItem | None:
        """One that is open."""
        return self._open.get(item_id or "")

    def is_final(self, item_id: str) -> bool:
        return item_id in self._final

    def item(self, item_id: str, response_id: str) -> SpokenItem:
        """The item of this id, which begins here if it is new."""
        if item_id not in self._open:
            self._open[item_id] = SpokenItem(item_id, response_id)
        return self._open[item_id]

    def add(self, item: SpokenItem) -> None:
        """A clip of ours begins here."""
        self._open[item.item_id] = item

    def unstopped(self) -> list[SpokenItem]:
        """Those that no clear has stopped yet."""
        return [item for item in self if not item.stopped]

    @property
    def growing(self) -> bool:
        """Audio of one has begun, and goes on."""
        return any(item.received_ms and not (item.complete or item.stopped) for item in self)

    @property
    def settling(self) -> bool:
        """Of some it is not known yet where a clear has cut them."""
        return bool(self._stopped)

    @property
    def newest(self) -> SpokenItem | None:
        """The item that was begun last; None: none is open."""
        return next(reversed(self._open.values()), None)

    # ---------------------------------------------------------------------------------- what was heard

    def confirm(self, item_id: str, played_bytes: int) -> list[Action]:
        """So much of the item has played for sure."""
        item = self.get(item_id)
        if item is None:
            return []
        item.played_bytes = played_bytes
        return self.heard_in_full(item)

    def stop(self, items: list[SpokenItem], fence: str) -> None:
        """A clear has cut them: the fence will tell where."""
        self._stopped[fence] = items
        for item in items:
            item.stopped = True

    def stopped_by(self, fence: str) -> list[SpokenItem] | None:
        """The items that wait for this fence, which wait no more; None: its clear has stopped none for good."""
        return self._stopped.pop(fence, None)

    def settle(self, item: SpokenItem, played_bytes: int, settled: Settled) -> list[Action]:
        """So much of an item was heard, and no more will be; `settled` says how that is known."""
        item.played_bytes, item.stopped = played_bytes, True
        if item.heard_in_full:
            return self.heard_in_full(item)
        item.heard_ms = min(played_bytes // BYTES_PER_MS, item.received_ms)
        if item.is_wordless:
            self.forget(item)
            return self._clips.settle(item, "")
        cut = Cut(item.item_id, item.heard_ms, item.received_ms, settled)
        if not item.heard_ms:
            self.forget(item)
            return [*self.remove(item), cut]
        item.cut = True
        if item.is_clip:
            told = self._clips.settle(item, item.heard_text())
        else:
            told = self._truncate(item.item_id, item.content_index, item.heard_ms)
        return [*told, cut, *self._cut_line(item)]

    def heard_in_full(self, item: SpokenItem) -> list[Action]:
        """The line is final once all of its audio was heard and all of its text is known."""
        if not item.heard_in_full or item.final_text is None:
            return []
        self.forget(item)
        told = self._clips.settle(item, item.final_text) if item.is_clip else []
        if item.is_wordless:
            return told
        return [*told, Line("bot", item.item_id, item.final_text, heard_ms=item.received_ms)]

    def _cut_line(self, item: SpokenItem) -> list[Action]:
        """The line of an item that was cut, once there is text: that may come after the cut."""
        if item.final_text is None and not item.text:
            return []
        self.forget(item)
        heard = item.heard_text()
        if item.is_clip and not heard:
            return []  # it was not said
        return [Line("bot", item.item_id, heard, cut=True, heard_ms=item.heard_ms)]

    def forget(self, item: SpokenItem) -> None:
        """The item is final."""
        self._open.pop(item.item_id, None)
        self._final.add(item.item_id)

    # ---------------------------------------------------------------------------------- what was said

    def text_is_known(self, item: SpokenItem, text: str) -> list[Action]:
        """All of the item's text has come."""
        item.final_text = text
        return self._cut_line(item) if item.cut else self.heard_in_full(item)

    def complete(self, response_id: str) -> list[Action]:
        """Nothing more comes of a response, however it ended: its items are as long as they are."""
        actions: list[Action] = []
        for item in self:
            if item.response_id != response_id:
                continue
            item.final_text = item.text
            if item.cut:
                actions += self._cut_line(item)
            elif not item.received_ms:
                self.forget(item)  # a message without audio was not said
            elif response_id not in self._responses.fenced:
                item.complete = True
                actions += self.heard_in_full(item)
        return actions

    def last_lines(self) -> list[Action]:
        """The call has ended: what was heard of those whose text was still to come."""
        return [_last_line(item) for item in self if not item.is_wordless]

    def lose(self) -> list[Action]:
        """The model's session is gone. What is open is heard to its end, and the next one is told it in words."""
        self._unheard.clear()
        actions: list[Action] = []
        for item in self:
            if item.is_clip:
                continue
            if item.cut or not item.received_ms:
                actions += [_last_line(item)] if item.cut else []
                self.forget(item)
                continue
            self._dialogue.keep(item.item_id)
            item.break_off()
            actions += self.heard_in_full(item)
        return actions

    # ---------------------------------------------------------------------------------- what the model is told

    def can(self, what: Literal["truncates", "deletes", "interrupts"]) -> bool:
        """Whether the model's service does so; it is believed to until it is there."""
        return self.model is None or bool(getattr(self.model, what))

    def remove(self, item: SpokenItem) -> list[Action]:
        """Nothing of the item was heard: the model shall not believe it said it."""
        if item.is_clip:
            return self._clips.settle(item, "")
        if not self.can("deletes"):
            return self._truncate(item.item_id, item.content_index, 0) if item.received_ms else []
        if item.response_id == self._responses.active:
            self._unheard.append(item)  # it can't be deleted while it grows
            return []
        return self.delete(item.item_id)

    def delete(self, item_id: str) -> list[Action]:
        """The item leaves the conversation."""
        self._dialogue.removed(item_id)
        return [Tell(DeleteItem(item_id))]

    def delete_unheard(self, chosen: Callable[[SpokenItem], bool]) -> list[Action]:
        """Remove what was never heard and could not be removed while it grew."""
        deleted = [item for item in self._unheard if chosen(item)]
        self._unheard = [item for item in self._unheard if not chosen(item)]
        return [action for item in deleted for action in self.delete(item.item_id)]

    def truncate_again(self, error: ErrorDetail) -> list[Action]:
        """A truncation was refused, and the error states the item's length."""
        trouble = Trouble(f"truncation refused: {error.message}")
        again = self._truncations.shortened(error)
        return [trouble, *(self._truncate(again.item_id, again.content_index, again.audio_end_ms) if again else [])]

    def _truncate(self, item_id: str, content_index: int, audio_end_ms: int) -> list[Action]:
        if not self.can("truncates"):
            return []
        truncation = self._truncations.ask(item_id, content_index, audio_end_ms)
        return [Tell(truncation)] if truncation else []


def _last_line(item: SpokenItem) -> Line:
    heard_ms = item.heard_ms if item.cut else item.received_ms
    return Line("bot", item.item_id, item.text, cut=item.cut, heard_ms=heard_ms)
