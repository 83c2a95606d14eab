"""
A measuring call in virtual time: what is measured of the emulated carrier is what was put into it.

Within 5 ms, unless a test says otherwise: that is the error which the figures themselves state (`noise_ms`).
"""

import pytest
from calibration_driver import MeasuringCall

from phonebot.calibration.figures import CalibrationFailed, Figures
from phonebot.calibration.measurement import TITLES, Measurement
from phonebot.calibration.tone import tone
from phonebot.call.actions import SendMark
from phonebot.call.plan import CarrierTraits
from phonebot.simulator.carrier import FRAME_MS, SILENCE, Oddities
from phonebot.simulator.network import Network

AWAY = Network(uplink_delay_ms=40, downlink_delay_ms=30)
JITTERY = Network(uplink_delay_ms=40, uplink_jitter_ms=20, downlink_delay_ms=30, downlink_jitter_ms=20)
NOISE_MS = 5
LOOP_ERROR_MS = 2.5  # the tone is played at four phases of a frame


def measured(**terms: object) -> Figures:
    call = MeasuringCall(**terms)  # type: ignore[arg-type]
    figures = call.run()
    assert call.carrier.violations == []
    return figures


def is_near(traits: CarrierTraits, buffer_ms: int, lag_ms: int, spread_ms: int, error_ms: float = NOISE_MS) -> bool:
    off_ms = (
        (traits.start_buffer_ms or 0) - buffer_ms,
        traits.mark_lag_ms - lag_ms,
        traits.mark_spread_ms - spread_ms,
    )
    return max(map(abs, off_ms)) <= error_ms


# ------------------------------------------------------------------ the plain carrier


def test_the_plain_carrier_has_no_traits() -> None:
    figures = measured(network=AWAY)
    assert figures.traits() == CarrierTraits(start_buffer_ms=0)
    assert figures.noise_ms == NOISE_MS
    assert (figures.round_trip.count, figures.round_trip.min_ms, figures.round_trip.max_ms) == (20, 70, 70)
    assert figures.echoes.lost == figures.echoes.doubled == figures.echoes.out_of_order == 0


@pytest.mark.parametrize("zero_ms", [0.0, 7.3, 12_345.6])
def test_where_our_clock_stands_does_not_matter(zero_ms: float) -> None:
    assert measured(network=AWAY, zero_ms=zero_ms, repeats=4).traits() == CarrierTraits(start_buffer_ms=0)


def test_the_frames_of_the_far_end_are_described() -> None:
    stream = measured(oddities=Oddities(first_timestamp_ms=140)).stream
    assert (stream.first_ms, stream.frame_bytes, stream.share, stream.longest_gap_ms) == (140, 160, 1.0, FRAME_MS)
    assert (stream.stamps_ms, stream.clock_ppm, stream.arrival.max_ms) == (0, 0, 0)


def test_audio_behind_audio_begins_when_that_ends_and_plays_at_the_rate_of_the_streams_clock() -> None:
    run = measured(oddities=Oddities(start_buffer_ms=120)).run
    assert (run.gap_ms, run.rate_ppm, run.late.max_ms) == (0, 0, 0)


# ------------------------------------------------------------------ start buffer and late echoes


@pytest.mark.parametrize("network", [Network(), AWAY], ids=["near", "away"])
@pytest.mark.parametrize("buffer_ms", [40, 75, 120, 250])
def test_a_start_buffer_is_measured_as_such(buffer_ms: int, network: Network) -> None:
    figures = measured(oddities=Oddities(start_buffer_ms=buffer_ms), network=network)
    assert is_near(figures.traits(), buffer_ms, 0, 0)
    assert all(abs(late_ms - buffer_ms) <= NOISE_MS for late_ms in figures.behind.by_length_ms.values())
    assert figures.behind.before_ms == 0


@pytest.mark.parametrize("network", [Network(), AWAY], ids=["near", "away"])
@pytest.mark.parametrize("lag_ms", [40, 120, 260])
def test_a_lag_of_the_echoes_behind_audio_is_told_from_a_start_buffer(lag_ms: int, network: Network) -> None:
    assert is_near(measured(oddities=Oddities(marks_lag_ms=lag_ms), network=network).traits(), 0, lag_ms, 0)


@pytest.mark.parametrize(("buffer_ms", "lag_ms"), [(100, 60), (50, 100), (200, 40)])
def test_a_start_buffer_and_a_lag_together_are_parted(buffer_ms: int, lag_ms: int) -> None:
    oddities = Oddities(start_buffer_ms=buffer_ms, marks_lag_ms=lag_ms)
    assert is_near(measured(oddities=oddities, network=AWAY).traits(), buffer_ms, lag_ms, 0)


def test_what_delays_every_echo_alike_belongs_to_the_round_trip() -> None:
    figures = measured(oddities=Oddities(marks_delay_ms=80), loop_ms=0)
    assert is_near(figures.traits(), 0, 0, 0)
    assert figures.round_trip.min_ms == 80
    # That the tone is back sooner than any mark betrays it.
    assert figures.loop is not None
    assert figures.loop.round_trip_ms <= LOOP_ERROR_MS


@pytest.mark.parametrize("burst_ms", [60, 100, 200])
def test_echoes_that_leave_together_are_a_spread(burst_ms: int) -> None:
    figures = measured(oddities=Oddities(marks_burst_ms=burst_ms), network=AWAY)
    # Audio ends with a frame, so the echo that is left behind the most is so by a frame less than the whole period.
    assert figures.traits().mark_spread_ms == burst_ms - FRAME_MS


def test_stamps_that_are_off_are_a_spread_too() -> None:
    figures = measured(oddities=Oddities(timestamp_jitter_ms=10))
    assert 15 <= figures.traits().mark_spread_ms <= 20
    assert figures.stream.stamps_ms == pytest.approx(10, abs=1)


@pytest.mark.parametrize("seed", range(4))
def test_a_network_that_jitters_makes_the_figures_less_exact_and_they_say_so(seed: int) -> None:
    oddities = Oddities(start_buffer_ms=120)
    figures = measured(oddities=oddities, network=JITTERY, seed=seed)
    assert 10 <= figures.noise_ms <= 20
    assert is_near(figures.traits(), 120, 0, 0, error_ms=figures.noise_ms)
    assert measured(network=JITTERY, seed=seed).traits() == CarrierTraits(start_buffer_ms=0)


def test_the_clocks_are_compared() -> None:
    figures = measured(oddities=Oddities(drift_ppm=-180), network=AWAY)
    assert figures.stream.clock_ppm == pytest.approx(-180, abs=1)
    assert figures.traits() == CarrierTraits(start_buffer_ms=0)


# ------------------------------------------------------------------ clears


def test_flushed_marks_come_at_once_in_order_and_before_the_fence_which_comes_with_the_frame() -> None:
    clears = measured(network=AWAY).clears
    assert (clears.flushed, clears.echoed, clears.in_order) == (64, 64, True)
    assert clears.after.max_ms <= 1
    assert 0 < clears.fence.min_ms <= 5
    assert 15 <= clears.fence.max_ms <= 21


def test_marks_that_a_clear_does_not_echo_are_missed() -> None:
    figures = measured(oddities=Oddities(clear_echoes=False))
    assert (figures.clears.flushed, figures.clears.echoed) == (64, 0)
    assert figures.echoes.lost == 64


def test_a_fence_that_lags_is_seen() -> None:
    fence = measured(oddities=Oddities(marks_lag_ms=100)).clears.fence
    assert 100 <= fence.min_ms <= 105
    assert 115 <= fence.max_ms <= 121


# ------------------------------------------------------------------ what the far end hears


@pytest.mark.parametrize("loop_ms", [0, 60, 400, 1_200])
def test_audio_after_a_clear_is_the_frame_in_flight_however_late_it_is_returned(loop_ms: int) -> None:
    figures = measured(network=AWAY, loop_ms=loop_ms)
    assert figures.loop is not None
    assert figures.loop.round_trip_ms == pytest.approx(70 + loop_ms, abs=figures.loop.error_ms + 1)
    assert figures.clears.audible is not None
    assert figures.clears.audible.count == 8
    assert figures.clears.audible.min_ms <= 2 * LOOP_ERROR_MS + 1
    assert FRAME_MS - 2 * LOOP_ERROR_MS - 1 <= figures.clears.audible.max_ms <= FRAME_MS + LOOP_ERROR_MS + 1


def test_a_start_buffer_is_no_part_of_the_loop() -> None:
    figures = measured(oddities=Oddities(start_buffer_ms=120), loop_ms=60)
    assert figures.loop is not None
    assert figures.loop.round_trip_ms == pytest.approx(60, abs=LOOP_ERROR_MS + 1)


class TailedEnd:
    """A far end to which so much audio was handed over ahead: when the tone ends there, the tail plays on."""

    def __init__(self, tail_ms: int) -> None:
        self._frames = tail_ms // FRAME_MS
        self._left = 0

    def __call__(self, said: bytes) -> bytes:
        if said != SILENCE:
            self._left = self._frames
            return said
        self._left -= 1
        return tone(FRAME_MS) if self._left >= 0 else said


def test_audio_that_plays_on_after_a_clear_is_measured() -> None:
    figures = measured(far_end=TailedEnd(100))
    assert figures.clears.audible is not None
    assert figures.clears.audible.max_ms == pytest.approx(100 + FRAME_MS, abs=2 * LOOP_ERROR_MS)


def test_a_far_end_that_returns_nothing_leaves_that_unmeasured_and_the_rest_as_it_is() -> None:
    figures = measured(oddities=Oddities(start_buffer_ms=120), loop_ms=None)
    assert figures.loop is None
    assert figures.clears.audible is None
    assert (figures.clears.flushed, figures.clears.echoed, figures.clears.in_order) == (64, 64, True)
    assert is_near(figures.traits(), 120, 0, 0)


def test_a_far_end_that_makes_a_noise_of_its_own_is_not_taken_for_a_loop() -> None:
    hum = bytes(0x10 + number * 37 % 23 for number in range(160))
    assert measured(loop_ms=None, far_end=lambda said: hum).loop is None


# ------------------------------------------------------------------ the rest


@pytest.mark.parametrize("reading", ["pad", "hold"])
def test_a_short_last_frame_is_found_padded_or_held(reading: str) -> None:
    assert measured(oddities=Oddities(short_frame=reading)).short_frame == reading  # type: ignore[arg-type]


def test_no_frames_while_the_far_end_is_silent_leave_all_else_measured() -> None:
    figures = measured(oddities=Oddities(silence_suppressed=True, start_buffer_ms=120), network=AWAY)
    assert figures.stream.share < 0.5
    assert figures.stream.longest_gap_ms > 1_000
    assert is_near(figures.traits(), 120, 0, 0)


def test_a_far_end_that_never_sends_a_frame_leaves_all_else_measured() -> None:
    figures = measured(oddities=Oddities(silence_suppressed=True), loop_ms=None)
    assert figures.stream.frames == 0
    assert figures.traits() == CarrierTraits(start_buffer_ms=0)


def test_lost_and_doubled_echoes_are_counted_and_do_no_harm() -> None:
    figures = measured(oddities=Oddities(marks_lost=0.05, marks_doubled=0.05, start_buffer_ms=120), network=AWAY)
    assert figures.echoes.lost > 0
    assert figures.echoes.doubled > 0
    assert is_near(figures.traits(), 120, 0, 0)


def test_a_carrier_that_echoes_nothing_cannot_be_measured() -> None:
    with pytest.raises(CalibrationFailed, match="did not echo a mark"):
        measured(oddities=Oddities(marks_lost=1.0))


def test_one_repeat_is_enough_to_see_a_start_buffer_and_takes_less_time() -> None:
    call = MeasuringCall(oddities=Oddities(start_buffer_ms=120), repeats=1)
    begin_ms = call.local_ms
    assert is_near(call.run().traits(), 120, 0, 0)
    assert call.local_ms - begin_ms < 15_000


def test_the_stage_says_what_is_being_measured() -> None:
    measurement = Measurement(0.0)
    assert TITLES[measurement.stage] == "the far end's frames"
    assert measurement.tick(1_000) == []
    assert measurement.wakeup_ms == 2_000
    assert measurement.tick(2_000) == [SendMark("0")]
    assert TITLES[measurement.stage] == "marks on an empty queue"
