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
from phonebot.replay.log import read
from phonebot.simulator.caller import (
    Caller,
    Event,
    HangUp,
    Pause,
    Press,
    Say,
    Step,
    WaitForQuiet,
    load_audio,
    load_scenario,
)
from phonebot.simulator.phone import CallRecord, dial

LISTEN_MS = 10_000  # what a caller without anything to say waits to hear


def load_caller(path: Path | None) -> Caller:
    """A WAV file is said from the start, a TOML file is a script of steps; without either the caller listens."""
    if path is None:
        return Caller(Pause(LISTEN_MS), WaitForQuiet(1_000, bot_first=False))
    try:
        return Caller(*load_scenario(path)) if path.suffix == ".toml" else Caller.from_audio(load_audio(path))
    except PhonebotError as error:
        raise SettingsError(str(error)) from error


def caller_of_log(folder: Path) -> Caller:
    """Says what the caller of a recorded call said, at the same moments, and presses the same keys."""
    try:
        log = read(folder)
    except PhonebotError as error:
        raise SettingsError(str(error)) from error
    steps: list[Step] = []
    said = bytearray()
    for step in log.steps:
        match step.input:
            case Media(payload=payload):
                said += a2b_base64(payload)
            case Dtmf(digit=digit):
                steps += [Say(bytes(said), folder.name), Press(digit)]
                said.clear()
    return Caller(*steps, Say(bytes(said), folder.name), HangUp())


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
