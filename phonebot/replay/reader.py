"""
Reads a call log and puts the call together again. The folder may come from anyone: nothing in it is believed.

    log = read(Path("data/calls/20260102T030405Z-CA..."))
    for step in log.steps:
        actions = call.receive(step.input, step.now_ms)
"""

import os
import stat
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from phonebot.audio import wav
from phonebot.audio.base64 import base64_silence
from phonebot.call.actions import Action, Ended, Outcome, Tell
from phonebot.call.inputs import Input
from phonebot.call.plan import CallPlan
from phonebot.carrier.messages import Media
from phonebot.errors import AudioError
from phonebot.realtime.events import AppendAudio
from phonebot.replay.log import (
    BOT_FILE,
    CALLER_FILE,
    EVENTS_FILE,
    FORMAT,
    HEADER_FILE,
    MAX_AUDIO_BYTES,
    MAX_BLOCK_FRAMES,
    MAX_EVENTS_BYTES,
    MAX_HEADER_BYTES,
    MAX_LINE_BYTES,
    MODEL_FILE,
    OWN_AUDIO,
    VERSION,
    AudioFile,
    Count,
    Counts,
    Header,
    LogError,
    Range,
    Where,
    abridged,
    digest,
)

MAX_ENTRIES = 1_000_000
"""Inputs and actions of one log; an hour has about 300 000."""

_LINE = msgspec.json.Decoder(tuple[Count, Literal["in", "out"], str, dict[str, Any]])
_INPUTS: dict[str, type[Input]] = {kind.__name__: kind for kind in get_args(Input)}
_ACTIONS: dict[str, type[Action]] = {kind.__name__: kind for kind in get_args(Action)}
_AUDIO_FIELD = {"Media": "payload", "AudioDelta": "audio", "PlayAudio": "payload"}
_AUDIO_FILES = {"Media": (CALLER_FILE,), "AudioDelta": (BOT_FILE, MODEL_FILE), "PlayAudio": (BOT_FILE,)}
_UNDECODABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


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
    return kept == action or kept == abridged(action, keep_audio=True) or kept == abridged(action, keep_audio=False)


def outcome_of(actions: Iterable[Action]) -> Outcome | None:
    """How the call ended that did this; None: it has not."""
    return next((action.outcome for action in actions if isinstance(action, Ended)), None)


def read(folder: Path) -> CallLog:
    """
    Read a call's log, also one that a crash cut off or that is still being written: up to the last whole line.

    Audio that was not kept reads as silence of the same length. Raises LogError for a log of a newer version, for a
    finished one that lacks something or has too much, and for anything else that is no log of this version; OSError
    as `open` does. What a folder can make this hold in memory is bounded by the limits of this module and of
    `phonebot.replay.log`.
    """
    header = read_header(folder)
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


class _Cover(Struct, frozen=True):
    """What of call.json can be read in any version."""

    format: str = ""
    version: int = 0


def read_header(folder: Path) -> Header:
    """What call.json says. Raises LogError, and OSError as `open` does."""
    with _open(folder, HEADER_FILE) as file:
        text = file.read(MAX_HEADER_BYTES + 1)
    if len(text) > MAX_HEADER_BYTES:
        raise LogError(HEADER_FILE, None, f"longer than {MAX_HEADER_BYTES} bytes")
    try:
        cover = msgspec.json.decode(text, type=_Cover)
        if cover.format != FORMAT:
            raise LogError(HEADER_FILE, None, f"not the header of a call log: its format is not {FORMAT!r}")
        if cover.version < 1:
            raise LogError(HEADER_FILE, None, f"version {cover.version} of the format: there never was one")
        if cover.version > VERSION:
            problem = f"version {cover.version} of the format; this phonebot reads up to {VERSION}: update it"
            raise LogError(HEADER_FILE, None, problem)
        return msgspec.json.decode(text, type=Header)
    except _UNDECODABLE as error:
        raise LogError(HEADER_FILE, None, f"cannot be read: {error}") from error


class _Frame(Struct, frozen=True, array_like=True):
    now_ms: Count
    timestamp_ms: Count
    told: tuple[str, ...] = ()


class _Block(Struct, frozen=True):
    sequence: Count
    chunk: Count
    payload: Range | Count
    frames: Annotated[tuple[_Frame, ...], Meta(min_length=1, max_length=MAX_BLOCK_FRAMES)]


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
            now, direction, name, fields = _decoded(line)
            if self._plan is None:
                self._plan = self._first(direction, name, fields)
            elif direction == "out":
                self._action(name, fields)
            elif name == "Media" and "frames" in fields:
                self._frames(msgspec.convert(fields, _Block))
            else:
                self._input(now, name, fields)
        except _UNDECODABLE as error:
            raise self.error(f"cannot be read: {error}") from error
        if self._entries > MAX_ENTRIES:
            raise self.error(f"more than {MAX_ENTRIES} inputs and actions")
        self._line += 1

    def log(self, header: Header) -> CallLog:
        if self._plan is None:
            raise LogError(EVENTS_FILE, None, "empty: the process ended before it could write the first second")
        if header.ended is not None and not header.counts.lost:
            self._check_whole(header.counts)
        return CallLog(header, self._plan, tuple(Step(now, what, tuple(came)) for now, what, came in self._steps))

    def _check_whole(self, counts: Counts) -> None:
        """A finished log holds what its header says, and its audio files what the lines refer to."""
        told = (counts.inputs, counts.actions)
        held = (len(self._steps), sum(len(came) for _, _, came in self._steps))
        if told != held:
            raise LogError(
                EVENTS_FILE,
                None,
                f"{held[0]} inputs and {held[1]} actions, but {HEADER_FILE} says {told[0]} and {told[1]}: "
                "the file was cut short or edited",
            )
        for file, audio in self._audio.items():
            end = max(end for (_, read), end in self._positions.items() if read == file)
            if end != len(audio):
                raise LogError(
                    file,
                    None,
                    f"{len(audio)} bytes of audio, but the lines of {EVENTS_FILE} refer to {end}: "
                    "one of the two was edited, or is of another call",
                )

    def _first(self, direction: str, name: str, fields: dict[str, Any]) -> CallPlan:
        if (direction, name) != ("in", CallPlan.__name__):
            raise self.error("the first line must be the plan")
        return msgspec.convert(fields, CallPlan)

    def _input(self, now: int, name: str, fields: dict[str, Any]) -> None:
        kind = _INPUTS.get(name)
        if kind is None:
            raise self.error(f"{name!r} is no input that this phonebot knows")
        if field := _AUDIO_FIELD.get(name):
            fields[field] = self._text(name, msgspec.convert(fields.get(field), Where))
        self._entries += 1
        self._steps.append((now, msgspec.convert(fields, kind), []))

    def _action(self, name: str, fields: dict[str, Any]) -> None:
        kind = _ACTIONS.get(name)
        if kind is None:
            raise self.error(f"{name!r} is no action that this phonebot knows")
        if field := _AUDIO_FIELD.get(name):
            where = msgspec.convert(fields.get(field), Where)
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
                self._came(Tell(AppendAudio(digest(payload, kept) if told == OWN_AUDIO else told)))

    def _text(self, name: str, where: Where) -> str:
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
        return _base64(audio[start:end] + self._left_over(where))

    def _left_over(self, where: Range) -> bytes:
        """The end of a delta that was not sent with it."""
        if where.rest_start == where.rest_end:
            return b""
        rest = Range(MODEL_FILE, where.rest_start, where.rest_end)
        return a2b_base64(self._text("AudioDelta", rest))

    def _file(self, file: AudioFile) -> bytes:
        if file not in self._audio:
            self._audio[file] = _read_raw(self._folder) if file == MODEL_FILE else _read_wav(self._folder, file)
        return self._audio[file]


def _decoded(line: bytes) -> tuple[int, str, str, dict[str, Any]]:
    try:
        return _LINE.decode(line)
    except msgspec.ValidationError as error:
        raise msgspec.DecodeError(f'a line is [t_ms, "in" or "out", name, fields]; {error}') from error


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
        # How to convert a recording is no advice for a log.
        problem = str(error).removeprefix(f"{folder / file}: ").partition(". Convert it")[0]
        raise LogError(file, None, f"{problem}: it was cut short or edited") from error
    if (audio.encoding, audio.rate_hz, audio.channels) != ("pcmu", 8000, 1):
        raise LogError(file, None, "not mu-law at 8000 Hz in one channel")
    return audio.data


def _base64(audio: bytes) -> str:
    return b2a_base64(audio, newline=False).decode()
