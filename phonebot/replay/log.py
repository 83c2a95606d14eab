"""
The call log: a folder per call, from which the call can be replayed.

    call.json      which call it was, when, and how it ended: `Header`
    events.jsonl   every input and action in the order in which they happened
    caller.wav     what the caller said, as received, and
    bot.wav        what was sent to be played to him, as sent: G.711 mu-law, 8000 bytes a second
    model.raw      what the model said and bot.wav does not hold at that place, in the session's output format

A line of events.jsonl is `[t_ms, "in" | "out", name, fields]`: call time, whether it is an input or an action, the
class, and its fields as in `phonebot.call`. The first line is the plan. An action belongs to the newest input above
it. In place of audio stands one of these:

    ["caller.wav", 0, 160]            these bytes of that file's audio: the first, and the one after the last
    160                               so many bytes, which were not kept
    "any text"                        as it came: empty, or said to be base64 and is not
    "160 bytes, crc32 0a1b2c3d"       in AppendAudio, which follows from the frames: the checksum is of its base64

Frames that come one after another share a line, fifty at most, a second. Anything else that happens ends it, so
the order of the lines is the order of all there was:

    [20, "in", "Media", {"sequence": 2, "chunk": 1, "payload": ["caller.wav", 0, 320],
                         "frames": [[20, 100, ["="]], [41, 120, ["="]]]}]

Each frame has its call time, its timestamp, and what the model was told of it at once: "=" is its own audio.
Sequence and chunk go up by one, and all frames of a line have the same length.

What opens a door is not kept: the values of a stream's parameters, the configuration of an MCP server.
"""

import zlib
from binascii import a2b_base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from phonebot.audio import wav
from phonebot.audio.base64 import base64_length
from phonebot.audio.g711 import FRAME_BYTES
from phonebot.call.actions import Action, PlayAudio, StartRecording, Tell
from phonebot.call.inputs import Input
from phonebot.call.plan import CallPlan
from phonebot.carrier.messages import Media, Start
from phonebot.errors import PhonebotError
from phonebot.realtime.events import AppendAudio, AudioDelta

FORMAT: Final = "phonebot-call-log"
VERSION = 1

HEADER_FILE = "call.json"
EVENTS_FILE = "events.jsonl"
CALLER_FILE: Final = "caller.wav"
BOT_FILE: Final = "bot.wav"
MODEL_FILE: Final = "model.raw"

MAX_HEADER_BYTES = 1024 * 1024
MAX_LINE_BYTES = 2 * 1024 * 1024  # a plan holds audio: a greeting, music, what is said without a model
MAX_EVENTS_BYTES = 64 * 1024 * 1024
MAX_AUDIO_BYTES = wav.DATA_LIMIT_BYTES
"""Of each audio file."""
MAX_BLOCK_FRAMES = 50
MAX_LEFT_OVER = FRAME_BYTES - 1
OWN_AUDIO = "="  # the model was told the frame's own audio

AudioFile: TypeAlias = Literal["caller.wav", "bot.wav", "model.raw"]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]


class Range(Struct, frozen=True, array_like=True):
    """
    Bytes `start` to `end` of a file's audio.

    Of the model's audio the end may be left over, for want of a whole frame: it is in model.raw, from `rest_start`
    to `rest_end`.
    """

    # No tuple: msgspec 0.22 crashes where a union has both a fixed one and an int with bounds.
    file: AudioFile
    start: Count
    end: Count
    rest_start: Count = 0
    rest_end: Count = 0

    @property
    def fields(self) -> tuple[str | int, ...]:
        """As it stands in a line."""
        whole = (self.file, self.start, self.end)
        return whole if self.rest_start == self.rest_end else (*whole, self.rest_start, self.rest_end)


Kind: TypeAlias = Literal["twilio", "browser", "outbound"]
Where: TypeAlias = Range | Count | str


class LogError(PhonebotError):
    """A call log cannot be read, or not be written any further. `line` None: the fault is not one line's."""

    def __init__(self, file: str, line: int | None, problem: str) -> None:
        super().__init__(file, line, problem)
        self.file, self.line, self.problem = file, line, problem

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}, line {self.line}"
        return f"{where}: {self.problem}"


# ------------------------------------------------------------------------------------------- what a log says


class About(Struct, frozen=True, kw_only=True):
    """
    Which call a log is of. None: not known, or there is none.

    `kind` is the way it came in: from the carrier, or from the console's phone in a browser; `outbound`: it went
    out, from our number.
    """

    call_sid: str
    kind: Kind = "twilio"
    stream_sid: str | None = None
    from_number: str | None = None
    to_number: str | None = None
    profile: str | None = None
    profile_version: str | None = None
    provider: str | None = None
    model: str | None = None

    @property
    def number(self) -> str | None:
        """The one of ours."""
        return self.from_number if self.kind == "outbound" else self.to_number

    @property
    def caller(self) -> str | None:
        """The other side, whichever dialled."""
        return self.to_number if self.kind == "outbound" else self.from_number


class Counts(Struct, frozen=True):
    """How much a log holds; `lost` counts the inputs that it should hold and does not."""

    frames: int = 0
    inputs: int = 0
    actions: int = 0
    lost: int = 0


class Header(About, frozen=True, kw_only=True):
    """
    The content of call.json. `ended` None: the log was cut off, or the call is still running.

    Its times are the only ones of the wall clock. `outcome` is that of `Ended`, or the shell's word for an end that
    the call knows nothing of. `note` is for people: where a log came from, why something is missing from it.
    `recorded_from_ms`: the caller had heard by then that he is recorded, and no audio is kept from before; it is
    not there where nobody waited for that. `unplayable` is a sentence: why it would be wrong to replay this log. It
    is not there when it is not.
    """

    format: Literal["phonebot-call-log"] = FORMAT
    version: int = VERSION
    software: str
    started: datetime
    ended: datetime | None = None
    outcome: str | None = None
    audio: bool = True  # False: no audio is recorded, as the profile has it, or since the notice was not heard
    recorded_from_ms: int | UnsetType = UNSET
    counts: Counts = Counts()
    note: str = ""
    unplayable: str | UnsetType = UNSET


def abridged(action: Action, keep_audio: bool) -> Action:
    """The action as a log keeps it, with or without audio."""
    match action:
        case Tell(command=AppendAudio() as append):
            return Tell(replace(append, audio=digest(append.audio, keep_audio)))
        case PlayAudio() if not keep_audio:
            return replace(action, payload=digest(action.payload, keep_audio))
        case _:
            return action


def digest(text: str, keep_audio: bool) -> str:
    """What stands for base64 text that is not kept itself."""
    length = f"{base64_length(text)} bytes"
    return f"{length}, crc32 {zlib.crc32(text.encode()):08x}" if keep_audio else length


# ------------------------------------------------------------------------------------------- writing


@dataclass(frozen=True, slots=True)
class LogPart:
    """What has to be appended: first the audio to its files, then the lines, which refer to it."""

    audio: dict[AudioFile, bytes]
    lines: bytes


class _OpenBlock:
    """Frames that came one after another and will share a line."""

    def __init__(self, now: int, first: Media, frame_bytes: int, start: int) -> None:
        self.first_ms = now
        self.newest = first
        self.frame_bytes = frame_bytes
        self._first, self._start = first, start
        self._frames: list[tuple[int, int, list[str]]] = []

    def continues(self, media: Media) -> bool:
        newest = self.newest
        return (
            media.sequence == newest.sequence + 1
            and media.chunk == newest.chunk + 1
            and len(media.payload) == len(newest.payload)
            and len(self._frames) < MAX_BLOCK_FRAMES
        )

    def append(self, now: int, media: Media) -> None:
        self.newest = media
        self._frames.append((now, media.timestamp_ms, []))

    def tell(self, now: int, action: Action, keep_audio: bool) -> bool:
        """Note what the model was told of the newest frame. False: `action` is something else, or came later."""
        at_ms, _, told = self._frames[-1]
        if now != at_ms or not isinstance(action, Tell) or not isinstance(action.command, AppendAudio):
            return False
        append = action.command
        if append.event_id is not None:
            return False
        told.append(OWN_AUDIO if append.audio == self.newest.payload else digest(append.audio, keep_audio))
        return True

    def fields(self, keep_audio: bool) -> dict[str, Any]:
        length = self.frame_bytes * len(self._frames)
        where = Range(CALLER_FILE, self._start, self._start + length).fields if keep_audio else length
        numbers = {"sequence": self._first.sequence, "chunk": self._first.chunk}
        return {**numbers, "payload": where, "frames": self._frames}


class LogEncoder:
    """
    Turns a call's plan, and each input with what came of it, given in their order, into the bytes of its log.

    `take` what has come at any time: the parts put together are the log, wherever they were taken. Raises LogError
    when the log would grow beyond what `reader.read` accepts; what was taken before is a log up to there.

    Not `from_start`: audio is kept once the call says that it may be recorded, at `recorded_from_ms`.
    """

    def __init__(self, keep_audio: bool = True, from_start: bool = True) -> None:
        # Why audio is no longer kept; "" if nothing of the kind has happened.
        self.note = ""
        # None: nobody has said so yet, or need not.
        self.recorded_from_ms: int | None = None
        self._keep_audio = keep_audio and from_start
        self._waits = keep_audio and not from_start
        self._lines = bytearray()
        self._audio: dict[AudioFile, bytearray] = {
            CALLER_FILE: bytearray(),
            BOT_FILE: bytearray(),
            MODEL_FILE: bytearray(),
        }
        # What was taken already.
        self._taken: dict[AudioFile, int] = dict.fromkeys(self._audio, 0)
        self._events_bytes = 0
        self._line_count = 0
        self._frames = self._inputs = self._actions = 0
        self._block: _OpenBlock | None = None
        # The model's audio that was not sent with its delta, for want of a whole frame: it goes before the next.
        self._left_over: tuple[str, bytes] = ("", b"")  # of which item

    @property
    def counts(self) -> Counts:
        """Of what was taken."""
        return Counts(self._frames, self._inputs, self._actions)

    def plan(self, plan: CallPlan) -> None:
        """Comes first, and once."""
        self._write(0, "in", plan)

    def happened(self, now: int, received: Input, actions: Sequence[Action]) -> None:
        """`received` happened at call time `now`, and `actions` came of it."""
        if isinstance(received, Media):
            self._media(now, received)
        else:
            self._end_block()
            self._input(now, received, actions)
        for action in actions:
            if self._block and self._block.tell(now, action, self._keep_audio):
                continue
            self._end_block()
            if isinstance(action, PlayAudio):
                self._write(now, "out", action, payload=self._stored(BOT_FILE, action.payload))
            else:
                self._write(now, "out", abridged(action, self._keep_audio))
                if self._waits and isinstance(action, StartRecording):
                    self._waits, self._keep_audio, self.recorded_from_ms = False, True, now
        self._inputs += 1
        self._actions += len(actions)
        self._frames += type(received) is Media

    def drop_audio(self, reason: str) -> None:
        """Keep no audio from here on. `reason` is a sentence for the log's note."""
        if self._keep_audio or self._waits:
            self._end_block()
            self._keep_audio, self._waits, self.note = False, False, reason

    def take(self) -> LogPart:
        """What has come since the last time."""
        self._end_block()
        part = LogPart({name: bytes(audio) for name, audio in self._audio.items() if audio}, bytes(self._lines))
        for name, audio in self._audio.items():
            self._taken[name] += len(audio)
            audio.clear()
        self._lines.clear()
        return part

    def _media(self, now: int, media: Media) -> None:
        audio = _canonical(media.payload)
        if not audio or media.track != "inbound":
            self._end_block()
            self._write(now, "in", media, payload=self._stored(CALLER_FILE, media.payload))
            return
        self._make_room(CALLER_FILE, len(audio))
        block = self._block
        if block is None or not block.continues(media) or block.frame_bytes != len(audio):
            self._end_block()
            block = self._block = _OpenBlock(now, media, len(audio), self._end(CALLER_FILE))
        block.append(now, media)
        if self._keep_audio:
            self._audio[CALLER_FILE] += audio

    def _end_block(self) -> None:
        if self._block:
            block, self._block = self._block, None
            self._line(block.first_ms, "in", "Media", block.fields(self._keep_audio))

    def _input(self, now: int, received: Input, actions: Sequence[Action]) -> None:
        if isinstance(received, AudioDelta):
            self._audio_delta(now, received, actions)
        elif isinstance(received, Start):
            # One of them is the token that admits the stream.
            self._write(now, "in", replace(received, parameters=dict.fromkeys(received.parameters, "")))
        else:
            self._write(now, "in", received)

    def _audio_delta(self, now: int, delta: AudioDelta, actions: Sequence[Action]) -> None:
        """What `actions` send of the model's audio is kept once, as what was sent."""
        audio = _canonical(delta.audio) or b""
        sent = [_canonical(action.payload) for action in actions if isinstance(action, PlayAudio)]
        item_id, left_over = self._left_over
        whole = left_over + audio if item_id == delta.item_id else audio
        sent_audio = b"".join(filter(None, sent))
        rest = len(whole) - len(sent_audio)
        if audio and None not in sent and rest <= min(len(audio), MAX_LEFT_OVER) and whole.startswith(sent_audio):
            begin, end = len(whole) - len(audio), len(sent_audio)
            self._left_over = delta.item_id, whole[end:]
            where = (
                self._part_sent(begin, end, whole[end:]) if sent_audio else self._stored(MODEL_FILE, delta.audio)
            )
        else:
            where = self._stored(MODEL_FILE, delta.audio)
        self._write(now, "in", delta, audio=where)

    def _part_sent(self, begin: int, end: int, rest: bytes) -> Where:
        """Bytes `begin` to `end` of what is about to be sent, and `rest`, which is not."""
        self._make_room(BOT_FILE, end)
        self._make_room(MODEL_FILE, len(rest))
        if not self._keep_audio:
            return end - begin + len(rest)
        start, rest_start = self._end(BOT_FILE), self._end(MODEL_FILE)
        self._audio[MODEL_FILE] += rest
        return Range(BOT_FILE, start + begin, start + end, rest_start, rest_start + len(rest))

    def _stored(self, file: AudioFile, text: str) -> Where:
        """Keep the audio that base64 `text` stands for; return what stands for it in the line."""
        audio = _canonical(text)
        if not audio:
            return text if self._keep_audio else "?" * len(text)
        self._make_room(file, len(audio))
        if not self._keep_audio:
            return len(audio)
        start = self._end(file)
        self._audio[file] += audio
        return Range(file, start, start + len(audio))

    def _has_room(self, file: AudioFile, length: int) -> bool:
        return not self._keep_audio or self._end(file) + length <= MAX_AUDIO_BYTES

    def _make_room(self, file: AudioFile, length: int) -> None:
        if not self._has_room(file, length):
            self.drop_audio(f"{file} is full: the audio ends at {MAX_AUDIO_BYTES} bytes.")

    def _end(self, file: AudioFile) -> int:
        return self._taken[file] + len(self._audio[file])

    def _write(self, now: int, direction: str, value: Struct, **audio: Where) -> None:
        fields = msgspec.to_builtins(value)
        for field, where in audio.items():
            fields[field] = where.fields if isinstance(where, Range) else where
        self._line(now, direction, fields.pop("is"), fields)

    def _line(self, now: int, direction: str, name: str, fields: dict[str, Any]) -> None:
        line = _encode((now, direction, name, fields))
        if b'"McpTool"' in line:
            line = _encode((now, direction, name, _without_mcp_config(fields)))
        self._line_count += 1
        if len(line) >= MAX_LINE_BYTES:
            raise LogError(
                EVENTS_FILE, self._line_count, f"a line of {len(line)} bytes, {MAX_LINE_BYTES} are allowed"
            )
        self._events_bytes += len(line) + 1
        if self._events_bytes > MAX_EVENTS_BYTES:
            raise LogError(EVENTS_FILE, self._line_count, f"the file would exceed {MAX_EVENTS_BYTES} bytes")
        self._lines += line
        self._lines += b"\n"


_encode = msgspec.json.Encoder().encode


def _canonical(text: str) -> bytes | None:
    """The bytes of base64 `text`; None if they would not give the same text again."""
    try:
        audio = a2b_base64(text, strict_mode=True)
    except ValueError:
        return None
    # All that can differ now are bits of the last character that stand for nothing.
    match len(audio) % 3:
        case 0:
            return audio
        case 1:
            return audio if text[-3] in _ENDS_OF_1 else None
        case _:
            return audio if text[-2] in _ENDS_OF_2 else None


# The last characters that stand for 2 or 4 bits, the others being 0 (RFC 4648, section 3.5).
_ENDS_OF_1, _ENDS_OF_2 = "AQgw", "AEIMQUYcgkosw048"


def _without_mcp_config(fields: Any) -> Any:
    """The same with nothing in the configuration of MCP servers: it holds what they know us by."""
    if isinstance(fields, dict):
        kept = {key: _without_mcp_config(value) for key, value in fields.items()}
        return kept | {"config": {}} if kept.get("is") == "McpTool" else kept
    if isinstance(fields, (list, tuple)):
        return [_without_mcp_config(value) for value in fields]
    return fields
