"""
A measuring call over real sockets, in real time: the parts fit together.

How exact the figures are is shown in virtual time (test_measurement.py). Here the machine may be busy, so they only
have to be recognisable.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from service_driver import ACCOUNT_SID, TOKEN, leaving_nothing, until

from phonebot.calibration.emulated import emulated
from phonebot.calibration.figures import CalibrationFailed
from phonebot.calibration.measurement import TITLES
from phonebot.calibration.service import Calibrator, calibrate_emulated
from phonebot.serving import listen, running
from phonebot.simulator.caller import Caller, Pause, WaitForHangUp
from phonebot.simulator.phone import dial
from phonebot.simulator.record import CallRecord

pytestmark = pytest.mark.slow


async def test_the_emulated_carrier_calls_and_its_oddities_are_found() -> None:
    stages: list[int] = []
    async with leaving_nothing():
        figures = await calibrate_emulated(emulated(["start-buffer=300", "hold", "loop=40"]), 1, stages.append)
    assert sorted(set(stages)) == list(range(len(TITLES)))
    assert 150 <= (figures.traits().start_buffer_ms or 0) <= 450
    assert figures.short_frame == "hold"
    assert figures.loop is not None
    assert (figures.clears.echoed, figures.clears.in_order) == (figures.clears.flushed, True)
    assert figures.stream.share == 1
    assert figures.echoes.lost == figures.echoes.doubled == 0


class Desk:
    """A running Calibrator that can be called."""

    def __init__(self, url: str, calibrator: Calibrator) -> None:
        self.calibrator = calibrator
        self._url = url

    async def dial(self, caller: Caller, **terms: str) -> CallRecord:
        return await dial(f"{self._url}/twilio/voice", caller, **({"auth_token": TOKEN} | terms))  # type: ignore[arg-type]


@asynccontextmanager
async def desk(account_sid: str | None = None) -> AsyncIterator[Desk]:
    listener = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with leaving_nothing():
        calibrator = Calibrator(url, (TOKEN,), account_sid, 1, lambda stage: None)
        async with running(calibrator.app, listener):
            yield Desk(url, calibrator)


async def test_only_the_first_call_is_measured_and_a_caller_who_hangs_up_early_is_told() -> None:
    async with desk() as called, asyncio.TaskGroup() as calls:
        first = calls.create_task(called.dial(Caller(Pause(1_500))))
        await until(lambda: len(called.calibrator.live))
        second = await called.dial(Caller(WaitForHangUp()))
        assert (second.outcome, second.violations) == ("bot hung up", [])
        assert not called.calibrator.figures.done()
        assert (await first).outcome == "caller hung up"
        with pytest.raises(
            CalibrationFailed, match="the call ended too early, while this was being measured: the far"
        ):
            await called.calibrator.figures


async def test_what_the_carrier_did_not_sign_is_no_call() -> None:
    async with desk(ACCOUNT_SID) as called:
        forged = await called.dial(Caller(), auth_token="f" * 32)
        stranger = await called.dial(Caller(), account_sid="AC" + "9" * 32)
        assert [record.outcome for record in (forged, stranger)] == ["failed", "failed"]
        assert {exchange.status for record in (forged, stranger) for exchange in record.exchanges} == {403}
        assert not called.calibrator.figures.done()
