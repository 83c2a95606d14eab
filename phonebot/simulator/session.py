"""
One connection of the embedded Realtime server, without I/O.

    outputs = session.open()                          session.created
    outputs = session.receive(text, now_ms)           a client's event
    outputs = session.complete(job, result, now_ms)   what an ear or a voice was asked for
    outputs = session.tick(now_ms)                    when `session.due_ms` has come

Each returns what to do now, in order: events to send, jobs to start, at last a `Close`. Times are ms of any clock
that never runs backwards. A refused event is answered by one `error` and has no effect.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from phonebot.simulator.config import Config, Dialect, merged
from phonebot.simulator.conversation import Conversation, Item, Part, item_from_json
from phonebot.simulator.hearing import Hearing
from phonebot.simulator.listening import MIN_COMMIT_MS, InputAudio, Turn, TurnStarted
from phonebot.simulator.mind import Detector, Line, Mind
from phonebot.simulator.outbox import Outbox
from phonebot.simulator.outputs import Faults, Options, Output, Spoken
from phonebot.simulator.responses import Responses
from phonebot.simulator.schema import Refused, invalid
from phonebot.simulator.shapes import Json, retrieved_item_json, session_json
from phonebot.simulator.validation import (
    MAX_APPEND_BYTES,
    belongs_to_other_dialect,
    check_event,
    check_type,
    decode_audio,
    parse_event,
)
from phonebot.simulator.window import Window

EXPIRED_CLOSE = 1001


class Session:
    """
    The state of one connection.

    `expires_at_s` is unix time, shown to the client; `expires_ms` is the same moment on the clock of `now_ms`.
    `model_given` tells whether the URL named the model: if not, the first update may. `ids` and `sizes` make the
    ids and the lengths of audio deltas.
    """

    def __init__(
        self,
        dialect: Dialect,
        config: Config,
        mind: Mind,
        detector: Detector,
        *,
        expires_at_s: int,
        expires_ms: float,
        model_given: bool,
        options: Options,
        faults: Faults,
        ids: Random,
        sizes: Random,
    ) -> None:
        self.config = config
        self._options, self._faults = options, faults
        self._expires_at_s, self._expires_ms = expires_at_s, expires_ms
        self._model_given = model_given
        self._outbox = Outbox(dialect, ids)
        self.id = self._outbox.new_id("sess")
        self.conversation = Conversation(self._outbox.new_id("conv"))
        self._window = Window()
        self._input = InputAudio(detector, config.input_format, config.turn_detection)
        self._hearing = Hearing(self._outbox, faults.transcripts)
        self._responses = Responses(self._outbox, self.conversation, mind, options, faults, sizes)
        self._turn_item_id: str | None = None  # of the turn the caller is speaking; None: nobody speaks
        self._answer_owed = False  # a turn ended while a response was active, and such turns are queued
        self._updated = False  # an update was accepted: dialect and model are settled
        self._now_ms = 0.0
        self._handlers: dict[str, Callable[[Json], None]] = {
            "session.update": self._update,
            "transcription_session.update": self._update_transcription,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": self._commit,
            "input_audio_buffer.clear": self._clear,
            "conversation.item.create": self._create_item,
            "conversation.item.retrieve": self._retrieve_item,
            "conversation.item.truncate": self._truncate_item,
            "conversation.item.delete": self._delete_item,
            "response.create": self._create_response,
            "response.cancel": self._cancel_response,
        }

    # --------------------------------------------------------------------------------------- the outside

    @property
    def dialect(self) -> Dialect:
        return self._outbox.dialect

    @property
    def lines(self) -> tuple[Line, ...]:
        """The conversation as the model knows it: what it said is cut to what the client left of it."""
        return self.conversation.lines

    @property
    def due_ms(self) -> float:
        """When `tick` is next needed."""
        return min(self._expires_ms, self._idle_due_ms, self._responses.due_ms)

    def open(self) -> list[Output]:
        """Begin: returns the first events."""
        if self.dialect == "beta" and self.config.kind == "transcription":
            self._outbox.tell("transcription_session.created", session=self._shape())
            return self._outbox.take()
        self._outbox.tell("session.created", session=self._shape())
        if self.dialect == "beta":
            conversation = {"id": self.conversation.id, "object": "realtime.conversation"}
            self._outbox.tell("conversation.created", conversation=conversation)
        return self._outbox.take()

    def receive(self, text: str | bytes, now_ms: float) -> list[Output]:
        """Take one frame of the client."""
        self._now_ms = now_ms
        event_id = None
        try:
            event = parse_event(text)
            event_id = event["event_id"] if isinstance(event.get("event_id"), str) else None
            check_type(event)
            if event["type"] == "session.update":
                self._settle_dialect(event.get("session"))
            check_event(event, self.dialect, self.config)
            self._handlers[event["type"]](event)
        except Refused as problem:
            self._outbox.tell_error(problem, event_id)
        return self._finish_step()

    def complete(self, job: int, result: str | Spoken | Exception, now_ms: float) -> list[Output]:
        """Take the result of a job: text from the ear, speech from the voice, or why there is none."""
        self._now_ms = now_ms
        if self._hearing.complete(job, result):
            self._responses.listen(now_ms)
        else:
            assert not isinstance(result, str), "only the ear answers with text"
            self._responses.complete(job, result, now_ms)
        return self._finish_step()

    def tick(self, now_ms: float) -> list[Output]:
        """Do what is due."""
        self._now_ms = now_ms
        if now_ms >= self._expires_ms:
            self._expire()
        self._responses.advance(now_ms)
        if now_ms >= self._idle_due_ms:
            self._time_out()
        return self._finish_step()

    def _finish_step(self) -> list[Output]:
        if self._answer_owed and self._responses.active is None:
            self._answer_owed = False
            self._start_response({})
        return self._outbox.take()

    def _expire(self) -> None:
        problem = Refused("session_expired", "Your session hit the maximum duration.")
        self._outbox.tell_error(problem, None)
        self._outbox.close(EXPIRED_CLOSE, "session_expired")
        self._responses.drop()
        self._expires_ms = math.inf

    def _shape(self) -> Json:
        return session_json(self.config, self.dialect, self.id, self._expires_at_s)

    # --------------------------------------------------------------------------------------- session.update

    def _settle_dialect(self, body: Any) -> None:
        """Follow a client whose first update is plainly of the other dialect, if the server is lenient."""
        may_change = self._options.lenient and not self._updated and isinstance(body, dict)
        if may_change and belongs_to_other_dialect(body, self.dialect):
            self._outbox.dialect = "beta" if self.dialect == "ga" else "ga"

    def _update(self, event: Json) -> None:
        if self._faults.update == "ignored":
            return
        if self._faults.update == "refused":
            raise invalid("session", "this server refuses every update")
        config = merged(self.config, event["session"], self.dialect)
        if self._faults.keep_pcm:
            config = replace(config, input_format="pcm24k", output_format="pcm24k")
        self._check_locks(config)
        self._adopt(config)
        self._outbox.tell("session.updated", session=self._shape())

    def _update_transcription(self, event: Json) -> None:
        self._adopt(merged(self.config, event["session"], self.dialect))
        self._outbox.tell("transcription_session.updated", session=self._shape())

    def _check_locks(self, config: Config) -> None:
        """Raise Refused for a change that comes too late."""
        before = self.config
        if config.model != before.model and (self._model_given or self._updated):
            raise invalid("session.model", "the model of a session cannot change")
        if config.kind != before.kind and len(self.conversation):
            raise invalid("session.type", "the type of a session cannot change once it has items")
        if before.tracing is not None and config.tracing != before.tracing:
            raise invalid("session.tracing", "tracing cannot change once it is enabled")
        if config.speed != before.speed and self._responses.active is not None:
            where = "session.audio.output.speed" if self.dialect == "ga" else "session.speed"
            raise invalid(where, "the speed cannot change while a response is in progress")
        self._check_voice(config)

    def _check_voice(self, config: Config) -> None:
        if self._responses.has_spoken and config.voice != self.config.voice:
            problem = "Cannot update a conversation's voice if assistant audio is present."
            raise Refused("cannot_update_voice", problem)

    def _adopt(self, config: Config) -> None:
        before, self.config, self._updated = self.config, config, True
        if (config.input_format, config.turn_detection) != (before.input_format, before.turn_detection):
            self._input.configure(config.input_format, config.turn_detection)
            self._turn_item_id = None

    # --------------------------------------------------------------------------------------- input audio

    def _append(self, event: Json) -> None:
        audio = decode_audio(event["audio"], "audio")
        if len(audio) > MAX_APPEND_BYTES:
            raise invalid("audio", f"at most {MAX_APPEND_BYTES} bytes may be appended at once")
        for turn in self._input.append(audio):
            self._follow(turn)

    def _follow(self, turn: Turn) -> None:
        """The caller begins to speak or has fallen silent."""
        turns = self.config.turn_detection
        assert turns is not None, "without turn detection there are no turns"
        if isinstance(turn, TurnStarted):
            item_id = self._turn_item_id = self._outbox.new_id("item")
            self._responses.quiet_from_ms = None
            self._outbox.tell("input_audio_buffer.speech_started", audio_start_ms=turn.start_ms, item_id=item_id)
            if turns.interrupt_response:
                self._responses.interrupt(self._now_ms)
            return
        assert self._turn_item_id is not None, "a turn ends after it has begun"
        item_id, self._turn_item_id = self._turn_item_id, None
        self.conversation.check_room()
        self._outbox.tell("input_audio_buffer.speech_stopped", audio_end_ms=turn.end_ms, item_id=item_id)
        self._add_user_audio(item_id, turn.audio)
        if turns.create_response and self.config.kind == "realtime":
            self._answer_turn()

    def _answer_turn(self) -> None:
        if self._responses.active is not None and self._options.busy == "queue":
            self._answer_owed = True
        elif self._responses.active is None or self._options.busy == "error":
            try:
                self._start_response({})
            except Refused as problem:  # a response is active: the fault of no event of the client's
                self._outbox.tell_error(problem, None)

    def _commit(self, event: Json) -> None:
        buffered_ms = self._input.buffered_ms
        if buffered_ms < MIN_COMMIT_MS:
            found = f"buffer only has {buffered_ms:.2f}ms of audio" if buffered_ms else "buffer is empty"
            problem = (
                f"Error committing input audio buffer: expected at least {MIN_COMMIT_MS}ms of audio, but {found}."
            )
            raise Refused("input_audio_buffer_commit_empty", problem)
        self.conversation.check_room()
        item_id, self._turn_item_id = self._turn_item_id or self._outbox.new_id("item"), None
        self._add_user_audio(item_id, self._input.commit())

    def _clear(self, event: Json) -> None:
        self._input.clear()
        self._turn_item_id = None
        self._outbox.tell("input_audio_buffer.cleared")

    def _add_user_audio(self, item_id: str, audio: bytes) -> None:
        """Make an item of committed audio and let the ear listen to it."""
        part = Part("input_audio", format=self._input.format)
        part.append_audio(audio)
        item = Item(item_id, "message", role="user", parts=[part])
        previous_id = self.conversation.last_id
        self._outbox.tell("input_audio_buffer.committed", item_id=item_id, previous_item_id=previous_id)
        self._insert(item, None)
        self._hearing.listen(item, self.config.transcription)

    @property
    def _idle_due_ms(self) -> float:
        """When the silence after the last response has lasted for the session's idle timeout."""
        turns, quiet_from_ms = self.config.turn_detection, self._responses.quiet_from_ms
        if turns is None or turns.idle_timeout_ms is None or quiet_from_ms is None:
            return math.inf
        return quiet_from_ms + turns.idle_timeout_ms

    def _time_out(self) -> None:
        """Nobody has spoken for long: make an item of the silence and let the model answer it."""
        self._responses.quiet_from_ms = None
        if self.conversation.is_full:
            return
        item_id = self._outbox.new_id("item")
        self._outbox.tell(
            "input_audio_buffer.timeout_triggered",
            audio_start_ms=self._input.start_ms,
            audio_end_ms=self._input.received_ms,
            item_id=item_id,
        )
        self._add_user_audio(item_id, self._input.commit())
        self._start_response({})

    # --------------------------------------------------------------------------------------- items

    def _insert(self, item: Item, previous_item_id: str | None) -> None:
        previous_id = self.conversation.insert(item, previous_item_id)
        shape = self._outbox.item_shape(item)
        self._outbox.tell("conversation.item.added", previous_item_id=previous_id, item=shape)
        self._outbox.tell("conversation.item.done", previous_item_id=previous_id, item=shape)

    def _create_item(self, event: Json) -> None:
        previous_item_id = event.get("previous_item_id")
        item = self._item(event["item"], "item")
        self.conversation.check_insertion(item, previous_item_id)
        self._insert(item, previous_item_id)
        self._hearing.listen(item, None)

    def _item(self, body: Json, path: str) -> Item:
        """Make an item of a client's JSON; audio that cannot be decoded is refused."""
        audio = [
            decode_audio(part["audio"], f"{path}.content[{index}].audio")
            for index, part in enumerate(body.get("content", ()))
            if part["type"] == "input_audio"
        ]
        item_id = body.get("id") or self._outbox.new_id("item")
        return item_from_json(body, item_id, audio, self.config.input_format)

    def _retrieve_item(self, event: Json) -> None:
        item = self.conversation.retrieve(event["item_id"])
        shape = retrieved_item_json(item, self.dialect, self.config)
        self._outbox.tell("conversation.item.retrieved", item=shape)

    def _truncate_item(self, event: Json) -> None:
        where = {key: event[key] for key in ("item_id", "content_index", "audio_end_ms")}
        self.conversation.truncate(**where)
        self._outbox.tell("conversation.item.truncated", **where)

    def _delete_item(self, event: Json) -> None:
        self.conversation.delete(event["item_id"])
        self._outbox.tell("conversation.item.deleted", item_id=event["item_id"])

    # --------------------------------------------------------------------------------------- responses

    def _create_response(self, event: Json) -> None:
        if self.config.kind == "transcription":
            raise invalid("type", "a transcription session gives no responses")
        self._start_response(event.get("response") or {})

    def _start_response(self, body: Json) -> None:
        """Begin a response; `body` is the client's `response` object, empty for an answer to a turn."""
        self._responses.check_room(out_of_band=body.get("conversation") == "none")
        config = merged(self.config, body, self.dialect)
        self._check_voice(config)
        context, brought = self._context(body, config)
        self._responses.start(config, body, context, self._now_ms)
        for item in brought:
            self._hearing.listen(item, None)

    def _context(self, body: Json, config: Config) -> tuple[Sequence[Item], Sequence[Item]]:
        """The items a response reads, and those of them that its request brought along."""
        if "input" not in body:
            return self._window.read(config.truncation, config.instructions, tuple(self.conversation)), ()
        context, brought = [], []
        for index, each in enumerate(body["input"]):
            where = f"response.input[{index}]"
            if each["type"] == "item_reference":
                item = self.conversation.get(each["id"])
                if item is None:
                    raise invalid(f"{where}.id", "there is no such item in the conversation")
            else:
                item = self._item(each, where)
                brought.append(item)
            context.append(item)
        return context, brought

    def _cancel_response(self, event: Json) -> None:
        self._responses.cancel(event.get("response_id"), self._now_ms)
