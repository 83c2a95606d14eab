"""
A bot with a whole emulated account before it, a hundred times as fast as real time, asked by Twilio's own library.

    async def test_...(scene: Scene) -> None:
        scene.bot.answers["/voice"] = "<Response>...</Response>"
        record = await scene.call(Pause(ms=1000))
        await scene.ask(lambda client: client.calls(record.call_sid).fetch())
"""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from answering_server import Bot, serving
from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped]  # ships no types
from twilio.rest import Client  # type: ignore[import-untyped]

from phonebot.simulator.caller import Caller, Step
from phonebot.simulator.record import CallRecord
from phonebot.simulator.switchboard import ACCOUNT_SID, AUTH_TOKEN, Switchboard

CALLER, LINE, COLLEAGUE = "+15550100001", "+15550100002", "+15550100009"


@dataclass
class Scene:
    """`bot` answers calls to LINE at /voice and is told their end at /status."""

    bot: Bot
    carrier: Switchboard

    def url(self, path: str) -> str:
        return f"{self.bot.origin}{path}"

    def begin(self, *steps: Step, **terms: Any) -> "asyncio.Task[CallRecord]":
        """Somebody calls, beside the test."""
        return self.carrier.leave(Caller(*steps), to_number=LINE, **terms)

    async def call(self, *steps: Step, **terms: Any) -> CallRecord:
        """Somebody calls; back when all is over."""
        record = await self.begin(*steps, **terms)
        await self.carrier.settled()
        return record

    async def ask(self, request: Callable[[Any], Any]) -> Any:
        """What Twilio's library makes of the answer; it blocks, so it has a thread."""
        client = Client(ACCOUNT_SID, AUTH_TOKEN)
        client.api.base_url = self.carrier.url
        try:
            return await asyncio.to_thread(request, client)
        finally:
            client.http_client.session.close()  # the library leaves it to the collector

    async def refusal(self, request: Callable[[Any], Any]) -> tuple[int, int]:
        with pytest.raises(TwilioRestException) as caught:
            await self.ask(request)
        return caught.value.status, caught.value.code

    async def place(self, to: str = COLLEAGUE, **parameters: Any) -> str:
        """Have the account call somebody; return the CallSid."""
        terms = {"to": to, "from_": LINE} | parameters
        if not {"url", "twiml"} & terms.keys():
            terms["url"] = self.url("/outbound")
        created = await self.ask(lambda client: client.calls.create(**terms))
        return str(created.sid)

    async def update(self, sid: str, **parameters: Any) -> Any:
        return await self.ask(lambda client: client.calls(sid).update(**parameters))

    def http(self) -> aiohttp.ClientSession:
        """A client with the account's credentials."""
        credentials = b64encode(f"{ACCOUNT_SID}:{AUTH_TOKEN}".encode()).decode()
        return aiohttp.ClientSession(headers={"Authorization": f"Basic {credentials}"})

    @asynccontextmanager
    async def fetch(self, url: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """A file of the account's."""
        async with self.http() as http, http.get(url) as response:
            yield response


@asynccontextmanager
async def staged(**terms: Any) -> AsyncIterator[Scene]:
    async with serving(Bot()) as bot, Switchboard.open(**({"speed": 100} | terms)) as carrier:
        carrier.add_number(LINE, VoiceUrl=f"{bot.origin}/voice", StatusCallback=f"{bot.origin}/status")
        bot.answers["/status"] = bot.answers["/events"] = "<Response/>"
        yield Scene(bot, carrier)
