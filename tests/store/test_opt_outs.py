"""Numbers that are not to be called, on both databases."""

import asyncio

import pytest

from phonebot.errors import NotStored
from phonebot.store.audit import Actor, AuditStore
from phonebot.store.database import Database
from phonebot.store.opt_outs import OptOutRefused, OptOutStore

ADA, BOB = Actor("ada"), Actor("bob")
HER, HIM = "+15550100009", "+15550100010"


async def test_a_number_is_added_found_and_removed(database: Database) -> None:
    opt_outs = OptOutStore(database)
    assert await opt_outs.add(HER, ADA, why="asked\nfor it")
    assert not await opt_outs.add(HER, BOB, why="again")
    assert await opt_outs.has(HER)
    assert not await opt_outs.has(HIM)
    (kept,) = await opt_outs.page()
    assert (kept.number, kept.by, kept.why) == (HER, "ada", "asked for it")
    await opt_outs.remove(HER, BOB)
    assert await opt_outs.count() == 0
    with pytest.raises(NotStored):
        await opt_outs.remove(HER, BOB)
    noted = [(row.who, row.what, row.target) for row in await AuditStore(database).page()]
    assert noted == [("bob", "opt_out.remove", HER), ("ada", "opt_out.add", HER)]


async def test_a_number_that_two_add_at_once_is_added_once(database: Database) -> None:
    added = await asyncio.gather(*(OptOutStore(database).add(HER, ADA) for _ in range(8)))
    assert sorted(added) == [False] * 7 + [True]
    assert [row.what for row in await AuditStore(database).page()] == ["opt_out.add"]


@pytest.mark.parametrize("number", ["", "anonymous", "5550100009", "+1555", "+1555010000900000", "+0555010000"])
async def test_what_is_no_number_is_refused(sqlite: Database, number: str) -> None:
    with pytest.raises(OptOutRefused, match=r"no number in E\.164 form"):
        await OptOutStore(sqlite).add(number, ADA)


async def test_a_page_is_in_order_and_searched_by_a_part(database: Database) -> None:
    opt_outs = OptOutStore(database)
    for number in (HIM, HER):
        await opt_outs.add(number, ADA)
    assert [each.number for each in await opt_outs.page()] == [HER, HIM]
    assert [each.number for each in await opt_outs.page(after=HER)] == [HIM]
    assert [each.number for each in await opt_outs.page(part="0009")] == [HER]
    assert await opt_outs.page(part="%") == []
