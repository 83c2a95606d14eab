"""What calls have cost today, beside what they may."""

from datetime import date

from phonebot.agents.profile import Profile
from phonebot.caps.today import SpentByNumber, Today, today_of
from phonebot.caps.watch import DayCaps

FRIDAY, SATURDAY = date(2026, 11, 27), date(2026, 11, 28)
DESK, SHOP, FREE = "+15550100000", "+15550100001", "+15550100002"
CAPPED = {DESK: Profile(max_cost_per_day_usd=5), SHOP: Profile(max_cost_per_day_usd=9)}


def profile_for(number: str) -> Profile:
    return CAPPED.get(number, Profile())


async def test_each_number_that_has_spent_stands_beside_its_cap_and_all_of_them_beside_the_deployments() -> None:
    days = [FRIDAY]
    caps = DayCaps(20, "a", None, lambda alarm: None, lambda: days[-1])
    assert today_of(caps, profile_for) == Today(FRIDAY, 0, 20, ())
    for number, usd in ((DESK, 1.5), (FREE, 0.25), (DESK, 0.5), (SHOP, 0.0), ("", 0.25)):
        caps.add(number, usd)
    numbers = (SpentByNumber(DESK, 2, 5), SpentByNumber("", 0.25, None), SpentByNumber(FREE, 0.25, None))
    assert today_of(caps, profile_for) == Today(FRIDAY, 2.5, 20, numbers)
    days.append(SATURDAY)
    assert today_of(caps, profile_for) == Today(SATURDAY, 0, 20, ())


def test_what_is_neither_spent_nor_limited_is_not_worth_telling() -> None:
    assert not Today(FRIDAY, 0, None, ()).is_worth_telling
    assert Today(FRIDAY, 0, 1, ()).is_worth_telling
    assert Today(FRIDAY, 0.01, None, ()).is_worth_telling
