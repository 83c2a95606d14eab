"""Status callbacks, and those who wait for them."""

from typing import Any

import pytest

from phonebot.web.callbacks import Statuses


def form(status: str, call_sid: str = "CA1") -> dict[str, str]:
    return {"CallSid": call_sid, "CallStatus": status}


async def test_the_end_of_a_call_is_told_to_all_who_wait_for_it_and_to_nobody_else() -> None:
    statuses, heard = Statuses(), list[Any]()
    with (
        statuses.expecting("CA1", heard.append) as one,
        statuses.expecting("CA1") as two,
        statuses.expecting("CA2") as other,
    ):
        for status in ("ringing", "completed"):
            await statuses.told(form(status))
        assert await one.final(0) == await two.final(0) == form("completed")
        assert await other.final(0) is None
    assert heard == [form("ringing"), form("completed")]
    await statuses.told(form("ringing"))
    assert len(heard) == 2


@pytest.mark.parametrize("late", ["ringing", "completed", "busy"])
async def test_what_comes_behind_the_end_changes_nothing(late: str) -> None:
    """Callbacks overtake each other, and come twice."""
    statuses, heard = Statuses(), list[Any]()
    with statuses.expecting("CA1", heard.append) as expected:
        await statuses.told(form("no-answer"))
        await statuses.told(form(late))
        assert await expected.final(1) == form("no-answer")
    assert heard == [form("no-answer")]
