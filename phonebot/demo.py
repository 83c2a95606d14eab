"""
The demo: the whole service in one process, called by a recorded caller.

    recorded caller -> carrier emulator -> service (uvicorn, loopback) -> embedded model

All over real sockets, signed as by Twilio. What the caller heard is the emulator's word, not ours: the summary sets
it beside what the model was told.

`keep_open` leaves the service running afterwards, with a console in which the dentist's profile can be changed and
called. What was changed there is kept for the next time; the recorded call is always answered as it was recorded.
"""

import asyncio
import os
import secrets
import sys
import tomllib
import webbrowser
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from operator import contains
from pathlib import Path

import msgspec
from rich.console import Console
from rich.markup import escape

from phonebot.agents.numbers import DEFAULT, Numbers, read_file
from phonebot.agents.profile import Profile
from phonebot.audio.g711 import BYTES_PER_MS, FRAME_MS
from phonebot.bridge import Journal
from phonebot.carrier.messages import Start
from phonebot.errors import PhonebotError
from phonebot.replay.log import HEADER_FILE
from phonebot.serving import (
    demo_folder,
    embedded_model,
    listen,
    one_time_path,
    opened_store,
    running,
    signalled,
)
from phonebot.settings import Settings, load
from phonebot.simulator.caller import Caller, load_scenario
from phonebot.simulator.phone import dial
from phonebot.simulator.record import CallRecord
from phonebot.store.numbers import Imported
from phonebot.store.store import Store
from phonebot.terminal import Conversation, LiveTranscript
from phonebot.web.app import create_app
from phonebot.web.live import LiveCalls
from phonebot.web.profiles import Answering, StoredProfiles

CALLER = "+15550100001"
NUMBER = "+15550100002"
NUMBERS_FILE = "numbers.toml"
ENDING_S = 10.0  # within which the service is through with a call that was hung up


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


@dataclass(frozen=True, slots=True)
class DemoProfiles:
    """The recorded caller is answered by `recorded`, whoever else comes by `edited`."""

    recorded: Answering
    edited: Answering

    def profile_for(self, number: str, caller: str = "") -> Profile:
        return (self.recorded if caller == CALLER else self.edited).profile_for(number, caller)


async def demo(data_dir: Path, console: Console, keep_open: bool = False) -> bool:
    """
    Hold the demo call. True if it went as its recording expects.

    `keep_open`: the service goes on until SIGINT or SIGTERM, and its console is opened in a browser.
    """
    async with AsyncExitStack() as resources:
        with console.status("starting the embedded model and the service"):
            server = await resources.enter_async_context(embedded_model())
        listener = listen("127.0.0.1", 0)
        settings = _settings(data_dir, f"http://127.0.0.1:{listener.getsockname()[1]}", server.url)
        store = await resources.enter_async_context(_edited(settings)) if keep_open else None
        numbers: Answering = Numbers.load(demo_folder() / NUMBERS_FILE)
        if store:
            stored = StoredProfiles(store.numbers, settings.audio)
            numbers = DemoProfiles(numbers, await resources.enter_async_context(stored.following()))
        transcripts: list[LiveTranscript] = []  # one for each call

        def watch(start: Start) -> Journal:
            transcripts.append(LiveTranscript(console))
            return transcripts[-1]

        app = create_app(settings, numbers, watch=(watch,), store=store)
        async with running(app, listener):
            console.print(f"[dim]service  {settings.public_url}\nmodel    {server.url}[/dim]")
            console.print(f"[bold]{CALLER} calls {NUMBER}[/bold]\n")
            record = await _hold_call(settings, app.state.live)
            is_good = _tell(
                record,
                transcripts[0].conversation if transcripts else Conversation(),
                settings.data_dir / "calls",
                console,
            )
            if store:
                await _open_console(settings, store, console)
                await signalled()
    return is_good


def _settings(data_dir: Path, url: str, model_url: str) -> Settings:
    return load(
        {
            "PHONEBOT_PUBLIC_URL": url,
            "PHONEBOT_MODEL_URL": model_url,
            "PHONEBOT_SECRET_KEY": secrets.token_hex(16),
            "PHONEBOT_DATA_DIR": str(data_dir),
            # Beside the data of a service that may use the same folder.
            "PHONEBOT_DATABASE_URL": f"sqlite:///{data_dir.absolute() / 'demo' / 'phonebot.db'}",
            "TWILIO_AUTH_TOKEN": secrets.token_hex(16),
        },
        env_file=None,
    )


@asynccontextmanager
async def _edited(settings: Settings) -> AsyncIterator[Store]:
    """The demo's store. The dentist answers the demo's number and all others, until somebody changes that."""
    async with opened_store(settings) as store:
        dentist = read_file(demo_folder() / NUMBERS_FILE)[DEFAULT]
        kept = Imported(dentist.table, dentist.profile.version)
        await store.numbers.import_file({DEFAULT: kept, NUMBER: kept})
        yield store


async def _open_console(settings: Settings, store: Store, console: Console) -> None:
    assert settings.secret_key is not None
    path = await one_time_path(store, settings.secret_key.get_secret_value(), None, dev=True)
    url = f"{settings.public_url}{path}"
    console.print("\nThe service goes on: change what the bot says, and call it, in the browser.")
    console.print("Sign in by this link, once, within an hour; Ctrl-C ends the demo.")
    # For copying: it may run over the edge, but must not be broken.
    console.print(url, soft_wrap=True, markup=False)
    if has_display():
        # In a thread: some browsers return only when they are closed.
        await asyncio.to_thread(webbrowser.open, url)


def has_display() -> bool:
    """Whether a browser would have a window; one in the terminal has no microphone."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


async def _hold_call(settings: Settings, live: LiveCalls) -> CallRecord:
    """The recorded caller's call, until the service is through with it, too."""
    assert settings.twilio_auth_token is not None
    caller = Caller(*load_scenario(demo_folder() / "caller.toml"))
    record = await dial(
        f"{settings.public_url}/twilio/voice",
        caller,
        from_number=CALLER,
        to_number=NUMBER,
        auth_token=settings.twilio_auth_token.get_secret_value(),
    )
    async with asyncio.timeout(ENDING_S):
        await live.idle()
    return record


def _tell(record: CallRecord, conversation: Conversation, calls: Path, console: Console) -> bool:
    """Say what came of the call; whether it went as expected. Raises CallFailed when it came to nothing."""
    expected = msgspec.convert(tomllib.loads((demo_folder() / "expected.toml").read_text()), Expected)
    log = call_folder(calls, record.call_sid)
    if log is None:
        raise CallFailed(record)
    record.write_wav(log / "heard.wav")
    heard = cut_items(conversation, record)
    problems = list(shortcomings(conversation, record, heard, expected))
    _summarise(console, conversation, record, heard, log)
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
