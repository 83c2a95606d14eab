"""Numbers that are not called."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from phonebot.store.opt_outs import MAX_WHY_CHARACTERS
from phonebot.web.api.outbound import CALLEE, E164_PATTERN
from phonebot.web.api.parts import Asker, UsedParts
from phonebot.web.api.route import JSON_BODY, ApiRoute, terms
from phonebot.web.api.values import LINE_PATTERN, Limit, Moment, Page, Sent, page_of

router = APIRouter(route_class=ApiRoute, tags=["opt-outs"])

CalleeInPath = Annotated[str, Path(pattern=E164_PATTERN, description="A number in E.164 form.", examples=[CALLEE])]


class OptOutEntry(BaseModel):
    """A number that is not called: since when, who said so, and why."""

    model_config = ConfigDict(from_attributes=True)

    number: str = Field(examples=[CALLEE])
    at: Moment
    by: str = Field(description="A user, `token` and a token's name, `command line`, or `caller`.")
    why: str


class NewOptOut(Sent):
    """Why a number is not to be called."""

    why: str = Field(
        default="",
        max_length=MAX_WHY_CHARACTERS,
        pattern=LINE_PATTERN,
        description="For those who read the list.",
        examples=["asked for it by mail"],
    )


@router.get("/opt-outs", operation_id="listOptOuts", **terms("read"))
async def list_opt_outs(
    parts: UsedParts,
    number: Annotated[
        str, Query(max_length=16, pattern=r"^\+?[0-9]*$", description="Numbers that hold this.", examples=["555"])
    ] = "",
    cursor: Annotated[
        str | None, Query(pattern=E164_PATTERN, description="`next` of the page before.", examples=[CALLEE])
    ] = None,
    limit: Limit = 50,
) -> Page[OptOutEntry]:
    """Numbers that are not called, in order."""
    found = await parts.store.opt_outs.page(part=number, after=cursor, limit=limit + 1)
    return page_of(found, "number", limit, OptOutEntry.model_validate)


@router.put("/opt-outs/{number}", operation_id="addOptOut", status_code=204, **terms("operate", body=JSON_BODY))
async def add_opt_out(number: CalleeInPath, sent: NewOptOut, parts: UsedParts, asker: Asker) -> Response:
    """Never call a number again; calls to it that wait are not made. Who opted out first, and why, stays."""
    await parts.store.opt_outs.add(number, asker.actor, sent.why)
    return Response(status_code=204)


@router.delete("/opt-outs/{number}", operation_id="removeOptOut", status_code=204, **terms("operate", 404))
async def remove_opt_out(number: CalleeInPath, parts: UsedParts, asker: Asker) -> Response:
    """A number may be called again: only where its owner wants that."""
    await parts.store.opt_outs.remove(number, asker.actor)
    return Response(status_code=204)
