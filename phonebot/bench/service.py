"""
The whole service as it is run in earnest: `phonebot serve` in a process of its own, with settings of its own.

    async with service(model.url, profile, "--workers", "2") as running:
        ...  # calls to running.url; running.process, running.folder with all that it keeps
"""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

import phonebot
from phonebot.errors import PhonebotError, SettingsError
from phonebot.serving import listen

COMMAND = (sys.executable, "-c", "from phonebot.cli import main; main()", "serve", "--dev")
START_S = 30.0
STOP_S = 60.0
ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Service:
    """It takes calls at `url`, http; what it keeps is in `folder`, which goes with it."""

    url: str
    process: Process
    folder: Path


@asynccontextmanager
async def service(
    model_url: str, profile: str, *, workers: int = 1, variables: Mapping[str, str] | None = None
) -> AsyncIterator[Service]:
    """
    The service runs during the block, and all of its `workers` are ready. At the end it is told to stop.

    `profile`: what its file of profiles holds, in TOML; `variables`: settings beside those that it needs. Raises
    PhonebotError where it does not start.
    """
    with TemporaryDirectory(prefix="phonebot-bench-") as name:
        folder, port = Path(name), _free_port(workers)
        url = f"http://127.0.0.1:{port}"
        await asyncio.to_thread((folder / "profiles.toml").write_text, profile)
        given = {
            "PYTHONPATH": str(Path(phonebot.__file__).parent.parent),
            "PHONEBOT_PUBLIC_URL": url,
            "PHONEBOT_PORT": str(port),
            "PHONEBOT_MODEL_URL": model_url,
            "PHONEBOT_DATA_DIR": name,
            "PHONEBOT_PROFILES": str(folder / "profiles.toml"),
            **(variables or {}),
        }
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PHONEBOT_", "TWILIO_"))}
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "--workers", str(workers), env=kept | given, cwd=folder, stdout=DEVNULL, stderr=DEVNULL
        )
        try:
            for own in (port,) if workers == 1 else range(port + 1, port + workers + 1):
                await _until_ready(f"http://127.0.0.1:{own}", process)
            yield Service(url, process, folder)
        finally:
            await _stop(process)


async def readiness(url: str) -> int | None:
    """The status of /readyz; None: nobody answers."""
    try:
        async with aiohttp.ClientSession() as http, http.get(f"{url}/readyz") as response:
            return response.status
    except aiohttp.ClientError:
        return None


def _free_port(workers: int) -> int:
    """A port that is free, as are those behind it at which each worker answers alone (workers.py)."""
    for _ in range(ATTEMPTS):
        with ExitStack() as taken:
            port: int = taken.enter_context(listen("127.0.0.1", 0)).getsockname()[1]
            try:
                for number in range(1, workers + 1 if workers > 1 else 1):
                    taken.enter_context(listen("127.0.0.1", port + number))
            except (SettingsError, OverflowError):
                continue
            return port
    raise PhonebotError(f"there are no {workers + 1} free ports in a row")


async def _until_ready(url: str, process: Process) -> None:
    try:
        async with asyncio.timeout(START_S):
            while await readiness(url) != 200:
                if process.returncode is not None:
                    raise PhonebotError(
                        f"the service ended with exit code {process.returncode} instead of starting"
                    )
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise PhonebotError(f"the service was not ready within {START_S:g} s") from None


async def _stop(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
