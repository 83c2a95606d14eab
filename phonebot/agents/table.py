"""What the tables that an operator writes have in common: how they are checked, and values that several have."""

from typing import Annotated, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from phonebot.agents import faults


class Table(BaseModel):
    """Frozen. A key that is not known is refused, and so is a value of another type than the key's."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _none_if_blank(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # no name, a folder of zones, a zone that this machine lacks
        raise ValueError(f"is {faults.shown(name)}, no time zone of this machine; it must be {_ZONE}") from None
    return name


_ZONE = 'the name of a time zone such as "Europe/Berlin"'

# A description says what is allowed, as the end of a sentence.
Switch: TypeAlias = Annotated[bool, Field(description="true or false")]
TimeZone: TypeAlias = Annotated[str, AfterValidator(_check_zone), Field(max_length=60, description=_ZONE)]

NONE_IF_BLANK = BeforeValidator(_none_if_blank)
"""For a text that can be left out: one of spaces alone, as a form sends it, is none."""
