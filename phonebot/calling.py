"""`phonebot call`: the carrier emulator dials a voice webhook, and shows what it saw."""

from binascii import a2b_base64
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape

from phonebot.audio.g711 import BYTES_PER_MS
from phonebot.carrier.messages import Dtmf, Media
from phonebot.errors import PhonebotError, SettingsError
from phonebot.replay.reader import read
from phonebot.simulator.caller import (
    KEY_SPACING_MS,
    Caller,
    Event,
    HangUp,
    Pause,
    Press,
    Say,
    Step,
    WaitForQuiet,
)
from phonebot.simulator.carrier import FRAME_BYTES
from phonebot.simulator.phone import dial
from phonebot.simulator.record import CallRecord
from phonebot.simulator.scenario import load_audio, load_scenario

LISTEN_MS = 10_000  # what a caller without anything to say waits to hear
MAX_RECORDED_MS = 14_400_000  # no profile lets a call last longer
# The mu-law codes below -38 dB (ITU-T G.711, Table 2): a frame of nothing else is a pause, noisy as lines are.
QUIET_CODES = bytes(code for code in range(256) if ~code & 0x7F < 0x20)


def load_caller(path: Path | None) -> Caller:
    """A WAV file is said from the start, a TOML file is a script of steps; without either the caller listens."""
    if path is None:
        return Caller(Pause(LISTEN_MS), WaitForQuiet(1_000, bot_first=False))
    try:
        return Caller(*load_scenario(path)) if path.suffix == ".toml" else Caller.from_audio(load_audio(path))
    except PhonebotError as error:
        raise SettingsError(str(error)) from error


def caller_of_log(folder: Path) -> Caller:
    """
    Says what the caller of a recorded call said and presses the same keys, at the same moments.

    Pressing a key takes him time in which he says nothing: after it he is late until his next pause. Raises
    SettingsError when the log can't be read.
    """
    try:
        log = read(folder)
    except PhonebotError as error:
        raise SettingsError(str(error)) from error
    line = RecordedLine()
    try:
        for step in log.steps:
            match step.input:
                case Media(track="inbound", payload=payload, timestamp_ms=timestamp_ms):
                    line.add_frame(a2b_base64(payload), timestamp_ms)
                case Dtmf(digit=digit):
                    line.add_key(digit, step.now_ms)
    except ValueError as error:
        raise SettingsError(f"{folder}: {error}") from error
    return Caller(*line.steps(folder.name), HangUp())


class RecordedLine:
    """
    What a caller said and pressed, each at its place: that of the first frame is 0.

    Give frames and keys in the order in which they came. Between frames that leave a gap there is silence.
    """

    def __init__(self) -> None:
        self._audio = bytearray()
        self._first_ms = 0
        # Each key and its place in the audio; of the first so many the place is certain.
        self._keys: list[tuple[int, str]] = []
        self._certain = 0

    def add_frame(self, frame: bytes, timestamp_ms: int) -> None:
        """Raises ValueError when it lies beyond all that a call may last."""
        if not self._audio:
            self._first_ms = timestamp_ms
        start = self._place(timestamp_ms)
        latest = max(start, len(self._audio))
        self._keys[self._certain :] = [(min(place, latest), digit) for place, digit in self._keys[self._certain :]]
        self._certain = len(self._keys)
        self._audio += b"\xff" * (start - len(self._audio))
        self._audio[start : start + len(frame)] = frame

    def add_key(self, digit: str, now_ms: int) -> None:
        """A key stands between the frames that it came between; if they leave a gap, call time says where in it."""
        self._keys.append((max(self._place(now_ms), len(self._audio)), digit))

    def steps(self, name: str) -> list[Step]:
        """The same as a caller's script, his audio under this name."""
        steps: list[Step] = []
        audio = bytes(self._audio)
        begin = late = 0
        for place, digit in self._keys:
            place -= place % FRAME_BYTES
            said, late = caught_up(audio[begin:place].ljust(place - begin, b"\xff"), late)
            steps += [Say(said, name), Press(digit)] if said else [Press(digit)]
            begin, late = place, late + KEY_SPACING_MS * BYTES_PER_MS
        said, _ = caught_up(audio[begin:], late)
        return [*steps, Say(said, name)] if said else steps

    def _place(self, at_ms: int) -> int:
        since_ms = max(at_ms - self._first_ms, 0)
        if since_ms > MAX_RECORDED_MS:
            raise ValueError(
                f"a caller who is heard after {since_ms} ms; a call lasts {MAX_RECORDED_MS} ms at most"
            )
        return since_ms * BYTES_PER_MS


def caught_up(audio: bytes, late: int) -> tuple[bytes, int]:
    """The audio with pauses shortened by `late` bytes, as far as it has any; and how late he still is."""
    said = bytearray()
    for start in range(0, len(audio), FRAME_BYTES):
        frame = audio[start : start + FRAME_BYTES]
        if late >= len(frame) and not frame.translate(None, QUIET_CODES):
            late -= len(frame)
        else:
            said += frame
    return bytes(said), late


async def dial_and_show(console: Console, url: str, caller: Caller, **terms: Any) -> CallRecord:
    """Hold the call and print its events as they come, then how it ended."""

    def show(event: Event) -> None:
        console.print(f"[dim]{event.at_ms / 1000:7.2f}[/dim]  {event.kind} {escape(event.detail)}".rstrip())

    try:
        record = await dial(url, caller, on_event=show, **terms)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    console.print(f"{record.outcome} after {record.duration_ms / 1000:.1f} s {escape(record.reason)}".rstrip())
    for fault in [*map(str, record.violations), *record.failed_steps]:
        console.print(f"[red]fault:[/red] {escape(fault)}")
    return record


def describe(record: CallRecord, recording: Path) -> str:
    """The record as JSON."""
    heard = sum(stream.carrier.heard_bytes() for stream in record.streams)
    return msgspec.json.encode(
        {
            "call_sid": record.call_sid,
            "outcome": record.outcome,
            "reason": record.reason,
            "passed": record.passed,
            "duration_ms": round(record.duration_ms),
            "heard_ms": heard // BYTES_PER_MS,
            "violations": [str(violation) for violation in record.violations],
            "failed_steps": record.failed_steps,
            "events": [[round(event.at_ms), event.kind, event.detail] for event in record.events],
            "requests": [[exchange.purpose, exchange.url, exchange.status] for exchange in record.exchanges],
            "recording": str(recording),
        }
    ).decode()
