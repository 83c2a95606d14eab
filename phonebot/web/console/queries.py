"""What of that which a browser sends can be used."""

import re
from collections.abc import Mapping

_BETWEEN_DIGITS = re.compile("[ \\-()/.\t\u00a0\0]")


def text_in(fields: Mapping[str, str], name: str, most: int) -> str:
    """A field of a query, as the database takes it: PostgreSQL keeps no NUL. "": it is not there."""
    return fields.get(name, "").replace("\0", "").strip()[:most]


def whole_number(text: str) -> int | None:
    """A sequence, an id, a number of days; None: it is none."""
    return int(text) if text.isdecimal() and len(text) < 10 else None


def phone_number(typed: str) -> str:
    """As people write numbers: with spaces, dashes and brackets, which are left out."""
    return _BETWEEN_DIGITS.sub("", typed)[:20]


def with_chosen(numbers: list[str], chosen: str) -> list[str]:
    """What one can choose among, and what was chosen, though it may not be there any more."""
    return [*numbers, chosen] if chosen and chosen not in numbers else numbers
