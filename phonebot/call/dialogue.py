"""
What is said between the caller and the model, in order: what the model's conversation holds, and what a new one is
told of it.

    dialogue.added("item_1")              # it is in the conversation: where it was expected, else at the end
    dialogue.keep("clip-1")               # audio of ours begins here; the model will be told what was heard of it
    previous = dialogue.take("clip-1")    # it is now: behind which item it has to be created
    dialogue.note(actions)                # what the call does: the words of each item are among it

    dialogue.lose(again)                  # the session is gone, and its conversation with it
    actions = dialogue.retell()           # what the next one is told, in order, before anything else

There is no resume: a new session is empty (Realtime API, sessions). It is told in words: what the caller said as it
was written down, of the bot what was heard. Audio of the assistant's can't be created by a client, and that of the
caller's would be paid for again. A function's call and its output go together or not at all: one alone is refused.

Items are created again under the ids that they had. What the call creates without an id has none here until the
service tells what it calls it.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from msgspec.structs import replace

from phonebot.call.actions import Action, Line, LineRole, Tell
from phonebot.call.plan import EarlierLine
from phonebot.realtime.events import CreateItem, FunctionCall, FunctionCallOutput, Item, Message

MAX_ID_CHARACTERS = 32  # Realtime API, the item object: what a client may call an item
MAX_RETOLD_CHARACTERS = 40_000  # some 10,000 tokens, all of them paid for once more: of a longer call its end
TOKEN_CHARACTERS = 4  # of most languages in Latin letters; others have more tokens, and the service cuts once more
NOT_WRITTEN_DOWN = "(What the caller said here was not written down.)"
ROLES: Final[dict[LineRole, Literal["user", "assistant", "system"]]] = {
    "caller": "user",
    "bot": "assistant",
    "instruction": "system",
}
"""What is a line's role in the transcript is this one's in the conversation."""

State: TypeAlias = Literal["there", "kept", "coming"]
"""In the conversation; audio of ours that is not yet; a turn of the caller's that is not yet."""


@dataclass(slots=True)
class Entry:
    """
    An item, at its place. `item_id` "": it is not known yet what the service calls it.

    `item` is how it is told to a new session; None: it has no words, or none yet.
    """

    item_id: str
    state: State = "there"
    by_caller: bool = False
    item: Item | None = None


def retold_characters(truncation: Any) -> int:
    """So much a new session is told of a call: no more than the session's `truncation` leaves to its model."""
    if not isinstance(truncation, dict):
        return MAX_RETOLD_CHARACTERS
    most_tokens = (truncation.get("token_limits") or {}).get("post_instructions", MAX_RETOLD_CHARACTERS)
    kept = int(most_tokens * truncation["retention_ratio"] * TOKEN_CHARACTERS)
    return min(kept, MAX_RETOLD_CHARACTERS)


class Dialogue:
    """
    That of one call. `earlier` is what was said before the call came here. A new session is told the last
    `retold_characters` of it.
    """

    def __init__(self, earlier: Iterable[EarlierLine] = (), retold_characters: int = MAX_RETOLD_CHARACTERS) -> None:
        self._retold_characters = retold_characters
        self._order = [
            Entry("", item=Message.written(ROLES[line.role], line.text)) for line in earlier if line.text
        ]
        self._entries: dict[str, Entry] = {}
        # By call id: what the model has called, and what of that the present session knows of.
        self._calls: dict[str, FunctionCall] = {}
        self._calls_there: set[str] = set()

    def __contains__(self, item_id: str) -> bool:
        """Whether an item is in the conversation."""
        entry = self._entries.get(item_id)
        return entry is not None and entry.state == "there"

    # ------------------------------------------------------------------------------ the order

    @property
    def order(self) -> list[str]:
        """What was said, by item, as far as it has names."""
        return [entry.item_id for entry in self._order if entry.item_id]

    def is_turn(self, item_id: str) -> bool:
        """Whether an item is a turn of the caller's that has ended, in which there was something to be heard."""
        entry = self._entries.get(item_id)
        return entry is not None and entry.by_caller and entry.state == "there"

    def keep(self, item_id: str) -> None:
        """Audio of ours begins here; or what the model has begun to say is ours from now on."""
        self._entry(item_id).state = "kept"

    def caller_begins(self, item_id: str | None) -> None:
        """
        The caller begins to speak; `item_id` is what his turn will be called, if that was said.

        What he says will stand behind what was kept by then, though it may get there before.
        """
        if not item_id:
            self._order.append(Entry("", "coming", by_caller=True))
        elif item_id not in self._entries:
            entry = self._entry(item_id)
            entry.state, entry.by_caller = "coming", True

    def added(self, item_id: str | None, item: Item | None = None, by_caller: bool = False) -> None:
        """An item is in the conversation: where it was expected, else at the end. `item` is the service's word."""
        if not item_id:
            return
        if item and item_id not in self._entries:
            self._recognise(item_id, item)
        entry = self._entry(item_id)
        entry.state, entry.by_caller = "there", entry.by_caller or by_caller

    def removed(self, item_id: str) -> None:
        """An item is not in the conversation any more, or audio of ours never will be."""
        if entry := self._entries.pop(item_id, None):
            self._order = [each for each in self._order if each is not entry]

    def take(self, item_id: str) -> str | None:
        """
        The item that audio of ours is to be created behind, "root" for none: and it is there now.

        None: at the end. Nothing that follows it can be in the conversation yet.
        """
        entry = self._entry(item_id)  # it may have been removed meanwhile
        at = next(at for at, each in enumerate(self._order) if each is entry)
        entry.state = "there"
        if all(later.state == "kept" for later in self._order[at + 1 :]):
            return None
        before = (each.item_id for each in reversed(self._order[:at]) if each.state == "there" and each.item_id)
        return next(before, "root")

    def _entry(self, item_id: str) -> Entry:
        """That of this id, at the end if it is new."""
        if item_id not in self._entries:
            self._entries[item_id] = Entry(item_id)
            self._order.append(self._entries[item_id])
        return self._entries[item_id]

    def _recognise(self, item_id: str, item: Item) -> None:
        """The service tells what it calls an item: perhaps one that we created without an id."""
        for entry in self._order:
            if not entry.item_id and entry.item and _is_same(entry.item, item):
                entry.item_id = item_id
                self._entries[item_id] = entry
                return

    # ------------------------------------------------------------------------------ the words

    def note(self, actions: Iterable[Action]) -> None:
        """The call does this: what it creates, and what was said, is told again should the session be lost."""
        for action in actions:
            match action:
                case Tell(command=CreateItem(item=item)) if not isinstance(item, FunctionCall):
                    self._created(item)
                case Line(role=role, item_id=item_id, text=text, typed_by="") if text:
                    self._entry(item_id).item = Message.written(ROLES[role], text)

    def _created(self, item: Item) -> None:
        if item.id:
            self._entry(item.id).item = item
        elif all(entry.item is not item for entry in self._order):  # else it is told again
            self._order.append(Entry("", item=item))

    def silent(self, item_id: str) -> None:
        """In a turn of the caller's no words were found: there is nothing to be told of it."""
        if entry := self._entries.get(item_id):
            entry.by_caller = False

    def called(self, call: FunctionCall) -> None:
        """The model calls a function; the call is complete."""
        self._calls[call.call_id] = call
        self._calls_there.add(call.call_id)

    def complete(self, actions: Iterable[Action]) -> list[Action]:
        """The same, with each function's call before its output where the session does not know of it."""
        return [each for action in actions for each in (*self._call_for(action), action)]

    def _call_for(self, action: Action) -> Iterator[Action]:
        match action:
            case Tell(command=CreateItem(item=FunctionCallOutput(call_id=call_id))):
                if call_id in self._calls and call_id not in self._calls_there:
                    self._calls_there.add(call_id)
                    yield Tell(CreateItem(self._calls[call_id]))

    # ------------------------------------------------------------------------------ a new session

    def lose(self, again: Collection[str]) -> None:
        """The session is gone. `again`: what the caller said in these turns, the next one hears once more."""
        self._calls_there.clear()
        self._order = [entry for entry in self._order if self._outlasts(entry, again)]
        self._entries = {entry.item_id: entry for entry in self._order if entry.item_id}

    def _outlasts(self, entry: Entry, again: Collection[str]) -> bool:
        """Whether there is anything of it to be told, now or later."""
        if entry.state == "coming" or entry.item_id in again:
            return False
        if entry.item is None and entry.by_caller:
            entry.item = Message.written("user", NOT_WRITTEN_DOWN)
        return entry.item is not None or entry.state == "kept"

    def retell(self) -> list[Action]:
        """The new session is told what was said, as far as that is known; it is empty so far."""
        told: list[Action] = []
        for entry in self._worth_retelling():
            entry.state = "there"
            told.append(Tell(CreateItem(self._named(entry))))
        return self.complete(told)

    def _worth_retelling(self) -> list[Entry]:
        """The newest of them, and what was laid down for the whole call."""
        left = self._retold_characters
        worth: list[Entry] = []
        for entry in reversed(self._order):
            if entry.item is None or entry.state == "kept":
                continue
            left -= _characters(entry.item)
            if left >= 0 or (isinstance(entry.item, Message) and entry.item.role == "system"):
                worth.append(entry)
        return worth[::-1]

    def _named(self, entry: Entry) -> Item:
        """The item under its id, if a client may call it so; else the service finds another one."""
        assert entry.item is not None, "there is something to be told"
        if len(entry.item_id) > MAX_ID_CHARACTERS:
            del self._entries[entry.item_id]
            entry.item_id = ""
        if entry.item.id != (entry.item_id or None):
            entry.item = replace(entry.item, id=entry.item_id or None)
        return entry.item


def _is_same(ours: Item, theirs: Item) -> bool:
    if isinstance(ours, FunctionCallOutput):
        return isinstance(theirs, FunctionCallOutput) and theirs.call_id == ours.call_id
    if isinstance(ours, Message) and isinstance(theirs, Message):
        return ours.role == theirs.role and _text(ours) == _text(theirs)
    return False


def _text(message: Message) -> str:
    return "".join(part.text or "" for part in message.content)


def _characters(item: Item) -> int:
    return len(_text(item)) if isinstance(item, Message) else len(getattr(item, "output", ""))
