"""Callbacks that belong to no leg: of conferences, and of recordings, which outlive their call."""

import asyncio
import time

from phonebot.simulator.record import Exchange
from phonebot.simulator.signing import Fields, Route
from phonebot.simulator.webhook import Webhook, open_session


class Notices:
    """
    Tells callbacks beside the calls; `told` are those that were.

    What goes by one lane arrives in the order in which it was told.
    """

    def __init__(self, route: Route, auth_token: str | None) -> None:
        self.told: list[Exchange] = []
        self._http = open_session()
        zero_s = time.monotonic()
        self._webhook = Webhook(self._http, route, auth_token, lambda: (time.monotonic() - zero_s) * 1000)
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: dict[str, asyncio.Task[None]] = {}

    def tell(self, lane: str, purpose: str, method: str, url: str, fields: Fields) -> None:
        before = self._last.get(lane)

        async def tell() -> None:
            if before is not None:
                await asyncio.wait([before])
            self.told.append(await self._webhook.request(purpose, method, url, fields))

        task = self._last[lane] = asyncio.create_task(tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def delivered(self) -> None:
        """Until all that were told have arrived, or could not."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.close()
