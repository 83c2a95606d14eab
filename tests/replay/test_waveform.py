"""The loudness of a leg over its time."""

from hypothesis import given
from hypothesis import strategies as st

from phonebot.replay.waveform import FEWEST_BINS, MOST_BINS, bins_for, loudness

SILENCE, LOUDEST = b"\xff", b"\x80"


def test_each_bin_has_the_loudest_sample_of_its_part() -> None:
    leg = SILENCE * 15 + LOUDEST + SILENCE * 16
    assert loudness(leg, 4) == [0, 100, 0, 0]


def test_soft_speech_is_seen() -> None:
    (soft,) = loudness(b"\xb0", 1)  # 1/22 of full scale
    assert 10 < soft < 50


def test_a_call_has_so_many_bins_that_its_picture_stays_small() -> None:
    assert [bins_for(ms) for ms in (0, 20_000, 60_000, 14_400_000)] == [FEWEST_BINS, 500, 1500, MOST_BINS]


@given(leg=st.binary(max_size=2000), bins=st.integers(1, 300))
def test_any_leg_has_as_many_bins_as_were_asked_for(leg: bytes, bins: int) -> None:
    found = loudness(leg, bins)
    assert len(found) == bins
    assert all(0 <= level <= 100 for level in found)
    assert (max(found) > 0) == any(code & 0x7F != 0x7F for code in leg) or max(found) == 0
