"""
What a service sends, as it is on the wire, and how it becomes an `Event`.

One typed decode reads a message: `type` selects the shape, and fields the shape does not name are skipped. Both
dialects are read by the same shapes, since services mix them: gateways relay whatever is behind them, and the
public API reference shows new names in its beta section too. Where services differ in more than names (a field
left out or null, an index as text, a misnamed field in older manuals) the shape that reads it says so.
"""

from collections.abc import Callable
from typing import Any, TypeVar, Union, cast

import msgspec
from msgspec import Struct, ValidationError

from phonebot.errors import ModelProtocolError
from phonebot.realtime import events
from phonebot.realtime.events import Dialect, ErrorDetail, Event
from phonebot.realtime.wire_items import (
    WireError,
    WireItem,
    WirePart,
    WireResponse,
    WireTranscriptionUsage,
    index,
)
from phonebot.realtime.wire_session import WireSession

Index = int | str | None  # absent means the first; see `index`
Number = float  # positions are whole milliseconds, but some services write 640.0


class Shape(Struct):
    """One kind of server event. `event` raises ValidationError where types alone cannot tell a fault."""

    def event(self) -> Event:
        raise NotImplementedError

    @property
    def type(self) -> str:
        """The event's name on the wire."""
        return str(self.__struct_config__.tag)

    def last_word(self) -> Any:
        """The state that the last word of some names tells, one of the event's literals."""
        return self.type.rpartition(".")[2]


_S = TypeVar("_S", bound=type[Shape])
_SHAPES: dict[str, type[Shape]] = {}


def _named(*names: str) -> Callable[[_S], _S]:
    """Register a shape under each name that selects it."""

    def register(shape: _S) -> _S:
        for name in names:
            tagged = msgspec.defstruct(shape.__name__, [], bases=(shape,), tag=name, tag_field="type")
            _SHAPES[name] = cast("type[Shape]", tagged)
        return shape

    return register


def decode(text: str | bytes) -> Event:
    """
    Read one message.

    An event type that nobody here knows becomes `UnknownEvent`. Raises ModelProtocolError, naming the event and
    the field, for what is not JSON, not an object, has no type, or lacks a field that the event is nothing without.
    """
    try:
        try:
            shape: Shape = _DECODER.decode(text)
            return shape.event()
        except ValidationError as fault:
            return _misfit(text, fault)
    except RecursionError:
        raise ModelProtocolError("message: nested too deeply") from None
    except (msgspec.DecodeError, UnicodeError) as fault:
        raise ModelProtocolError(f"message: not JSON ({fault})") from None


def dialect_of(text: str | bytes) -> Dialect | None:
    """
    The dialect that a `session.created` message is written in; None when its session shows neither.

    GA names the session's type, nests its audio and has output modalities; beta has modalities and names its
    formats at the top (Realtime API reference, session object).
    """
    session = msgspec.json.decode(text, type=_Created).session
    if session.type or isinstance(session.audio, dict) or session.output_modalities is not None:
        return "ga"
    if session.modalities is not None or session.input_audio_format is not None:
        return "beta"
    return None


class _Traits(Struct):
    type: Any = None
    audio: Any = None
    output_modalities: Any = None
    modalities: Any = None
    input_audio_format: Any = None


class _Created(Struct):
    session: _Traits


class _Head(Struct):
    type: str


def _misfit(text: str | bytes, fault: ValidationError) -> Event:
    """A message that fits no shape: an event from the future, or else an error. Reads it again, past the fault."""
    try:
        name = msgspec.json.decode(text, type=_Head).type
    except ValidationError as headless:
        raise ModelProtocolError(f"message: {_sentence(headless)}") from None
    if name not in _SHAPES:
        return events.UnknownEvent(name[:100])
    raise ModelProtocolError(f"{name}: {_sentence(fault)}")


def _sentence(fault: ValidationError) -> str:
    return str(fault).replace("`$.", "`").replace("`$`", "the message")


# ------------------------------------------------------------------------------------------- session, errors


@_named("session.created", "transcription_session.created")
class _SessionCreated(Shape):
    session: WireSession

    def event(self) -> Event:
        return events.SessionCreated(self.session.session())


@_named("session.updated", "transcription_session.updated")
class _SessionUpdated(Shape):
    session: WireSession

    def event(self) -> Event:
        return events.SessionUpdated(self.session.session())


class _Conversation(Struct):
    id: str | None = None


@_named("conversation.created")
class _ConversationCreated(Shape):
    conversation: _Conversation

    def event(self) -> Event:
        return events.ConversationCreated(self.conversation.id or "")


@_named("error")
class _ErrorEvent(Shape):
    error: WireError | str

    def event(self) -> Event:
        detail = ErrorDetail(self.error) if isinstance(self.error, str) else self.error.detail()
        return events.ErrorEvent(detail)


class _RateLimit(Struct):
    name: str | None = None
    limit: Number | None = None
    remaining: Number | None = None
    reset_seconds: float | None = None


@_named("rate_limits.updated")
class _RateLimits(Shape):
    rate_limits: list[_RateLimit] | None = None

    def event(self) -> Event:
        return events.RateLimitsUpdated(
            tuple(
                events.RateLimit(
                    rate.name or "", int(rate.limit or 0), int(rate.remaining or 0), rate.reset_seconds or 0.0
                )
                for rate in self.rate_limits or ()
            )
        )


# ------------------------------------------------------------------------------------------- the caller's audio


@_named("input_audio_buffer.speech_started")
class _SpeechStarted(Shape):
    audio_start_ms: Number
    item_id: str | None = None

    def event(self) -> Event:
        return events.SpeechStarted(int(self.audio_start_ms), self.item_id)


@_named("input_audio_buffer.speech_stopped")
class _SpeechStopped(Shape):
    audio_end_ms: Number | None = None
    audio_start_ms: Number | None = None  # what some manuals call the end
    item_id: str | None = None

    def event(self) -> Event:
        end_ms = self.audio_start_ms if self.audio_end_ms is None else self.audio_end_ms
        if end_ms is None:
            raise ValidationError("Object missing required field `audio_end_ms`")
        return events.SpeechStopped(int(end_ms), self.item_id)


@_named("input_audio_buffer.committed")
class _Committed(Shape):
    item_id: str
    previous_item_id: str | None = None

    def event(self) -> Event:
        return events.AudioCommitted(self.item_id, self.previous_item_id)


@_named("input_audio_buffer.cleared")
class _Cleared(Shape):
    def event(self) -> Event:
        return events.AudioCleared()


@_named("input_audio_buffer.timeout_triggered")
class _Timeout(Shape):
    audio_start_ms: Number
    audio_end_ms: Number
    item_id: str

    def event(self) -> Event:
        return events.IdleTimeout(int(self.audio_start_ms), int(self.audio_end_ms), self.item_id)


@_named("input_audio_buffer.dtmf_event_received")
class _Dtmf(Shape):
    event_: str = msgspec.field(name="event")
    received_at: Number | None = None

    def event(self) -> Event:
        return events.DtmfReceived(self.event_, int(self.received_at or 0))


@_named("output_audio_buffer.started", "output_audio_buffer.stopped", "output_audio_buffer.cleared")
class _OutputAudio(Shape):
    response_id: str

    def event(self) -> Event:
        return events.OutputAudioChanged(self.response_id, self.last_word())


# ------------------------------------------------------------------------------------------- the conversation


@_named("conversation.item.created", "conversation.item.added")
class _ItemAdded(Shape):
    item: WireItem
    previous_item_id: str | None = None

    def event(self) -> Event:
        return events.ItemAdded(self.item.item(), self.previous_item_id)


@_named("conversation.item.done")
class _ItemDone(Shape):
    item: WireItem
    previous_item_id: str | None = None

    def event(self) -> Event:
        return events.ItemDone(self.item.item(), self.previous_item_id)


@_named("conversation.item.retrieved")
class _ItemRetrieved(Shape):
    item: WireItem

    def event(self) -> Event:
        return events.ItemRetrieved(self.item.item())


@_named("conversation.item.truncated")
class _ItemTruncated(Shape):
    item_id: str
    audio_end_ms: Number
    content_index: Index = None

    def event(self) -> Event:
        return events.ItemTruncated(self.item_id, index(self.content_index), int(self.audio_end_ms))


@_named("conversation.item.deleted")
class _ItemDeleted(Shape):
    item_id: str

    def event(self) -> Event:
        return events.ItemDeleted(self.item_id)


class _OfItem(Shape):
    item_id: str
    content_index: Index = None


@_named("conversation.item.input_audio_transcription.delta")
class _TranscriptionDelta(_OfItem):
    delta: str | None = None

    def event(self) -> Event:
        return events.TranscriptionDelta(self.item_id, index(self.content_index), self.delta or "")


@_named("conversation.item.input_audio_transcription.completed")
class _TranscriptionCompleted(_OfItem):
    transcript: str | None = None
    usage: WireTranscriptionUsage | None = None

    def event(self) -> Event:
        usage = self.usage.usage() if self.usage else None
        return events.TranscriptionCompleted(self.item_id, index(self.content_index), self.transcript or "", usage)


@_named("conversation.item.input_audio_transcription.failed")
class _TranscriptionFailed(_OfItem):
    error: WireError | None = None

    def event(self) -> Event:
        detail = (self.error or WireError()).detail()
        return events.TranscriptionFailed(self.item_id, index(self.content_index), detail)


@_named("conversation.item.input_audio_transcription.segment")
class _TranscriptionSegment(_OfItem):
    id: str | None = None
    text: str | None = None
    speaker: str | None = None
    start: float | None = None
    end: float | None = None

    def event(self) -> Event:
        return events.TranscriptionSegment(
            item_id=self.item_id,
            content_index=index(self.content_index),
            id=self.id or "",
            text=self.text or "",
            speaker=self.speaker or "",
            start_s=self.start or 0.0,
            end_s=self.end or 0.0,
        )


# ------------------------------------------------------------------------------------------- responses


@_named("response.created")
class _ResponseCreated(Shape):
    response: WireResponse

    def event(self) -> Event:
        return events.ResponseCreated(self.response.response("in_progress", unknown="in_progress"))


@_named("response.done")
class _ResponseDone(Shape):
    response: WireResponse

    def event(self) -> Event:
        # The response is over, whatever a newer word calls it: "incomplete" says that without claiming success.
        return events.ResponseDone(self.response.response("completed", unknown="incomplete"))


class _OutputItem(Shape):
    response_id: str
    item: WireItem
    output_index: Index = None


@_named("response.output_item.added")
class _OutputItemAdded(_OutputItem):
    def event(self) -> Event:
        return events.OutputItemAdded(self.response_id, index(self.output_index), self.item.item())


@_named("response.output_item.done")
class _OutputItemDone(_OutputItem):
    def event(self) -> Event:
        return events.OutputItemDone(self.response_id, index(self.output_index), self.item.item())


class _OfPart(Shape):
    """Belongs to one part of one item of one response."""

    response_id: str
    item_id: str
    output_index: Index = None
    content_index: Index = None

    def place(self) -> tuple[str, str, int, int]:
        return self.response_id, self.item_id, index(self.output_index), index(self.content_index)


@_named("response.content_part.added")
class _PartAdded(_OfPart, kw_only=True):
    part: WirePart

    def event(self) -> Event:
        part = self.part.part()
        return events.PartAdded(*self.place(), part) if part else events.UnknownEvent(self.type)


@_named("response.content_part.done")
class _PartDone(_OfPart, kw_only=True):
    part: WirePart

    def event(self) -> Event:
        part = self.part.part()
        return events.PartDone(*self.place(), part) if part else events.UnknownEvent(self.type)


@_named("response.text.delta", "response.output_text.delta")
class _TextDelta(_OfPart, kw_only=True):
    delta: str

    def event(self) -> Event:
        return events.TextDelta(*self.place(), self.delta)


@_named("response.text.done", "response.output_text.done")
class _TextDone(_OfPart):
    text: str | None = None
    delta: str | None = None  # what some manuals call the text

    def event(self) -> Event:
        return events.TextDone(*self.place(), self.text or self.delta or "")


@_named("response.audio.delta", "response.output_audio.delta")
class _AudioDelta(_OfPart, kw_only=True):
    delta: str

    def event(self) -> Event:
        return events.AudioDelta(*self.place(), self.delta)


@_named("response.audio.done", "response.output_audio.done")
class _AudioDone(_OfPart):
    def event(self) -> Event:
        return events.AudioDone(*self.place())


@_named("response.audio_transcript.delta", "response.output_audio_transcript.delta")
class _SpokenTextDelta(_OfPart, kw_only=True):
    delta: str

    def event(self) -> Event:
        return events.SpokenTextDelta(*self.place(), self.delta)


@_named("response.audio_transcript.done", "response.output_audio_transcript.done")
class _SpokenTextDone(_OfPart):
    transcript: str | None = None

    def event(self) -> Event:
        return events.SpokenTextDone(*self.place(), self.transcript or "")


# ------------------------------------------------------------------------------------------- calls of functions


class _OfCall(Shape):
    """Belongs to one call. The item says which, and older services leave `call_id` to it."""

    response_id: str
    item_id: str
    output_index: Index = None
    call_id: str | None = None

    def place(self) -> tuple[str, str, int]:
        return self.response_id, self.item_id, index(self.output_index)


@_named("response.function_call_arguments.delta")
class _ArgumentsDelta(_OfCall, kw_only=True):
    delta: str

    def event(self) -> Event:
        return events.ArgumentsDelta(*self.place(), self.call_id or "", self.delta)


@_named("response.function_call_arguments.done")
class _ArgumentsDone(_OfCall):
    arguments: str | None = None
    name: str | None = None

    def event(self) -> Event:
        return events.ArgumentsDone(*self.place(), self.call_id or "", self.arguments or "", self.name)


@_named("response.mcp_call_arguments.delta")
class _McpArgumentsDelta(_OfCall, kw_only=True):
    delta: str

    def event(self) -> Event:
        return events.McpArgumentsDelta(*self.place(), self.delta)


@_named("response.mcp_call_arguments.done")
class _McpArgumentsDone(_OfCall):
    arguments: str | None = None

    def event(self) -> Event:
        return events.McpArgumentsDone(*self.place(), self.arguments or "")


@_named("response.mcp_call.in_progress", "response.mcp_call.completed", "response.mcp_call.failed")
class _McpCall(Shape):
    item_id: str
    output_index: Index = None

    def event(self) -> Event:
        return events.McpCallChanged(self.item_id, index(self.output_index), self.last_word())


@_named("mcp_list_tools.in_progress", "mcp_list_tools.completed", "mcp_list_tools.failed")
class _McpTools(Shape):
    item_id: str

    def event(self) -> Event:
        return events.McpToolsListed(self.item_id, self.last_word())


_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Union[tuple(_SHAPES.values())])  # noqa: UP007

EVENT_TYPES = frozenset(_SHAPES)
"""The wire names of all events that `decode` knows."""
