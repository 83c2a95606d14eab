"""An answer that goes on until its parts end, its client has gone, or the service stops."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

EVENTS = "text/event-stream"
SEND_S = 30.0
"""A client that takes nothing for so long is given up."""

log = logging.getLogger(__name__)


class Streamed(Response):
    """
    `stopping` is set when the service stops, which does not wait for this.

    `parts` is closed in any case, and then `held`, what they are made of: also where nobody came to ask for the
    first part.
    """

    def __init__(
        self,
        parts: AsyncGenerator[bytes, None],
        media_type: str,
        stopping: asyncio.Event,
        held: AsyncExitStack | None = None,
    ) -> None:
        # nginx would collect the parts before it passes them on.
        headers = {"cache-control": "no-store", "x-accel-buffering": "no", "x-content-type-options": "nosniff"}
        super().__init__(headers=headers, media_type=media_type)
        del self.headers["content-length"]
        self._parts = parts
        self._stopping = stopping
        self._held = held or AsyncExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send_all(send), name="send parts of an answer")
        leaving = asyncio.create_task(_gone(receive), name="wait until the client has gone")
        stopping = asyncio.create_task(self._stopping.wait(), name="wait until the service stops")
        tasks = (sending, leaving, stopping)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            left = leaving.done()
        finally:
            for task in tasks:
                task.cancel()
            sent, *_ = await asyncio.gather(*tasks, return_exceptions=True)
            await self._held.aclose()
        if isinstance(sent, TimeoutError):
            log.info("a client that takes nothing of an answer is left")
            return
        if isinstance(sent, Exception):
            raise sent
        if not left:
            with suppress(TimeoutError):
                await _send_part(send, b"", more=False)

    async def _send_all(self, send: Send) -> None:
        async with aclosing(self._parts) as parts:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for part in parts:
                await _send_part(send, part)


async def _gone(receive: Receive) -> None:
    """Wait until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_part(send: Send, body: bytes, more: bool = True) -> None:
    """Send a part of an answer. Raises TimeoutError when the client does not take it within SEND_S."""
    async with asyncio.timeout(SEND_S):
        await send({"type": "http.response.body", "body": body, "more_body": more})
