"""What fails in a round is told of once, and the rounds go on."""

import logging

import pytest

from phonebot.errors import StoreUnavailable
from phonebot.web.outages import Outages

log = logging.getLogger(__name__)


async def fails(error: Exception) -> None:
    raise error


async def works() -> None: ...


async def test_an_outage_is_told_of_when_it_begins_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    outages = Outages(log, "letters lie here", "letters are sent again")
    away = StoreUnavailable("the database is away: wait")
    done = [await outages.endure(work) for work in (works(), fails(away), fails(away), works(), works())]
    assert done == [True, False, False, True, True]
    assert caplog.messages == ["letters lie here: the database is away: wait", "letters are sent again"]


async def test_a_fault_of_ours_ends_no_rounds_and_is_told_with_its_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outages = Outages(log, "letters lie here", "letters are sent again")
    assert not await outages.endure(fails(KeyError("stamp")))
    assert outages.is_away
    (record,) = caplog.records
    assert (record.levelname, record.message, record.exc_info is not None) == ("ERROR", "letters lie here", True)
