"""A call's picture: the loudness of both legs over its time, and what happened marked on it. Drawn as SVG."""

from collections.abc import Iterable
from dataclasses import dataclass

from phonebot.audio.g711 import BYTES_PER_MS
from phonebot.replay.heard import Legs, legs
from phonebot.replay.reader import CallLog
from phonebot.replay.timeline import Event, Kind, timeline
from phonebot.replay.waveform import bins_for, loudness

# What is marked; the rest is told beside it.
MARKED: dict[Kind, str] = {
    "interruption": "Interruption",
    "pause": "Pause",
    "key": "Key",
    "tool": "Function called",
    "guardrail": "Guardrail",
    "handoff": "Hand-off",
    "trouble": "Trouble",
}
MAX_TICKS = 9
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)


@dataclass(frozen=True, slots=True)
class Mark:
    """`percent` is its place from the left."""

    percent: float
    event: Event


@dataclass(frozen=True, slots=True)
class Tick:
    percent: float
    at_ms: int


@dataclass(frozen=True, slots=True)
class Picture:
    """Paths in a space `bins` wide and 200 high, around its middle."""

    length_ms: int
    bins: int
    caller: str
    heard: str
    unheard: str
    marks: tuple[Mark, ...]
    ticks: tuple[Tick, ...]

    @property
    def legend(self) -> list[tuple[Kind, str]]:
        """The kinds of marks that are on it."""
        kinds = {mark.event.kind for mark in self.marks}
        return [(kind, name) for kind, name in MARKED.items() if kind in kinds]


@dataclass(frozen=True, slots=True)
class LogView:
    """What a page shows of a call's log. `picture` None: its audio was not recorded."""

    events: tuple[Event, ...]
    picture: Picture | None


def view(log: CallLog, *, keys: bool) -> LogView:
    """
    `keys`: which keys the caller pressed is shown. It takes about a thousandth of the call's time: call it in a
    thread. Raises LogError for a log that is longer than a call may be.
    """
    events = timeline(log, keys=keys)
    return LogView(events, picture(legs(log), events) if log.header.audio else None)


def picture(both: Legs, events: Iterable[Event]) -> Picture:
    length_ms = max(len(both.caller) // BYTES_PER_MS, 1)
    bins = bins_for(length_ms)
    marks = (
        Mark(round(min(event.at_ms / length_ms, 1) * 100, 3), event) for event in events if event.kind in MARKED
    )
    return Picture(
        length_ms,
        bins,
        caller=_path(loudness(both.caller, bins)),
        heard=_path(loudness(both.heard, bins)),
        unheard=_path(loudness(both.unheard, bins)),
        marks=tuple(marks),
        ticks=tuple(_ticks(length_ms)),
    )


def _path(levels: list[int]) -> str:
    """A bar for each bin that is not silent."""
    return "".join(f"M{x} {100 - level}h.7v{2 * level}h-.7z" for x, level in enumerate(levels) if level > 1)


def _ticks(length_ms: int) -> Iterable[Tick]:
    step_ms = 1000 * next((step for step in _STEPS_S if length_ms <= step * 1000 * MAX_TICKS), _STEPS_S[-1])
    return (Tick(round(at_ms / length_ms * 100, 3), at_ms) for at_ms in range(0, round(length_ms * 0.97), step_ms))
