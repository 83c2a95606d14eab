"""What was measured, for people and for scripts, and as settings."""

import re
from pathlib import Path

import msgspec
from rich import box
from rich.table import Table

from phonebot.calibration.figures import Clears, Figures, Spread
from phonebot.call.plan import CarrierTraits

ENV_FILE = Path(".env")
NOT_HEARD = "not measured: the far end returns no audio"
SHORT_FRAMES = {
    "pad": "filled up with silence and played",
    "hold": "held back until more audio comes",
    "lost": "never played: its mark did not come back",
}


def settings_of(traits: CarrierTraits) -> dict[str, int]:
    """The settings that tell the service of these traits, by variable."""
    return {f"PHONEBOT_CARRIER_{name.upper()}": getattr(traits, name) for name in CarrierTraits.__struct_fields__}


def write_settings(path: Path, settings: dict[str, int]) -> None:
    """Set variables in a file of lines NAME=value, made when missing; all other lines stay as they are."""
    path = path.resolve()  # a link stays one
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for name, value in settings.items():
        lines = _set(lines, name, value)
    # It holds secrets: the new file is as readable as the old one, and there is no moment without either.
    new = path.with_name(f"{path.name}.new")
    new.touch(mode=0o600)
    if path.exists():
        new.chmod(path.stat().st_mode)
    new.write_text("\n".join(lines) + "\n", encoding="utf-8")
    new.replace(path)


def _set(lines: list[str], name: str, value: int) -> list[str]:
    """The lines with the variable set once: where it was first, or at the end."""
    is_set = re.compile(rf"\s*(export\s+)?{name}\s*=")
    places = [number for number, line in enumerate(lines) if is_set.match(line)]
    kept = [line for number, line in enumerate(lines) if number not in places]
    place = places[0] if places else len(kept)
    return [*kept[:place], f"{name}={value}", *kept[place:]]


def to_json(figures: Figures) -> str:
    """All figures, the settings that follow from them, and how far they may be off, as JSON."""
    told = {"settings": settings_of(figures.traits()), "noise_ms": figures.noise_ms}
    return msgspec.json.format(msgspec.json.encode(told | msgspec.to_builtins(figures)), indent=2).decode()


def table(figures: Figures) -> Table:
    """Fits 80 columns."""
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    shown.add_column("figure", no_wrap=True)
    shown.add_column("measured")
    for figure, measured in (*_playout(figures), *_clears(figures.clears), *_stream(figures)):
        shown.add_row(figure, measured)
    return shown


def _playout(figures: Figures) -> list[tuple[str, str]]:
    behind, parts, run, echoes = figures.behind, figures.parts, figures.run, figures.echoes
    late = ", ".join(f"{max(late_ms, 0):.0f}" for late_ms in behind.by_length_ms.values())
    lengths = ", ".join(map(str, behind.by_length_ms))
    return [
        ("start buffer", f"{parts.start_buffer_ms:.0f} ms (± {figures.noise_ms:.0f})"),
        ("mark lag", f"{parts.mark_lag_ms:.0f} ms (± {figures.noise_ms:.0f})"),
        ("mark spread", f"{run.late.p95_ms:.0f} ms for 95 of 100 echoes, {run.late.max_ms:.0f} ms for all"),
        ("mark on an empty queue", f"back after {_range(figures.round_trip)}"),
        ("mark before audio", f"{behind.before_ms:.0f} ms later than that"),
        ("mark behind audio", f"{late} ms late ({lengths} ms of audio)" if late else "never back"),
        ("audio behind audio", f"follows after {run.gap_ms:.1f} ms; rate {-round(run.rate_ppm):+d} ppm"),
        ("short last frame", SHORT_FRAMES[figures.short_frame]),
        ("all marks", f"{echoes.sent} sent, {echoes.lost} lost, {echoes.doubled} doubled"),
        ("echoes out of order", str(echoes.out_of_order)),
    ]


def _clears(clears: Clears) -> list[tuple[str, str]]:
    flushed = f"{clears.echoed} of {clears.flushed} echoed"
    if clears.echoed:
        order = "in order, before the fence" if clears.in_order else "out of order"
        flushed += f", {order},\nafter {_range(clears.after)}"
    return [
        ("marks dropped by a clear", flushed),
        ("mark behind a clear", f"back after {_range(clears.fence)}" if clears.fence.count else "never back"),
        ("audio after a clear", NOT_HEARD if clears.audible is None else _range(clears.audible)),
    ]


def _stream(figures: Figures) -> list[tuple[str, str]]:
    stream, loop = figures.stream, figures.loop
    rows = [
        ("audio is returned", "no" if loop is None else f"after {loop.round_trip_ms:.0f} ms, both ways included")
    ]
    if not stream.frames:
        return [*rows, ("frames", "none came")]
    arrival = stream.arrival
    return [
        *rows,
        ("frames", f"{stream.frame_bytes} bytes; {stream.share:.1%} came, gaps up to {stream.longest_gap_ms} ms"),
        (
            "frames come late by",
            f"{arrival.median_ms:.1f} ms; 95 of 100 by {arrival.p95_ms:.1f}, all by {arrival.max_ms:.1f}",
        ),
        ("timestamps", f"first {stream.first_ms} ms; off by up to {stream.stamps_ms:.0f} ms"),
        ("stream's clock", f"{round(stream.clock_ppm):+d} ppm against ours"),
    ]


def _range(spread: Spread) -> str:
    if spread.max_ms - spread.min_ms < 1:
        return f"{spread.median_ms:.0f} ms"
    return f"{spread.min_ms:.0f} to {spread.max_ms:.0f} ms, typically {spread.median_ms:.0f}"
