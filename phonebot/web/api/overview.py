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
    cost_usd: float | None
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
