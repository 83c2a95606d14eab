"""What tests of functions in whole calls look at, and a server for those that are requests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from service_driver import SHORT_ANSWER, Witness

from phonebot.call.call import Call as Core
from phonebot.replay.reader import CallLog, agrees
from phonebot.simulator.mind import Call, Context
from phonebot.simulator.mind import Say as Speak


class Waiter:
    """A mind that calls functions at the first utterance, and says what comes of them."""

    def __init__(self, *calls: Call) -> None:
        self._calls = calls
        self._called = False

    def answer(self, context: Context) -> tuple[Speak | Call, ...]:
        newest = context.history[-1] if context.history else None
        if context.heard is None and newest and newest.role == "tool":
            return (Speak(f"Told {newest.text[:30]}"),)
        if context.heard is None and newest and newest.role == "system":  # the caller has agreed
            return self._calls
        if self._called:
            return (Speak(SHORT_ANSWER),)
        self._called = True
        return self._calls


def bot_lines(witness: Witness) -> list[str]:
    assert witness.session is not None
    return [line.text for line in witness.session.lines if line.role == "assistant"]


def check_replay(log: CallLog) -> None:
    """Fed to a new Call, what is on disk makes it do the same again, to its end."""
    core = Core(log.plan)
    for step in log.steps:
        actions = core.receive(step.input, step.now_ms)
        assert all(agrees(kept, action) for kept, action in zip(step.actions, actions, strict=True))
    assert core.ended


@asynccontextmanager
async def shop(handler: Any) -> AsyncIterator[str]:
    """A server on this machine; yields its URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
