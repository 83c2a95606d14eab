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

import os
import stat
import zlib
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, Literal, TypeAlias, TypeVar, get_args

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from phonebot.audio import wav
from phonebot.audio.base64 import base64_length, base64_silence
from phonebot.call.actions import Action, PlayAudio, Tell
from phonebot.call.inputs import Input
from phonebot.call.plan import CallPlan
from phonebot.carrier.messages import Media, Start
from phonebot.errors import AudioError, PhonebotError
from phonebot.realtime.events import AppendAudio, AudioDelta

FORMAT: Final = "phonebot-call-log"
VERSION = 1

HEADER_FILE = "call.json"
EVENTS_FILE = "events.jsonl"
CALLER_FILE: Final = "caller.wav"
BOT_FILE: Final = "bot.wav"
MODEL_FILE: Final = "model.raw"

MAX_HEADER_BYTES = 1024 * 1024
MAX_LINE_BYTES = 1024 * 1024
MAX_EVENTS_BYTES = 64 * 1024 * 1024
MAX_ENTRIES = 1_000_000
"""Inputs and actions of one log; an hour has about 300 000."""
MAX_AUDIO_BYTES = wav.DATA_LIMIT_BYTES
"""Of each audio file."""
MAX_BLOCK_FRAMES = 50
_OWN = "="  # the model was told the frame's own audio

AudioFile: TypeAlias = Literal["caller.wav", "bot.wav", "model.raw"]
_Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]
_Happening = TypeVar("_Happening", bound=Struct)


class _Range(Struct, frozen=True, array_like=True):
    """Bytes `start` to `end` of a file's audio."""

    # No tuple: msgspec 0.22 crashes where a union has both a fixed one and an int with bounds.
    file: AudioFile
    start: _Count
    end: _Count


_Where: TypeAlias = _Range | _Count | str


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
    """Which call a log is of. None: not known, or there is none."""

    call_sid: str
    stream_sid: str | None = None
    from_number: str | None = None
    to_number: str | None = None
    profile: str | None = None
    profile_version: str | None = None
    provider: str | None = None
    model: str | None = None


class Counts(Struct, frozen=True):
    """How much a log holds; `lost` counts the inputs and lists of actions that it should hold and does not."""

    frames: int = 0
    inputs: int = 0
    actions: int = 0
    lost: int = 0


class Header(About, frozen=True, kw_only=True):
    """
    The content of call.json. `ended` None: the log was cut off, or the call is still running.

    Its times are the only ones of the wall clock. `outcome` is that of `Ended`, or the shell's word for an end that
    the call knows nothing of. `note` is for people: where a log came from, why something is missing from it.
    """

    format: Literal["phonebot-call-log"] = FORMAT
    version: int = VERSION
    software: str
    started: datetime
    ended: datetime | None = None
    outcome: str | None = None
    audio: bool = True  # False: the profile has it that no audio is recorded
    counts: Counts = Counts()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """An input, and the actions that came of it, as the log keeps them: see `agrees`."""

    now_ms: int
    input: Input
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class CallLog:
    """A whole call, ready to be fed to a `Call` again."""

    header: Header
    plan: CallPlan
    steps: tuple[Step, ...]


def agrees(kept: Action, action: Action) -> bool:
    """Whether `action` is what the log keeps as `kept`, as far as the log tells."""
    return kept in (_abridged(action, keep_audio=True), _abridged(action, keep_audio=False))


def silenced(value: _Happening) -> _Happening:
    """The same with silence in place of its audio: equally long frames share one text."""
    match value:
        case Media() | PlayAudio():
            return replace(value, payload=_silence_like(value.payload))
        case AudioDelta():
            return replace(value, audio=_silence_like(value.audio))
        case Tell(command=AppendAudio() as append):
            return replace(value, command=replace(append, audio=_silence_like(append.audio)))
        case _:
            return value


def _silence_like(text: str) -> str:
    # A call tells the two apart: what is no base64 must not become some.
    return "?" * len(text) if len(text) % 4 else _silence(base64_length(text))


_silence = lru_cache(maxsize=16)(base64_silence)


def _abridged(action: Action, keep_audio: bool) -> Action:
    match action:
        case Tell(command=AppendAudio() as append):
            return Tell(replace(append, audio=_digest(append.audio, keep_audio)))
        case PlayAudio() if not keep_audio:
            return PlayAudio(_digest(action.payload, keep_audio))
        case _:
            return action


def _digest(text: str, keep_audio: bool) -> str:
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
        self._first, self._frame_bytes, self._start = first, frame_bytes, start
        self._frames: list[tuple[int, int, list[str]]] = []

    def continues(self, media: Media, frame_bytes: int) -> bool:
        return (
            media.sequence == self.newest.sequence + 1
            and media.chunk == self.newest.chunk + 1
            and frame_bytes == self._frame_bytes
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
        told.append(_OWN if append.audio == self.newest.payload else _digest(append.audio, keep_audio))
        return True

    def fields(self, keep_audio: bool) -> dict[str, Any]:
        length = self._frame_bytes * len(self._frames)
        where = _Range(CALLER_FILE, self._start, self._start + length) if keep_audio else length
        numbers = {"sequence": self._first.sequence, "chunk": self._first.chunk}
        return {**numbers, "payload": where, "frames": self._frames}


class LogEncoder:
    """
    Turns a call's plan, inputs and actions, given in their order, into the bytes of its log.

    `take` what has come at any time: the parts put together are the log, wherever they were taken. Raises LogError
    when the log would grow beyond what `read` accepts; what was taken before is a log up to there.
    """

    def __init__(self, keep_audio: bool = True) -> None:
        # Why audio is no longer kept; "" if nothing of the kind has happened.
        self.note = ""
        self._keep_audio = keep_audio
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
        # Audio of the model that is not written yet: what is sent of it decides in which file it is found.
        self._delta: tuple[int, AudioDelta] | None = None

    @property
    def counts(self) -> Counts:
        return Counts(self._frames, self._inputs, self._actions)

    def plan(self, plan: CallPlan) -> None:
        """Comes first, and once."""
        self._write(0, "in", plan)

    def input(self, now: int, received: Input) -> None:
        """`received` happened at call time `now`."""
        self._settle_delta(())
        self._inputs += 1
        if isinstance(received, Media):
            self._media(now, received)
            return
        self._end_block()
        if isinstance(received, AudioDelta):
            self._delta = now, received
        elif isinstance(received, Start):
            # One of them is the token that admits the stream.
            self._write(now, "in", replace(received, parameters=dict.fromkeys(received.parameters, "")))
        else:
            self._write(now, "in", received)

    def actions(self, now: int, actions: Sequence[Action]) -> None:
        """What came of the newest input."""
        self._settle_delta(actions)
        self._actions += len(actions)
        for action in actions:
            if self._block and self._block.tell(now, action, self._keep_audio):
                continue
            self._end_block()
            if isinstance(action, PlayAudio):
                self._write(now, "out", action, payload=self._stored(BOT_FILE, action.payload))
            else:
                self._write(now, "out", _abridged(action, self._keep_audio))

    def drop_audio(self, reason: str) -> None:
        """Keep no audio from here on. `reason` is a sentence for the log's note."""
        if self._keep_audio:
            self._end_block()
            self._settle_delta(())
            self._keep_audio, self.note = False, reason

    def take(self) -> LogPart:
        """What has come since the last time."""
        self._end_block()
        self._settle_delta(())
        part = LogPart({name: bytes(audio) for name, audio in self._audio.items() if audio}, bytes(self._lines))
        for name, audio in self._audio.items():
            self._taken[name] += len(audio)
            audio.clear()
        self._lines.clear()
        return part

    def _media(self, now: int, media: Media) -> None:
        self._frames += 1
        audio = _canonical(media.payload)
        if not audio or media.track != "inbound":
            self._end_block()
            self._write(now, "in", media, payload=self._stored(CALLER_FILE, media.payload))
            return
        self._make_room(CALLER_FILE, len(audio))
        if self._block is None or not self._block.continues(media, len(audio)):
            self._end_block()
            self._block = _OpenBlock(now, media, len(audio), self._end(CALLER_FILE))
        self._block.append(now, media)
        if self._keep_audio:
            self._audio[CALLER_FILE] += audio

    def _end_block(self) -> None:
        if self._block:
            block, self._block = self._block, None
            self._line(block.first_ms, "in", "Media", block.fields(self._keep_audio))

    def _settle_delta(self, actions: Sequence[Action]) -> None:
        """Write the model's audio that waits for it to be known whether `actions` send exactly that."""
        if self._delta is None:
            return
        (now, delta), self._delta = self._delta, None
        audio = _canonical(delta.audio)
        sent = [_canonical(action.payload) for action in actions if isinstance(action, PlayAudio)]
        if audio and None not in sent and audio == b"".join(filter(None, sent)):
            self._make_room(BOT_FILE, len(audio))
            start = self._end(BOT_FILE)
            where: _Where = _Range(BOT_FILE, start, start + len(audio)) if self._keep_audio else len(audio)
        else:
            where = self._stored(MODEL_FILE, delta.audio)
        self._write(now, "in", delta, audio=where)

    def _stored(self, file: AudioFile, text: str) -> _Where:
        """Keep the audio that base64 `text` stands for; return what stands for it in the line."""
        audio = _canonical(text)
        if not audio:
            return text if self._keep_audio else "?" * len(text)
        self._make_room(file, len(audio))
        if not self._keep_audio:
            return len(audio)
        start = self._end(file)
        self._audio[file] += audio
        return _Range(file, start, start + len(audio))

    def _make_room(self, file: AudioFile, length: int) -> None:
        if self._keep_audio and self._end(file) + length > MAX_AUDIO_BYTES:
            self.drop_audio(f"{file} is full: the audio ends at {MAX_AUDIO_BYTES} bytes.")

    def _end(self, file: AudioFile) -> int:
        return self._taken[file] + len(self._audio[file])

    def _write(self, now: int, direction: str, value: Struct, **audio: _Where) -> None:
        fields = msgspec.to_builtins(value)
        self._line(now, direction, fields.pop("is"), fields | audio)

    def _line(self, now: int, direction: str, name: str, fields: dict[str, Any]) -> None:
        line = msgspec.json.encode((now, direction, name, fields))
        if b'"McpTool"' in line:
            line = msgspec.json.encode((now, direction, name, _without_mcp_config(fields)))
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


def _canonical(text: str) -> bytes | None:
    """The bytes of base64 `text`; None if they would not give the same text again."""
    try:
        audio = a2b_base64(text)
    except ValueError:
        return None
    return audio if b2a_base64(audio, newline=False) == text.encode() else None


def _without_mcp_config(fields: Any) -> Any:
    """The same with nothing in the configuration of MCP servers: it holds what they know us by."""
    if isinstance(fields, dict):
        kept = {key: _without_mcp_config(value) for key, value in fields.items()}
        return kept | {"config": {}} if kept.get("is") == "McpTool" else kept
    if isinstance(fields, (list, tuple)):
        return [_without_mcp_config(value) for value in fields]
    return fields


# ------------------------------------------------------------------------------------------- reading


class _Frame(Struct, frozen=True, array_like=True):
    now_ms: _Count
    timestamp_ms: _Count
    told: tuple[str, ...] = ()


class _Block(Struct, frozen=True):
    sequence: _Count
    chunk: _Count
    payload: _Range | _Count
    frames: Annotated[tuple[_Frame, ...], Meta(min_length=1, max_length=MAX_BLOCK_FRAMES)]


class _Cover(Struct, frozen=True):
    """What of call.json can be read in any version."""

    format: str
    version: int


_LINE = msgspec.json.Decoder(tuple[_Count, Literal["in", "out"], str, dict[str, Any]])
_INPUTS: dict[str, type[Input]] = {kind.__name__: kind for kind in get_args(Input)}
_ACTIONS: dict[str, type[Action]] = {kind.__name__: kind for kind in get_args(Action)}
_AUDIO_FIELD = {"Media": "payload", "AudioDelta": "audio", "PlayAudio": "payload"}
_AUDIO_FILES = {"Media": (CALLER_FILE,), "AudioDelta": (BOT_FILE, MODEL_FILE), "PlayAudio": (BOT_FILE,)}
_UNDECODABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


def read(folder: Path) -> CallLog:
    """
    Read a call's log, also one that a crash cut off or that is still being written: up to the last whole line.

    Audio that was not kept reads as silence of the same length. Raises LogError for a log of a newer version and
    for anything else that is no log of this one, OSError as `open` does. What a folder can make this hold in
    memory is bounded by the limits of this module.
    """
    header = _read_header(folder)
    reader = _EventsReader(folder)
    with _open(folder, EVENTS_FILE) as file:
        # Lines that are written from now on may refer to audio that is not there when its file is read.
        unread = os.fstat(file.fileno()).st_size
        if unread > MAX_EVENTS_BYTES:
            raise LogError(EVENTS_FILE, None, f"longer than {MAX_EVENTS_BYTES} bytes")
        while line := file.readline(min(unread, MAX_LINE_BYTES + 1)):
            unread -= len(line)
            if len(line) > MAX_LINE_BYTES:
                raise reader.error(f"longer than {MAX_LINE_BYTES} bytes")
            if line.endswith(b"\n"):
                reader.receive(line)
    return reader.log(header)


def _open(folder: Path, file: str) -> BinaryIO:
    try:
        mode = (folder / file).lstat().st_mode
    except FileNotFoundError:
        raise LogError(
            file, None, f"there is no such file in {folder}; a call's log is a folder that has it"
        ) from None
    if not stat.S_ISREG(mode):
        raise LogError(file, None, "not a regular file")  # a link may lead anywhere, a pipe has no end
    return (folder / file).open("rb")


def _read_header(folder: Path) -> Header:
    with _open(folder, HEADER_FILE) as file:
        text = file.read(MAX_HEADER_BYTES + 1)
    if len(text) > MAX_HEADER_BYTES:
        raise LogError(HEADER_FILE, None, f"longer than {MAX_HEADER_BYTES} bytes")
    try:
        cover = msgspec.json.decode(text, type=_Cover)
        if cover.format == FORMAT and cover.version > VERSION:
            problem = f"version {cover.version} of the format; this phonebot reads up to {VERSION}: update it"
            raise LogError(HEADER_FILE, None, problem)
        return msgspec.json.decode(text, type=Header)
    except _UNDECODABLE as error:
        raise LogError(HEADER_FILE, None, str(error)) from error


class _EventsReader:
    """Puts the lines of events.jsonl together again, with the audio they refer to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._line = 0
        self._plan: CallPlan | None = None
        self._steps: list[tuple[int, Input, list[Action]]] = []
        self._entries = 0
        # The audio files that were needed so far.
        self._audio: dict[AudioFile, bytes] = {}
        # How far each kind of line has read each file. No byte is read twice: a small log stays small.
        self._positions: dict[tuple[str, AudioFile], int] = {}
        self._silent_bytes = 0

    def error(self, problem: str) -> LogError:
        return LogError(EVENTS_FILE, self._line + 1, problem)

    def receive(self, line: bytes) -> None:
        try:
            now, direction, name, fields = _LINE.decode(line)
            if self._plan is None:
                self._plan = self._first(direction, name, fields)
            elif direction == "out":
                self._action(name, fields)
            elif name == "Media" and "frames" in fields:
                self._frames(msgspec.convert(fields, _Block))
            else:
                self._input(now, name, fields)
        except _UNDECODABLE as error:
            raise self.error(str(error)) from error
        if self._entries > MAX_ENTRIES:
            raise self.error(f"more than {MAX_ENTRIES} inputs and actions")
        self._line += 1

    def log(self, header: Header) -> CallLog:
        if self._plan is None:
            raise LogError(EVENTS_FILE, None, "empty: the process ended before it could write the first second")
        return CallLog(header, self._plan, tuple(Step(now, what, tuple(came)) for now, what, came in self._steps))

    def _first(self, direction: str, name: str, fields: dict[str, Any]) -> CallPlan:
        if (direction, name) != ("in", CallPlan.__name__):
            raise self.error("the first line must be the plan")
        return msgspec.convert(fields, CallPlan)

    def _input(self, now: int, name: str, fields: dict[str, Any]) -> None:
        kind = _INPUTS.get(name)
        if kind is None:
            raise self.error(f"{name!r} is no input that this phonebot knows")
        if field := _AUDIO_FIELD.get(name):
            fields[field] = self._text(name, msgspec.convert(fields.get(field), _Where))
        self._entries += 1
        self._steps.append((now, msgspec.convert(fields, kind), []))

    def _action(self, name: str, fields: dict[str, Any]) -> None:
        kind = _ACTIONS.get(name)
        if kind is None:
            raise self.error(f"{name!r} is no action that this phonebot knows")
        if field := _AUDIO_FIELD.get(name):
            where = msgspec.convert(fields.get(field), _Where)
            fields[field] = f"{where} bytes" if isinstance(where, int) else self._text(name, where)
        self._came(msgspec.convert(fields, kind))

    def _came(self, action: Action) -> None:
        if not self._steps:
            raise self.error("an action before any input")
        self._entries += 1
        self._steps[-1][2].append(action)

    def _frames(self, block: _Block) -> None:
        kept = not isinstance(block.payload, int)
        text = self._text("Media", block.payload)
        audio = a2b_base64(text)
        frame_bytes, rest = divmod(len(audio), len(block.frames))
        if rest:
            raise self.error(f"{len(audio)} bytes are no {len(block.frames)} frames of one length")
        for number, frame in enumerate(block.frames):
            payload = _base64(audio[number * frame_bytes : (number + 1) * frame_bytes])
            media = Media(block.sequence + number, block.chunk + number, frame.timestamp_ms, payload)
            self._entries += 1
            self._steps.append((frame.now_ms, media, []))
            for told in frame.told:
                self._came(Tell(AppendAudio(_digest(payload, kept) if told == _OWN else told)))

    def _text(self, name: str, where: _Where) -> str:
        """The base64 text of the audio that a line of this name refers to."""
        if isinstance(where, str):
            return where
        if isinstance(where, int):
            self._silent_bytes += where
            if self._silent_bytes > 2 * MAX_AUDIO_BYTES:  # the caller's and the bot's
                raise self.error(f"more than {2 * MAX_AUDIO_BYTES} bytes of audio that was not kept")
            return base64_silence(where)
        file, start, end = where.file, where.start, where.end
        if file not in _AUDIO_FILES[name]:
            raise self.error(f"the audio of {name} is in {' or '.join(_AUDIO_FILES[name])}, not in {file}")
        if not self._positions.get((name, file), 0) <= start <= end:
            raise self.error(f"bytes {start} to {end} of {file} do not follow those of the {name} line before")
        audio = self._file(file)
        if end > len(audio):
            raise self.error(f"bytes {start} to {end} of {file}, which has {len(audio)}")
        self._positions[name, file] = end
        return _base64(audio[start:end])

    def _file(self, file: AudioFile) -> bytes:
        if file not in self._audio:
            self._audio[file] = _read_raw(self._folder) if file == MODEL_FILE else _read_wav(self._folder, file)
        return self._audio[file]


def _read_raw(folder: Path) -> bytes:
    with _open(folder, MODEL_FILE) as file:
        audio = file.read(MAX_AUDIO_BYTES + 1)
    if len(audio) > MAX_AUDIO_BYTES:
        raise LogError(MODEL_FILE, None, f"longer than {MAX_AUDIO_BYTES} bytes")
    return audio


def _read_wav(folder: Path, file: AudioFile) -> bytes:
    _open(folder, file).close()
    try:
        audio = wav.read(folder / file, MAX_AUDIO_BYTES)
    except AudioError as error:
        raise LogError(file, None, str(error)) from error
    if (audio.encoding, audio.rate_hz, audio.channels) != ("pcmu", 8000, 1):
        raise LogError(file, None, "not mu-law at 8000 Hz in one channel")
    return audio.data


def _base64(audio: bytes) -> str:
    return b2a_base64(audio, newline=False).decode()
