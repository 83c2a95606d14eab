"""Who changed what."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from phonebot.web.api.parts import UsedParts
from phonebot.web.api.route import ApiRoute, terms
from phonebot.web.api.values import DESK, LINE_PATTERN, MAX_ID, Limit, Moment, Page, page_of

router = APIRouter(route_class=ApiRoute, tags=["audit"])


class AuditEntry(BaseModel):
    """A change: who did what to what. `before` and `after`: what it replaced, and what by; null: nothing."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    at: Moment
    who: str = Field(description="A user, `token` and a token's name, `file` or `command line`.", examples=["ada"])
    what: str = Field(examples=["profile.save"])
    target: str = Field(examples=[DESK])
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    address: str = Field(description="The client's; empty on the command line.")


@router.get("/audit", operation_id="listAudit", **terms("admin"))
async def list_audit(
    parts: UsedParts,
    who: Annotated[
        str | None,
        Query(max_length=100, pattern=LINE_PATTERN, description="What this one did.", examples=["ada"]),
    ] = None,
    what: Annotated[
        str | None,
        Query(max_length=40, pattern=LINE_PATTERN, description="Changes of this kind.", examples=["profile.save"]),
    ] = None,
    target: Annotated[
        str | None,
        Query(max_length=200, pattern=LINE_PATTERN, description="What was done to this.", examples=[DESK]),
    ] = None,
    cursor: Annotated[
        int | None, Query(ge=1, le=MAX_ID, description="`next` of the page before.", examples=[100])
    ] = None,
    limit: Limit = 50,
) -> Page[AuditEntry]:
    """What was changed, the newest first."""
    found = await parts.audit.page(who=who, what=what, target=target, before_id=cursor, limit=limit + 1)
    return page_of(found, "id", limit, AuditEntry.model_validate)
