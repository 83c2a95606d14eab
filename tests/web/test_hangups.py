"""Whether a call that the bot has ended is over for the carrier: told, asked, ended."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from switchboard_driver import COLLEAGUE, Scene, staged

from phonebot.carrier.account import CarrierAccount
from phonebot.simulator.callees import Human
from phonebot.simulator.switchboard import ACCOUNT_SID, AUTH_TOKEN
from phonebot.web.callbacks import Statuses
from phonebot.web.hangups import HangUps


class Watch:
    """Calls that the bot has ended, and how often it was known how that they are over."""

    def __init__(self, account: CarrierAccount | None, verify_s: float) -> None:
        self.statuses, self.known = Statuses(), Counter[str]()
        self.counted = asyncio.Event()
        self.hang_ups = HangUps(self.statuses, account, self._count, verify_s)

    def _count(self, known: str) -> None:
        self.known[known] += 1
        self.counted.set()

    async def result(self) -> dict[str, int]:
        async with asyncio.timeout(15):
            await self.counted.wait()
        return dict(self.known)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with staged() as scene:
        scene.bot.answers["/outbound"] = '<Response><Pause length="3600"/></Response>'
        scene.carrier.callees[COLLEAGUE] = Human()
        yield scene


@asynccontextmanager
async def watching(scene: Scene, token: str = AUTH_TOKEN, verify_s: float = 0.05) -> AsyncIterator[Watch]:
    async with CarrierAccount(ACCOUNT_SID, token, scene.carrier.url, deadline_s=2) as account:
        watch = Watch(account, verify_s)
        async with watch.hang_ups:
            yield watch


async def test_the_status_callback_tells_that_a_call_is_over_and_nobody_is_asked(scene: Scene) -> None:
    async with watching(scene, verify_s=15) as watch:
        watch.hang_ups.ended("CA1", "time_limit")
        await asyncio.sleep(0)
        await watch.statuses.told({"CallSid": "CA1", "CallStatus": "completed"})
        assert await watch.result() == {"told": 1}
    assert scene.carrier.requests == []


async def test_without_a_callback_the_account_says_that_a_call_is_over(scene: Scene) -> None:
    async with watching(scene) as watch:
        watch.hang_ups.ended("CA" + "0" * 32, "time_limit")
        assert await watch.result() == {"asked": 1}


async def test_a_call_that_the_carrier_still_holds_is_ended(scene: Scene) -> None:
    sid = await scene.place()
    await scene.carrier.until(COLLEAGUE, "answered")
    async with watching(scene) as watch:
        watch.hang_ups.ended(sid, "guardrail")
        assert await watch.result() == {"ended": 1}
    await scene.carrier.settled()
    (leg,) = scene.carrier.calls_to(COLLEAGUE)
    assert leg.status == "completed"


async def test_a_call_of_which_nobody_can_say_is_counted(scene: Scene) -> None:
    async with watching(scene, token="wrong") as watch:
        watch.hang_ups.ended("CA1", "operator_hung_up")
        assert await watch.result() == {"unknown": 1}
    alone = Watch(None, 0.01)
    async with alone.hang_ups:
        alone.hang_ups.ended("CA1", "time_limit")
        assert await alone.result() == {"unknown": 1}


async def test_a_call_that_the_caller_ended_is_not_watched(scene: Scene) -> None:
    async with watching(scene, verify_s=0) as watch:
        watch.hang_ups.ended("CA1", "caller_hung_up")
        watch.hang_ups.ended("CA" + "0" * 32, "time_limit")
        assert await watch.result() == {"asked": 1}
    assert [path.rpartition("/")[2] for _, path, _ in scene.carrier.requests] == ["CA" + "0" * 32 + ".json"]
