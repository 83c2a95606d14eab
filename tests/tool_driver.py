"""What tests of functions in whole calls look at, and a server for those that are requests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from service_driver import Witness

from phonebot.call.call import Call as Core
from phonebot.replay.reader import CallLog, agrees


def bot_lines(witness: Witness) -> list[str]:
    assert witness.session is not None
    return [line.text for line in witness.session.lines if line.role == "assistant"]


def check_replay(log: CallLog) -> None:
    core = Core(log.plan)
    for step in log.steps:
        actions = core.receive(step.input, step.now_ms)
        assert all(agrees(kept, action) for kept, action in zip(step.actions, actions, strict=True))


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
