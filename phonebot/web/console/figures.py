"""How the pages write figures: filters of the templates, such as `{{ call.duration_ms | length_of }}`."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

NONE = "–"


def length_of(ms: int | None) -> str:
    """A time in a call, or its length: 0:07, 12:30, 1:02:00."""
    if ms is None:
        return NONE
    minutes, seconds = divmod(ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def seconds(ms: float | None) -> str:
    """A wait, or a length of speech: 0.64 s, 4.2 s, 75 s."""
    if ms is None:
        return NONE
    digits = 0 if ms == 0 else 2 if ms < 995 else 1 if ms < 59_950 else 0
    return f"{ms / 1000:.{digits}f} s"


def brief(ms: float | None) -> str:
    """A time of which less than a ms counts, too: 0.24 ms, 3.1 ms, 64 ms, 1.3 s."""
    if ms is None:
        return NONE
    if ms >= 1_000:
        return seconds(ms)
    return f"{ms:.{0 if ms >= 9.95 or ms == 0 else 1 if ms >= 0.995 else 2}f} ms"


def minutes(ms: float | None) -> str:
    """A sum of calls' lengths, in minutes: 0.4, 12, 1,204."""
    if ms is None:
        return NONE
    value = ms / 60_000
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.1f}"


def money(usd: float | None) -> str:
    """Dollars; of less than ten cents the hundredths of cents too, since calls cost as little."""
    if usd is None:
        return NONE
    return f"${usd:,.2f}" if usd >= 0.09995 or usd == 0 else f"${usd:.4f}"


def percent(share: float | None) -> str:
    return NONE if share is None else f"{share * 100:.0f} %"


def count(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def moment(at: datetime) -> str:
    """In UTC; a script of the page writes it in the browser's time zone."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def moment_exactly(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


FILTERS: dict[str, Callable[..., Any]] = {
    each.__name__: each
    for each in (length_of, seconds, brief, minutes, money, percent, count, moment, moment_exactly)
}
