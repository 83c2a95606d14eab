"""What was done after a call, for tests of what shows it."""

from datetime import timedelta
from typing import Any

from filed_calls import NEWEST

from phonebot.store.after import after_row
from phonebot.store.tables import AfterRow

FAR = NEWEST + timedelta(days=36_500)  # nobody begins it during a test
TOLD = {"after_call": {"url": "https://crm.invalid/calls"}}


def after_of(state: str = "waiting", wishes: dict[str, Any] | None = None, **values: Any) -> AfterRow:
    """As it stands in the database; what waits is due in a hundred years."""
    row = after_row(TOLD | {"summary": {}, "extract": {}} if wishes is None else wishes)
    row.state, row.due_at = state, FAR
    for name, value in values.items():
        setattr(row, name, value)
    return row


def taken(**values: Any) -> AfterRow:
    """A call of which all was made and told."""
    made: dict[str, Any] = {
        "summary": "The caller booked a table for four at half past seven and asked for a quiet corner.",
        "extracted": {
            "wish": "table",
            "guests": 4,
            "call_back": False,
            "name": None,
            "dishes": ["ravioli", "soup"],
        },
        "attempts": 2,
        "attempted_at": NEWEST,
        "delivered_at": NEWEST,
    }
    return after_of("done", **(made | values))
