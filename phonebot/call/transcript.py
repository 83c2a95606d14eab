"""The items of the conversation that are spoken, each cut to what was heard."""

from dataclasses import dataclass, field

# Speech at its usual pace. The text of an answer runs ahead of its audio: while more audio is to come, the audio
# received so far must not be taken for all that the text so far says.
MS_PER_CHARACTER = 60


@dataclass(slots=True)
class SpokenItem:
    """
    An answer of the model, or a clip of ours: its audio as it went to the ledger, and its text.

    `received_ms` is the item's length as the model counts it: no truncation may lie beyond it. `sent_bytes` is the
    same audio as mu-law, less what a transcoder still holds.
    """

    item_id: str
    response_id: str
    content_index: int = 0
    received_bytes: int = 0  # in the session's output format
    received_ms: int = 0
    sent_bytes: int = 0
    played_bytes: int = 0  # confirmed to have played
    complete: bool = False  # the model has generated all of it
    text_parts: list[str] = field(default_factory=list)
    final_text: str | None = None  # None: the text may still grow
    stopped: bool = False  # a clear has cut it; how much was heard is still to come
    cut: bool = False  # it was cut, after `heard_ms`
    heard_ms: int = 0
    is_clip: bool = False  # ours, or of a session that is gone: the model does not know of it yet
    broken_off: bool = False  # it is of a session that is gone

    def receive(self, length: int, bytes_per_ms: int) -> None:
        """`length` more bytes of audio came from the model."""
        self.received_bytes += length
        self.received_ms = self.received_bytes // bytes_per_ms

    def break_off(self) -> None:
        """The session that made it is gone: it says no more than its audio so far has room for."""
        if not self.complete:
            self.final_text = cut_text(self.text, self.received_ms, self._length_ms())
        elif self.final_text is None:
            self.final_text = self.text
        self.complete = self.is_clip = self.broken_off = True

    @property
    def text(self) -> str:
        return "".join(self.text_parts) if self.final_text is None else self.final_text

    @property
    def is_wordless(self) -> bool:
        """Tones or music: neither the transcript nor the model knows of it."""
        return self.is_clip and not self.final_text

    @property
    def heard_in_full(self) -> bool:
        return self.complete and self.played_bytes >= self.sent_bytes

    def heard_text(self) -> str:
        """The text as far as the caller heard it."""
        return cut_text(self.text, self.heard_ms, self._length_ms())

    def _length_ms(self) -> int:
        """How long it takes to say the text."""
        return self.received_ms if self.complete else max(len(self.text) * MS_PER_CHARACTER, self.received_ms)


def cut_text(text: str, heard_ms: int, total_ms: int) -> str:
    """
    The words of `text` that were heard when `heard_ms` of its `total_ms` of audio were.

    Nobody supplies word times, so the share of the audio is taken for the share of the text, back to the end of a
    whole word.
    """
    if heard_ms >= total_ms:
        return text
    end = len(text) * heard_ms // total_ms
    if end < len(text) and not text[end].isspace():
        while end and not text[end - 1].isspace():
            end -= 1
    return text[:end].rstrip()
