"""
The demo: the whole service in one process, called by a recorded caller.

    recorded caller -> carrier emulator -> service (uvicorn, loopback) -> embedded model

All over real sockets, signed as by Twilio. What the caller heard is the emulator's word, not ours: the summary sets
it beside what the model was told.

`keep_open` leaves the service running afterwards, with a console in which the profile can be changed and called.
What was changed there is kept for the next time; the recorded call is always answered as it was recorded.
"""

import asyncio
import os
import secrets
import sys
import webbrowser
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from phonebot.agents.numbers import DEFAULT, Numbers, read_file
from phonebot.agents.profile import Profile
from phonebot.bridge import Journal
from phonebot.carrier.messages import Start
from phonebot.demo.clinic import clinic
from phonebot.demo.report import tell
from phonebot.demo.scene import CALLER, NUMBER, Scene, dentist
from phonebot.serving import embedded_model, listen, one_time_path, opened_store, running, signalled
from phonebot.settings import Settings, load
from phonebot.simulator.caller import Caller
from phonebot.simulator.phone import dial
from phonebot.simulator.record import CallRecord
from phonebot.simulator.scenario import load_scenario
from phonebot.simulator.script import load_script
from phonebot.store.numbers import Imported
from phonebot.store.store import Store
from phonebot.terminal import Conversation, LiveTranscript
from phonebot.tools.workshop import Workshop
from phonebot.web.app import create_app
from phonebot.web.live import LiveCalls
from phonebot.web.profiles import Answering, StoredProfiles

SCENES: dict[str, Callable[[Path], Scene]] = {"dentist": dentist, "clinic": clinic}
"""By name; each is set up in a data folder."""

ENDING_S = 10.0  # within which the service is through with a call that was hung up


@dataclass(frozen=True, slots=True)
class DemoProfiles:
    """The recorded caller is answered by `recorded`, whoever else comes by `edited`."""

    recorded: Answering
    edited: Answering

    def profile_for(self, number: str, caller: str = "") -> Profile:
        return (self.recorded if caller == CALLER else self.edited).profile_for(number, caller)


async def demo(data_dir: Path, console: Console, keep_open: bool = False, profile: str = "dentist") -> bool:
    """
    Hold the demo call of one of `SCENES`. True if it went as its recording expects.

    `keep_open`: the service goes on until SIGINT or SIGTERM, and its console is opened in a browser.
    """
    # In a thread: a scene may have a database of its own to set up.
    scene = await asyncio.to_thread(SCENES[profile], data_dir)
    async with AsyncExitStack() as resources:
        with console.status("starting the embedded model and the service"):
            server = await resources.enter_async_context(embedded_model(load_script(scene.script)))
        listener = listen("127.0.0.1", 0)
        settings = _settings(data_dir, scene, f"http://127.0.0.1:{listener.getsockname()[1]}", server.url)
        store = await resources.enter_async_context(_edited(settings, scene)) if keep_open else None
        numbers: Answering = Numbers.load(scene.numbers)
        if store:
            stored = StoredProfiles(store.numbers, settings.audio)
            numbers = DemoProfiles(numbers, await resources.enter_async_context(stored.following()))
        transcripts: list[LiveTranscript] = []  # one for each call

        def watch(start: Start) -> Journal:
            transcripts.append(LiveTranscript(console))
            return transcripts[-1]

        workshop = Workshop({each.name: each for each in scene.functions})
        app = create_app(settings, numbers, watch=(watch,), store=store, workshop=workshop)
        async with running(app, listener):
            console.print(f"[dim]service  {settings.public_url}\nmodel    {server.url}[/dim]")
            console.print(f"[bold]{CALLER} calls {NUMBER}[/bold]\n")
            record = await _hold_call(settings, scene, app.state.live)
            conversation = transcripts[0].conversation if transcripts else Conversation()
            is_good = tell(record, conversation, settings.data_dir / "calls", scene, console)
            if store:
                await _open_console(settings, store, console)
                await signalled()
    return is_good


def _settings(data_dir: Path, scene: Scene, url: str, model_url: str) -> Settings:
    return load(
        {
            "PHONEBOT_PUBLIC_URL": url,
            "PHONEBOT_MODEL_URL": model_url,
            "PHONEBOT_SECRET_KEY": secrets.token_hex(16),
            "PHONEBOT_DATA_DIR": str(data_dir),
            # Beside the data of a service that may use the same folder.
            "PHONEBOT_DATABASE_URL": f"sqlite:///{scene.data.absolute() / 'phonebot.db'}",
            "TWILIO_AUTH_TOKEN": secrets.token_hex(16),
        },
        env_file=None,
    )


@asynccontextmanager
async def _edited(settings: Settings, scene: Scene) -> AsyncIterator[Store]:
    """The demo's store. Its profile answers the demo's number and all others, until somebody changes that."""
    async with opened_store(settings) as store:
        entry = read_file(scene.numbers)[DEFAULT]
        kept = Imported(entry.table, entry.profile.version)
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


async def _hold_call(settings: Settings, scene: Scene, live: LiveCalls) -> CallRecord:
    """The recorded caller's call, until the service is through with it, too."""
    assert settings.twilio_auth_token is not None
    caller = Caller(*load_scenario(scene.caller))
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
