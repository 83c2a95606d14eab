from hypothesis import given
from hypothesis import strategies as st

from phonebot.call.clock import MediaClock


def test_call_time_is_local_until_the_first_timestamp() -> None:
    clock = MediaClock(local_ms=5_000)
    assert clock.now(5_000) == 0
    assert clock.now(5_250) == 250


def test_call_time_follows_the_stamp_of_the_fastest_frame() -> None:
    clock = MediaClock(0)
    assert clock.arrive(100, 150) == 150
    assert clock.arrive(150, 170) == 200  # 30 ms later than the first frame, which was the faster one
    assert clock.arrive(160, 220) == 220  # a frame faster still
    assert clock.now(165) == 225


def test_a_clock_that_drifts_is_followed_once_its_old_frames_leave_the_window() -> None:
    clock = MediaClock(0)
    for n in range(3_000):  # a minute; the carrier's clock loses 200 ppm
        timestamp_ms = round(n * 20 * (1 - 200e-6))
        now = clock.arrive(n * 20.0, timestamp_ms)
    assert timestamp_ms <= now <= timestamp_ms + 3


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 100)), min_size=1))
def test_call_time_never_runs_backwards_whatever_the_network_does(steps: list[tuple[int, int]]) -> None:
    clock, local_ms, timestamp_ms, latest = MediaClock(0), 0, 0, 0
    for wait_ms, stamp_ms in steps:
        local_ms, timestamp_ms = local_ms + wait_ms, timestamp_ms + stamp_ms
        now = clock.arrive(local_ms, timestamp_ms)
        assert now >= latest
        latest = now
