"""What was done after a call, as its page shows it: the texts that a model made, and whether it was told of."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

from phonebot.store.tables import AfterRow

SOON = timedelta(minutes=1)
"""A page that waits for something that is due so soon looks again by itself."""
MAX_SHOWN = 2_000  # characters of a value


@dataclass(frozen=True, slots=True)
class Delivery:
    """To whom, how it stands in words and as a badge; `problem` of the last attempt, if it failed."""

    host: str
    words: str
    badge: Literal["success", "warning", "danger", "accent"]
    attempts: int
    attempted_at: datetime | None
    next_at: datetime | None
    problem: str


@dataclass(frozen=True, slots=True)
class AfterView:
    """
    `coming` are texts that are being made; `missing` why others were not. `data` are the extracted values.

    `is_soon`: something may have changed in a moment. `may_stop`, `may_repeat`: what an operator can do.
    """

    summary: str
    data: list[tuple[str, str]]
    coming: list[str]
    missing: list[str]
    delivery: Delivery | None
    is_soon: bool
    may_stop: bool
    may_repeat: bool


def after_view(after: AfterRow | None, now: datetime | None = None) -> AfterView | None:
    """None: the profile wanted nothing."""
    if after is None:
        return None
    waits = after.state == "waiting"
    texts = (("Summary", "summary", "summary"), ("Data", "extracted", "extract"))
    problems = [(name, getattr(after, f"{key}_problem")) for name, key, _ in texts]
    is_made = {key: getattr(after, key) is not None or getattr(after, f"{key}_problem") for _, key, _ in texts}
    return AfterView(
        summary=after.summary or "",
        data=[(key, shown(value)) for key, value in (after.extracted or {}).items()],
        coming=[name for name, key, wish in texts if waits and wish in after.wishes and not is_made[key]],
        missing=[f"{name}: {problem}." for name, problem in problems if problem],
        delivery=delivery_view(after, after.wishes["after_call"]) if "after_call" in after.wishes else None,
        is_soon=waits and after.due_at < (now or datetime.now(UTC)) + SOON,
        may_stop=waits,
        may_repeat="after_call" in after.wishes or any(problem for _, problem in problems),
    )


def delivery_view(after: AfterRow, to: Mapping[str, Any]) -> Delivery:
    """How telling of it stands; `to` is the destination, as the queue has it."""
    return Delivery(
        host=urlsplit(str(to.get("url", ""))).netloc,
        words=_words(after),
        badge=_badge(after),
        attempts=after.attempts,
        attempted_at=after.attempted_at,
        next_at=after.due_at if after.state == "waiting" and after.attempts else None,
        problem=after.problem or "",
    )


def _words(after: AfterRow) -> str:
    if after.state == "waiting":
        return "Not taken yet" if after.attempts else "Waiting"
    return "Taken" if after.state == "done" else "Given up"


def _badge(after: AfterRow) -> Literal["success", "warning", "danger", "accent"]:
    if after.state == "waiting":
        return "warning" if after.problem else "accent"
    return "success" if after.state == "done" else "danger"


def shown(value: Any) -> str:
    """A value of the extracted data, for people: text as it is, nothing as a dash, the rest as JSON."""
    match value:
        case None | "":
            return "–"
        case bool():
            return "yes" if value else "no"
        case str():
            return value[:MAX_SHOWN]
    return json.dumps(value, ensure_ascii=False)[:MAX_SHOWN]
