"""
A service in a process of its own that is told to stop while calls are in progress, as in a deploy.

Some callers talk to the end; with a limit that is shorter than their calls, the bot has to part from them.
"""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

import phonebot
from phonebot.bench.fault_calls import FIRST_NUMBER, KEY, SILENCE_MS, Terms, held, transcripts_in
from phonebot.bench.fault_scenes import QUIET_MS, SCENES, FaultMind
from phonebot.bench.faults_report import Drained, Kept, Line
from phonebot.bench.levels import AFTER, ASKED, FIRST, GREETING, OTHER, LevelEar, LevelVoice, spoken_ms
from phonebot.bench.person import Person
from phonebot.errors import PhonebotError
from phonebot.serving import listen
from phonebot.simulator.outputs import Options
from phonebot.simulator.server import serve

START_S = 30.0
STOP_S = 60.0
COMMAND = (sys.executable, "-c", "from phonebot.cli import main; main()", "serve")
PARTED = "a call ended: bot hung up, "
"""How a call ends that the bot has to end."""

SAID: tuple[Line, ...] = (("bot", GREETING), ("caller", FIRST), ("bot", AFTER))


async def stop(terms: Terms, drain_s: float, stays: bool) -> Drained:
    """
    Hold calls, tell their process to stop, and let them go on: each caller asks once more and hangs up, or `stays`.

    Raises PhonebotError where the service does not start.
    """
    people = [Person() for _ in range(terms.calls)]
    told = asyncio.Event()
    mind = partial(FaultMind, SCENES[0])
    async with (
        serve(minds=mind, ear=LevelEar(), voice=LevelVoice(), key=KEY, options=Options(speed=1.0)) as model,
        _process(model.url, drain_s) as (url, process, folder),
    ):
        calls = [
            asyncio.create_task(
                held(url, f"+{FIRST_NUMBER + place}", person, partial(_talk, person, told, stays), place)
            )
            for place, person in enumerate(people)
        ]
        await asyncio.gather(*(person.until_heard(GREETING) for person in people))
        process.send_signal(signal.SIGTERM)
        refuses_ms = await _until_refused(url)
        told.set()
        outcomes = await asyncio.gather(*calls)
        ended_s = time.monotonic()
        async with asyncio.timeout(STOP_S):
            exit_code = await process.wait()
        gone_ms = (time.monotonic() - ended_s) * 1000
        found = await asyncio.to_thread(transcripts_in, folder / "calls")
    said = SAID[:1] if stays else SAID
    kept = (
        Kept.of(said, _without_farewell(found.get(f"+{FIRST_NUMBER + place}", []))) for place in range(terms.calls)
    )
    expected = PARTED if stays else ""
    left = [not person.left for person in people]
    return Drained(
        f"with {drain_s:g} s to end",
        terms.calls,
        round(refuses_ms, 1),
        ended=sum(person.left for person in people),
        parted=sum(stayed and OTHER in person.heard_s for stayed, person in zip(left, people, strict=True)),
        gone_ms=round(gone_ms, 1),
        exit_code=exit_code,
        kept=sum(kept, Kept()),
        problems=tuple(dict.fromkeys(problem for problem in outcomes if problem and problem != expected)),
    )


def _without_farewell(lines: list[Line]) -> list[Line]:
    known = {text for _, text in SAID}
    return [(who, text) for who, text in lines if who == "caller" or any(each.startswith(text) for each in known)]


async def _talk(person: Person, told: asyncio.Event, stays: bool) -> None:
    await person.until_heard(GREETING, spoken_ms(GREETING))
    await told.wait()
    if stays:
        await person.until_gone()
        return
    await person.until_quiet(QUIET_MS)
    person.ask(ASKED.index(FIRST), 600)
    await person.until_heard(AFTER, spoken_ms(AFTER))
    await person.until_quiet(QUIET_MS)
    person.hang_up()


async def _until_refused(url: str) -> float:
    """Wait until the service says that it takes no more calls; after how long, in ms."""
    begun_s = time.monotonic()
    async with asyncio.timeout(STOP_S):
        while await _readiness(url) == 200:
            pass  # each question is a request of its own, and takes its time
    return (time.monotonic() - begun_s) * 1000


async def _readiness(url: str) -> int | None:
    """The status of /readyz; None: nobody answers."""
    try:
        async with aiohttp.ClientSession() as http, http.get(f"{url}/readyz") as response:
            return response.status
    except aiohttp.ClientError:
        return None


@asynccontextmanager
async def _process(model_url: str, drain_s: float) -> AsyncIterator[tuple[str, Process, Path]]:
    """`phonebot serve` with settings of its own: its URL, the process, its data."""
    with TemporaryDirectory(prefix="phonebot-faults-") as name:
        folder = Path(name)
        with listen("127.0.0.1", 0) as free:
            port = free.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        profile = (
            f'[default]\ngreeting = "{GREETING}"\nprompt = "{{caller}}"\n'
            f'turn_detection = {{ type = "server_vad", silence_duration_ms = {SILENCE_MS} }}\n'
        )
        await asyncio.to_thread((folder / "profiles.toml").write_text, profile)
        variables = {
            "PYTHONPATH": str(Path(phonebot.__file__).parent.parent),
            "PHONEBOT_PUBLIC_URL": url,
            "PHONEBOT_PORT": str(port),
            "PHONEBOT_MODEL_URL": model_url,
            "PHONEBOT_MODEL_TOKEN": KEY,
            "PHONEBOT_DATA_DIR": str(folder),
            "PHONEBOT_PROFILES": str(folder / "profiles.toml"),
            "PHONEBOT_DRAIN_S": f"{drain_s:g}",
        }
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PHONEBOT_", "TWILIO_"))}
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "--dev", env=kept | variables, cwd=folder, stdout=DEVNULL, stderr=DEVNULL
        )
        try:
            await _until_ready(url, process)
            yield url, process, folder
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def _until_ready(url: str, process: Process) -> None:
    try:
        async with asyncio.timeout(START_S):
            while await _readiness(url) != 200:
                if process.returncode is not None:
                    raise PhonebotError(
                        f"the service ended with exit code {process.returncode} instead of starting"
                    )
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise PhonebotError(f"the service was not ready within {START_S:g} s") from None
