"""Runs the app, and the embedded model when there is no other, inside one event loop."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.types import ASGIApp

from phonebot.agents.tools import Known
from phonebot.audio.transcode import Format, Transcoder
from phonebot.errors import SettingsError
from phonebot.settings import Settings
from phonebot.simulator.dialogue import ScriptedMind
from phonebot.simulator.script import Script, load_script
from phonebot.simulator.server import ModelServer
from phonebot.simulator.server import serve as serve_model
from phonebot.store.audit import Actor
from phonebot.store.links import OneTimeLinks
from phonebot.store.store import Store
from phonebot.storing import open_store
from phonebot.web.app import SERVER_OPTIONS
from phonebot.web.draining import Draining
from phonebot.web.editing import ProfileEditor
from phonebot.web.profiles import StoredProfiles

DEMO_SCRIPT = "dentist.toml"
EMBEDDED = "embedded"
"""The embedded model's name in calls: that of none that has a price, so that nobody thinks that he has paid."""
DRAIN_S = 300.0  # how long calls in progress may go on by default once the service is told to stop
AFTER_S = 1.0  # the carrier asks once more what to do when a call's stream has ended
YOUNG_OBJECTS = 20_000  # what gathers until the garbage collector looks at it: a second of a hundred calls' log
# After so many rounds among the older ones it looks at all there are. With a hundred calls this takes 25 ms and,
# with Python's own 10, would come twice a minute.
OLD_ROUNDS = 100
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

log = logging.getLogger(__name__)


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
            host,
            port,
            minds=partial(ScriptedMind, script),
            detectors=SpeechDetector,
            ear=ear,
            voice=EspeakVoice(),
            **options,
        ) as server,
    ):
        yield server


@asynccontextmanager
async def opened_store(settings: Settings) -> AsyncIterator[Store]:
    """The store, while the block runs. Raises StoreError for one that cannot be used."""
    store = await open_store(settings)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def stored_profiles(
    settings: Settings, store: Store, known: Known | None = None
) -> AsyncIterator[StoredProfiles]:
    """
    The profiles of the store, followed while the block runs. First what changed in the file of profiles goes there;
    it may name only what is `known`, if that is given.

    Raises ProfileError for a file that is wrong, StoreError for a store that cannot be used.
    """
    if settings.profiles:
        for version in await ProfileEditor(store.numbers, settings.audio, known).follow_file(settings.profiles):
            log.info("%s: version %d is from %s", version.number, version.sequence, settings.profiles)
    async with StoredProfiles(store.numbers, settings.audio).following() as profiles:
        yield profiles


async def one_time_path(store: Store, secret_key: str, admin_password: SecretStr | None, dev: bool) -> str | None:
    """
    The path of a link that lets one person in, once; None: people log in with their passwords.

    With `admin_password` it becomes the password of `admin`, if nobody can log in as an admin yet; without it the
    link leads to where he chooses one. With `dev` the link signs in, whoever there is. Raises StoreUnavailable.
    """
    lacks_admin = await store.users.lacks_admin()
    if lacks_admin and admin_password:
        await store.users.first_admin(admin_password.get_secret_value(), Actor("PHONEBOT_ADMIN_PASSWORD"))
        lacks_admin = False
    if not (dev or lacks_admin):
        return None
    token = OneTimeLinks(store.database, secret_key).make("sign-in" if dev else "setup")
    return f"/setup?token={token}"


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

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        prepare_transcoding()
        await super().startup(sockets)
        # What there is now stays: the collector need not walk through it every few seconds, while frames wait.
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, 10, OLD_ROUNDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Streams of events do not end by themselves, and uvicorn waits for them.
        if isinstance(self.config.app, Starlette) and "stopping" in self.config.app.state:
            self.config.app.state.stopping.set()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop_on_signals(self) -> None:
        """Stop at once on SIGINT and SIGTERM; those that came later have no further effect."""
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, lambda: setattr(self, "should_exit", True))


def prepare_transcoding() -> None:
    """
    Load what transcodes, and make its filters.

    It takes 0.2 s, which in the first call whose model speaks PCM16 every other call would have to wait for.
    """
    directions: tuple[tuple[Format, Format], ...] = (("pcmu", "pcm24k"), ("pcm24k", "pcmu"))
    for source, target in directions:
        Transcoder(source, target)


def server_for(app: ASGIApp, **options: Any) -> Server:
    # Without a configuration of its own: what it says goes where all else goes, past who hides secrets in it.
    return Server(uvicorn.Config(app, log_level="warning", log_config=None, **(SERVER_OPTIONS | options)))


async def serve_until_signalled(
    app: Starlette,
    listener: socket.socket,
    drain_s: float = DRAIN_S,
    *,
    own: socket.socket | None = None,
    signals: tuple[signal.Signals, ...] = STOP_SIGNALS,
) -> None:
    """
    Serve until one of these signals comes, also on `own` if there is one.

    At the first one new calls are refused, and those in progress may end, within `drain_s`; then they leave
    (web/draining.py). At a second one they are cut off. `app` is one of `create_app`. Takes over the signals, so
    call it from the main thread.
    """
    draining: Draining = app.state.draining
    server, signalled = server_for(app), asyncio.Event()

    def receive_signal() -> None:
        server.should_exit = server.should_exit or signalled.is_set()
        signalled.set()

    async def drain() -> None:
        await signalled.wait()
        if await draining.drain(drain_s):
            await asyncio.sleep(AFTER_S)
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in signals:
        loop.add_signal_handler(number, receive_signal)
    try:
        async with asyncio.TaskGroup() as group:
            drained = group.create_task(drain())
            await server.serve(sockets=[listener, own] if own else [listener])
            drained.cancel()
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def signalled() -> None:
    """Wait for SIGINT or SIGTERM. Call it from the main thread."""
    loop, come = asyncio.get_running_loop(), asyncio.Event()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, come.set)
    try:
        await come.wait()
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)


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
