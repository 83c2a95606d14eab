"""
Processes of the service with exactly the environment of the manifests, on PostgreSQL, as far as it goes without a
container: without any right, in a working folder that cannot be written to.
"""

import asyncio
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from databases import PostgresServer
from deploy_files import KUBERNETES, Manifests, env_file, filled
from service_driver import environment

STARTS_S = 60.0  # on a machine with other work a process takes long to start
PHONEBOT = (sys.executable, "-c", "from phonebot.cli import main; main()")


@pytest.fixture
def image() -> Iterator[Path]:
    """What a container has of folders: the working folder, which is read only, and in it `data`."""
    folder = Path(tempfile.mkdtemp(prefix="phonebot-image-"))
    (folder / "data").mkdir()
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def pod(production: Manifests, postgres: PostgresServer, image: Path) -> dict[str, str]:
    """The environment of a pod, but for where the database, its folder and its port are here."""
    here = {
        "PHONEBOT_DATABASE_URL": postgres.url(postgres.create()),
        "PHONEBOT_DATA_DIR": str(image / "data"),
        "PHONEBOT_HOST": "127.0.0.1",
        "PHONEBOT_DRAIN_S": "1",
    }
    return production.settings | filled(env_file(KUBERNETES / "secrets.env.example")) | here


def without_rights(command: tuple[str, ...]) -> tuple[str, ...]:
    """Root keeps its name, since the interpreter may be its own, and none of its capabilities."""
    if os.geteuid():
        return command
    return ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--", *command)


@asynccontextmanager
async def running(image: Path, pod: dict[str, str], *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *without_rights((*PHONEBOT, *arguments)),
        cwd=image,
        env=environment(**pod, PYTHONDONTWRITEBYTECODE="1"),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def port_of(process: asyncio.subprocess.Process) -> int:
    assert process.stderr
    async with asyncio.timeout(STARTS_S):
        while line := await process.stderr.readline():
            if told := re.search(r" listens on [\d.]+:(\d+)", line.decode()):
                return int(told[1])
    raise AssertionError("it ended before it listened")


async def status(port: int, path: str) -> int:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status


async def test_pods_that_start_at_once_make_the_tables_once_and_become_ready(
    image: Path, pod: dict[str, str]
) -> None:
    async with running(image, pod, "db", "upgrade") as first, running(image, pod, "db", "upgrade") as second:
        async with asyncio.timeout(STARTS_S):
            assert [await each.wait() for each in (first, second)] == [0, 0]

    async with running(image, pod, "serve", "--port", "0") as process:  # the pods' port may be another's here
        port = await port_of(process)
        assert [await status(port, path) for path in ("/healthz", "/readyz")] == [200, 200]
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STARTS_S):
            assert await process.wait() == 0

    assert {path.name for path in image.iterdir()} == {"data"}
    assert not (image / "data" / "phonebot.db").exists()
