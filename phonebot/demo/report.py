"""What came of a demo's call: what the caller heard by the emulator's word, beside what the model was told."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from operator import contains
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from phonebot.audio.g711 import BYTES_PER_MS, FRAME_MS
from phonebot.demo.scene import Expected, Scene
from phonebot.replay.spool import Spool
from phonebot.simulator.record import CallFailed, CallRecord
from phonebot.terminal import Conversation


@dataclass(slots=True)
class Heard:
    """An item that was cut: what the model was told of it, and what the carrier played."""

    item_id: str
    told_ms: int
    played_ms: float
    received_ms: int

    @property
    def error_ms(self) -> float:
        return self.told_ms - self.played_ms


def tell(record: CallRecord, conversation: Conversation, calls: Path, scene: Scene, console: Console) -> bool:
    """
    Say what came of the call; whether it went as expected. `calls` is the folder of call logs.

    Raises CallFailed when it came to nothing.
    """
    expected = scene.expected()
    logs = Spool(calls).of(record.call_sid)
    if not logs:
        raise CallFailed(record)
    log = logs[-1]
    record.write_wav(log / "heard.wav")
    heard = cut_items(conversation, record)
    problems = list(shortcomings(conversation, record, heard, expected))
    _summarise(console, conversation, record, heard, log)
    if scene.aftermath:
        console.print()
        problems += scene.aftermath(record.call_sid, expected, console)
        if not problems:
            console.print(f"[green]as expected:[/green] {_counted(conversation, expected)}")
    for problem in problems:
        console.print(f"[red]not as expected:[/red] {escape(problem)}")
    return not problems


def cut_items(conversation: Conversation, record: CallRecord) -> list[Heard]:
    """Each cut beside the emulator's truth of it."""
    played_ms: defaultdict[str | None, float] = defaultdict(float)
    for stream in record.streams:
        for item_id, piece in zip(conversation.played, stream.carrier.pieces, strict=False):
            played_ms[item_id] += piece.heard_bytes / BYTES_PER_MS
    return [Heard(cut.item_id, cut.heard_ms, played_ms[cut.item_id], cut.received_ms) for cut in conversation.cuts]


def shortcomings(
    conversation: Conversation, record: CallRecord, heard: list[Heard], expected: Expected
) -> Iterator[str]:
    """What went otherwise than the recording expects, a sentence each."""
    understood = [line.text for line in conversation.lines if line.role == "caller"]
    if len(understood) != len(expected.understood) or not all(map(contains, understood, expected.understood)):
        yield f"the bot understood {understood}, the caller said {expected.understood}"
    if conversation.barge_ins != expected.barge_ins:
        yield f"the bot was interrupted {conversation.barge_ins} times, expected were {expected.barge_ins}"
    if conversation.called != expected.called:
        yield f"the model called {conversation.called}, expected was {expected.called}"
    if conversation.handed_over != expected.handed_over:
        yield f"the call was handed over to {conversation.handed_over}, expected was {expected.handed_over}"
    if conversation.guarded != expected.guarded:
        yield f"the guardrails {conversation.guarded} tripped, expected was {expected.guarded}"
    for cut in heard:
        if abs(cut.error_ms) > FRAME_MS:
            yield f"the model was told {cut.told_ms} ms of {cut.item_id}, the caller heard {cut.played_ms:.0f} ms"
    said = [line.text for line in conversation.lines if line.role == "bot"]
    if not said or not said[-1].endswith(expected.last_words):
        yield f"the bot's last words were {said[-1:]}, expected was {expected.last_words!r}"
    if conversation.outcome != "caller_hung_up" or record.outcome != "caller hung up":
        yield f"the call ended otherwise: {conversation.outcome}, {record.outcome} {record.reason}"
    yield from conversation.troubles
    yield from (str(violation) for violation in record.violations)
    yield from record.failed_steps


def _summarise(
    console: Console, conversation: Conversation, record: CallRecord, heard: list[Heard], log: Path
) -> None:
    said = Counter(line.role for line in conversation.lines)
    console.print()
    length = f"{record.duration_ms / 1000:.1f} s"
    _row(console, "call", f"{length}; {said['caller']} lines of the caller, {said['bot']} of the bot")
    for cut in heard:
        _row(console, "cut", f"the model was told: {cut.told_ms:,} of {cut.received_ms:,} ms were heard")
        _row(console, "", f"the carrier played: {cut.played_ms:,.0f} ms, [bold]{cut.error_ms:+.0f} ms off[/bold]")
    _row(console, "protocol", f"{len(record.violations)} violations seen by the carrier")
    _row(console, "recording", escape(str(log / "heard.wav")))
    _row(console, "call log", escape(str(log)))


def _counted(conversation: Conversation, expected: Expected) -> str:
    figures = {
        "lines": expected.understood,
        "functions": conversation.called,
        "hand-offs": conversation.handed_over,
        "guardrails": conversation.guarded,
        "changes": expected.changes,
    }
    return ", ".join(f"{what} {len(values)}" for what, values in figures.items())


def _row(console: Console, label: str, text: str) -> None:
    # Paths are for copying: they may run over the edge, but must not be broken.
    console.print(f"[dim]{label:>9}[/dim]  {text}", soft_wrap=True)
