"""Runs functions that block, beside the event loop."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

MAX_THREADS = 64


class Threads:
    """
    At most so many threads, one for each function that runs.

    They are daemons, which the standard library's pools have not: a function that never returns would keep the
    process from ending. Nobody can stop one: who waits no longer leaves it to itself, and it still counts.
    """

    def __init__(self, limit: int = MAX_THREADS) -> None:
        self._free = asyncio.Semaphore(limit)

    async def run(self, function: Callable[[], Any]) -> Any:
        """What the function returns or raises, once one of the threads is free."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()

        def deliver(result: Any, error: BaseException | None) -> None:
            self._free.release()
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        def work() -> None:
            result: Any = None
            raised: BaseException | None = None
            try:
                result = context.run(function)
            except StopIteration as error:  # which no future takes
                raised = RuntimeError(f"StopIteration: {error}")
            except BaseException as error:
                raised = error
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(deliver, result, raised)

        threading.Thread(target=work, name="phonebot-tool", daemon=True).start()
        return await future
