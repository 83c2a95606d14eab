"""examples/restaurant: a table is booked and cancelled, in virtual time and by a recorded caller."""

from pathlib import Path

import pytest
from example_driver import Example


async def test_its_rehearsals_pass(tmp_path: Path) -> None:
    async with Example.open("restaurant", tmp_path) as example:
        assert "3 passed" in await example.rehearse()


@pytest.mark.slow
async def test_a_recorded_caller_books_a_table_and_another_call_cancels_it(tmp_path: Path) -> None:
    async with Example.open("restaurant", tmp_path) as example:
        await example.serve()
        await example.type_in("phonebot call ", "books.toml")
        (booking,) = (await example.type_in("python restaurant.py")).splitlines()
        assert booking.split()[1:] == ["20:00", "1", "2", "Rachel", "+15550100001", "booked"]
        await example.type_in("phonebot call ", "cancels.toml")
        (booking,) = (await example.type_in("python restaurant.py")).splitlines()
        assert booking.endswith("cancelled")
