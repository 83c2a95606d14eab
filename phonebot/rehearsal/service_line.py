"""
A call to the whole service over sockets, from one line of a test to the next.

    caller, carrier emulator -> service (uvicorn, loopback) -> embedded model

All of it runs in a thread of its own, in real time; a test waits for it.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, TypeVar

from phonebot.call.actions import Action, Ended
from phonebot.call.inputs import Input
from phonebot.carrier.messages import Start
from phonebot.rehearsal.builtins import builtins
from phonebot.rehearsal.line import Dialled
from phonebot.replay.reader import Step as Happening
from phonebot.serving import listen, running
from phonebot.settings import load
from phonebot.simulator.caller import HangUp, PromptedCaller
from phonebot.simulator.phone import dial
from phonebot.simulator.record import CallRecord
from phonebot.simulator.server import serve
from phonebot.tools.workshop import Workshop
from phonebot.web.app import create_app

POLL_S = 0.01
SLACK_MS = 2_000  # a machine is not always as fast as time
STOP_S = 30.0
T = TypeVar("T")


class _Journal:
    """Takes down what happens to the call."""

    def __init__(self, happened: list[Happening]) -> None:
        self._happened = happened

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        self._happened.append(Happening(now, received, tuple(actions)))

    passed_on = happened


class ServiceLine:
    """A `Line` to a service of its own, which `close` stops."""

    def __init__(self, dialled: Dialled) -> None:
        self.caller = PromptedCaller()
        self.happened: list[Happening] = []
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="phonebot-service-line", daemon=True)
        self._thread.start()
        self._resources = AsyncExitStack()
        self._folder = TemporaryDirectory(prefix="phonebot-rehearsal-")
        self._call: asyncio.Task[CallRecord] = self._run(self._dial(dialled))

    @property
    def over(self) -> bool:
        ended = self.happened and any(isinstance(action, Ended) for action in self.happened[-1].actions)
        return self._call.done() or bool(ended and self.caller.gone)

    def wait(self, is_so: Callable[[], bool], within_ms: float) -> bool:
        until_s = time.monotonic() + (within_ms + SLACK_MS) / 1000
        while not is_so():
            if self.over or time.monotonic() > until_s:
                return is_so()
            time.sleep(POLL_S)
        return True

    def close(self) -> list[str]:
        if not self.over:
            self.caller.do(HangUp())
        try:
            record = self._run(asyncio.wait_for(self._call, STOP_S))
        finally:
            self._run(self._resources.aclose())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(STOP_S)
            self._loop.close()
            self._folder.cleanup()
        failed = [record.reason or "the call failed"] if record.outcome == "failed" else []
        return failed + [str(violation) for violation in record.violations]

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(STOP_S)

    async def _dial(self, dialled: Dialled) -> asyncio.Task[CallRecord]:
        model = await self._resources.enter_async_context(serve(minds=dialled.mind, ear=dialled.ear))
        listener = listen("127.0.0.1", 0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        token = secrets.token_hex(16)
        settings = load(
            {
                "PHONEBOT_PUBLIC_URL": url,
                "PHONEBOT_MODEL_URL": model.url,
                "PHONEBOT_SECRET_KEY": secrets.token_hex(16),
                "PHONEBOT_DATA_DIR": str(Path(self._folder.name)),
                "TWILIO_AUTH_TOKEN": token,
            },
            env_file=None,
        )

        def watch(start: Start) -> _Journal:
            return _Journal(self.happened)

        workshop = Workshop(dialled.functions, guardrails=dialled.guardrails, builtins=builtins())
        app = create_app(settings, dialled.numbers, watch=(watch,), workshop=workshop)
        await self._resources.enter_async_context(running(app, listener))
        return asyncio.create_task(
            dial(
                f"{url}/twilio/voice",
                self.caller,
                from_number=dialled.caller,
                to_number=dialled.number,
                auth_token=token,
                on_event=dialled.ear.note,
            )
        )
