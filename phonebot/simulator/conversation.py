"""
The conversation as the embedded model knows it: items in order, with their audio and the words behind it.

What the model believes to have said is what remains after truncation: `Conversation.lines` cuts an assistant's text
where its audio ends, so that a mind (and a test) sees exactly what the caller was given to hear.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from phonebot.simulator.config import BYTES_PER_MS, Format
from phonebot.simulator.mind import Line, Word
from phonebot.simulator.schema import Refused, invalid

PartType: TypeAlias = Literal["input_text", "input_audio", "input_image", "output_text", "output_audio"]

MAX_ITEMS = 4000
MAX_AUDIO_BYTES = 64 * 1024 * 1024


@dataclass(slots=True, eq=False)
class Part:
    """
    A piece of a message; `type` is GA's name.

    `text` is that of a text part, or what an output's audio says (as far as it was told). `transcript` is what
    the wire shows of an audio part: None while unknown, "" once a truncation removed it. `heard` is what the ear
    made of an input's audio: None until it has answered. `audio_bytes` counts the part's audio in `format`, also
    when the audio itself was forgotten to save memory.
    """

    type: PartType
    text: str = ""
    transcript: str | None = None
    format: Format = "pcm24k"
    audio: bytearray = field(default_factory=bytearray)
    audio_bytes: int = 0
    words: tuple[Word, ...] = ()
    heard: str | None = None
    truncated: bool = False
    image: dict[str, Any] | None = None

    @property
    def audio_ms(self) -> int:
        """The length of the audio: what a truncation may not exceed."""
        return self.audio_bytes // BYTES_PER_MS[self.format]

    def append_audio(self, audio: bytes) -> None:
        self.audio += audio
        self.audio_bytes += len(audio)

    def truncate(self, audio_end_ms: int) -> None:
        """Drop the audio after that position and the whole transcript."""
        self.audio_bytes = audio_end_ms * BYTES_PER_MS[self.format]
        del self.audio[self.audio_bytes :]
        self.transcript, self.truncated = "", True

    @property
    def audible_text(self) -> str:
        """The text up to the end of the word in which the audio ends."""
        if self.type != "output_audio":
            return self.text
        for word in self.words:
            if word.at_ms >= self.audio_ms:
                return self.text[: word.text_start].rstrip()
        return self.text


@dataclass(slots=True, eq=False)
class Item:
    """A message, a function call, or a function's output."""

    id: str
    type: Literal["message", "function_call", "function_call_output"]
    role: Literal["system", "user", "assistant"] = "assistant"
    status: Literal["in_progress", "completed", "incomplete"] = "completed"
    parts: list[Part] = field(default_factory=list)
    name: str = ""
    call_id: str = ""
    arguments: str = ""
    output: str = ""

    @property
    def audio_part(self) -> Part | None:
        """The part with audio, if there is one."""
        return next((part for part in self.parts if part.type in ("input_audio", "output_audio")), None)

    @property
    def is_understood(self) -> bool:
        """Whether the ear has answered for all audio of this item."""
        return all(part.heard is not None for part in self.parts if part.type == "input_audio")

    @property
    def line(self) -> Line | None:
        """The item as text, without a function's name; None for a function call, which is no line."""
        if self.type == "function_call":
            return None
        if self.type == "function_call_output":
            return Line("tool", self.output)
        words = ((part.heard or "") if part.type == "input_audio" else part.audible_text for part in self.parts)
        return Line(self.role, " ".join(filter(None, words)))


def item_from_json(body: dict[str, Any], item_id: str, audio: Sequence[bytes], audio_format: Format) -> Item:
    """
    Make an item of a client's checked JSON.

    `audio` holds the decoded audio of each `input_audio` part, in order.
    """
    if body["type"] == "function_call":
        fields = {key: body[key] for key in ("name", "call_id", "arguments")}
        return Item(item_id, "function_call", **fields)
    if body["type"] == "function_call_output":
        return Item(item_id, "function_call_output", call_id=body["call_id"], output=body["output"])
    sounds = iter(audio)
    parts = [_part_from_json(part, sounds, audio_format) for part in body["content"]]
    return Item(item_id, "message", role=body["role"], parts=parts)


def _part_from_json(body: dict[str, Any], sounds: Iterator[bytes], audio_format: Format) -> Part:
    kind = body["type"]
    if kind == "input_audio":
        transcript = body.get("transcript")
        part = Part("input_audio", transcript=transcript, heard=transcript, format=audio_format)
        part.append_audio(next(sounds))
        return part
    if kind == "input_image":
        return Part("input_image", image={key: body[key] for key in ("image_url", "detail") if key in body})
    return Part("input_text" if kind == "input_text" else "output_text", text=body["text"])


class Conversation:
    """The items of a session, in order. Refusals carry the service's codes; a refused change has no effect."""

    def __init__(self, conversation_id: str) -> None:
        self.id = conversation_id
        self._items: list[Item] = []
        self._by_id: dict[str, Item] = {}

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def get(self, item_id: str) -> Item | None:
        return self._by_id.get(item_id)

    def previous_id(self, item: Item) -> str | None:
        """The id of the item before this one, or None for the first (and for one that is not in here)."""
        if item.id not in self._by_id:
            return None
        # From the end: the items asked about are the newest ones.
        for index in range(len(self._items) - 1, 0, -1):
            if self._items[index] is item:
                return self._items[index - 1].id
        return None

    @property
    def last_id(self) -> str | None:
        return self._items[-1].id if self._items else None

    @property
    def lines(self) -> tuple[Line, ...]:
        """The conversation as text, as far as the caller was given to hear it."""
        return lines_of(self._items)

    @property
    def is_full(self) -> bool:
        return len(self._items) >= MAX_ITEMS

    def check_room(self) -> None:
        """Raise Refused when no further item fits."""
        if self.is_full:
            raise Refused("invalid_value", f"The conversation already has {MAX_ITEMS} items.", "item")

    def check_insertion(self, item: Item, previous_item_id: str | None) -> None:
        """Raise Refused when a client may not insert this item there."""
        self.check_room()
        if item.id in self._by_id:
            raise invalid("item.id", f"an item with the id '{item.id}' already exists")
        if previous_item_id not in (None, "root") and previous_item_id not in self._by_id:
            raise invalid("previous_item_id", "there is no such item")
        if item.type == "function_call_output" and not self._has_call(item.call_id):
            raise invalid("item.call_id", f"there is no function call with the call id '{item.call_id}'")

    def _has_call(self, call_id: str) -> bool:
        return any(item.type == "function_call" and item.call_id == call_id for item in self._items)

    def insert(self, item: Item, previous_item_id: str | None = None) -> str | None:
        """
        Insert at the end, first ("root") or directly after an item; return the id of the item before it.

        Beyond 64 MiB of audio the oldest is forgotten: such an item keeps its length but not its sound.
        """
        if previous_item_id is None:
            index = len(self._items)
        elif previous_item_id == "root":
            index = 0
        else:
            index = self._items.index(self._by_id[previous_item_id]) + 1
        self._items.insert(index, item)
        self._by_id[item.id] = item
        self._forget_old_audio()
        return self._items[index - 1].id if index else None

    def _forget_old_audio(self) -> None:
        sounds = [part.audio for item in self._items for part in item.parts if part.audio]
        excess = sum(map(len, sounds)) - MAX_AUDIO_BYTES
        for sound in sounds:
            if excess <= 0:
                break
            excess -= len(sound)
            sound.clear()

    def delete(self, item_id: str) -> None:
        item = self._by_id.get(item_id)
        if item is None:
            raise _no_such_item("item_delete_invalid_item_id", item_id)
        if item.status == "in_progress":
            raise invalid("item_id", "the item is still being generated; cancel its response first")
        self._items.remove(item)
        del self._by_id[item_id]

    def retrieve(self, item_id: str) -> Item:
        item = self._by_id.get(item_id)
        if item is None:
            raise _no_such_item("item_retrieve_invalid_item_id", item_id)
        return item

    def truncate(self, item_id: str, content_index: int, audio_end_ms: int) -> None:
        """
        Cut an assistant's audio.

        The wording of the refusal beyond the end is the service's; clients read the length from it.
        """
        item = self._by_id.get(item_id)
        if item is None:
            raise _no_such_item("item_truncate_invalid_item_id", item_id)
        if content_index >= max(len(item.parts), 1):
            raise invalid("content_index", f"the item has {len(item.parts)} content parts")
        part = item.parts[content_index] if item.parts else None
        if part is None or part.type != "output_audio":
            raise Refused("unsupported_content_type", "Only model output audio messages can be truncated.")
        if audio_end_ms > part.audio_ms:
            problem = f"Audio content of {part.audio_ms}ms is already shorter than {audio_end_ms}ms"
            raise Refused("invalid_value", problem, "audio_end_ms")
        part.truncate(audio_end_ms)


def _no_such_item(code: str, item_id: str) -> Refused:
    return Refused(code, f"The item '{item_id[:100]}' does not exist in the conversation.", "item_id")


def lines_of(items: Sequence[Item]) -> tuple[Line, ...]:
    """Items as text; what says nothing (a function call, an answer nobody heard) is left out."""
    functions = {item.call_id: item.name for item in items if item.type == "function_call"}
    lines = ((item.line, functions.get(item.call_id, "")) for item in items)
    return tuple(
        replace(line, function=function) if line.role == "tool" else line
        for line, function in lines
        if line is not None and (line.text or line.role in ("user", "tool"))
    )


def heard_in(items: Sequence[Item]) -> str | None:
    """The utterance that the newest item is, "" when it was not understood, None when it is none."""
    newest = next((item for item in reversed(items) if item.role != "system" or item.type != "message"), None)
    if newest is None or newest.type != "message" or newest.role != "user" or newest.line is None:
        return None
    return newest.line.text
