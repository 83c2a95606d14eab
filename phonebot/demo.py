"""
The demo: the whole service in one process, called by a recorded caller.

    recorded caller -> carrier emulator -> service (uvicorn, loopback) -> embedded model

All over real sockets, signed as by Twilio. What the caller heard is the emulator's word, not ours: the summary sets
it beside what the model was told.
"""

import secrets
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from operator import contains
from pathlib import Path

import msgspec
from rich.console import Console
from rich.markup import escape

from phonebot.agents.numbers import Numbers
from phonebot.audio.g711 import BYTES_PER_MS, FRAME_MS
from phonebot.errors import PhonebotError
from phonebot.replay.log import HEADER_FILE
from phonebot.serving import demo_folder, embedded_model, listen, running
from phonebot.settings import load
from phonebot.simulator.caller import Caller, load_scenario
from phonebot.simulator.phone import dial
from phonebot.simulator.record import CallRecord
from phonebot.terminal import Conversation, LiveTranscript
from phonebot.web.app import create_app

CALLER = "+15550100001"
NUMBER = "+15550100002"


class Expected(msgspec.Struct, forbid_unknown_fields=True):
    """
    What makes the call a good one.

    `understood` has a phrase for each line of the caller: it must be in what the bot understood, which may have a
    word too many where a line began or ended.
    """

    understood: list[str]
    barge_ins: int
    last_words: str


class CallFailed(PhonebotError):
    """The call came to nothing; the carrier says why."""

    def __init__(self, record: CallRecord) -> None:
        super().__init__(record)
        self.record = record

    def __str__(self) -> str:
        return f"the call {self.record.outcome}: {self.record.reason or 'no stream was opened'}"


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


async def demo(data_dir: Path, console: Console) -> bool:
    """Hold the demo call. True if it went as its recording expects."""
    folder = demo_folder()
    transcript = LiveTranscript(console)
    expected = msgspec.convert(tomllib.loads((folder / "expected.toml").read_text()), Expected)
    async with AsyncExitStack() as resources:
        with console.status("starting the embedded model and the service"):
            server = await resources.enter_async_context(embedded_model())
        listener = listen("127.0.0.1", 0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        token = secrets.token_hex(16)
        settings = load(
            {
                "PHONEBOT_PUBLIC_URL": url,
                "PHONEBOT_MODEL_URL": server.url,
                "PHONEBOT_SECRET_KEY": secrets.token_hex(16),
                "PHONEBOT_DATA_DIR": str(data_dir),
                "TWILIO_AUTH_TOKEN": token,
            },
            env_file=None,
        )
        app = create_app(settings, Numbers.load(folder / "numbers.toml"), watch=(lambda start: transcript,))
        async with running(app, listener):
            console.print(f"[dim]service  {url}\nmodel    {server.url}[/dim]")
            console.print(f"[bold]{CALLER} calls {NUMBER}[/bold]\n")
            caller = Caller(*load_scenario(folder / "caller.toml"))
            record = await dial(
                f"{url}/twilio/voice", caller, from_number=CALLER, to_number=NUMBER, auth_token=token
            )
    log = call_folder(data_dir / "calls", record.call_sid)
    if log is None:
        raise CallFailed(record)
    record.write_wav(log / "heard.wav")
    heard = cut_items(transcript.conversation, record)
    problems = list(shortcomings(transcript.conversation, record, heard, expected))
    _summarise(console, transcript.conversation, record, heard, log)
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


def call_folder(calls: Path, call_sid: str) -> Path | None:
    """The folder of a call's log; None if the call never came to a stream."""
    return next((path.parent for path in calls.glob(f"*{call_sid}*/{HEADER_FILE}")), None)


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


def _row(console: Console, label: str, text: str) -> None:
    # Paths are for copying: they may run over the edge, but must not be broken.
    console.print(f"[dim]{label:>9}[/dim]  {text}", soft_wrap=True)
