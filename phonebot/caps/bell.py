"""
Tells of alarms: the service's log, a figure, and a signed request to the deployment's own URL, once a day for each.

    async with Bell(url, secret, client, store, counted) as bell:
        bell.ring(CapAlarm(...))

A request that is not taken is sent again for about an hour; what is not told when the process ends is in the log.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from phonebot.caps.watch import CapAlarm
from phonebot.errors import StoreError
from phonebot.store.spending import SpendingStore
from phonebot.tasks import Tasks
from phonebot.tools.client import HttpClient, Request
from phonebot.tools.http import signature_of
from phonebot.tools.running import ToolFault

log = logging.getLogger(__name__)

MAX_WAITING = 100
TIMEOUT_S = 10.0
WAITS_S = (10.0, 30.0, 60.0, 300.0, 600.0, 1_200.0, 1_200.0)
MAX_ANSWER_BYTES = 4_096


class Bell:
    """
    `url` None: no request is sent. `secret` signs it, as the request after a call is signed; None: nothing does.

    `counted` is told each alarm that this process is the first to raise.
    """

    def __init__(
        self,
        url: str | None,
        secret: str | None,
        client: HttpClient,
        store: SpendingStore | None,
        counted: Callable[[CapAlarm], object],
        waits_s: tuple[float, ...] = WAITS_S,
    ) -> None:
        self._url, self._secret, self._client, self._store = url, secret, client, store
        self._counted, self._waits_s = counted, waits_s
        self._tasks = Tasks()

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tasks.cancel()
        await self._client.__aexit__(kind, error, trace)

    def ring(self, alarm: CapAlarm) -> None:
        """Tell of it. Never waits."""
        log.log(logging.ERROR if alarm.level == "reached" else logging.WARNING, "%s", alarm)
        if len(self._tasks) >= MAX_WAITING:
            return
        self._tasks.begin(self._tell(alarm), f"tell of {alarm.name}")

    async def told(self) -> None:
        """Wait until each alarm so far was told, or given up."""
        await self._tasks.finish()

    async def _tell(self, alarm: CapAlarm) -> None:
        if self._store:
            with suppress(StoreError):  # while it is away, rather twice than not at all
                if not await self._store.claim(alarm.day, alarm.name):
                    return
        self._counted(alarm)
        if self._url is None:
            return
        body = body_of(alarm)
        for wait_s in (*self._waits_s, None):
            problem = await self._send(self._url, body)
            if problem is None:
                return
            log.warning("the alarm %s was not taken: %s", alarm.name, problem)
            if wait_s is not None:
                await asyncio.sleep(wait_s)

    async def _send(self, url: str, body: bytes) -> str | None:
        """None: it was taken; else why not."""
        headers = {"Content-Type": "application/json"}
        if self._secret:
            headers |= signature_of(self._secret, body, time.time())
        try:
            answer = await self._client.exchange(Request("POST", url, headers, body, TIMEOUT_S, MAX_ANSWER_BYTES))
        except ToolFault as fault:
            return fault.detail
        return None if 200 <= answer.status < 300 else f"status {answer.status}"


def body_of(alarm: CapAlarm) -> bytes:
    """What the request says, as JSON."""
    told = {
        "type": "spending_cap",
        "cap": alarm.cap,
        "level": alarm.level,
        "number": alarm.number,
        "day": alarm.day.isoformat(),
        "spent_usd": round(alarm.spent_usd, 6),
        "most_usd": alarm.most_usd,
        "text": f"{str(alarm)[0].upper()}{str(alarm)[1:]}.",
    }
    return json.dumps(told).encode()
