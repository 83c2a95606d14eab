"""
One response under way: the model hears, thinks and speaks, and each step becomes an event.

The order of a response's events is written down as a generator that yields the time before which it has nothing to
do; `Generation.advance` runs it. Cancelling stops the generator, closes what is open and ends the response, so that
a part that was added is always done and nothing follows `response.done` (Realtime, response lifecycle).
"""

import base64
import json
import logging
import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any, Literal, Protocol, TypeAlias

from phonebot.simulator.config import BYTES_PER_MS, Config, Format
from phonebot.simulator.conversation import Conversation, Item, Part, heard_in, lines_of
from phonebot.simulator.mind import Call, Context, Mind, RateLimited, Say
from phonebot.simulator.outputs import Faults, Spoken
from phonebot.simulator.shapes import Json, content_part_json
from phonebot.simulator.tokens import ASSISTANT_MS_PER_TOKEN, Tokens, Usage, text_tokens

log = logging.getLogger(__name__)

# Delta sizes are undocumented and vary: clients must take any.
MIN_DELTA_MS, MAX_DELTA_MS = 100, 800
TRANSCRIPT_LEAD_MS = 200
MS_PER_CHARACTER = 15  # how long writing takes, before the server's speed is applied

# Yields the time in ms before which it need not be resumed; infinity waits for a job.
Script: TypeAlias = Generator[float, None, None]


class Stage(Protocol):
    """What a generation needs of its session."""

    def tell(self, event_type: str, **fields: Any) -> None:
        """Send an event, named as in GA."""
        ...

    def speak(self, text: str, audio_format: Format) -> int:
        """Start a job of the voice; return its number."""
        ...

    def new_id(self, prefix: str) -> str: ...

    def item_shape(self, item: Item) -> Json: ...


class _OutOfTokens(Exception):
    """The response has used up its `max_output_tokens`."""


class _Failed(Exception):
    """The response cannot go on. `message` is for the client, and so are the error's type and code."""

    def __init__(self, message: str, error_type: str = "server_error", code: str = "server_error") -> None:
        super().__init__(message)
        self.error = {"type": error_type, "code": code, "message": message}


@dataclass(slots=True)
class _Open:
    """An item that was added and is not done. `said` is the text that its deltas have told."""

    item: Item
    output_index: int
    said: str = ""

    def ids(self, response_id: str) -> Json:
        return {"response_id": response_id, "item_id": self.item.id, "output_index": self.output_index}


@dataclass(frozen=True, slots=True)
class Request:
    """
    What a response was asked to do.

    `context` are the items it reads. `conversation` is where its own items go; None is out of band, and they go
    nowhere. `instructions` are its own, if it has any: those in force are the configuration's.
    """

    config: Config
    context: Sequence[Item]
    conversation: Conversation | None
    instructions: str | None
    metadata: Mapping[str, str] | None
    input_tokens: Tokens
    cached_tokens: Tokens


class Generation:
    """
    A response. `due_ms` is when `advance` is next needed; infinity means only after a job.

    `status` is "in_progress" until it ends; then `details`, `output` and `usage` are final, and the caller sends
    `response.done`. `speed` is that of `Options`; `sizes` makes the lengths of the audio deltas.
    """

    def __init__(
        self,
        response_id: str,
        request: Request,
        stage: Stage,
        mind: Mind,
        *,
        speed: float,
        sizes: Random,
        faults: Faults,
    ) -> None:
        self.id = response_id
        self.request = request
        self.status: Literal["in_progress", "completed", "cancelled", "incomplete", "failed"] = "in_progress"
        self.details: Json | None = None
        self.output: list[Item] = []
        self.due_ms = 0.0
        self.first_audio_ms: float | None = None  # when the first audio was sent
        self.audio_ms = 0.0  # how much audio was sent
        self.reset_s: float | None = None  # when the rate limit allows one again that it did not allow
        self._stage, self._mind = stage, mind
        self._speed, self._sizes, self._faults = speed, sizes, faults
        self._now_ms = 0.0
        self._clock_ms: float | None = None  # when generating began
        self._generated_ms = 0.0  # how much was generated since, in time of the spoken word
        self._jobs: dict[int, Spoken | Exception | None] = {}
        self._open: list[_Open] = []
        self._cut_short: tuple[_Open, ...] = ()  # what was open when the response ended
        self._unsent: Iterator[bytes] = iter(())  # the pieces of the item being spoken
        self._script = self._run()

    @property
    def is_active(self) -> bool:
        return self.status == "in_progress"

    @property
    def played_ms(self) -> float:
        """When all audio sent so far will have been played, if it is played from its first delta on."""
        return -math.inf if self.first_audio_ms is None else self.first_audio_ms + self.audio_ms

    @property
    def usage(self) -> Usage:
        """The tokens so far; a failed response is free."""
        if self.status == "failed":
            return Usage()
        return Usage(self.request.input_tokens, self._spent(), self.request.cached_tokens)

    def advance(self, now_ms: float) -> None:
        """Do all that is due."""
        self._now_ms = now_ms
        try:
            self.due_ms = next(self._script)
        except StopIteration:
            self._end("completed", None)
        except _OutOfTokens:
            self._end("incomplete", {"type": "incomplete", "reason": "max_output_tokens"})
        except _Failed as problem:
            self._end("failed", {"type": "failed", "error": problem.error})

    def complete(self, job: int, result: Spoken | Exception) -> bool:
        """Take a job's result; False when the job isn't this response's."""
        if job not in self._jobs:
            return False
        self._jobs[job] = result
        return True

    def cancel(self, reason: str) -> None:
        """Stop, close what is open and end as cancelled: `turn_detected` or `client_cancelled`."""
        self._script.close()
        self._end("cancelled", {"type": "cancelled", "reason": reason})

    def stray_deltas(self) -> None:
        """Send audio deltas although the response has ended, as many as the faults want."""
        spoken = next((opened for opened in self._cut_short if opened.item.audio_part), None)
        if spoken is not None:
            for _, piece in zip(range(self._faults.deltas_after_cancel), self._unsent, strict=False):
                self._tell_audio(spoken, piece)

    def _end(self, status: Literal["completed", "cancelled", "incomplete", "failed"], details: Json | None) -> None:
        self._cut_short = tuple(self._open)
        for opened in self._cut_short:
            self._close(opened, "incomplete")
        self.status, self.details, self.due_ms = status, details, math.inf

    # --------------------------------------------------------------------------------------- the script

    def _run(self) -> Script:
        while not all(item.is_understood for item in self.request.context):
            yield math.inf
        answer = self._think()
        jobs = [self._start_voice(each.text) if isinstance(each, Say) else 0 for each in answer]
        self._clock_ms = self._now_ms
        calls: list[Call] = []
        for each, job in zip(answer, jobs, strict=True):
            if isinstance(each, Call):
                calls.append(each)
                continue
            yield from self._call(calls)
            calls.clear()
            yield from self._speak(each.text, job) if self.request.config.speaks else self._write(each.text)
        yield from self._call(calls)

    def _think(self) -> tuple[Say | Call, ...]:
        context = Context(
            instructions=self.request.config.instructions,
            history=lines_of(self.request.context),
            tools=self.request.config.callable_tools,
            heard=heard_in(self.request.context),
            request=self.request.instructions,
            in_writing=self.request.conversation is None and not self.request.config.speaks,
            forced=self.request.config.must_call,
        )
        try:
            return self._mind.answer(context)
        except RateLimited as limit:
            self.reset_s = limit.reset_s
            message = f"Rate limit reached on tokens per min (TPM). Please try again in {limit.reset_s:g}s."
            raise _Failed(message, "tokens", "rate_limit_exceeded") from None
        except Exception as problem:  # a mind is anybody's code
            log.exception("the mind failed in response %s", self.id)
            raise _Failed("The server had an error while processing your request.") from problem

    def _start_voice(self, text: str) -> int:
        if not self.request.config.speaks:
            return 0
        job = self._stage.speak(text, self.request.config.output_format)
        self._jobs[job] = None
        return job

    def _speak(self, text: str, job: int) -> Script:
        while (spoken := self._jobs[job]) is None:
            yield math.inf
        if isinstance(spoken, Exception):
            raise _Failed("The server had an error while generating audio.")
        part = Part("output_audio", transcript="", format=self.request.config.output_format, words=spoken.words)
        opened = self._add(self._new_message())
        self._add_part(opened, part)
        self._resume_clock()
        transcript = _Transcript(text, spoken)
        self._unsent = self._pieces(spoken.audio)
        for piece in self._unsent:
            piece_ms = len(piece) / BYTES_PER_MS[part.format]
            yield from self._generate(piece_ms)
            if part.truncated:  # the client has heard enough of this item
                break
            self._send_speech(opened, piece, transcript.until(part.audio_ms + piece_ms + TRANSCRIPT_LEAD_MS))
        if not part.truncated:
            self._tell_text(opened, transcript.until(math.inf))
        self._close(opened, "completed")

    def _send_speech(self, opened: _Open, piece: bytes, words: str) -> None:
        part = opened.item.parts[0]
        told = self._afford(opened.said, words)
        self._tell_text(opened, told)
        audio = piece[: self._affordable_bytes(part)]
        if audio:
            if self.first_audio_ms is None:
                self.first_audio_ms = self._now_ms
            self.audio_ms += len(audio) / BYTES_PER_MS[part.format]
            part.append_audio(audio)
            self._tell_audio(opened, audio)
        if told != words or audio != piece:
            raise _OutOfTokens

    def _write(self, text: str) -> Script:
        opened = self._add(self._new_message())
        self._add_part(opened, Part("output_text"))
        for piece in _cut(text, 12):
            yield from self._generate(len(piece) * MS_PER_CHARACTER)
            told = self._afford(opened.said, piece)
            self._tell_text(opened, told)
            if told != piece:
                raise _OutOfTokens
        self._close(opened, "completed")

    def _call(self, calls: Sequence[Call]) -> Script:
        """Parallel calls: all are added, their arguments interleave, and each is done in turn."""
        opened = [self._add(self._new_call(call)) for call in calls]
        pieces = [_cut(json.dumps(dict(call.arguments), ensure_ascii=False), 9) for call in calls]
        for round_index in range(max(map(len, pieces), default=0)):
            for each, its_pieces in zip(opened, pieces, strict=True):
                if round_index < len(its_pieces):
                    yield from self._generate(len(its_pieces[round_index]) * MS_PER_CHARACTER)
                    self._tell_arguments(each, its_pieces[round_index])
        for each in opened:
            self._close(each, "completed")

    def _resume_clock(self) -> None:
        """Time spent waiting for the voice is not made up for."""
        assert self._clock_ms is not None, "thinking starts the clock"
        self._clock_ms = max(self._clock_ms, self._now_ms - self._generated_ms / self._speed)

    def _generate(self, length_ms: float) -> Script:
        """Wait until something of this length may be sent, at the server's speed."""
        assert self._clock_ms is not None, "thinking starts the clock"
        due_ms = self._clock_ms + self._generated_ms / self._speed
        while self._now_ms < due_ms:
            yield due_ms
        stall_after_ms = self._faults.stall_after_ms
        while stall_after_ms is not None and self._generated_ms >= stall_after_ms:
            yield math.inf
        self._generated_ms += length_ms

    # --------------------------------------------------------------------------------------- items

    def _new_message(self) -> Item:
        return Item(self._stage.new_id("item"), "message", role="assistant", status="in_progress")

    def _new_call(self, call: Call) -> Item:
        item_id, call_id = self._stage.new_id("item"), self._stage.new_id("call")
        return Item(item_id, "function_call", status="in_progress", name=call.name, call_id=call_id)

    def _add(self, item: Item) -> _Open:
        opened = _Open(item, len(self.output))
        self.output.append(item)
        self._open.append(opened)
        if self.request.conversation is not None:
            self.request.conversation.insert(item)
        self._tell_item("added", opened)
        return opened

    def _add_part(self, opened: _Open, part: Part) -> None:
        opened.item.parts.append(part)
        self._tell_part("added", opened)

    def _close(self, opened: _Open, status: Literal["completed", "incomplete"]) -> None:
        self._open.remove(opened)
        if opened.item.type == "function_call":
            self._tell_call_done(opened)
        else:
            self._tell_content_done(opened)
            self._tell_part("done", opened)
        opened.item.status = status
        self._tell_item("done", opened)

    # --------------------------------------------------------------------------------------- events

    def _tell_item(self, moment: Literal["added", "done"], opened: _Open) -> None:
        item, conversation = opened.item, self.request.conversation
        shape = self._stage.item_shape(item)
        where = {"response_id": self.id, "output_index": opened.output_index}
        self._stage.tell(f"response.output_item.{moment}", **where, item=shape)
        if conversation is not None:
            previous_id = conversation.previous_id(item)
            self._stage.tell(f"conversation.item.{moment}", previous_item_id=previous_id, item=shape)

    def _tell_call_done(self, opened: _Open) -> None:
        item = opened.item
        call = {"call_id": item.call_id, "name": item.name, "arguments": item.arguments}
        self._stage.tell("response.function_call_arguments.done", **opened.ids(self.id), **call)

    def _tell_content_done(self, opened: _Open) -> None:
        ids = opened.ids(self.id) | {"content_index": 0}
        if self.request.config.speaks:
            self._stage.tell("response.output_audio.done", **ids)
            self._stage.tell("response.output_audio_transcript.done", **ids, transcript=opened.said)
        else:
            self._stage.tell("response.output_text.done", **ids, text=opened.said)

    def _tell_part(self, moment: Literal["added", "done"], opened: _Open) -> None:
        part = content_part_json(self.request.config.speaks, opened.said)
        self._stage.tell(f"response.content_part.{moment}", **opened.ids(self.id), content_index=0, part=part)

    def _tell_text(self, opened: _Open, delta: str) -> None:
        if not delta:
            return
        opened.said += delta
        part = opened.item.parts[0]
        part.text = opened.said
        if self.request.config.speaks:
            part.transcript = opened.said
        kind = "output_audio_transcript" if self.request.config.speaks else "output_text"
        self._stage.tell(f"response.{kind}.delta", **opened.ids(self.id), content_index=0, delta=delta)

    def _tell_audio(self, opened: _Open, audio: bytes) -> None:
        delta = base64.b64encode(audio).decode()
        self._stage.tell("response.output_audio.delta", **opened.ids(self.id), content_index=0, delta=delta)

    def _tell_arguments(self, opened: _Open, piece: str) -> None:
        delta = self._afford(opened.item.arguments, piece)
        if delta:
            opened.item.arguments += delta
            self._stage.tell(
                "response.function_call_arguments.delta",
                **opened.ids(self.id),
                call_id=opened.item.call_id,
                delta=delta,
            )
        if delta != piece:
            raise _OutOfTokens

    # --------------------------------------------------------------------------------------- tokens

    def _spent(self) -> Tokens:
        """Output tokens so far; what a client truncated was generated all the same."""
        text = sum(text_tokens(item.arguments + "".join(part.text for part in item.parts)) for item in self.output)
        return Tokens(text, int(self.audio_ms / ASSISTANT_MS_PER_TOKEN))

    def _tokens_left(self) -> float:
        limit = self.request.config.max_output_tokens
        return math.inf if limit == "inf" else max(0, limit - self._spent().total)

    def _affordable_bytes(self, part: Part) -> int | None:
        """How much more audio the limit allows; None is all."""
        left = self._tokens_left()
        return None if left == math.inf else int(left) * ASSISTANT_MS_PER_TOKEN * BYTES_PER_MS[part.format]

    def _afford(self, written: str, piece: str) -> str:
        """As much of the piece, which continues what is written, as the limit allows."""
        left = self._tokens_left()
        return piece if left == math.inf else piece[: max(0, (text_tokens(written) + int(left)) * 4 - len(written))]

    def _pieces(self, audio: bytes) -> Iterator[bytes]:
        """Cut audio into deltas of varying length, rarely a whole number of frames or even of ms."""
        per_ms = BYTES_PER_MS[self.request.config.output_format]
        sample_bytes = 2 if self.request.config.output_format == "pcm24k" else 1
        offset = 0
        while offset < len(audio):
            length_ms = self._sizes.randint(MIN_DELTA_MS, MAX_DELTA_MS - 1)
            length = length_ms * per_ms + sample_bytes * self._sizes.randrange(per_ms // sample_bytes)
            yield audio[offset : offset + length]
            offset += length


class _Transcript:
    """The words of a spoken text, given out by the time at which they are said."""

    def __init__(self, text: str, spoken: Spoken) -> None:
        starts = [word.text_start for word in spoken.words[1:]]
        bounds = [0, *starts, len(text)]
        times = [word.at_ms for word in spoken.words] or [0]
        words = (text[start:end] for start, end in pairwise(bounds))
        self._words = list(zip(times, words, strict=True))

    def until(self, at_ms: float) -> str:
        """The words that are said before this time and were not given yet."""
        given = 0
        while given < len(self._words) and self._words[given][0] < at_ms:
            given += 1
        text = "".join(word for _, word in self._words[:given])
        del self._words[:given]
        return text


def _cut(text: str, length: int) -> list[str]:
    return [text[start : start + length] for start in range(0, len(text), length)]
