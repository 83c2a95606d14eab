"""
A call log that can be shared: without the numbers that were said, keyed, or written.

    redact(folder, target)

What is hidden is hidden everywhere it stands:

- in every text each digit and number word (`numbers_in_text`); of error messages, which the call acts upon, only
  what is as long as a telephone number;
- keys: each digit pressed is a 0, but for choices from the profile's menu; the carrier may let its tone be heard:
  the caller's audio around it is silence;
- the caller's audio of each turn in whose transcript a number is, or of which there is no transcript;
- the bot's audio of each item in whose text a number is, or of which there is no text;
- numbers of telephones, and the ids that the carrier knows the call by.

Checksums of audio go too, for they would tell what was silenced. Lengths, times and ids of the model stay, so the
log still replays; unless the call acted upon what is hidden, as where phonebot itself listened to the caller. Then
the header says so, and `play` refuses the log.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from phonebot.audio import wav
from phonebot.audio.base64 import base64_length, base64_silence, is_base64
from phonebot.audio.wav import WavWriter
from phonebot.call.keypad import ONE_KEY, SEVERAL_KEYS
from phonebot.call.responses import MARK
from phonebot.replay.log import (
    BOT_FILE,
    CALLER_FILE,
    EVENTS_FILE,
    HEADER_FILE,
    MODEL_FILE,
    OWN_AUDIO,
    AudioFile,
    Header,
    LogError,
)
from phonebot.replay.numbers_in_text import MASK, has_number, masked, masked_in_json, masked_long_numbers
from phonebot.replay.player import Difference, play
from phonebot.replay.reader import CallLog, read

KEY_BEFORE_MS, KEY_AFTER_MS = 1_000, 500
"""The caller's audio this long before and after a key's message is silenced: its tone is sent beside it."""

NOTE = "Redacted: numbers are masked, and the audio in which they were said is silence."
CANNOT_REPLAY = "what is hidden decided what the call did: this log can be read and heard, not replayed"

# Their values are the protocol's or ours: a class, an id, a setting.
_NAMES = re.compile(
    "is|id|name|on|then|tool|tools|guardrail|guardrails|type|role|status|voice|model|code|param|reason|settled"
    "|outcome|turn|encoding|track|tracks|detail"
    "|input_format|output_format|language|languages|state|modality|eagerness|kind|noise_reduction|reasoning_effort"
    "|max_output_tokens|server_label|speaker|\\w+_id"
    f"|{MARK}"
)
_MESSAGES = frozenset(("message", "problem"))
_JSON = frozenset(("arguments", "output"))
_AUDIO = frozenset(("audio", "payload"))
_OF_ITEMS = frozenset(("Line", "Check"))
"""Actions whose text is the begin of their item's."""
_KEY_TEXT = r"[0-9*#](?: [0-9*#])*"
_KEYED_IN = re.compile(
    "|".join(re.escape(text).replace(re.escape("{keys}"), _KEY_TEXT) for text in (ONE_KEY, SEVERAL_KEYS))
)
_ABRIDGED = re.compile(r"(\d+ bytes)(, crc32 [0-9a-f]{8})?")
_RANGE_PARTS = 3


Line = tuple[int, str, str, dict[str, Any]]
_Whole = tuple[str, str, int]  # what pieces of text belong to: class, item and part


def redact(folder: Path, target: Path, audio: bool = True) -> None:
    """
    Write the log in `folder` into the folder `target`, which must exist, without what is not to be shared.

    Without `audio` all of it is silence. Only the log is written, nothing else that stands beside it. Raises as
    `read` does.
    """
    log = read(folder)
    lines = [msgspec.json.decode(line, type=Line) for line in _whole_lines(folder)]
    texts = _Texts.of(lines)
    sounds = _Sounds(folder, _AudioPlan.of(lines, texts) if audio else _AudioPlan(), _model_silence(lines))
    (target / EVENTS_FILE).write_bytes(
        b"".join(msgspec.json.encode(line) + b"\n" for line in _redacted(lines, texts))
    )
    for file in sounds.files():
        sounds.write(file, target)
    header = _header(log.header)
    _write_header(target, header)
    if not _replays_alike(log, read(target)):
        note = f"{header.note} {CANNOT_REPLAY.capitalize()}."
        _write_header(target, replace(header, note=note, unplayable=f"redacted: {CANNOT_REPLAY}"))


def _whole_lines(folder: Path) -> list[bytes]:
    """`read` has accepted them: they are no more than it may hold."""
    return [line for line in (folder / EVENTS_FILE).read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def _replays_alike(log: CallLog, shared: CallLog) -> bool:
    """Whether today's core does with what is shared what it does with the log, be that what the log says or not."""
    try:
        before, after = play(log), play(shared)
    except LogError:  # it never could be replayed, and says so itself
        return True
    return [_place(each) for each in before.differences] == [_place(each) for each in after.differences]


def _place(difference: Difference) -> tuple[str, int]:
    return difference.kind, difference.position


def _write_header(target: Path, header: Header) -> None:
    (target / HEADER_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(header), indent=2) + b"\n")


def _header(header: Header) -> Header:
    return replace(
        header,
        call_sid=_hidden_sid(header.call_sid),
        stream_sid=header.stream_sid and _hidden_sid(header.stream_sid),
        from_number=header.from_number and masked(header.from_number),
        to_number=header.to_number and masked(header.to_number),
        profile=header.profile and masked(header.profile),
        note=" ".join(filter(None, (masked(header.note), NOTE))),
    )


def _hidden_sid(sid: str) -> str:
    """Of the kind that it is of, and nobody's."""
    return sid[:2] + "0" * len(sid[2:])


# ------------------------------------------------------------------------------------------- texts


@dataclass
class _Texts:
    """What was said, item by item, as far as the log has it."""

    spoken: dict[str, str] = field(default_factory=dict)  # by item, of the caller and of the bot
    # Texts that came in pieces, by what they are pieces of: masked, in pieces, to be given out again.
    pieces: dict[_Whole, Iterator[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, lines: list[Line]) -> "_Texts":
        found = cls()
        pieces: defaultdict[_Whole, list[str]] = defaultdict(list)
        for _, _, name, fields in lines:
            if (whole := _piece_of(name, fields)) is not None:
                pieces[whole].append(fields["delta"])
            text = fields.get("transcript", fields.get("text"))
            if isinstance(text, str) and isinstance(fields.get("item_id"), str) and name not in _OF_ITEMS:
                found.spoken[fields["item_id"]] = text
        for whole, deltas in pieces.items():
            found.pieces[whole] = iter(_masked_pieces(deltas, is_json="Arguments" in whole[0]))
            if whole[0] in ("SpokenTextDelta", "TranscriptionDelta", "TextDelta"):
                found.spoken.setdefault(whole[1], "".join(deltas))
        return found

    def next_piece(self, name: str, fields: dict[str, Any]) -> str:
        """The next piece, masked."""
        whole = _piece_of(name, fields)
        assert whole is not None, "only pieces are asked for"
        return next(self.pieces[whole])

    def line(self, fields: dict[str, Any]) -> str:
        """The text of a line, or of a check: the begin of its item's, masked as that is, of whole words."""
        text: str = fields["text"]
        whole = self.spoken.get(fields.get("item_id", ""), "")
        if not whole.startswith(text):
            return _zeros(text) if _KEYED_IN.fullmatch(text) else masked(text)
        hidden, end = masked(whole), len(text)
        if end < len(hidden) and not hidden[end].isspace():
            # The call cut between two numbers; now they are one word.
            while end and not hidden[end - 1].isspace():
                end -= 1
        return hidden[:end].rstrip() if end < len(text) else hidden[:end]

    def is_harmless(self, item_id: str | None) -> bool:
        """Whether it is known what was said, and there is no number in it."""
        text = self.spoken.get(item_id or "")
        return text is not None and not has_number(text)


def _masked_pieces(deltas: list[str], is_json: bool) -> list[str]:
    """The pieces masked as the text that they make. Where one ends within a number, it takes all of that."""
    joined = "".join(deltas)
    if is_json:
        hidden = masked_in_json(joined)
    else:
        # Should a service leave out the blanks between pieces, each is looked at by itself too.
        alone = "".join(map(masked, deltas))
        hidden = "".join(MASK if MASK in pair else pair[0] for pair in zip(masked(joined), alone, strict=True))
    pieces, start, end = [], 0, 0
    for delta in deltas:
        end += len(delta)
        cut = max(end, start)
        while 0 < cut < len(hidden) and hidden[cut - 1] == hidden[cut] == MASK:
            cut += 1
        pieces.append(hidden[start:cut])
        start = cut
    return pieces


def _piece_of(name: str, fields: dict[str, Any]) -> _Whole | None:
    if not name.endswith("Delta") or not isinstance(fields.get("delta"), str):
        return None
    return name, str(fields.get("item_id", "")), int(fields.get("content_index", 0))


def _redacted(lines: list[Line], texts: _Texts) -> Iterator[Line]:
    chosen = _chosen(lines)
    for place, (now, direction, name, fields) in enumerate(lines):
        shared = _shared(fields, name)
        if _piece_of(name, fields) is not None:
            shared["delta"] = texts.next_piece(name, fields)
        if name in _OF_ITEMS and isinstance(fields.get("text"), str):
            shared["text"] = texts.line(fields)
        if name == "Media" and isinstance(fields.get("frames"), list):
            shared["frames"] = [_shared_frame(frame) for frame in fields["frames"]]
        for key in ("digit", "keys"):
            if isinstance(fields.get(key), str):
                shared[key] = fields[key] if place in chosen else _zeros(fields[key])
        yield now, direction, name, shared


def _chosen(lines: list[Line]) -> set[int]:
    """The places of the lines whose keys are a choice from the menu: what they mean stands beside them."""
    found: set[int] = set()
    pressed: list[int] = []
    for place, (_, _, name, fields) in enumerate(lines):
        if name == "Dtmf":
            pressed.append(place)
        elif name == "KeysEntered":
            found |= {*pressed, place} if fields.get("is_choice") else set()
            pressed = []
    return found


def _zeros(keys: str) -> str:
    return re.sub(r"\d", "0", keys)


def _shared_frame(frame: list[Any]) -> list[Any]:
    """A frame of a block: its times, and what the model was told."""
    if len(frame) < _RANGE_PARTS:
        return frame
    told = [each if each == OWN_AUDIO else _shared_audio(each) for each in frame[2]]
    return [*frame[:2], told, *frame[3:]]


def _shared(value: Any, key: str) -> Any:
    """A value with its texts masked, as it befits what it is the value of."""
    if isinstance(value, dict):
        return {name: _shared(each, name) for name, each in value.items()}
    if isinstance(value, list):
        # In the place of audio stands where it is.
        return value if key in _AUDIO else [_shared(each, key) for each in value]
    return _shared_text(value, key) if isinstance(value, str) else value


def _shared_text(text: str, key: str) -> str:
    if key in _AUDIO:
        return _shared_audio(text)
    if key.endswith("_sid"):
        return _hidden_sid(text)
    if _NAMES.fullmatch(key):
        return text
    if _KEYED_IN.fullmatch(text):
        return _zeros(text)
    if key in _MESSAGES:
        return masked_long_numbers(text)
    if key == "image_url":
        return ""
    return masked_in_json(text) if key in _JSON else masked(text)


def _shared_audio(text: str) -> str:
    """What stands for audio without its checksum; audio as silence; other text as so many question marks."""
    if abridged := _ABRIDGED.fullmatch(text):
        return abridged.group(1)
    return base64_silence(base64_length(text)) if is_base64(text) else "?" * len(text)


# ------------------------------------------------------------------------------------------- audio


@dataclass
class _AudioPlan:
    """Which bytes of each file may be heard. What is not listed may not."""

    heard: dict[AudioFile, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    silent: dict[AudioFile, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, lines: list[Line], texts: _Texts) -> "_AudioPlan":
        plan = cls()
        plan._plan_bot(lines, texts)
        plan._plan_caller(lines, texts)
        return plan

    def _plan_bot(self, lines: list[Line], texts: _Texts) -> None:
        item_id: str | None = None  # whose audio came last
        for _, direction, name, fields in lines:
            if direction == "in":
                item_id = fields.get("item_id") if name in ("AudioDelta", "AudioDone") else None
            where = fields.get("audio") if name == "AudioDelta" else fields.get("payload")
            if name in ("AudioDelta", "PlayAudio") and isinstance(where, list):
                known = self.heard if texts.is_harmless(item_id) else self.silent
                known[where[0]].append((where[1], where[2]))
                if len(where) > _RANGE_PARTS:  # the end of a delta that was not sent with it
                    known[MODEL_FILE].append((where[3], where[4]))

    def _plan_caller(self, lines: list[Line], texts: _Texts) -> None:
        begin_ms = -1
        harmless: list[tuple[int, int]] = []  # times of turns, from after to
        keys = []
        for now, _, name, fields in lines:
            if name in ("AudioCommitted", "SpeechStopped") and isinstance(fields.get("item_id"), str):
                if texts.is_harmless(fields["item_id"]):
                    harmless.append((begin_ms, now))
                begin_ms = now
            elif name == "Dtmf":
                keys.append(now)
        for now, start, end in _frames(lines):
            near_key = any(key - KEY_BEFORE_MS <= now <= key + KEY_AFTER_MS for key in keys)
            if not near_key and any(after < now <= to for after, to in harmless):
                self.heard[CALLER_FILE].append((start, end))


def _frames(lines: list[Line]) -> Iterator[tuple[int, int, int]]:
    """Each frame of the caller: its call time, and where in his file it is."""
    for now, _, name, fields in lines:
        where = fields.get("payload")
        if name != "Media" or not isinstance(where, list):
            continue
        frames = fields.get("frames") or [[now]]
        length = (where[2] - where[1]) // len(frames)
        for number, frame in enumerate(frames):
            start = where[1] + number * length
            yield frame[0], start, start + length


def _model_silence(lines: list[Line]) -> bytes:
    """A byte of silence as the model sends it."""
    ready = next((fields for _, _, name, fields in lines if name == "ModelReady"), {})
    return {"pcmu": b"\xff", "pcma": b"\xd5"}.get(ready.get("output_format", "pcmu"), b"\0")


class _Sounds:
    """The audio files of a log, with silence where nothing may be heard."""

    def __init__(self, folder: Path, plan: _AudioPlan, model_silence: bytes) -> None:
        self._folder, self._plan, self._model_silence = folder, plan, model_silence

    def files(self) -> Iterator[AudioFile]:
        names: tuple[AudioFile, ...] = (CALLER_FILE, BOT_FILE, MODEL_FILE)
        yield from (file for file in names if (self._folder / file).is_file())

    def write(self, file: AudioFile, target: Path) -> None:
        path = self._folder / file
        before = path.read_bytes() if file == MODEL_FILE else wav.read(path).data
        after = bytearray((self._model_silence if file == MODEL_FILE else b"\xff") * len(before))
        silence = bytes(after)
        for start, end in self._plan.heard[file]:
            after[start:end] = before[start:end]
        for start, end in self._plan.silent[file]:
            after[start:end] = silence[start:end]
        if file == MODEL_FILE:
            (target / file).write_bytes(after)
            return
        with WavWriter(target / file) as written:
            written.append(bytes(after))
