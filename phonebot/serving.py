"""Runs the app, and the embedded model when there is no other, inside one event loop."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from phonebot.errors import SettingsError
from phonebot.simulator.dialogue import Script, load_script
from phonebot.simulator.server import ModelServer
from phonebot.simulator.server import serve as serve_model
from phonebot.web.app import SERVER_OPTIONS

DEMO_SCRIPT = "dentist.toml"


def demo_folder() -> Path:
    """The demo's files: in the installed package, or in the checkout."""
    here = Path(__file__).parent
    installed = here / "fixtures" / "demo"
    return installed if installed.is_dir() else here.parent / "fixtures" / "demo"


@asynccontextmanager
async def embedded_model(
    script: Script | None = None, host: str = "127.0.0.1", port: int = 0, **options: Any
) -> AsyncIterator[ModelServer]:
    """
    The embedded model with its ear and voice, playing `script` (the dentist's without one).

    Raises SettingsError when the packages of the extra `demo` are missing.
    """
    # Imported here: the packages behind them are optional.
    from phonebot.simulator.ear import PhraseEar
    from phonebot.simulator.speech import EspeakVoice
    from phonebot.simulator.vad import SpeechDetector

    script = script or load_script(demo_folder() / DEMO_SCRIPT)
    async with (
        PhraseEar(script.phrases, pronounce=script.pronounce, source=script.source) as ear,
        serve_model(
            host, port, minds=script.mind, detectors=SpeechDetector, ear=ear, voice=EspeakVoice(), **options
        ) as server,
    ):
        yield server


def listen(host: str, port: int) -> socket.socket:
    """
    A listening socket: its address is known, and callers may dial it, before anything starts.

    Raises SettingsError when the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen()
    except OSError as error:
        bound.close()
        raise SettingsError(
            f"cannot listen on {host}, port {port}: {error.strerror or error}; choose another host or port"
        ) from error
    return bound


class Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: who runs it says when it stops, by `should_exit`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop_on_signals(self) -> None:
        """Stop on SIGINT and SIGTERM; those that came later have no further effect."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, lambda: setattr(self, "should_exit", True))


def server_for(app: ASGIApp, **options: Any) -> Server:
    return Server(uvicorn.Config(app, log_level="warning", **(SERVER_OPTIONS | options)))


@asynccontextmanager
async def running(app: ASGIApp, listener: socket.socket) -> AsyncIterator[None]:
    """The app serves while the block runs."""
    server = server_for(app)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            if serving.done():
                await serving
                raise RuntimeError("the service stopped before it had started")
            await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await serving
