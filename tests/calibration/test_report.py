"""What people and scripts see of the figures, and what is written into the settings file."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console

from phonebot.calibration.figures import Behind, Clears, Echoes, Figures, Loop, Parts, Run, Spread, Stream
from phonebot.calibration.report import NOT_HEARD, settings_of, table, to_json, write_settings
from phonebot.call.plan import CarrierTraits
from phonebot.settings import load

# As wide as figures get.
WIDE = Spread(count=1_000, min_ms=1_000.1, median_ms=1_100.1, p95_ms=1_900.1, max_ms=1_999.1)
FIGURES = Figures(
    round_trip=Spread(count=20, min_ms=70.0, median_ms=71.0, p95_ms=72.0, max_ms=90.0),
    behind=Behind(late_ms=160.4, error_ms=0.4, by_length_ms={100: 161.0, 300: 160.0, 700: -0.2}, before_ms=0.0),
    parts=Parts(start_buffer_ms=120.4, mark_lag_ms=40.0),
    run=Run(late=Spread(count=44, min_ms=0.0, median_ms=1.0, p95_ms=4.9, max_ms=20.0), gap_ms=0.0, rate_ppm=0.0),
    loop=Loop(round_trip_ms=130.0, error_ms=2.5),
    clears=Clears(64, 64, True, WIDE, WIDE, WIDE),
    short_frame="hold",
    stream=Stream(2_000, 100, 160, WIDE, 3.0, 0.991, 1_240, -199.6),
    echoes=Echoes(sent=1_000, lost=1_000, doubled=1_000, out_of_order=1_000),
)


def shown(figures: Figures) -> str:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(table(figures))
    return captured.get()


def test_the_settings_are_whole_ms_and_what_is_within_the_error_is_0() -> None:
    assert FIGURES.noise_ms == 5
    assert FIGURES.traits() == CarrierTraits(start_buffer_ms=120, mark_lag_ms=40, mark_spread_ms=0)
    scattered = replace(FIGURES, round_trip=replace(FIGURES.round_trip, median_ms=120.0))
    assert scattered.noise_ms == 50
    assert scattered.traits() == CarrierTraits(start_buffer_ms=120, mark_lag_ms=0, mark_spread_ms=0)


def test_the_settings_have_the_names_that_the_service_knows() -> None:
    given = settings_of(CarrierTraits(120, 40, 10))
    settings = load({name: str(value) for name, value in given.items()}, env_file=None)
    told = (settings.carrier_start_buffer_ms, settings.carrier_mark_lag_ms, settings.carrier_mark_spread_ms)
    assert told == (120, 40, 10)


def test_a_figure_is_a_row_and_none_is_broken_by_80_columns() -> None:
    text = shown(FIGURES)
    assert max(map(len, text.splitlines())) <= 80
    assert "start buffer              120 ms (± 5)" in text
    assert "161, 160, 0 ms late (100, 300, 700 ms of audio)" in text
    assert "-200 ppm against ours" in text
    # A row each, two lines for the heading, one more for the row that has two.
    assert len(text.splitlines()) == 21


def test_what_could_not_be_measured_is_said() -> None:
    deaf = replace(FIGURES, loop=None, clears=replace(FIGURES.clears, audible=None, echoed=0, fence=Spread()))
    text = shown(replace(deaf, stream=replace(FIGURES.stream, frames=0)))
    assert NOT_HEARD in text
    assert "0 of 64 echoed" in text
    assert "never back" in text
    assert "none came" in text


def test_the_json_has_all_figures_and_the_settings() -> None:
    told = json.loads(to_json(FIGURES))
    assert told["settings"] == settings_of(FIGURES.traits())
    assert told["noise_ms"] == 5
    assert told["round_trip"]["median_ms"] == 71.0
    assert told["behind"]["by_length_ms"] == {"100": 161.0, "300": 160.0, "700": -0.2}
    assert told["clears"]["in_order"] is True
    assert "is" not in told


def test_the_json_leaves_nothing_out_that_is_0() -> None:
    told = json.loads(to_json(replace(FIGURES, parts=Parts())))
    assert told["parts"] == {"start_buffer_ms": 0.0, "mark_lag_ms": 0.0}


# ------------------------------------------------------------------ the file


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "A=1\nB=2\n"),
        ("", "A=1\nB=2\n"),
        ("X=1\n# kept\n\nY=2", "X=1\n# kept\n\nY=2\nA=1\nB=2\n"),
        ("B=0\nX=1\nA=0\n", "B=2\nX=1\nA=1\n"),
        ("export A = 'x'\nAA=5\nX=$A=\nA=7\n", "A=1\nAA=5\nX=$A=\nB=2\n"),
        ("#A=0\n", "#A=0\nA=1\nB=2\n"),
    ],
    ids=["no file", "empty", "others", "in place", "spellings", "comment"],
)
def test_settings_take_their_place_in_the_file_and_leave_the_rest_alone(
    tmp_path: Path, before: str | None, after: str
) -> None:
    path = tmp_path / ".env"
    if before is not None:
        path.write_text(before)
    write_settings(path, {"A": 1, "B": 2})
    assert path.read_text() == after
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_keeps_its_permissions_and_a_link_to_it_stays_one(tmp_path: Path) -> None:
    path, link = tmp_path / "settings", tmp_path / ".env"
    path.write_text("X=1\n")
    path.chmod(0o640)
    link.symlink_to(path)
    write_settings(link, {"A": 1})
    assert link.is_symlink()
    assert path.read_text() == "X=1\nA=1\n"
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    write_settings(path, {"A": 1})
    assert path.stat().st_mode & 0o777 == 0o600
