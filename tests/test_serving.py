"""The app in an event loop: an address that is ours, and an end whatever happens."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from service_driver import PATIENCE_S, environment, leaving_nothing, listening_socket, until
from starlette.applications import Starlette

from phonebot import serving
from phonebot.errors import SettingsError
from phonebot.serving import DRAIN_S, STOP_SIGNALS, listen, running, serve_until_signalled
from phonebot.web import draining
from phonebot.web.board import Board
from phonebot.web.draining import Draining
from phonebot.web.feed import Feed
from phonebot.web.held import HeldCalls
from phonebot.web.live import LiveCalls


def test_a_listener_may_be_dialled_at_once() -> None:
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname(), timeout=10):
        pass


@pytest.mark.parametrize(
    ("host", "problem"),
    [("192.0.2.1", "Cannot assign requested address"), ("no.such.host.invalid", "")],
)
def test_an_address_that_is_not_this_machines_is_refused_in_a_sentence(host: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=rf"cannot listen on {host}, port 0: .*{problem}; choose another"):
        listen(host, 0)


def test_an_address_that_is_taken_is_refused_in_a_sentence() -> None:
    with listening_socket() as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1, port {port}"):
            listen("127.0.0.1", port)


STARTED = """
import asyncio, sys
from starlette.applications import Starlette
from phonebot.serving import listen, running

async def start():
    before = "numpy" in sys.modules
    async with running(Starlette(), listen("127.0.0.1", 0)):
        print(before, "numpy" in sys.modules)

asyncio.run(start())
"""


def test_what_transcodes_is_loaded_by_the_time_a_service_takes_calls() -> None:
    process = subprocess.run(
        [sys.executable, "-c", STARTED], env=environment(), capture_output=True, text=True, timeout=60, check=True
    )
    assert process.stdout.split() == ["False", "True"]


class Calls:
    """An app that is served until a signal comes, and calls that only hold their place."""

    def __init__(self, drain_s: float = DRAIN_S) -> None:
        app = Starlette()
        self.live, held = LiveCalls(), HeldCalls()
        app.state.draining = Draining(self.live, held, Board(Feed(), held))
        self.serving = asyncio.create_task(serve_until_signalled(app, listen("127.0.0.1", 0), drain_s))

    async def begin(self) -> asyncio.Task[None]:
        """A call that lasts until it is cancelled."""
        call = asyncio.create_task(self._hold())
        await until(lambda: len(self.live))
        return call

    async def _hold(self) -> None:
        with self.live.holding():
            await asyncio.Event().wait()

    async def signalled(self, number: signal.Signals) -> None:
        """The process gets the signal; the service has taken note of the first one."""
        os.kill(os.getpid(), number)
        await until(lambda: self.live.draining)

    async def stopped(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.serving


@pytest.fixture
async def calls() -> AsyncIterator[Calls]:
    async with leaving_nothing():
        calls = Calls()
        # From here on the signals are the service's.
        await until(lambda: signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL)
        yield calls
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("number", STOP_SIGNALS)
async def test_a_service_without_calls_stops_at_the_first_signal(calls: Calls, number: signal.Signals) -> None:
    await calls.signalled(number)
    await calls.stopped()


async def test_a_service_that_is_told_to_stop_waits_for_its_calls(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "AFTER_S", 0.05)
    call = await calls.begin()
    await calls.signalled(signal.SIGTERM)
    assert not calls.serving.done()
    call.cancel()
    await calls.stopped()


async def test_a_service_does_not_wait_for_its_calls_for_ever(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "AFTER_S", 0.05)
    monkeypatch.setattr(draining, "ENDS_S", 0.05)
    async with leaving_nothing():
        calls = Calls(drain_s=0.05)
        await until(lambda: signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL)
        call = await calls.begin()
        await calls.signalled(signal.SIGTERM)
        await calls.stopped()
        assert "calls cut off: 1" in caplog.text
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)


async def test_a_service_waits_no_longer_after_a_second_signal(calls: Calls) -> None:
    call = await calls.begin()
    await calls.signalled(signal.SIGTERM)
    await calls.signalled(signal.SIGINT)
    await calls.stopped()
    assert len(calls.live) == 1
    call.cancel()


async def test_an_app_stops_when_the_block_fails() -> None:
    async with leaving_nothing():
        with pytest.raises(KeyError):
            async with running(Starlette(), listen("127.0.0.1", 0)):
                raise KeyError
