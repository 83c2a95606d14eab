"""
The messages of a media stream, both ways.

A stream is one WebSocket of text frames, each a JSON object (Twilio, Media Streams, WebSocket messages). A
`StreamReader` decodes what the carrier sends on one stream and refuses what that documentation rules out; a
`StreamWriter` makes what we may send back. Neither does I/O.

    connected, start, (media | dtmf | mark)*, stop        from the carrier
    (media | mark | clear)*                               to the carrier, after start

Audio stays the base64 text it arrives as: G.711 mu-law, 8000 samples a second, one byte each, so 8 bytes a ms.
"""

from enum import Enum
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta, Struct

from phonebot.audio.base64 import is_base64
from phonebot.errors import CarrierError, StaleCarrierMessage, UnknownCarrierEvent

MAX_MESSAGE_BYTES = 64 * 1024
"""What one message may measure as UTF-8. A frame of 20 ms takes about 400 bytes."""


class Frozen(Struct, frozen=True, omit_defaults=True, tag=True, tag_field="is"):
    """A value: compares by content; as JSON it names its class in `is` and leaves defaults out (the call log)."""


class Connected(Frozen, frozen=True):
    """The first message. Nothing may be sent before `Start`."""

    protocol: str
    version: str


class Start(Frozen, frozen=True):
    """
    The second message: which call this stream belongs to.

    `parameters` are the Parameter elements of our TwiML. They include the token that admits the stream, so the
    repr names them without their values.
    """

    sequence: int
    stream_sid: str
    account_sid: str
    call_sid: str
    tracks: tuple[str, ...] = ("inbound",)
    encoding: str = "audio/x-mulaw"
    sample_rate: int = 8000
    channels: int = 1
    parameters: dict[str, str] = {}

    def __repr__(self) -> str:
        return (
            f"Start(sequence={self.sequence}, stream_sid={self.stream_sid!r}, account_sid={self.account_sid!r}, "
            f"call_sid={self.call_sid!r}, parameters of {sorted(self.parameters)})"
        )


class Media(Frozen, frozen=True):
    """
    Audio of the caller: usually one frame of 20 ms, but its length is not promised.

    `chunk` counts the media messages of the track from 1. `timestamp_ms` is measured by the carrier since the
    stream began and is not `chunk` times 20. `payload` is base64.
    """

    sequence: int
    chunk: int
    timestamp_ms: int
    payload: str
    track: str = "inbound"


class Dtmf(Frozen, frozen=True):
    """The caller pressed a key: 0-9, *, # or A-D. It may belong to a card number, so the repr leaves it out."""

    sequence: int
    digit: str

    def __repr__(self) -> str:
        return f"Dtmf(sequence={self.sequence})"


class Mark(Frozen, frozen=True):
    """The echo of a mark of ours: the audio before it has played, or was dropped by a clear."""

    sequence: int
    name: str


class Stop(Frozen, frozen=True):
    """The last message: the call ended or was given other TwiML."""

    sequence: int
    account_sid: str
    call_sid: str


Message: TypeAlias = Connected | Start | Media | Dtmf | Mark | Stop


# ------------------------------------------------------------------------------------------- as JSON
# Unknown fields are ignored, since the carrier may add some. What is sent as a decimal string may arrive as a
# number and the other way round: the decoder is not strict.

_Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]
_Sid: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]

_DIGITS = frozenset("0123456789*#ABCD")


class _Json(Struct, tag_field="event", rename="camel", gc=False):
    """An object as the carrier writes it."""

    def refused(self, problem: str) -> CarrierError:
        return CarrierError(problem, str(self.__struct_config__.tag))


class _Connected(_Json, tag="connected", gc=False):
    protocol: str
    version: str

    def value(self) -> Connected:
        return Connected(self.protocol, self.version)


class _Numbered(_Json, gc=False):
    """What every message but the first has."""

    sequence_number: _Count
    stream_sid: _Sid

    def refused(self, problem: str) -> CarrierError:
        return CarrierError(problem, str(self.__struct_config__.tag), self.sequence_number)


class _MediaFormat(Struct, rename="camel", gc=False):
    encoding: str
    sample_rate: int
    channels: int


class _StartBody(Struct, rename="camel", gc=False):
    stream_sid: _Sid
    account_sid: _Sid
    call_sid: _Sid
    tracks: tuple[str, ...]
    media_format: _MediaFormat
    custom_parameters: dict[str, str] = {}


class _Start(_Numbered, tag="start", gc=False):
    start: _StartBody

    def value(self) -> Start:
        body, audio = self.start, self.start.media_format
        if body.stream_sid != self.stream_sid:
            raise self.refused("names two stream sids")
        if (audio.encoding, audio.sample_rate, audio.channels) != ("audio/x-mulaw", 8000, 1):
            raise self.refused("the media format is not audio/x-mulaw, 8000 Hz, 1 channel")
        return Start(
            sequence=self.sequence_number,
            stream_sid=body.stream_sid,
            account_sid=body.account_sid,
            call_sid=body.call_sid,
            tracks=body.tracks,
            encoding=audio.encoding,
            sample_rate=audio.sample_rate,
            channels=audio.channels,
            parameters=body.custom_parameters,
        )


class _MediaBody(Struct, gc=False):
    track: str
    chunk: _Count
    timestamp: _Count
    payload: str


class _Media(_Numbered, tag="media", gc=False):
    media: _MediaBody

    def value(self) -> Media:
        body = self.media
        if body.track != "inbound":
            raise self.refused("the track is not inbound")
        if not is_base64(body.payload):
            raise self.refused("the payload is not base64")
        return Media(self.sequence_number, body.chunk, body.timestamp, body.payload)


class _DtmfBody(Struct, gc=False):
    digit: str


class _Dtmf(_Numbered, tag="dtmf", gc=False):
    dtmf: _DtmfBody

    def value(self) -> Dtmf:
        if self.dtmf.digit not in _DIGITS:
            raise self.refused("the digit is not one of 0-9, *, #, A-D")
        return Dtmf(self.sequence_number, self.dtmf.digit)


class _MarkBody(Struct, gc=False):
    name: str


class _Mark(_Numbered, tag="mark", gc=False):
    mark: _MarkBody

    def value(self) -> Mark:
        return Mark(self.sequence_number, self.mark.name)


class _StopBody(Struct, rename="camel", gc=False):
    account_sid: _Sid
    call_sid: _Sid


class _Stop(_Numbered, tag="stop", gc=False):
    stop: _StopBody

    def value(self) -> Stop:
        return Stop(self.sequence_number, self.stop.account_sid, self.stop.call_sid)


_AnyJson: TypeAlias = _Connected | _Start | _Media | _Dtmf | _Mark | _Stop


class _Envelope(Struct, rename="camel", gc=False):
    """What can be said of a message that is otherwise refused."""

    event: str
    sequence_number: Any = None


_JSON: msgspec.json.Decoder[_AnyJson] = msgspec.json.Decoder(_AnyJson, strict=False)
_ENVELOPE = msgspec.json.Decoder(_Envelope)

# What decoding raises: not JSON or not of that shape, nested too deeply, a str with a lone surrogate.
_UNDECODABLE = (msgspec.DecodeError, RecursionError, UnicodeEncodeError)


def _size(message: str) -> int:
    """Its length in bytes as UTF-8; counted only where the number of characters does not say it already."""
    return len(message) if message.isascii() else len(message.encode(errors="replace"))


def _decoded(message: str | bytes) -> _AnyJson:
    if not isinstance(message, str):
        raise CarrierError("a binary frame: a media stream has text frames only")
    if _size(message) > MAX_MESSAGE_BYTES:
        raise CarrierError(f"longer than {MAX_MESSAGE_BYTES} bytes")
    try:
        return _JSON.decode(message)
    except _UNDECODABLE as error:
        raise _undecodable(message, error) from error


def _undecodable(message: str, error: Exception) -> CarrierError:
    """Say what is wrong with a message that could not be decoded, and of which event it is if that can be read."""
    if isinstance(error, RecursionError):
        return CarrierError("nested too deeply")
    if not isinstance(error, msgspec.ValidationError):
        return CarrierError(f"not JSON: {error}")
    try:
        envelope = _ENVELOPE.decode(message)
    except _UNDECODABLE:
        return CarrierError(_readable(str(error)))
    event, sequence = envelope.event, _sequence_of(envelope)
    if event in _EVENTS:
        return CarrierError(_readable(str(error)), event, sequence)
    return UnknownCarrierEvent("an event that is not documented", _readable(event) or "message", sequence)


def _readable(text: str) -> str:
    """What may hold words of the peer's, as ASCII that neither breaks nor floods a line of a log."""
    return ascii(text[:100])[1:-1][:100]


def _sequence_of(envelope: _Envelope) -> int | None:
    try:
        return msgspec.convert(envelope.sequence_number, _Count, strict=False)
    except msgspec.ValidationError:
        return None


# ------------------------------------------------------------------------------------------- reading


class _Stage(Enum):
    """How far a stream has come. The value says why some message is out of order."""

    OPENED = "connected comes first"
    CONNECTED = "start comes next"
    STREAMING = "the stream has started already"
    STOPPED = "the stream has stopped"


# The stage in which a message may come, and the one it leads to.
_STAGES: dict[type[_AnyJson], tuple[_Stage, _Stage]] = {
    _Connected: (_Stage.OPENED, _Stage.CONNECTED),
    _Start: (_Stage.CONNECTED, _Stage.STREAMING),
    _Media: (_Stage.STREAMING, _Stage.STREAMING),
    _Dtmf: (_Stage.STREAMING, _Stage.STREAMING),
    _Mark: (_Stage.STREAMING, _Stage.STREAMING),
    _Stop: (_Stage.STREAMING, _Stage.STOPPED),
}
_EVENTS = frozenset(str(kind.__struct_config__.tag) for kind in _STAGES)


class StreamReader:
    """
    Decodes what the carrier sends on one stream, in the order received.

    A refused message changes nothing: the reader goes on as if it had not come. Gaps in the sequence numbers are
    accepted, since events that we do not know count too.
    """

    def __init__(self) -> None:
        self._stage = _Stage.OPENED
        # What the start message says; None before it.
        self._stream_sid: str | None = None
        # That of the last numbered message; -1 before the first.
        self._sequence = -1

    def receive(self, message: str | bytes) -> Message:
        """
        Decode one frame.

        Raises `UnknownCarrierEvent` for an event that is not documented; new ones may appear, so it is no fault.
        Raises `StaleCarrierMessage` for one that came already, or too late, which is not taken a second time.
        Raises `CarrierError` for what the carrier should not send: a binary frame (bytes), more than
        MAX_MESSAGE_BYTES, what is not JSON or not of its event's shape, a message out of order or of another
        stream, audio of another format. Neither repeats more of the message than event and sequence number.
        """
        json = _decoded(message)
        value = json.value()
        required, following = _STAGES[type(json)]
        if self._stage is not required:
            raise json.refused(f"out of order: {self._stage.value}")
        if isinstance(json, _Numbered):
            self._follow(json)
        self._stage = following
        return value

    def _follow(self, json: _Numbered) -> None:
        if self._stream_sid is not None and json.stream_sid != self._stream_sid:
            raise json.refused("the stream sid is not that of the start message")
        if json.sequence_number <= self._sequence:
            problem = f"the sequence number does not grow: the last was {self._sequence}"
            raise StaleCarrierMessage(problem, str(json.__struct_config__.tag), json.sequence_number)
        self._stream_sid, self._sequence = json.stream_sid, json.sequence_number


# ------------------------------------------------------------------------------------------- writing


class StreamWriter:
    """
    Makes the messages of ours for the stream whose sid the start message gave.

    They have exactly the documented fields: one more and the carrier drops the message with warning 31951.
    """

    def __init__(self, stream_sid: str) -> None:
        sid = _quoted(stream_sid)
        self._media = f'{{"event":"media","streamSid":{sid},"media":{{"payload":'
        self._mark = f'{{"event":"mark","streamSid":{sid},"mark":{{"name":'
        self._clear = f'{{"event":"clear","streamSid":{sid}}}'

    def media(self, payload: str) -> str:
        """Play `payload`, base64 of mu-law without any header, after what was sent before."""
        return f"{self._media}{_quoted(payload)}}}}}"

    def mark(self, name: str) -> str:
        """Have `name` echoed once all audio sent before has played, or at once if none is left."""
        return f"{self._mark}{_quoted(name)}}}}}"

    def clear(self) -> str:
        """Drop the audio that has not played. The marks in it are echoed too."""
        return self._clear


_encode = msgspec.json.Encoder().encode


def _quoted(text: str) -> str:
    """As a JSON string. Payloads come from the model: nothing in them may end the string."""
    return _encode(text).decode()
