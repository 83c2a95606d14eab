"""How long to wait between attempts."""

import pytest

from phonebot.after.delivery import retry_s


@pytest.mark.parametrize(
    ("attempt", "wait_s"), [(1, 10), (2, 20), (5, 160), (9, 2_560), (10, 3_600), (10**6, 3_600)]
)
def test_the_wait_doubles_up_to_an_hour(attempt: int, wait_s: float) -> None:
    assert retry_s(attempt, chance=lambda: 0.5) == pytest.approx(wait_s)
    assert retry_s(attempt, chance=lambda: 0.0) == pytest.approx(wait_s * 0.8)
    assert retry_s(attempt, chance=lambda: 1.0) == pytest.approx(wait_s * 1.2)
