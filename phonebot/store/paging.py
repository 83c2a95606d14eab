"""
Lists whose newest rows come first, a page at a time: where the next page begins.

    wanted = wanted.where(older_than(cursor, CallRow.started_at, CallRow.id, "calls"))
    cursor = cursor_of(last.started_at, last.id)
"""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_
from sqlalchemy.orm import InstrumentedAttribute

from phonebot.errors import StoreError

MAX_ID = 2**63 - 1


def cursor_of(at: datetime, row_id: int) -> str:
    """Leads to what is older than the row of this moment and id, the last one of a page."""
    return f"{at.isoformat()}/{row_id}"


def older_than(
    cursor: str, at: InstrumentedAttribute[datetime], row_id: InstrumentedAttribute[int], of: str
) -> ColumnElement[bool]:
    """Whether a row comes after the cursor. Raises StoreError for what is none of a page `of` these."""
    moment, _, last = cursor.partition("/")
    try:
        last_at, last_id = datetime.fromisoformat(moment), int(last)
        if last_at.utcoffset() is None or not 0 <= last_id <= MAX_ID:
            raise ValueError("a moment without a time zone, or an id that no row can have")
    except ValueError:
        raise StoreError(f"{cursor!r} is no cursor of a page of {of}: begin again without one") from None
    return or_(at < last_at, and_(at == last_at, row_id < last_id))
