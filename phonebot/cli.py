"""The command line: arguments in, a sentence and a remedy out when something is wrong."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
import uvloop
from rich.console import Console
from rich.markup import escape

from phonebot import __version__
from phonebot.dialling import dial, opt_outs
from phonebot.errors import PhonebotError, ProfileError, SettingsError
from phonebot.measuring import bench
from phonebot.numbering import numbers
from phonebot.recalling import calls
from phonebot.receiving import messages
from phonebot.storing import database

if TYPE_CHECKING:  # each command imports what it needs: `phonebot --help` is there at once
    from phonebot.calibration.figures import Figures
    from phonebot.discretion import Form
    from phonebot.settings import Settings
    from phonebot.simulator.script import Script

T = TypeVar("T")

app = typer.Typer(
    help="Answers phone calls: Twilio media streams bridged to a speech-to-speech model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(highlight=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def main() -> None:
    """Exit codes: 0 done, 1 failed, 2 used or set up wrongly."""
    try:
        app()
    except (SettingsError, ProfileError) as error:
        errors.print(f"[red]phonebot:[/red] {escape(str(error))}")
        sys.exit(2)
    except (PhonebotError, OSError) as error:
        errors.print(f"[red]phonebot:[/red] {escape(str(error))}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


class DemoProfile(StrEnum):
    """The scenes of phonebot/demo, by their names."""

    DENTIST = "dentist"
    CLINIC = "clinic"


@app.command()
def demo(
    data_dir: Annotated[Path, typer.Option(envvar="PHONEBOT_DATA_DIR", help="Where the call log goes.")] = Path(
        "data"
    ),
    keep_open: Annotated[
        bool,
        typer.Option("--open", help="Keep the service up afterwards, to change the bot and call it in a browser."),
    ] = False,
    profile: Annotated[
        DemoProfile,
        typer.Option(help="Who answers: a dentist, whom the caller interrupts; a clinic, which changes a diary."),
    ] = DemoProfile.DENTIST,
) -> None:
    """A recorded caller dials in: no account, no key, no network."""
    from phonebot.demo.service import demo as hold_demo

    if not run(hold_demo(data_dir, console, keep_open, profile.value)):
        raise typer.Exit(1)


@app.command()
def serve(
    dev: Annotated[
        bool, typer.Option("--dev", help="Loopback only, no signature check, embedded model if no other is set.")
    ] = False,
    host: Annotated[str | None, typer.Option(help="Address to listen on, in place of PHONEBOT_HOST.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Port, in place of PHONEBOT_PORT; 0 takes a free one.")
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Processes that answer; one that dies is replaced.")
    ] = 1,
    script: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="With --dev: the dialogue that the embedded model plays."),
    ] = None,
) -> None:
    """Answer calls. Told to stop (SIGTERM, Ctrl-C), it lets them end; told twice, it ends them."""
    from phonebot.deployment import secrets_of
    from phonebot.discretion import set_up_logging
    from phonebot.settings import load

    given = {key: value for key, value in {"host": host, "port": port}.items() if value is not None}
    settings = load().model_copy(update=given)
    set_up_logging(settings.log_level, secrets_of(settings), settings.log_personal_data, form=settings.log_format)
    settings.check_for_serving(dev)
    if script and not (dev and not settings.has_model):
        raise typer.BadParameter("--script is for the embedded model: give --dev, and no model in the settings")
    if code := run(_serve(settings, dev, workers, script)):
        raise typer.Exit(code)


def _tell(form: "Form", line: str, style: str | None = None) -> None:
    """Tell whoever starts the service, in the form of its log. A link to sign in by is for him, and so is whole."""
    if form == "text":
        # For copying: it may run over the edge, but must not be broken.
        errors.print(line, style=style, soft_wrap=True, markup=False)
        return
    from phonebot.discretion import as_json

    errors.file.write(f"{as_json(line, __name__)}\n")


async def _serve(settings: "Settings", dev: bool, workers: int, script: Path | None) -> int:
    """The exit code."""
    from pydantic import SecretStr

    from phonebot.deployment import local_url, workshop_for
    from phonebot.hooks.registry import load_hooks
    from phonebot.serving import (
        EMBEDDED,
        embedded_model,
        listen,
        one_time_path,
        opened_store,
        serve_until_signalled,
        stored_profiles,
    )
    from phonebot.simulator.script import load_script
    from phonebot.traces.setting_up import tracing_of
    from phonebot.web.app import create_app

    workshop, hooks = workshop_for(settings), load_hooks(settings.hooks)
    tell = partial(_tell, settings.log_format)
    async with AsyncExitStack() as resources:
        if dev:
            settings = settings.model_copy(update={"twilio_auth_token": None})
            if not settings.has_model:
                model = await resources.enter_async_context(embedded_model(load_script(script) if script else None))
                name = settings.model if "model" in settings.model_fields_set else EMBEDDED
                settings = settings.model_copy(update={"model_url": model.url, "model": name})
                tell("no model is set: the embedded one answers, by a script and not by the prompt", "bold yellow")
            tell("DEVELOPMENT MODE: no signature is checked; loopback only", "bold yellow")
        if settings.secret_key is None:  # in development alone; here, since one-time links are signed with it too
            settings = settings.model_copy(update={"secret_key": SecretStr(secrets.token_urlsafe(32))})
        # Also where workers have their own: the tables are made, and a file of profiles is taken in, once.
        used = await resources.enter_async_context(AsyncExitStack())
        store = await used.enter_async_context(opened_store(settings))
        profiles = await used.enter_async_context(stored_profiles(settings, store, workshop.known))
        listener = listen(settings.host, settings.port)
        public_url = settings.public_url or local_url(settings.host, listener.getsockname()[1])
        settings = settings.model_copy(update={"public_url": public_url})
        tell(f"phonebot {__version__} listens on {settings.host}:{listener.getsockname()[1]}")
        tell(f"voice webhook: {public_url}/twilio/voice")
        tell(f"console: {public_url}/")
        assert settings.secret_key is not None
        path = await one_time_path(store, settings.secret_key.get_secret_value(), settings.admin_password, dev)
        if path:
            tell("sign in by this link, once, within an hour:")
            tell(f"{public_url}{path}")
        if workers > 1:
            from phonebot.workers import Workers

            await used.aclose()
            return await Workers(settings, listener, workers).run()
        traces = await resources.enter_async_context(tracing_of(os.environ))
        app = create_app(settings, profiles, store=store, workshop=workshop, hooks=hooks, traces=traces)
        await serve_until_signalled(app, listener, settings.drain_s)
        return 0


@app.command()
def call(
    url: Annotated[str, typer.Argument(help="A voice webhook, as https://bot.example.com/twilio/voice.")],
    audio: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="A WAV file (8 kHz, mono) to say, or a TOML script of steps."
        ),
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="A call log: what its caller said and pressed, at the same moments.")
    ] = None,
    to: Annotated[str, typer.Option(help="The number called.")] = "+15550100002",
    from_number: Annotated[str, typer.Option("--from", help="The caller's number.")] = "+15550100001",
    out: Annotated[
        Path, typer.Option(help="Where to write the call: the caller left, what he heard right.")
    ] = Path("call.wav"),
    public_url: Annotated[
        str | None, typer.Option(help="The origin the service believes in, when dialled through another address.")
    ] = None,
    auth_token: Annotated[
        str | None,
        typer.Option(envvar="TWILIO_AUTH_TOKEN", show_envvar=True, help="Signs as Twilio would."),
    ] = None,
    account_sid: Annotated[str, typer.Option(envvar="TWILIO_ACCOUNT_SID", show_envvar=True)] = "AC" + "2" * 32,
    seconds: Annotated[float, typer.Option(help="Hang up after so long at the latest.")] = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print what happened as JSON.")] = False,
) -> None:
    """Dial a voice webhook as Twilio would; exit code 1 on a protocol fault."""
    from phonebot.calling import caller_of_log, describe, dial_and_show, load_caller

    if audio and log:
        raise typer.BadParameter("give --audio or --log, not both")
    caller = caller_of_log(log) if log else load_caller(audio)
    record = run(
        dial_and_show(
            errors if as_json else console,
            url,
            caller,
            from_number=from_number,
            to_number=to,
            account_sid=account_sid,
            auth_token=auth_token,
            public_url=public_url,
            max_call_s=seconds,
        )
    )
    record.write_wav(out)
    if as_json:
        print(describe(record, out))  # noqa: T201  (for a script to read)
    else:
        console.print(f"recording  {escape(str(out))}", soft_wrap=True)
    if not record.passed:
        raise typer.Exit(1)


@app.command()
def model(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")] = 8090,
    script: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="The dialogue it plays; the dentist's by default."),
    ] = None,
    key: Annotated[
        str | None, typer.Option(envvar="PHONEBOT_MODEL_TOKEN", help="The key that clients must show; none: all.")
    ] = None,
) -> None:
    """The embedded Realtime server alone, in both dialects, for other programs too."""
    from phonebot.discretion import set_up_logging
    from phonebot.simulator.script import load_script

    set_up_logging(secrets=[key] if key else ())
    run(_model(load_script(script) if script else None, host, port, key))


async def _model(script: "Script | None", host: str, port: int, key: str | None) -> None:
    from phonebot.serving import embedded_model

    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with embedded_model(script, host, port, key=key) as server:
        errors.print(f"the embedded model listens at {server.url}?model=any", soft_wrap=True)
        await stopped.wait()


@app.command()
def replay(
    logs: Annotated[list[Path], typer.Argument(help="Call logs: folders, zip files, or a folder of them.")],
    update: Annotated[
        bool, typer.Option("--update", help="Let each log expect what is done now; say what changed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
    live: Annotated[
        bool,
        typer.Option("--live", help="Let one log's caller call the configured model with today's profile."),
    ] = False,
    expect: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="With --live: rules that the call must keep.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="With --live: also write the comparison to this page.")] = None,
) -> None:
    """Play call logs to this version; exit code 1 where it does something else than they say."""
    from phonebot import replaying

    if update + as_json + live > 1:
        raise typer.BadParameter("give one of --update, --json and --live")
    if (expect or html) and not live:
        raise typer.BadParameter("--expect and --html are for --live")
    if live:
        well = _replay_live(logs, expect, html)
    elif update:
        well = replaying.update_and_show(console, logs)
    elif as_json:
        told, well = replaying.as_json(logs)
        print(told)  # noqa: T201  (for a script to read)
    else:
        well = replaying.replay_and_show(console, logs)
    if not well:
        raise typer.Exit(1)


def _replay_live(logs: list[Path], expect: Path | None, html: Path | None) -> bool:
    from phonebot.rehearsal.live_command import replay_and_compare
    from phonebot.replay.rules import Rules, load_rules
    from phonebot.settings import load

    if len(logs) != 1:
        raise typer.BadParameter("one log at a time is replayed live: it takes as long as the call")
    rules = load_rules(expect) if expect else Rules()
    return replay_and_compare(console, logs[0], load(), rules, html, run)


@app.command()
def doctor(
    dev: Annotated[bool, typer.Option("--dev", help="Look for what `serve --dev` needs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """
    Check settings, database, storage, public URL, Twilio and models; exit code 1 if something failed.

    Nothing is changed: a file that is written to the storage is deleted again. A session is opened with each model,
    without audio.
    """
    from phonebot.deployment import secrets_of
    from phonebot.doctor import report
    from phonebot.doctor.command import Scrubber, look

    found, survey = run(look(dev, errors))
    scrub = Scrubber(secrets_of(survey.settings))
    if as_json:
        print(report.as_json(found, scrub))  # noqa: T201  (for a script to read)
    else:
        report.show(console, found, scrub)
    if not found.is_well:
        raise typer.Exit(1)


@app.command()
def calibrate(
    listen: Annotated[
        bool, typer.Option("--listen", help="Measure the first call to this service's public URL, of any carrier.")
    ] = False,
    oddity: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=N]",
            help="Make the emulated carrier odd; may be repeated. start-buffer, mark-lag, mark-delay, mark-burst, "
            "delay, jitter (ms), drift (ppm), hold, loop (ms), no-loop.",
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, max=50, help="How often each thing is done.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Put the settings into the file .env.")] = False,
) -> None:
    """Measure a carrier in one call: start buffer, echoes of marks, clears. The emulated one by default."""
    from phonebot.calibration.report import ENV_FILE, settings_of, table, to_json, write_settings

    if listen and oddity:
        raise typer.BadParameter("--oddity is for the emulated carrier: leave it out with --listen")
    figures = run(_calibrate(listen, oddity or [], repeats))
    told = settings_of(figures.traits())
    if as_json:
        print(to_json(figures))  # noqa: T201  (for a script to read)
    else:
        console.print(table(figures))
        console.print()
        console.print("\n".join(f"{name}={value}" for name, value in told.items()))
    if write:
        write_settings(ENV_FILE, told)
        whose = "" if listen else ": the emulated carrier's figures, which are no real carrier's"
        errors.print(f"written to {ENV_FILE}{whose}")


async def _calibrate(listening: bool, oddities: list[str], repeats: int) -> "Figures":
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from phonebot.calibration.emulated import emulated
    from phonebot.calibration.measurement import TITLES
    from phonebot.calibration.service import calibrate_emulated, calibrate_first_call
    from phonebot.serving import listen
    from phonebot.settings import load

    settings = load() if listening else None
    carrier = emulated(oddities)
    columns = (TextColumn("{task.description:<38}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("waiting for the call", total=len(TITLES))

        def show(stage: int) -> None:
            if stage < len(TITLES):
                bar.update(task, completed=stage, description=TITLES[stage])

        if settings is None:
            return await calibrate_emulated(carrier, repeats, show)
        public_url, token = settings.check_for_calibrating()
        listener = listen(settings.host, settings.port)
        errors.print(f"point a number's voice webhook at {public_url}/twilio/voice, then call it")
        return await calibrate_first_call(
            listener, public_url, (token,), settings.twilio_account_sid, repeats, show
        )


app.add_typer(numbers, name="numbers")
app.add_typer(database, name="db")
app.add_typer(calls, name="calls")
app.add_typer(messages, name="messages")
app.command()(dial)
app.add_typer(opt_outs, name="opt-outs")
app.add_typer(bench, name="bench")


@app.command()
def version() -> None:
    """Print the version."""
    console.print(__version__)
