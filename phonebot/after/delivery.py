"""
Tells of a call or of a message, once: a signed request, and what the answer means.

    X-Phonebot-Delivery: 1b4e28ba-...     the same in each attempt: who has taken it ignores it the next time
    X-Phonebot-Attempt: 1
    X-Phonebot-Timestamp, X-Phonebot-Signature     see tools/http.py
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from phonebot.after.payload import body_of, message_body
from phonebot.agents.after_call import AfterCall
from phonebot.agents.destination import Destination
from phonebot.store.tables import AfterRow, CallRow, MessageRow
from phonebot.tools.client import HttpClient, Request
from phonebot.tools.http import headers_of, signature_of
from phonebot.tools.running import ToolFault

FIRST_RETRY_S, LONGEST_RETRY_S = 10.0, 3600.0
JITTER = 0.2  # of the wait, up or down: calls that ended together must not come back together
MAX_ANSWER_BYTES = 4_096  # nobody reads it but whoever looks for why it was refused
MAX_QUOTE = 200

Result: TypeAlias = Literal["delivered", "failed", "refused"]
"""It was taken; it was not, and may be later; it is not wanted any more (410)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt; `problem` is a sentence for people, "" when it was taken."""

    result: Result
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Links:
    """Make URLs: of a call's page, of its recording, for so many days, and of a message's page."""

    page: Callable[[str], str]
    recording: Callable[[str, int], str]
    message: Callable[[str], str]


class Courier:
    """`secrets` by the names that profiles call them by; `unix_s` is the clock of signatures."""

    def __init__(
        self,
        client: HttpClient,
        secrets: Mapping[str, str],
        links: Links,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        self._client, self._secrets, self._links, self._unix_s = client, secrets, links, unix_s

    async def deliver(self, call: CallRow, after: AfterRow, wish: AfterCall, attempt: int) -> Outcome:
        """Within the wish's time-out. Raises nothing that comes from outside."""
        days = wish.recording_link_days
        linked = call.has_audio and call.storage_key is not None and days > 0
        body = body_of(
            call,
            after,
            page_url=self._links.page(call.call_sid),
            recording_url=self._links.recording(call.call_sid, days) if linked else None,
        )
        return await self._send(wish, body, call.call_sid, after.delivery_id, attempt)

    async def deliver_message(self, message: MessageRow, after: AfterRow, to: Destination, attempt: int) -> Outcome:
        """The same of a message."""
        body = message_body(message, page_url=self._links.message(message.message_id))
        return await self._send(to, body, message.call_sid, after.delivery_id, attempt)

    async def _send(self, to: Destination, body: bytes, call_sid: str, delivery_id: str, attempt: int) -> Outcome:
        if missing := sorted(to.secrets - self._secrets.keys()):
            return Outcome("failed", f"PHONEBOT_SECRET_{missing[0]} is not set where phonebot runs")
        headers = {
            **headers_of(to.headers, self._secrets),
            "Content-Type": "application/json",
            "X-Phonebot-Call": call_sid,
            "X-Phonebot-Delivery": delivery_id,
            "X-Phonebot-Attempt": str(attempt),
        }
        if to.sign_with:
            headers |= signature_of(self._secrets[to.sign_with], body, self._unix_s())
        request = Request("POST", to.url, headers, body, to.timeout_s, MAX_ANSWER_BYTES)
        try:
            answer = await self._client.exchange(request)
        except ToolFault as fault:
            return Outcome("failed", fault.detail)
        if 200 <= answer.status < 300:
            return Outcome("delivered")
        problem = f"status {answer.status}"
        if 300 <= answer.status < 400:
            problem += ": redirects are not followed; correct the URL"
        elif answer.text:
            problem += f": {' '.join(answer.text.split())[:MAX_QUOTE]}"
        return Outcome("refused" if answer.status == 410 else "failed", problem)


def retry_s(attempt: int, chance: Callable[[], float] = random.random) -> float:
    """How long to wait after an attempt, from the first on: 10 s, doubling up to an hour, give or take a fifth."""
    wait_s: float = min(FIRST_RETRY_S * 2 ** min(attempt - 1, 30), LONGEST_RETRY_S)
    return wait_s * (1 - JITTER + 2 * JITTER * chance())
