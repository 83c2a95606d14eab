"""
Charts of days, reckoned for an SVG that is as wide as there is room: places across are percent, places down are px.

    bars("Calls", days, [3, 0, 7], count)
    lines("Silence", days, {"p50": [640, None, 700], "p95": [900, None, 1100]}, seconds)

A day's value is None where there is nothing to be told of it, which is another thing than 0.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import ceil, floor, log10
from typing import TypeAlias

HEIGHT_PX = 120
MAX_LABELS = 4  # and the last day: so many fit on a phone
MAX_DOTS = 45  # of more days the lines have no dots
_NICE = (1, 2, 3, 4, 5, 6, 8, 10)

Values: TypeAlias = Sequence[float | None]
Words: TypeAlias = Callable[[float | None], str]


@dataclass(frozen=True, slots=True)
class Slot:
    """A day, over all of the chart's height. `words` say all that the chart shows of it."""

    left: float
    width: float
    words: str


@dataclass(frozen=True, slots=True)
class Bar:
    left: float
    width: float
    top_px: float
    height_px: float


@dataclass(frozen=True, slots=True)
class Dot:
    left: float
    top_px: float


@dataclass(frozen=True, slots=True)
class Series:
    """`number` tells its look. `path` is in a space 100 wide and HEIGHT_PX high, with gaps where a day has none."""

    number: int
    name: str
    path: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True, slots=True)
class Label:
    """Below the chart: at its begin, somewhere or at its end, by `anchor`."""

    left: float
    anchor: str
    words: str


@dataclass(frozen=True, slots=True)
class Chart:
    """`scale` are the words at the top, in the middle and at the bottom. `is_empty`: no day has a value above 0."""

    title: str
    hint: str
    slots: tuple[Slot, ...]
    scale: tuple[str, str, str]
    labels: tuple[Label, ...]
    is_empty: bool
    bars: tuple[Bar, ...] = ()
    series: tuple[Series, ...] = ()


def bars(
    title: str, days: Sequence[date], values: Values, words: Words, hint: str = "", whole: bool = True
) -> Chart:
    """`whole`: the values are whole numbers, and so are those of the scale."""
    top = _nice_top(values, whole)
    width = 100 / max(len(days), 1)
    drawn = []
    for at, value in enumerate(values):
        if value:
            height_px = max(value / top * HEIGHT_PX, 1.5)
            left = _percent(at * width + width * 0.14)
            drawn.append(Bar(left, _percent(width * 0.72), round(HEIGHT_PX - height_px, 2), round(height_px, 2)))
    told = [words(value) for value in values]
    return Chart(title, hint, *_frame(days, told, top, words, values), bars=tuple(drawn))


def lines(
    title: str,
    days: Sequence[date],
    values: Mapping[str, Values],
    words: Words,
    hint: str = "",
    top: float | None = None,
) -> Chart:
    """One line for each name. `top` None: what the values take."""
    every = [value for series in values.values() for value in series]
    top = top or _nice_top(every, whole=False)
    named = len(values) > 1
    told = [
        ", ".join(
            f"{name} {words(value)}" if named else words(value) for name, value in zip(values, day, strict=True)
        )
        for day in zip(*values.values(), strict=True)
    ]
    series = tuple(_series(number, name, each, top) for number, (name, each) in enumerate(values.items()))
    return Chart(title, hint, *_frame(days, told, top, words, every), series=series)


def _frame(
    days: Sequence[date], told: Sequence[str], top: float, words: Words, values: Values
) -> tuple[tuple[Slot, ...], tuple[str, str, str], tuple[Label, ...], bool]:
    width = 100 / max(len(days), 1)
    slots = tuple(
        Slot(_percent(at * width), _percent(width), f"{day_words(day)}: {said}")
        for at, (day, said) in enumerate(zip(days, told, strict=True))
    )
    is_empty = not any(values)
    return slots, (words(top), words(top / 2), words(0)), _labels(days), is_empty


def _series(number: int, name: str, values: Values, top: float) -> Series:
    width = 100 / max(len(values), 1)
    path, dots = [], []
    pen = "M"
    for at, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        alone = pen == "M" and (at + 1 == len(values) or values[at + 1] is None)
        dot = Dot(_percent((at + 0.5) * width), round(HEIGHT_PX - min(value / top, 1) * HEIGHT_PX, 2))
        path.append(f"{pen}{dot.left} {dot.top_px}")
        if alone or len(values) <= MAX_DOTS:
            dots.append(dot)
        pen = "L"
    return Series(number, name, "".join(path), tuple(dots))


def _labels(days: Sequence[date]) -> tuple[Label, ...]:
    """The first day, the last one, and some between them."""
    last = len(days) - 1
    if last < 0:
        return ()
    step = max(ceil(len(days) / MAX_LABELS), 1)
    # None so near to the last that the two run into each other.
    shown = [at for at in range(0, len(days), step) if at == 0 or last - at >= step * 0.9]
    if last:
        shown.append(last)
    width = 100 / len(days)
    return tuple(
        Label(
            _percent((at + 0.5) * width if 0 < at < last else 0 if at == 0 else 100),
            "middle" if 0 < at < last else "start" if at == 0 else "end",
            f"{days[at].day} {days[at]:%b}",
        )
        for at in shown
    )


def day_words(day: date) -> str:
    return f"{day:%a} {day.day} {day:%b}"


def _nice_top(values: Values, whole: bool) -> float:
    """The least round number that is not below any of them."""
    most = max((value for value in values if value), default=0)
    if most < 1e-9:
        return 2
    unit = max(10.0 ** floor(log10(most)), 1 if whole else 0)
    # 1, 3 and 5 have no whole half.
    tops = (nice * unit for nice in _NICE if not whole or nice * unit % 2 == 0)
    return next(top for top in tops if top >= most * 0.9999)


def _percent(value: float) -> float:
    return round(value, 3)
