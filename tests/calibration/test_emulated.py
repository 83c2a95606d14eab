import pytest

from phonebot.calibration.emulated import Emulated, emulated
from phonebot.errors import SettingsError
from phonebot.simulator.carrier import Oddities
from phonebot.simulator.network import Network


def test_without_oddities_the_carrier_is_the_plain_one_and_its_far_end_returns_what_it_hears() -> None:
    assert emulated([]) == Emulated(Oddities(), Network(), loop_ms=60)


def test_each_oddity_is_put_in_its_place() -> None:
    oddities = Oddities(
        start_buffer_ms=1, marks_lag_ms=2, marks_delay_ms=3, marks_burst_ms=4, drift_ppm=-5, short_frame="hold"
    )
    words = ["start-buffer=1", "mark-lag=2", "mark-delay=3", "mark-burst=4", "drift=-5", "hold"]
    assert emulated([*words, "delay=6", "jitter=7", "loop=8"]) == Emulated(oddities, Network(6, 7, 6, 7), loop_ms=8)
    assert emulated(["no-loop"]).loop_ms is None


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("buffer=1", "'buffer=1' is no oddity; it must be one of start-buffer=N, "),
        ("hold=1", "'hold=1' is no oddity"),
        ("", "'' is no oddity"),
        ("delay", "'delay' is not allowed; the number must be a whole one from 0 to 2000"),
        ("delay=-1", "'delay=-1' is not allowed"),
        ("delay=2001", "'delay=2001' is not allowed"),
        ("delay=1.5", "'delay=1.5' is not allowed"),
        ("drift=1001", "'drift=1001' is not allowed; the number must be a whole one from -1000 to 1000"),
    ],
)
def test_what_is_no_oddity_is_refused_with_what_is_allowed(word: str, problem: str) -> None:
    with pytest.raises(SettingsError) as refused:
        emulated([word])
    assert str(refused.value).startswith(problem)
