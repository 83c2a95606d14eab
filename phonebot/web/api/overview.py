"""What the calls of some days came to."""

from datetime import date, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from phonebot.web.api.calls import OfNumber
from phonebot.web.api.parts import UsedParts
from phonebot.web.api.problems import Refused
from phonebot.web.api.route import ApiRoute, terms
from phonebot.web.api.values import DESK, Asked

MAX_SPAN = timedelta(days=366)

router = APIRouter(route_class=ApiRoute, tags=["calls"])


class Figures(BaseModel):
    """
    Of some calls. `cost_usd` is that of the `priced` ones, whose model has a price; null: no call has one.

    Latencies are of single answers, from the caller's last word to the first sound that he heard: half of them
    were not above p50, 95 in a hundred not above p95. null: there were no answers.
    """

    model_config = ConfigDict(from_attributes=True)

    calls: int
    duration_ms: int
    priced: int
    priced_ms: int = Field(description="How long these were.")
    cost_usd: float | None
    cost_per_minute_usd: float | None = Field(description="Of the priced ones.")
    latency_p50_ms: int | None
    latency_p95_ms: int | None
    interruptions: int
    generated_ms: int = Field(description="How much speech the bot made.")
    heard_ms: int = Field(description="How much of it was heard.")
    corrections: int = Field(description="Heard positions that were told to the model.")
    errors: int


class DayFigures(BaseModel):
    """Of the calls that a number got in a day of UTC."""

    model_config = ConfigDict(from_attributes=True)

    day: date
    number: str = Field(examples=[DESK])
    figures: Figures


class Overview(BaseModel):
    """Of a span of time. `days` has those that had calls: by day, and within it by number."""

    model_config = ConfigDict(from_attributes=True)

    total: Figures
    days: list[DayFigures]


class SpentByNumber(BaseModel):
    """What the calls of a number have cost, and may. null: it has no cap."""

    model_config = ConfigDict(from_attributes=True)

    number: str = Field(examples=[DESK])
    spent_usd: float
    most_usd: float | None


class Today(BaseModel):
    """
    What all calls have cost on this day of UTC, those in progress included, and may. null: there is no cap.

    `numbers` are those whose calls have cost something.
    """

    model_config = ConfigDict(from_attributes=True)

    day: date
    spent_usd: float
    most_usd: float | None
    numbers: list[SpentByNumber]


@router.get("/overview/today", operation_id="getSpentToday", **terms("read"))
async def get_spent_today(parts: UsedParts) -> Today:
    """What calls have cost today beside their caps, of all processes as they told within the last two seconds."""
    return Today.model_validate(parts.today())


@router.get("/overview", operation_id="getOverview", **terms("read"))
async def get_overview(
    parts: UsedParts,
    since: Annotated[Asked, Query(description="Calls that began at this moment or later.")],
    until: Annotated[Asked, Query(description="Calls that began before this moment, at most 366 days later.")],
    number: OfNumber = None,
) -> Overview:
    """What the calls of a span of time came to: each day, each number, and all together."""
    if not timedelta() < until - since <= MAX_SPAN:
        raise Refused(
            422, "invalid_request", f"until is not up to {MAX_SPAN.days} days after since: choose a shorter span"
        )
    return Overview.model_validate(await parts.store.calls.overview(since, until, number))
