"""Whether what the service needs is there, as the service sees it."""

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from phonebot.checkup.check import Check as FoundCheck
from phonebot.checkup.check import Probe, State, run
from phonebot.web.api.parts import Parts, UsedParts
from phonebot.web.api.route import ApiRoute, terms

router = APIRouter(route_class=ApiRoute, tags=["health"])


class Check(BaseModel):
    """What was found: `skipped` is what was not looked at, and why."""

    model_config = ConfigDict(from_attributes=True)

    name: str = Field(examples=["Database"])
    state: State
    sentence: str
    remedy: str = Field(description="What to do; empty: nothing.")


class Health(BaseModel):
    """What all checks found."""

    checks: list[Check]


@router.get("/health", operation_id="getHealth", **terms("read"))
async def get_health(parts: UsedParts) -> Health:
    """Look at what is kept, the models' and the carrier's services, and the public URL: at most 24 s."""
    return Health(checks=[Check.model_validate(check) for check in await _found(parts, *parts.checkup.probes)])


@router.post("/health/model-session", operation_id="checkModelSession", **terms("operate"))
async def check_model_session(parts: UsedParts) -> Check:
    """Open a session with the model and close it again, at most 15 s. It may cost money."""
    (check,) = await _found(parts, parts.checkup.session)
    return Check.model_validate(check)


async def _found(parts: Parts, *probes: Probe) -> list[FoundCheck]:
    """One request at a time: each asks others' services."""
    async with parts.checking:
        return await run(probes)
