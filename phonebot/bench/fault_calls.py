"""The calls of the fault benchmark, and the service in this process that takes them."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

from phonebot.agents.numbers import Numbers
from phonebot.agents.profile import Profile
from phonebot.audio.canned import Clips
from phonebot.bench.fault_scenes import LOOKS_UP
from phonebot.bench.faults_report import Line as Said
from phonebot.bench.levels import GREETING
from phonebot.bench.person import Person
from phonebot.call.actions import Line
from phonebot.replay.account import account_of
from phonebot.replay.reader import read
from phonebot.serving import listen, running
from phonebot.settings import load
from phonebot.simulator.outputs import Faults
from phonebot.simulator.phone import dial
from phonebot.tools.workshop import Workshop
from phonebot.web.app import create_app
from phonebot.web.live import LiveCalls

FIRST_NUMBER = 15550102000
APART_S = 0.041  # between the begins of two calls
KEY, NO_KEY = secrets.token_hex(8), "of-somebody-else"
MAX_CALL_S = 90.0
ENDING_S = 15.0
LOGGED_S = 1.5  # a log is written within a second
SILENCE_MS = 200  # ends a caller's turn

Script: TypeAlias = Callable[[], Coroutine[None, None, None]]
"""What a person does in a call."""


@dataclass(frozen=True, slots=True)
class Terms:
    """`upgrade_ms` and `start_ms`: what the model takes for each connection, and then for each session."""

    calls: int
    upgrade_ms: int = 600
    start_ms: int = 600

    @property
    def faults(self) -> Faults:
        return Faults(slow_upgrade_s=self.upgrade_ms / 1000, slow_start_s=self.start_ms / 1000)


@dataclass(frozen=True, slots=True)
class FaultService:
    """A service in this process. Its logs are read once its calls have ended."""

    url: str
    folder: Path
    live: LiveCalls

    async def transcripts(self) -> dict[str, list[Said]]:
        """As `transcripts_in`, of this service's calls."""
        async with asyncio.timeout(ENDING_S):
            await self.live.idle()
        await asyncio.sleep(LOGGED_S)
        return await asyncio.to_thread(transcripts_in, self.folder / "calls")


def transcripts_in(folder: Path) -> dict[str, list[Said]]:
    """The lines of each call of a folder of logs, by its caller, without what is said while there is no model."""
    found: dict[str, list[Said]] = {}
    for path in sorted(folder.iterdir()) if folder.exists() else ():
        log = read(path)
        lines = found.setdefault(log.header.from_number or "", [])
        lines += [(line.role, line.text) for _, line in account_of(log).lines if not _is_filler(line)]
    return found


def _is_filler(line: Line) -> bool:
    """Words of ours while there is no model: the person heard them or a part of them, perhaps less than a word."""
    clips = Clips().of("en")
    return line.role == "bot" and any(each.text.startswith(line.text) for each in (clips.wait, clips.trouble))


PROFILE = {
    "greeting": GREETING,
    "prompt": "{caller}",  # the model knows its call by it
    "turn_detection": {"type": "server_vad", "silence_duration_ms": SILENCE_MS},
    "tools": [LOOKS_UP],
}


@asynccontextmanager
async def service(workshop: Workshop, **settings: str) -> AsyncIterator[FaultService]:
    with TemporaryDirectory(prefix="phonebot-faults-") as folder, listen("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        variables = {"PHONEBOT_PUBLIC_URL": url, "PHONEBOT_DATA_DIR": folder, "PHONEBOT_MODEL_TOKEN": KEY}
        table = PROFILE if workshop.known.functions else {k: v for k, v in PROFILE.items() if k != "tools"}
        numbers = Numbers.single(Profile.from_table(table, "the benchmark"))
        app = create_app(load(variables | settings, env_file=None), numbers, workshop=workshop)
        async with running(app, listener):
            yield FaultService(url, Path(folder), app.state.live)


async def held(url: str, number: str, person: Person, script: Script, place: int) -> str:
    """Hold a call; what went wrong in it, "" for nothing."""
    await asyncio.sleep(place * APART_S)
    playing = asyncio.create_task(script())
    problems: list[str] = []

    def end(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            problems.append(str(error) or "the person waited in vain")
        person.hang_up()

    playing.add_done_callback(end)
    try:
        record = await dial(f"{url}/twilio/voice", person, from_number=number, max_call_s=MAX_CALL_S)
    finally:
        playing.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await playing
    if record.outcome != "caller hung up":
        problems.append(f"a call ended: {record.outcome}, {record.reason}")
    return "; ".join((*problems, *map(str, record.violations)))
