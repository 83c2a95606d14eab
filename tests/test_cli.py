"""The command line: exit codes, and the sentences for what is wrong. Nothing is asked of the machine it runs on."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from s3_driver import S3Server
from service_driver import (
    COMMAND,
    MODEL_KEY,
    PATIENCE_S,
    SECRET_KEY,
    SPEECH,
    TOKEN,
    Clerk,
    Ear,
    Service,
    environment,
    form_of_call,
    is_setting,
    leaving_nothing,
    listening_socket,
)
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from phonebot import __version__
from phonebot.audio import wav
from phonebot.calling import load_caller
from phonebot.cli import main
from phonebot.realtime.events import SpeechStarted
from phonebot.replay.reader import read
from phonebot.settings import load
from phonebot.simulator.caller import (
    Caller,
    Event,
    HangUp,
    Pause,
    Say,
    Step,
    WaitForBot,
    WaitForHangUp,
    WaitForQuiet,
)
from phonebot.simulator.phone import dial
from phonebot.simulator.record import CallRecord
from phonebot.simulator.server import serve as serve_model
from phonebot.web.spent import APOLOGY

pytestmark = pytest.mark.slow

LISTENER = """
[[steps]]
do = "wait_for_bot"

[[steps]]
do = "hang_up"
"""


@pytest.fixture(autouse=True)
def _clean_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting comes from outside, and what is written goes to the test's folder."""
    for name in filter(is_setting, list(os.environ)):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> int:
    """The exit code of the command in this process."""
    before, sys.argv = sys.argv, ["phonebot", *arguments]
    try:
        main()
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 0
    finally:
        sys.argv = before
    return 0


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What went to stderr, as one line: the terminal may have broken it."""
    return " ".join(capsys.readouterr().err.split())


# ---------------------------------------------------------------------------------- serve, wrongly set up


def test_serve_without_its_secrets_names_each_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("serve") == 2
    text = said(capsys)
    for name in ("PHONEBOT_PUBLIC_URL", "PHONEBOT_SECRET_KEY", "TWILIO_AUTH_TOKEN", "OPENAI_API_KEY"):
        assert name in text
    assert "Traceback" not in text


@pytest.mark.parametrize("missing", ["PHONEBOT_PUBLIC_URL", "PHONEBOT_SECRET_KEY", "TWILIO_AUTH_TOKEN"])
def test_serve_names_the_one_secret_that_is_missing(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {
        "PHONEBOT_PUBLIC_URL": "https://bot.example.com",
        "PHONEBOT_SECRET_KEY": SECRET_KEY,
        "TWILIO_AUTH_TOKEN": TOKEN,
        "OPENAI_API_KEY": "sk-test",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(missing)
    assert run("serve") == 2
    text = said(capsys)
    assert [name for name in given if f"{name} is missing" in text] == [missing]
    assert not [value for name, value in given.items() if name != "PHONEBOT_PUBLIC_URL" and value in text]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "bot.example.com"])
def test_serve_in_development_refuses_to_be_reached_from_outside(
    host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("serve", "--dev", "--host", host) == 2
    assert "PHONEBOT_HOST must be localhost, 127.0.0.1 or ::1 with --dev" in said(capsys)


@pytest.mark.parametrize("model_url", ["", "ws://127.0.0.1:9"])
def test_serve_refuses_a_script_that_no_embedded_model_would_play(
    model_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --dev, or with another model."""
    script = tmp_path / "script.toml"
    script.write_text('reprompt = "Sorry?"\n')
    given = {
        "PHONEBOT_PUBLIC_URL": "https://bot.example.com",
        "PHONEBOT_SECRET_KEY": SECRET_KEY,
        "TWILIO_AUTH_TOKEN": TOKEN,
        "PHONEBOT_MODEL_URL": "ws://127.0.0.1:9",
    }
    for name, value in ({"PHONEBOT_MODEL_URL": model_url} if model_url else given).items():
        monkeypatch.setenv(name, value)
    assert run("serve", "--script", str(script), *(["--dev"] if model_url else [])) == 2
    assert "--script is for the embedded model" in said(capsys)


def test_serve_shows_what_is_wrong_with_a_profile_to_the_letter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Brackets in a sentence are no markup of the terminal's."""
    profiles = tmp_path / "numbers.toml"
    profiles.write_text('[default]\ngreting = "Hi"\n')
    monkeypatch.setenv("PHONEBOT_PROFILES", str(profiles))
    assert run("serve", "--dev") == 2
    text = said(capsys)
    assert "[default]" in text
    assert "greting" in text


def test_serve_names_a_function_that_there_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PHONEBOT_TOOLS", "no_such_module")
    assert run("serve", "--dev") == 2
    assert "PHONEBOT_TOOLS: no_such_module cannot be loaded" in said(capsys)


def test_serve_on_an_address_that_is_taken_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PHONEBOT_MODEL_URL", "ws://127.0.0.1:9")
    with listening_socket() as taken:
        taken.listen()
        port = str(taken.getsockname()[1])
        assert run("serve", "--dev", "--port", port) == 2
    assert f"cannot listen on 127.0.0.1, port {port}: Address already in use" in said(capsys)


@pytest.mark.parametrize(
    "arguments",
    [
        ("serve", "--port", "99999"),
        ("serve", "--port", "http"),
        ("model", "--script", "missing.toml"),
        ("call", "http://127.0.0.1:9/", "--audio", "missing.wav"),
        ("call",),
        ("call", "http://127.0.0.1:9/", "--audio", "a.wav", "--log", "log"),
        ("sing",),
    ],
)
def test_wrong_use_is_exit_code_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    assert "Usage:" in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("version") == 0
    assert capsys.readouterr().out.strip() == __version__


# ---------------------------------------------------------------------------------- call


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    service = await Service.start(tmp_path / "service")
    yield service
    await service.stop()


async def call(service: Service, *arguments: str) -> int:
    """`phonebot call` in a thread beside the service; it says nothing and leaves when it hears the bot."""
    Path("listener.toml").write_text(LISTENER)
    url = f"{service.url}/twilio/voice"
    return await asyncio.to_thread(run, "call", url, "--audio", "listener.toml", *arguments)


async def test_a_good_call_is_exit_code_0_and_is_recorded(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await call(service, "--auth-token", TOKEN, "--out", "heard[1].wav") == 0
    out = capsys.readouterr().out
    assert "caller hung up after" in out
    assert "recording  heard[1].wav" in out
    assert wav.read(Path("heard[1].wav")).channels == 2


async def test_a_good_call_as_json_is_json_and_nothing_else(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await call(service, "--auth-token", TOKEN, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["outcome"], record["passed"], record["violations"]) == ("caller hung up", True, [])
    assert record["heard_ms"] > 0
    assert ["voice", f"{service.url}/twilio/voice", 200] in record["requests"]
    assert TOKEN not in json.dumps(record)


async def test_a_recorded_caller_calls_again(tmp_path: Path, service: Service) -> None:
    await service.dial(WaitForQuiet(300), Say(SPEECH), WaitForBot(), HangUp())
    await service.stop()
    (folder,) = service.calls_dir.iterdir()
    second = await Service.start(tmp_path / "second", signs=False)
    assert await asyncio.to_thread(run, "call", f"{second.url}/twilio/voice", "--log", str(folder)) == 0
    (witness,) = second.witnesses
    assert len(witness.saw(SpeechStarted)) == 1
    await second.stop()


async def test_a_call_that_is_refused_is_exit_code_1_and_says_why(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await call(service) == 1
    assert "answered 403: it wants a signature" in " ".join(capsys.readouterr().out.split())
    assert await call(service, "--auth-token", "another", "--json") == 1
    record = json.loads(capsys.readouterr().out)
    assert (record["outcome"], record["passed"]) == ("failed", False)


def test_a_call_to_nobody_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with listening_socket() as closed:
        port = closed.getsockname()[1]
    assert run("call", f"http://127.0.0.1:{port}/twilio/voice", "--json") == 1
    assert "not answered" in json.loads(capsys.readouterr().out)["reason"]


def test_a_call_to_what_is_no_url_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("call", "bot.example.com/twilio/voice") == 2
    assert "must look like https://bot.example.com/twilio/voice" in said(capsys)


def test_a_log_that_is_none_is_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("call", "http://127.0.0.1:9/", "--log", str(tmp_path)) == 2
    assert "a call's log is a folder" in said(capsys)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("caller.toml", '[[steps]]\ndo = "sing"\n', "caller.toml"),
        ("caller.wav", "no sound", "caller.wav"),
    ],
)
def test_a_caller_that_cannot_be_played_is_exit_code_2(
    name: str, content: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(name).write_text(content)
    assert run("call", "http://127.0.0.1:9/", "--audio", name) == 2
    assert problem in said(capsys)


# ---------------------------------------------------------------------------------- processes


@asynccontextmanager
async def process(*arguments: str, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`phonebot` as a process of its own, stopped with SIGTERM at the end if it has not ended."""
    running = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, env=environment(**settings), stderr=asyncio.subprocess.PIPE
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()


async def line_with(running: asyncio.subprocess.Process, text: str) -> str:
    """The first line of stderr that holds the text."""
    assert running.stderr is not None
    async with asyncio.timeout(PATIENCE_S):
        while line := (await running.stderr.readline()).decode():
            if text in line:
                return line.strip()
    raise AssertionError(f"it ended without a word of {text!r}")


async def stopped(running: asyncio.subprocess.Process) -> int:
    """The exit code after SIGTERM."""
    running.send_signal(signal.SIGTERM)
    async with asyncio.timeout(PATIENCE_S):
        await running.communicate()
    assert running.returncode is not None
    return running.returncode


async def test_serve_answers_signed_calls_until_it_is_told_to_stop(tmp_path: Path) -> None:
    with listening_socket() as free:
        port = str(free.getsockname()[1])
    async with leaving_nothing(), serve_model(minds=Clerk, ear=Ear(), key=MODEL_KEY) as model:
        settings = {
            "PHONEBOT_PUBLIC_URL": "https://bot.example.com",
            "PHONEBOT_SECRET_KEY": SECRET_KEY,
            "PHONEBOT_MODEL_URL": model.url,
            "PHONEBOT_MODEL_TOKEN": MODEL_KEY,
            "TWILIO_AUTH_TOKEN": TOKEN,
        }
        (tmp_path / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in settings.items()))
        (tmp_path / "numbers.toml").write_text('[default]\ngreeting = "Hi"\n')
        async with process("serve", "--port", port, PHONEBOT_PROFILES="numbers.toml") as running:
            webhook = await line_with(running, "voice webhook")
            assert webhook == "voice webhook: https://bot.example.com/twilio/voice"
            record = await dial(
                f"http://127.0.0.1:{port}/twilio/voice",
                Caller(WaitForBot(), HangUp()),
                auth_token=TOKEN,
                public_url="https://bot.example.com",
            )
            assert record.passed, record
            assert await stopped(running) == 0
    (folder,) = (tmp_path / "data" / "calls").iterdir()
    assert read(folder).header.outcome == "caller_hung_up"


@asynccontextmanager
async def serving_a_call(
    *steps: Step,
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str, asyncio.Task[CallRecord]]]:
    """`serve`, its origin, and a call in which the bot has been heard and these steps come next."""
    heard = asyncio.Event()

    def listen(event: Event) -> None:
        if event.kind == "bot starts":
            heard.set()

    async with leaving_nothing(), serve_model(minds=Clerk, ear=Ear()) as model:
        Path("numbers.toml").write_text('[default]\ngreeting = "Hi"\n')
        settings = {"PHONEBOT_MODEL_URL": model.url, "PHONEBOT_PROFILES": "numbers.toml"}
        async with process("serve", "--dev", "--port", "0", **settings) as running:
            webhook = (await line_with(running, "voice webhook: ")).removeprefix("voice webhook: ")
            call = asyncio.create_task(dial(webhook, Caller(WaitForBot(), *steps), on_event=listen))
            async with asyncio.timeout(PATIENCE_S):
                await heard.wait()
            yield running, webhook.removesuffix("/twilio/voice"), call


async def answer(method: str, url: str, **terms: Any) -> tuple[int, str]:
    async with aiohttp.ClientSession() as http, http.request(method, url, **terms) as response:
        return response.status, await response.text()


def outcome_on_disk(folder: Path) -> str | None:
    (log,) = (folder / "data" / "calls").iterdir()
    return read(log).header.outcome


async def test_serve_told_to_stop_takes_no_new_call_and_lets_those_in_progress_end(tmp_path: Path) -> None:
    async with serving_a_call(Pause(2_000), HangUp()) as (running, origin, call):
        running.send_signal(signal.SIGTERM)
        await line_with(running, "calls in progress: 1; they have 300 s to end")
        assert await answer("GET", f"{origin}/readyz") == (503, "draining")
        assert APOLOGY in (await answer("POST", f"{origin}/twilio/voice", data=form_of_call()))[1]
        with pytest.raises(InvalidStatus) as refusal:
            await connect(f"ws{origin.removeprefix('http')}/twilio/media")
        assert refusal.value.response.status_code == 503
        record = await call
        assert (record.passed, record.outcome) == (True, "caller hung up"), record
        async with asyncio.timeout(PATIENCE_S):
            await running.communicate()
        assert running.returncode == 0
    assert outcome_on_disk(tmp_path) == "caller_hung_up"


async def test_serve_told_to_stop_twice_ends_its_calls_and_keeps_them(tmp_path: Path) -> None:
    async with serving_a_call(WaitForHangUp()) as (running, _, call):
        running.send_signal(signal.SIGTERM)
        await line_with(running, "calls in progress: 1")
        assert await stopped(running) == 0
        record = await call
        assert [(stream.ended_by, stream.close_code) for stream in record.streams] == [("server", 1012)]
    assert outcome_on_disk(tmp_path) == "stream_lost"


async def test_serve_with_a_storage_elsewhere_moves_its_calls_there_and_ends_in_peace(
    tmp_path: Path, s3: S3Server
) -> None:
    storage = f"s3://{s3.bucket()}?region=us-east-1&endpoint={s3.endpoint}"
    settings = {
        "PHONEBOT_STORAGE_URL": storage, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"
    }  # fmt: skip
    async with leaving_nothing(), serve_model(minds=Clerk) as model:
        async with process("serve", "--dev", "--port", "0", PHONEBOT_MODEL_URL=model.url, **settings) as running:
            url = (await line_with(running, "voice webhook: ")).removeprefix("voice webhook: ")
            record = await dial(url, Caller(HangUp()))
            assert record.passed, record
            assert await stopped(running) == 0
        async with process("calls", "export", record.call_sid, "--out", "call", **settings) as exporting:
            await exporting.communicate()
            assert exporting.returncode == 0
    assert list((tmp_path / "data" / "calls").iterdir()) == []
    assert read(tmp_path / "call").header.outcome == "caller_hung_up"


@pytest.mark.parametrize(("settings", "name"), [({}, "embedded"), ({"PHONEBOT_MODEL": "ours"}, "ours")])
async def test_where_no_model_is_set_serve_says_so_and_calls_have_the_name_of_none_that_costs_anything(
    settings: dict[str, str], name: str, tmp_path: Path
) -> None:
    Path("numbers.toml").write_text('[default]\ngreeting = "Hi"\n')
    settings = {**settings, "PHONEBOT_PROFILES": "numbers.toml"}
    async with process("serve", "--dev", "--port", "0", **settings) as running:
        await line_with(running, "no model is set: the embedded one answers")
        url = (await line_with(running, "voice webhook: ")).removeprefix("voice webhook: ")
        record = await dial(url, Caller(WaitForBot(), HangUp()))
        assert record.passed, record
        assert await stopped(running) == 0
    (folder,) = (tmp_path / "data" / "calls").iterdir()
    log = read(folder)
    assert log.header.model == name
    assert log.plan.tariff.model is None


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_serve_in_development_takes_unsigned_calls_on_any_loopback_address() -> None:
    async with leaving_nothing(), serve_model(minds=Clerk) as model:
        arguments = ("serve", "--dev", "--host", "::1", "--port", "0")
        async with process(*arguments, PHONEBOT_MODEL_URL=model.url) as running:
            await line_with(running, "DEVELOPMENT MODE: no signature is checked")
            url = (await line_with(running, "voice webhook: http://[::1]:")).removeprefix("voice webhook: ")
            record = await dial(url, Caller(HangUp()))
            assert record.passed, record
            assert await stopped(running) == 0


# ---------------------------------------------------------------------------------- calibrate


def test_calibrate_refuses_what_is_no_oddity_and_oddities_of_a_carrier_that_is_not_ours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("calibrate", "--oddity", "weather") == 2
    assert "'weather' is no oddity; it must be one of start-buffer=N" in said(capsys)
    assert run("calibrate", "--listen", "--oddity", "hold") == 2
    assert "--oddity is for the emulated carrier" in said(capsys)


def test_calibrate_without_a_public_url_and_a_token_cannot_listen(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("calibrate", "--listen") == 2
    text = said(capsys)
    assert "PHONEBOT_PUBLIC_URL is missing" in text
    assert "TWILIO_AUTH_TOKEN is missing" in text
    assert "PHONEBOT_SECRET_KEY" not in text


async def test_calibrate_measures_the_first_call_and_writes_the_settings(tmp_path: Path) -> None:
    """Against the caller that `phonebot call --audio` would load, who says back what he hears."""
    with listening_socket() as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    settings = {"PHONEBOT_PUBLIC_URL": url, "PHONEBOT_PORT": str(port), "TWILIO_AUTH_TOKEN": TOKEN}
    (tmp_path / ".env").write_text("PHONEBOT_CARRIER_MARK_LAG_MS=99\nPHONEBOT_MODEL=any\n")
    (tmp_path / "echo.toml").write_text('[[steps]]\ndo = "say_back"\n')
    calibrating = await asyncio.create_subprocess_exec(
        *COMMAND,
        *("calibrate", "--listen", "--repeats", "1", "--json", "--write"),
        cwd=tmp_path,
        env=environment(**settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert calibrating.stderr is not None
        assert await calibrating.stderr.readline() == (
            f"point a number's voice webhook at {url}/twilio/voice, then call it\n".encode()
        )
        caller = load_caller(tmp_path / "echo.toml")
        record = await dial(f"{url}/twilio/voice", caller, auth_token=TOKEN)
        out, err = await calibrating.communicate()
    finally:
        if calibrating.returncode is None:
            calibrating.kill()
            await calibrating.wait()
    assert (calibrating.returncode, err) == (0, b"written to .env\n")
    assert (record.outcome, record.violations, record.failed_steps) == ("bot hung up", [], [])
    figures = json.loads(out)
    assert figures["loop"] is not None
    assert figures["short_frame"] == "pad"
    written = load({}, tmp_path / ".env")
    assert figures["settings"] == {
        "PHONEBOT_CARRIER_START_BUFFER_MS": written.carrier_start_buffer_ms,
        "PHONEBOT_CARRIER_MARK_LAG_MS": written.carrier_mark_lag_ms,
        "PHONEBOT_CARRIER_MARK_SPREAD_MS": written.carrier_mark_spread_ms,
    }
    assert written.model == "any"


def test_a_scenario_that_does_not_exist_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bench", "accuracy", "--only", "S99") == 2
    assert "'S99'" in capsys.readouterr().err
