"""
What becomes of the caller's audio: the ear's text, for the mind and for the transcription that a client asked for.

The transcription runs beside the conversation: its events come whenever the ear is done, before, during or after
the response to the same utterance (Realtime, conversation.item.input_audio_transcription).
"""

import math
from collections.abc import Mapping
from typing import Any

from phonebot.simulator.conversation import Item, Part
from phonebot.simulator.outbox import Outbox
from phonebot.simulator.outputs import Transcripts
from phonebot.simulator.shapes import Json
from phonebot.simulator.tokens import USER_MS_PER_TOKEN, text_tokens

_EVENT = "conversation.item.input_audio_transcription"


class Hearing:
    """The ear's jobs of a session, each for one part of an item."""

    def __init__(self, outbox: Outbox, transcripts: Transcripts = "told") -> None:
        self._outbox, self._transcripts = outbox, transcripts
        self._kept: tuple[Json, Part, str, str] | None = None  # told behind the next one, where they are swapped
        self._jobs: dict[int, tuple[Item, Part, Mapping[str, Any] | None]] = {}

    def listen(self, item: Item, transcription: Mapping[str, Any] | None) -> None:
        """Let the ear listen to an item's audio; `transcription` None tells the client nothing of it."""
        for part in item.parts:
            if part.type == "input_audio" and part.heard is None:
                job = self._outbox.recognise(bytes(part.audio), part.format)
                self._jobs[job] = (item, part, transcription)

    def complete(self, job: int, result: object) -> bool:
        """Take a job's text, or the exception that prevented it; False when the job is none of the ear's."""
        if job not in self._jobs:
            return False
        item, part, transcription = self._jobs.pop(job)
        part.heard = result if isinstance(result, str) else ""
        if transcription is not None:
            where = {"item_id": item.id, "content_index": item.parts.index(part)}
            if isinstance(result, str):
                part.transcript = result
                self._tell_in_turn(where, part, result, str(transcription["model"]))
            else:
                self._tell_failure(where)
        return True

    def _tell_in_turn(self, where: Json, part: Part, text: str, model: str) -> None:
        if self._transcripts == "never":
            return
        if self._transcripts == "swapped" and self._kept is None:
            self._kept = where, part, text, model
            return
        self._tell_transcript(where, part, text, model)
        if self._kept:
            self._tell_transcript(*self._kept)
            self._kept = None

    def _tell_transcript(self, where: Json, part: Part, text: str, model: str) -> None:
        whisper = model.startswith("whisper")  # one delta, billed by duration; newer models stream and count tokens
        for delta in [text] if whisper and text else _words(text):
            self._outbox.tell(f"{_EVENT}.delta", **where, delta=delta)
        usage = _duration(part) if whisper else _tokens(part, text)
        self._outbox.tell(f"{_EVENT}.completed", **where, transcript=text, usage=usage)

    def _tell_failure(self, where: Json) -> None:
        error = {
            "type": "transcription_error",
            "code": "audio_unintelligible",
            "message": "The audio could not be transcribed.",
            "param": None,
        }
        self._outbox.tell(f"{_EVENT}.failed", **where, error=error)


def _words(text: str) -> list[str]:
    """A text in pieces of a word each, which joined give the text."""
    if not text:
        return []
    first, *others = text.split(" ")
    return [first, *(f" {word}" for word in others)]


def _duration(part: Part) -> Json:
    return {"type": "duration", "seconds": math.ceil(part.audio_ms / 1000)}


def _tokens(part: Part, text: str) -> Json:
    heard, written = part.audio_ms // USER_MS_PER_TOKEN, text_tokens(text)
    return {
        "type": "tokens",
        "input_tokens": heard,
        "output_tokens": written,
        "total_tokens": heard + written,
        "input_token_details": {"text_tokens": 0, "audio_tokens": heard},
    }
