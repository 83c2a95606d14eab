"""
Drives a session of the embedded Realtime server in virtual time, and checks what every session must keep.

    model = ModelDriver(mind=Answers(Say("Good morning")))
    model.send("response.create")       # the events that answer it at once
    model.run(2000)                     # and those of the next two seconds
    model.check()                       # the invariants of the protocol, over all events so far

The ear and the voice answer at once unless `hold` is set: then `release` lets them.
"""

import base64
import json
import math
import struct
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any, Literal, TypeVar

import pytest

from phonebot.audio import g711
from phonebot.simulator.config import Config, Dialect
from phonebot.simulator.mind import (
    Call,
    Context,
    EnergyDetector,
    Mind,
    Say,
    Speech,
    ToneVoice,
    VerbatimMind,
    Voice,
    Word,
)
from phonebot.simulator.outputs import Close, Faults, Options, Output, Recognise, Send, Speak, Spoken
from phonebot.simulator.session import Session
from phonebot.simulator.sound import for_the_ear, from_the_voice

Event = dict[str, Any]
T = TypeVar("T")

DIALECTS: list[Dialect] = ["ga", "beta"]
both_dialects = pytest.mark.parametrize("dialect", DIALECTS)

LONG = "one two three four five six seven eight nine ten eleven twelve"

START_MS = 1_000_000.0
LIMIT_MS = 3_600_000.0


class Answers:
    """A mind that gives these answers, one after the other, and keeps what it was told."""

    def __init__(self, *answers: Say | Call | tuple[Say | Call, ...]) -> None:
        self.contexts: list[Context] = []
        self._answers = list(answers)

    def answer(self, context: Context) -> tuple[Say | Call, ...]:
        self.contexts.append(context)
        answer = self._answers.pop(0) if self._answers else ()
        return answer if isinstance(answer, tuple) else (answer,)


class TimedVoice:
    """Speaks any text in so many ms of silence, its words spread evenly."""

    def __init__(self, ms: int) -> None:
        self.ms = ms

    async def speak(self, text: str) -> Speech:
        starts = [0, *(index + 1 for index, letter in enumerate(text) if letter == " ")]
        words = tuple(Word(start, self.ms * index // len(starts)) for index, start in enumerate(starts))
        return Speech(bytes(self.ms * 16), 8000, words)


class ModelDriver:
    """A session and its clock. `events` holds all it has sent, `closed` its close, if any."""

    def __init__(
        self,
        dialect: Dialect = "ga",
        mind: Mind | None = None,
        *,
        ear: Callable[[bytes], str | Exception] = lambda pcm8k: "hello",
        voice: Voice | None = None,
        kind: Literal["realtime", "transcription"] = "realtime",
        model: str = "test-model",
        options: Options | None = None,
        faults: Faults | None = None,
        hold: bool = False,
        limit_ms: float = LIMIT_MS,
    ) -> None:
        self.now_ms = START_MS
        self.events: list[Event] = []
        self.closed: Close | None = None
        self.held: list[Recognise | Speak] = []
        self.hold = hold
        self._ear, self._voice = ear, voice or ToneVoice()
        self.session = Session(
            dialect,
            Config(model=model, kind=kind, voice="marin" if dialect == "ga" else "alloy"),
            VerbatimMind(mind or Answers(*[Say("Good morning, how can I help you today?")] * 20)),
            EnergyDetector(),
            expires_at_s=1_800_000_000,
            expires_ms=START_MS + limit_ms,
            model_given=True,
            options=options or Options(seed=1),
            faults=faults or Faults(),
            ids=Random(2),
            sizes=Random(3),
        )
        self._perform(self.session.open())

    @property
    def dialect(self) -> Dialect:
        return self.session.dialect

    def send(self, event_type: str, **fields: Any) -> list[Event]:
        """Send an event; return what answers it at once."""
        return self.send_text(json.dumps({"type": event_type, **fields}))

    def send_text(self, text: str | bytes) -> list[Event]:
        begin = len(self.events)
        self._perform(self.session.receive(text, self.now_ms))
        return self.events[begin:]

    def configure(self, **session: Any) -> list[Event]:
        """Send a `session.update`, of type realtime where the dialect wants one."""
        kind = {"type": "realtime"} if self.dialect == "ga" else {}
        return self.send("session.update", session=kind | session)

    def use_ulaw(self, **turn_detection: Any) -> None:
        """Set mu-law both ways, and server VAD with these changes (or, given `type=None`, none)."""
        turns: Any = {"type": "server_vad", "silence_duration_ms": 200} | turn_detection
        turns = turns if turns["type"] else None
        if self.dialect == "ga":
            ulaw = {"type": "audio/pcmu"}
            answer = self.configure(
                audio={"input": {"format": ulaw, "turn_detection": turns}, "output": {"format": ulaw}}
            )
        else:
            answer = self.configure(
                input_audio_format="g711_ulaw", output_audio_format="g711_ulaw", turn_detection=turns
            )
        assert [event["type"] for event in answer] == ["session.updated"], answer

    def hear(self, speech_ms: int, silence_ms: int = 0) -> list[Event]:
        """The caller speaks, then is silent: 20 ms frames of mu-law, as time goes by."""
        begin = len(self.events)
        frames = [tone(20)] * (speech_ms // 20) + [bytes([g711.ULAW_SILENCE]) * 160] * (silence_ms // 20)
        for frame in frames:
            self.run(20)
            self.send("input_audio_buffer.append", audio=base64.b64encode(frame).decode())
        return self.events[begin:]

    def run(self, ms: float = math.inf, until: str | None = None) -> list[Event]:
        """Let time pass; without a length, until nothing is due (or the event `until` came). Return the events."""
        begin = len(self.events)
        end_ms = self.now_ms + ms
        while (due_ms := self.session.due_ms) <= end_ms and due_ms < START_MS + LIMIT_MS:
            self.now_ms = max(self.now_ms, due_ms)
            self._perform(self.session.tick(self.now_ms))
            if until and any(event["type"] == until for event in self.events[begin:]):
                return self.events[begin:]
        if end_ms < math.inf:
            self.now_ms = end_ms
        return self.events[begin:]

    def release(self, index: int = 0) -> list[Event]:
        """Let one of the held jobs be done."""
        begin = len(self.events)
        self._do(self.held.pop(index))
        return self.events[begin:]

    def fail(self, job: Recognise | Speak, problem: Exception) -> None:
        """Let a job that was held end in an exception."""
        self._perform(self.session.complete(job.job, problem, self.now_ms))

    def of_type(self, *event_types: str) -> list[Event]:
        """All events so far that are of these types."""
        return [event for event in self.events if event["type"] in event_types]

    def only(self, event_type: str) -> Event:
        """The one event of this type."""
        events = self.of_type(event_type)
        assert len(events) == 1, types(self.events)
        return events[0]

    def check(self) -> None:
        """Check the invariants over all events so far."""
        check_invariants(self.events, self.dialect)

    def _perform(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            if isinstance(output, Send):
                assert self.closed is None, "nothing follows a close"
                self.events.append(json.loads(output.text))
            elif isinstance(output, Close):
                self.closed = output
            else:
                self.held.append(output)
        while self.held and not self.hold:
            self._do(self.held.pop(0))

    def _do(self, job: Recognise | Speak) -> None:
        result: str | Spoken | Exception
        if isinstance(job, Recognise):
            result = self._ear(for_the_ear(job.audio, job.format))
        else:
            speech = at_once(self._voice.speak(job.text))
            result = Spoken(from_the_voice(speech, job.format), speech.words)
        self._perform(self.session.complete(job.job, result, self.now_ms))


def at_once(job: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        job.send(None)
    except StopIteration as result:
        value: T = result.value
        return value
    raise AssertionError("the coroutine waits for something")


def tone(ms: int) -> bytes:
    """A loud tone as mu-law."""
    samples = [int(8000 * math.sin(2 * math.pi * 440 * n / 8000)) for n in range(ms * 8)]
    return g711.pcm_to_ulaw(struct.pack(f"<{len(samples)}h", *samples))


def types(events: Sequence[Event]) -> list[str]:
    """The types of events, runs of deltas of one type shortened to one."""
    names = [event["type"] for event in events]
    return [
        name
        for index, name in enumerate(names)
        if not (name.endswith(".delta") and index and names[index - 1] == name)
    ]


def audio_bytes(events: Sequence[Event]) -> bytes:
    """All audio in these events' deltas."""
    names = ("response.output_audio.delta", "response.audio.delta")
    return b"".join(base64.b64decode(event["delta"]) for event in events if event["type"] in names)


def error_of(events: Sequence[Event]) -> Event:
    """The error which is all that these events are."""
    assert [event["type"] for event in events] == ["error"], events
    error: Event = events[0]["error"]
    return error


# --------------------------------------------------------------------------------------------- invariants

_GA_NAMES = {
    "response.text.delta": "response.output_text.delta",
    "response.text.done": "response.output_text.done",
    "response.audio.delta": "response.output_audio.delta",
    "response.audio.done": "response.output_audio.done",
    "response.audio_transcript.delta": "response.output_audio_transcript.delta",
    "response.audio_transcript.done": "response.output_audio_transcript.done",
    "conversation.item.created": "conversation.item.added",
}
_DONE_FIELD = {
    "response.output_text": "text",
    "response.output_audio_transcript": "transcript",
    "response.function_call_arguments": "arguments",
}


class _Followed:
    """One response as its events tell it."""

    def __init__(self, response: Event) -> None:
        self.id = response["id"]
        self.in_conversation = response["conversation_id"] is not None
        self.items: dict[str, Event] = {}  # added; replaced by the final one
        self.open_items: set[str] = set()
        self.open_parts: set[tuple[str, int]] = set()
        self.parts: dict[str, int] = {}  # item: how many parts were added
        self.texts: dict[tuple[str, str], str] = {}  # item and kind: the deltas so far
        self.told: dict[str, str] = {}  # item: the text of its done event


def check_invariants(events: Sequence[Event], dialect: Dialect) -> None:
    """
    Check what holds for every session's events, in both dialects.

    First the session; unique event ids; `response.created` before and `response.done` after all else of a response;
    one active response in the conversation; everything added is done once, in order; done texts equal their deltas;
    the conversation's items are told once; usage everywhere.
    """
    assert events[0]["type"] in ("session.created", "transcription_session.created")
    ids = [event["event_id"] for event in events]
    assert len(set(ids)) == len(ids)
    responses: dict[str, _Followed | None] = {}  # None: it has ended
    added: list[str] = []
    done: list[str] = []
    for event in events:
        kind = _GA_NAMES.get(event["type"], event["type"]) if dialect == "beta" else event["type"]
        if dialect == "beta":
            assert kind not in _GA_NAMES.values() or event["type"] in _GA_NAMES, f"{kind} is GA's"
        if kind == "response.created":
            response = event["response"]
            assert response["id"] not in responses
            assert response["status"] == "in_progress"
            assert response["output"] == []
            assert response["usage"] is None
            followed = _Followed(response)
            others = [each for each in responses.values() if each is not None and each.in_conversation]
            assert not (followed.in_conversation and others), "two responses are active"
            responses[response["id"]] = followed
        elif kind == "response.done":
            ended = responses[event["response"]["id"]]
            assert ended is not None
            _check_done(ended, event["response"])
            responses[ended.id] = None
        elif "response_id" in event:
            followed_or_none = responses.get(event["response_id"])
            assert followed_or_none is not None, f"{kind} outside of its response"
            _follow(followed_or_none, str(kind), event)
        elif kind == "conversation.item.added":
            assert event["item"]["id"] not in added
            assert event["previous_item_id"] is None or event["previous_item_id"] in added
            added.append(event["item"]["id"])
        elif kind == "conversation.item.done":
            assert dialect == "ga"
            assert event["item"]["id"] in added
            assert event["item"]["id"] not in done
            assert event["item"]["status"] != "in_progress"
            done.append(event["item"]["id"])
    if dialect == "ga" and all(each is None for each in responses.values()):
        assert set(done) == set(added)


def _check_done(followed: _Followed, response: Event) -> None:
    assert response["status"] in ("completed", "cancelled", "incomplete", "failed")
    assert not followed.open_items
    assert not followed.open_parts
    assert response["output"] == list(followed.items.values())
    usage = response["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    for side, details in (("input", usage["input_token_details"]), ("output", usage["output_token_details"])):
        assert usage[f"{side}_tokens"] == details["text_tokens"] + details["audio_tokens"]
    assert 0 <= usage["input_token_details"]["cached_tokens"] <= usage["input_tokens"]
    if response["status"] == "completed":
        assert all(item["status"] == "completed" for item in response["output"])


def _follow(followed: _Followed, kind: str, event: Event) -> None:
    if kind == "response.output_item.added":
        item = event["item"]
        assert event["output_index"] == len(followed.items)
        assert item["id"] not in followed.items
        assert item["status"] == "in_progress"
        assert not item.get("content")
        assert not item.get("arguments")
        followed.items[item["id"]] = item
        followed.open_items.add(item["id"])
        return
    if kind == "response.output_item.done":
        item = event["item"]
        assert not any(item_id == item["id"] for item_id, _ in followed.open_parts)
        followed.open_items.remove(item["id"])
        assert item["status"] in ("completed", "incomplete")
        _check_final_text(followed, item)
        followed.items[item["id"]] = item
        return
    item_id = event["item_id"]
    assert item_id in followed.open_items
    assert list(followed.items).index(item_id) == event["output_index"]
    if kind == "response.content_part.added":
        assert event["content_index"] == followed.parts.get(item_id, 0)
        followed.parts[item_id] = event["content_index"] + 1
        followed.open_parts.add((item_id, event["content_index"]))
    elif kind == "response.content_part.done":
        followed.open_parts.remove((item_id, event["content_index"]))
        part = event["part"]
        assert part.get("transcript", part.get("text")) == followed.told[item_id]
    else:
        _follow_text(followed, kind, event)


def _follow_text(followed: _Followed, kind: str, event: Event) -> None:
    name, _, what = kind.rpartition(".")
    item_id = event["item_id"]
    if name != "response.function_call_arguments":
        assert (item_id, event["content_index"]) in followed.open_parts
    if name == "response.output_audio":
        if what == "delta":
            assert base64.b64decode(event["delta"], validate=True)
        return
    said = followed.texts.get((item_id, name), "")
    if what == "delta":
        assert event["delta"]
        followed.texts[item_id, name] = said + event["delta"]
    else:
        assert event[_DONE_FIELD[name]] == said
        followed.told[item_id] = said


def _check_final_text(followed: _Followed, item: Event) -> None:
    if item["type"] == "function_call":
        assert item["arguments"] == followed.told[item["id"]]
        return
    for part in item["content"]:
        text = part.get("transcript", part.get("text"))
        assert text in ("", followed.told[item["id"]])  # a truncation takes the transcript away
