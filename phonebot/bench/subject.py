"""
The server under test, in a process and on a core of its own.

    async with running(Subject("phonebot"), model_url, core=0) as server:
        ...  # calls to server.url; server.cpu_s(), server.memory_mb()

What it uses is read from outside (processes.py). The process is this module run by itself, see `main`; only a
subject with workers is the service as it is run in earnest (service.py).
"""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeAlias

import aiohttp
import msgspec
import uvloop
from starlette.types import ASGIApp

from phonebot.agents.guardrails import Guardrail
from phonebot.agents.numbers import Numbers
from phonebot.agents.profile import Profile
from phonebot.bench.processes import cpu_s, family, resident_mb
from phonebot.bench.reaction import PATH, Answers, Reacted, Reactions
from phonebot.bench.relay import create_relay
from phonebot.bench.scenario import TABOO
from phonebot.bench.service import service
from phonebot.call.actions import Action
from phonebot.call.inputs import Input
from phonebot.call.plan import CallPlan
from phonebot.errors import PhonebotError
from phonebot.replay.log import About
from phonebot.replay.recorder import Recorder, Writer
from phonebot.serving import listen, server_for
from phonebot.settings import load
from phonebot.web.app import create_app

Kind: TypeAlias = Literal["relay", "picows", "phonebot"]

BACKLOG = 1024
START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 15.0
SHOWN_CHARACTERS = 2_000  # of what a server that failed wrote
SERVED_PROFILE = "[default]\n"


class Subject(msgspec.Struct, frozen=True):
    """
    Which server. The rest is phonebot's: whether it keeps logs, what it says first, what the model is told.

    `keeps_greeting`: later callers are greeted with what the model said to the first.
    `prompt` may hold `{caller}`, so that a model can tell the calls apart; None: the built-in one. With `timed` the
    process measures its own reactions too (reaction.py). `guarded`: a guardrail stops the bot when it says TABOO.
    `workers`: it is `phonebot serve` with so many, wherever the system places them, and with a database; none of
    the fields between can be had with it. 0: one process with nothing of that.
    """

    kind: Kind
    log: bool = True
    greeting: str | None = None
    keeps_greeting: bool = False
    prompt: str | None = None
    timed: bool = False
    guarded: bool = False
    workers: int = 0

    @property
    def name(self) -> str:
        if self.workers:
            return f"{self.workers} workers" if self.workers > 1 else "1 worker"
        return self.kind if self.log else "without log"


class _Order(msgspec.Struct):
    """What the process is told on its command line. `core` None: the system places it."""

    subject: Subject
    model_url: str
    url: str
    data_dir: str
    socket: int
    core: int | None


class RunningServer:
    """A server under test that takes calls at `url`, with all the processes that it has."""

    def __init__(self, url: str, process: Process) -> None:
        self.url = url
        self._process = process

    def cpu_s(self) -> float:
        """CPU time it has used, in all its threads, user and system."""
        return sum(self.cpu_s_each())

    def cpu_s_each(self) -> tuple[float, ...]:
        """The same by its processes, the oldest one first."""
        return tuple(cpu_s(pid) for pid in self._pids())

    def memory_mb(self) -> float:
        """Memory it holds (resident set)."""
        return sum(resident_mb(pid) for pid in self._pids())

    async def ready(self) -> None:
        """Wait until it has answered a request, whatever the answer. Raises PhonebotError when it does not."""
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=START_TIMEOUT_S)) as http,
                http.get(f"{self.url}/healthz"),
            ):
                pass
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            raise PhonebotError(
                f"the server under test does not answer: {error or type(error).__name__}"
            ) from error

    async def reactions(self) -> Reacted:
        """What it has measured of itself since the last time; only of a `timed` subject."""
        async with aiohttp.ClientSession() as http, http.get(self.url + PATH) as answer:
            return msgspec.json.decode(await answer.read(), type=Reacted)

    async def freeze(self, ms: float) -> None:
        """Let the process stand still for so long: what arrives waits in its sockets."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(ms / 1000)
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _pids(self) -> tuple[int, ...]:
        pids = family(self._process.pid)
        if not pids:
            raise PhonebotError("the server under test has ended")
        return pids


@asynccontextmanager
async def running(subject: Subject, model_url: str, core: int | None) -> AsyncIterator[RunningServer]:
    """
    The server runs during the block. Raises PhonebotError when it ends by itself, with what it wrote.

    It takes calls from the start: they wait in the socket's queue until it is ready.
    """
    if subject.workers:
        async with service(model_url, SERVED_PROFILE, workers=subject.workers) as whole:
            yield RunningServer(whole.url, whole.process)
        return
    with TemporaryDirectory(prefix="phonebot-bench-") as data_dir, listen("127.0.0.1", 0) as listener:
        listener.listen(BACKLOG)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        order = _Order(subject, model_url, url, data_dir, listener.fileno(), core)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            __name__,
            msgspec.json.encode(order).decode(),
            pass_fds=[order.socket],
            stdin=PIPE,
            stderr=PIPE,
        )
        listener.close()
        assert process.stdin is not None, "a pipe was asked for"
        assert process.stderr is not None, "a pipe was asked for"
        written = asyncio.create_task(process.stderr.read())
        try:
            yield RunningServer(url, process)
        finally:
            process.stdin.close()
            code = await _end_of(process)
            said = (await written).decode(errors="replace").strip()
            if code != 0:
                raise PhonebotError(f"the server under test ended with code {code}: {said[-SHOWN_CHARACTERS:]}")


async def _end_of(process: Process) -> int:
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            return await process.wait()
    except TimeoutError:
        process.kill()
        return await process.wait()


# ------------------------------------------------------------------------------- in the process under test


def main(order_json: str) -> None:
    """Serve until standard input ends, which it also does when the load is killed."""
    order = msgspec.json.decode(order_json, type=_Order)
    if order.core is not None:
        os.sched_setaffinity(0, {order.core})
    listener = socket.socket(fileno=order.socket)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(_app(order), listener, **_server_options(order.subject)))


def _server_options(subject: Subject) -> dict[str, Any]:
    """How it is served otherwise than phonebot: the relay by the quickest of uvicorn's own implementations."""
    return {"ws": "websockets-sansio"} if subject.kind == "relay" else {}


async def _serve(app: ASGIApp, listener: socket.socket, **options: Any) -> None:
    server = server_for(app, **options)
    server.stop_on_signals()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_reader(sys.stdin)
        server.should_exit = True

    loop.add_reader(sys.stdin, stop)
    await server.serve(sockets=[listener])


class _NoWriter(Writer):
    """Keeps no logs: what the others cost can be told from what is left."""

    def __init__(self) -> None:
        super().__init__(Path(os.devnull))

    def recorder(self, about: About, audio: bool = True, from_start: bool = True) -> Recorder:
        return _NoRecorder()


class _NoRecorder(Recorder):
    def __init__(self) -> None:
        """There is nothing to set up."""

    def plan(self, plan: CallPlan) -> None:
        """Is not kept."""

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        """Is not kept."""

    def close(self, outcome: str) -> None:
        """There is nothing to finish."""


def _app(order: _Order) -> ASGIApp:
    if order.subject.kind == "relay":
        return create_relay(order.model_url, order.url)
    if order.subject.kind == "picows":
        from phonebot.bench.picows_relay import create_picows_relay  # what it needs is optional

        return create_picows_relay(order.model_url, order.url)
    # Without an auth token no signature is checked: two requests of a call would pay for it, and no frame.
    settings = load(
        {
            "PHONEBOT_PUBLIC_URL": order.url,
            "PHONEBOT_MODEL_URL": order.model_url,
            "PHONEBOT_DATA_DIR": order.data_dir,
        },
        env_file=None,
    )
    profile = Profile(greeting=order.subject.greeting, greeting_cache=order.subject.keeps_greeting)
    if order.subject.prompt is not None:
        profile = profile.model_copy(update={"prompt": order.subject.prompt})
    if order.subject.guarded:
        # The delta that holds the words always completes a step.
        taboo = Guardrail(name="taboo", words=[TABOO.strip()], debounce_characters=10)
        profile = profile.model_copy(update={"guardrails": [taboo]})
    answers = Answers()
    watch, writer = (answers.watch,) if order.subject.timed else (), None if order.subject.log else _NoWriter()
    app = create_app(settings, Numbers.single(profile), watch, writer=writer)
    return Reactions(app, answers) if order.subject.timed else app


if __name__ == "__main__":
    main(sys.argv[1])
