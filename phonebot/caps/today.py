"""What calls have cost today beside what they may: of all of them, and of each number. For people to look at."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from phonebot.agents.profile import Profile
from phonebot.caps.watch import DayCaps


@dataclass(frozen=True, slots=True)
class SpentByNumber:
    """`number` is whose profile answered; "": the carrier told none. `most_usd` None: it has no cap."""

    number: str
    spent_usd: float
    most_usd: float | None


@dataclass(frozen=True, slots=True)
class Today:
    """
    A day of UTC. `most_usd` None: the deployment has no cap. `numbers` are those that have spent, the most first.
    """

    day: date
    spent_usd: float
    most_usd: float | None
    numbers: tuple[SpentByNumber, ...]

    @property
    def is_worth_telling(self) -> bool:
        return self.most_usd is not None or self.spent_usd > 0


def today_of(caps: DayCaps, profile_for: Callable[[str], Profile]) -> Today:
    """As this process knows it: of other processes' calls, what they had cost two seconds ago."""
    spent = sorted(caps.by_number.items(), key=lambda each: (-each[1], each[0]))
    numbers = (
        SpentByNumber(number, usd, profile_for(number).max_cost_per_day_usd) for number, usd in spent if usd > 0
    )
    return Today(caps.day, caps.spent_usd, caps.most_usd, tuple(numbers))
