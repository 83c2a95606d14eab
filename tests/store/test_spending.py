"""What calls cost in a day, kept by process and number, and alarms that are raised once."""

import asyncio
from datetime import date, timedelta

import pytest

from phonebot.store.database import Database
from phonebot.store.spending import KEPT, SpendingStore

TODAY = date(2026, 11, 27)
YESTERDAY = TODAY - timedelta(days=1)


async def test_what_others_spent_is_summed_by_number_and_day(database: Database) -> None:
    store = SpendingStore(database)
    await store.put("a", TODAY, {"+1": 1.0, "+2": 2.0})
    await store.put("a", TODAY, {"+1": 1.5})  # in all
    await store.put("b", TODAY, {"+1": 0.25})
    await store.put("b", YESTERDAY, {"+1": 9.0})
    await store.put("b", TODAY, {})
    assert await store.of_others("a", TODAY) == {"+1": 0.25}
    assert await store.of_others("b", TODAY) == {"+1": 1.5, "+2": 2.0}
    assert await store.of_others("z", TODAY) == {"+1": 1.75, "+2": 2.0}


async def test_what_is_written_again_counts_once_to_the_last_digit(database: Database) -> None:
    store = SpendingStore(database)
    for so_far in (0.1, 0.3, 0.6, 0.6, 1.0):
        await store.put("a", TODAY, {"+1": so_far})
    assert await store.of_others("a", TODAY) == {}
    assert await store.of_others("b", TODAY) == {"+1": 1.0}


async def test_processes_that_write_at_once_are_added_up_and_do_not_hold_each_other(database: Database) -> None:
    store = SpendingStore(database)
    numbers = [f"+{number}" for number in range(12)]

    async def spend(process: int) -> None:
        mine = numbers[process:] + numbers[:process]
        for so_far in (0.25, 0.5, 1.0):
            await store.put(f"process-{process}", TODAY, dict.fromkeys(mine, so_far))

    await asyncio.gather(*map(spend, range(8)))
    assert await store.of_others("process-0", TODAY) == dict.fromkeys(numbers, pytest.approx(7))


async def test_a_number_of_any_length_is_kept(database: Database) -> None:
    store = SpendingStore(database)
    await store.put("a", TODAY, {f"sip:{'1' * 200}@example.com": 1.0})
    (usd,) = (await store.of_others("b", TODAY)).values()
    assert usd == 1.0


async def test_an_alarm_is_raised_by_whoever_comes_first_each_day(database: Database) -> None:
    one, other = SpendingStore(database), SpendingStore(database)
    claims = [await store.claim(TODAY, "day:near:") for store in (one, other, one)]
    assert claims == [True, False, False]
    assert await other.claim(TODAY, "day:reached:")
    assert await other.claim(TODAY + timedelta(days=1), "day:near:")


async def test_days_long_past_are_let_go(database: Database) -> None:
    store = SpendingStore(database)
    for day in (TODAY - KEPT, TODAY - KEPT - timedelta(days=1)):
        await store.put("a", day, {"+1": 1.0})
        await store.claim(day, "day:near:")
    await store.tidy(TODAY)
    assert await store.of_others("z", TODAY - KEPT) == {"+1": 1.0}
    assert await store.of_others("z", TODAY - KEPT - timedelta(days=1)) == {}
    assert await store.claim(TODAY - KEPT - timedelta(days=1), "day:near:")
