"""
The lines of the transcript, in the order of the conversation: a line waits for what the caller said before it.

    actions = lines.order(actions, now)     # after each input, and once lines.due_ms has come

What the caller says is written down beside the conversation: late, in another order, or never (Realtime API, input
audio transcription). A line that has waited for LATE_MS waits no longer, and a turn that is not written down by
then, or by the end of the call, is a line without words.
"""

from collections import defaultdict

from phonebot.call.actions import Action, CloseModel, Ended, Line
from phonebot.call.dialogue import Dialogue

LATE_MS = 10_000
MISSING_MS = 1_000  # instead, where the turn before was not written down: perhaps none is


class Lines:
    """
    Those of one call. `transcribes`: what the caller says is written down at all. `due_ms`: when the first line has
    waited for long enough; None: none waits.
    """

    def __init__(self, dialogue: Dialogue, transcribes: bool) -> None:
        self.due_ms: int | None = None
        self._dialogue, self._transcribes = dialogue, transcribes
        # What waits, by item, and which items have a line.
        self._held: defaultdict[str, list[Line]] = defaultdict(list)
        self._told: set[str] = set()
        # How long the next line waits: not so long once a turn before it was not written down.
        self._late_ms = LATE_MS

    def order(self, actions: list[Action], now: int) -> list[Action]:
        """The same, but for lines that wait, and with those that have."""
        if not self._held and not any(isinstance(action, Line | Ended) for action in actions):
            return actions
        ordered: list[Action] = []
        for action in actions:
            match action:
                case Line():
                    self._hold(action, now)
                    ordered += self._next(now)
                case CloseModel() if isinstance(actions[-1], Ended):
                    ordered += [*self._rest(), action]
                case _:
                    ordered.append(action)
        return [*self._next(now), *ordered] if self._held else ordered

    def _hold(self, line: Line, now: int) -> None:
        self._held[line.item_id].append(line)
        self._told.add(line.item_id)
        if line.role == "caller" and line.text and not line.typed_by:
            self._late_ms = LATE_MS
        if self.due_ms is None:
            self.due_ms = now + self._late_ms

    def _next(self, now: int) -> list[Action]:
        """Those that wait no longer."""
        if self.due_ms is not None and now >= self.due_ms:
            return self._rest()
        told: list[Action] = []
        for item_id in self._dialogue.order:
            if item_id in self._held:
                told += self._held.pop(item_id)
            elif self._is_awaited(item_id):
                break
        return self._settled(told)

    def _rest(self) -> list[Action]:
        """All that wait, and those that were waited for."""
        told: list[Action] = []
        for item_id in self._dialogue.order:
            if item_id in self._held:
                told += self._held.pop(item_id)
            elif self._is_awaited(item_id):
                self._told.add(item_id)
                self._late_ms = MISSING_MS
                told.append(Line("caller", item_id, ""))
        return self._settled(told)

    def _settled(self, told: list[Action]) -> list[Action]:
        """Those, and what has no place in the conversation."""
        placed = set(self._dialogue.order)
        strangers = [item_id for item_id in self._held if item_id not in placed]
        told += [line for item_id in strangers for line in self._held.pop(item_id)]
        if not self._held:
            self.due_ms = None
        return told

    def _is_awaited(self, item_id: str) -> bool:
        """A turn of the caller's is still to be written down."""
        return self._transcribes and item_id not in self._told and self._dialogue.is_turn(item_id)
