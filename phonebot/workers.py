"""
Several processes on one listening socket, and a supervisor that replaces one that dies.

    code = await Workers(settings, listener, 4).run()

Each worker is a whole service and takes its share of the connections. A call stays with the worker that took its
stream; when that one dies, the carrier asks another one how to go on, which takes the call up (transfers/after.py).
So that each can be asked on its own whether it is ready, and for its figures, worker n answers on the loopback
address, too, at the port behind the service's by n.
"""

import asyncio
import logging
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.process import BaseProcess

import uvloop

from phonebot.deployment import secrets_of, workshop_for
from phonebot.discretion import set_up_logging
from phonebot.errors import PhonebotError, ProfileError, SettingsError
from phonebot.hooks.registry import load_hooks
from phonebot.serving import STOP_SIGNALS, listen, opened_store, serve_until_signalled, stored_profiles
from phonebot.settings import Settings
from phonebot.traces.setting_up import tracing_of
from phonebot.web.app import create_app

SHORTEST_S, LONGEST_S = 1.0, 30.0
"""How long it takes until a worker that has died is replaced: twice as long each time."""
LASTING_S = 60.0
"""One that has run so long has not died of its start: the next one is there at once."""
SET_UP_WRONGLY = 2

log = logging.getLogger(__name__)


class Workers:
    """`count` workers of a service whose settings are complete, behind `listener`."""

    def __init__(self, settings: Settings, listener: socket.socket, count: int) -> None:
        self._settings, self._listener, self._count = settings, listener, count
        # Spawned: what a fork would copy, such as an event loop and its threads, is of no use in another process.
        self._context = multiprocessing.get_context("spawn")
        self._running: dict[int, BaseProcess] = {}
        self._stopping = asyncio.Event()
        self._code = 0

    async def run(self) -> int:
        """
        Run them until SIGINT or SIGTERM comes, which they are told of; a second one ends their calls. Call it from
        the main thread. What comes back is 0, or the exit code of a worker that can't be started by these settings.
        """
        loop = asyncio.get_running_loop()
        for each in STOP_SIGNALS:
            loop.add_signal_handler(each, self._stop)
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(1, self._count + 1):
                    group.create_task(self._keep(number))
        finally:
            for each in STOP_SIGNALS:
                loop.remove_signal_handler(each)
        return self._code

    def _stop(self) -> None:
        self._stopping.set()
        for worker in self._running.values():
            if worker.is_alive():
                worker.terminate()

    async def _keep(self, number: int) -> None:
        """Run a worker of this number, one after another."""
        loop, wait_s = asyncio.get_running_loop(), 0.0
        while not self._stopping.is_set():
            began_s = loop.time()
            code = await self._run(number)
            if self._stopping.is_set():
                return
            if code == SET_UP_WRONGLY:
                self._code = code
                self._stop()
                return
            lasted = loop.time() - began_s >= LASTING_S
            wait_s = 0.0 if lasted else min(max(wait_s * 2, SHORTEST_S), LONGEST_S)
            log.error("worker %d has ended with %s: another one begins in %g s", number, _told(code), wait_s)
            try:
                async with asyncio.timeout(wait_s):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    async def _run(self, number: int) -> int:
        """Run a worker to its end; its exit code."""
        worker = self._context.Process(
            target=work, args=(self._settings, self._listener, number), name=f"worker {number}"
        )
        worker.start()
        self._running[number] = worker
        log.info("worker %d is process %d", number, worker.pid)
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_reader(worker.sentinel, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(worker.sentinel)
            del self._running[number]
        worker.join()
        assert worker.exitcode is not None, "it has ended"
        return worker.exitcode


def _told(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


# ---------------------------------------------------------------------------------- in the worker's process


def work(settings: Settings, listener: socket.socket, number: int) -> None:
    """The life of a worker. A terminal's Ctrl-C reaches it, too, but it is the supervisor who decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_up_logging(settings.log_level, secrets_of(settings), settings.log_personal_data, form=settings.log_format)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, listener, number))
    except (SettingsError, ProfileError) as error:
        log.error("worker %d: %s", number, error)
        sys.exit(SET_UP_WRONGLY)
    except PhonebotError as error:
        log.error("worker %d: %s", number, error)
        sys.exit(1)


async def _serve(settings: Settings, listener: socket.socket, number: int) -> None:
    workshop, hooks = workshop_for(settings), load_hooks(settings.hooks)
    own = listen("127.0.0.1", settings.port + number if settings.port else 0)
    async with (
        tracing_of(os.environ) as traces,
        opened_store(settings) as store,
        stored_profiles(settings, store, workshop.known) as profiles,
        _not_outliving_its_supervisor(),
    ):
        app = create_app(settings, profiles, store=store, workshop=workshop, hooks=hooks, traces=traces)
        log.info("worker %d alone answers at http://127.0.0.1:%d", number, own.getsockname()[1])
        await serve_until_signalled(app, listener, settings.drain_s, own=own, signals=(signal.SIGTERM,))


@asynccontextmanager
async def _not_outliving_its_supervisor() -> AsyncIterator[None]:
    """Should the supervisor be killed, nobody would replace this process or stop it: it stops by itself."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a supervisor"
    loop, sentinel = asyncio.get_running_loop(), parent.sentinel

    def stop() -> None:
        loop.remove_reader(sentinel)
        log.error("the supervisor is gone: this worker stops")
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(sentinel, stop)
    try:
        yield
    finally:
        loop.remove_reader(sentinel)
