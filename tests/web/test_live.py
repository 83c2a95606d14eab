"""The calls of a process: their tasks."""

import asyncio

from phonebot.web.live import LiveCalls


async def test_finishing_ends_every_call_and_waits_until_each_has_cleaned_up() -> None:
    live, ended = LiveCalls(), []

    async def hold(number: int) -> None:
        with live.holding():
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                ended.append(number)

    calls = [asyncio.create_task(hold(number)) for number in range(3)]
    await asyncio.sleep(0)
    await live.finish()
    assert sorted(ended) == [0, 1, 2]
    assert all(call.done() for call in calls)


async def test_a_process_is_idle_when_its_last_call_has_ended() -> None:
    live = LiveCalls()
    await live.idle()
    over = [asyncio.Event(), asyncio.Event()]

    async def hold(end: asyncio.Event) -> None:
        with live.holding():
            await end.wait()

    calls = [asyncio.create_task(hold(end)) for end in over]
    await asyncio.sleep(0)
    idle = asyncio.create_task(live.idle())
    for end, call in zip(over, calls, strict=True):
        assert len(live) == 2 - over.index(end)
        assert not idle.done()
        end.set()
        await call
    await idle
    assert len(live) == 0
