"""The shift and the response that lead from one sound to another, and how little they make of strangers."""

import numpy as np
import pytest

from phonebot.audio.echo_path import (
    EARLY_TAPS,
    HALVING_MARGIN,
    MARGIN,
    TAPS,
    Samples,
    find_shifts,
    fit,
    halved,
    unexplained,
)

LENGTH = 3_200
LEAD = 5_000


def noise(seed: int, length: int = LENGTH + 2 * LEAD) -> Samples:
    return np.random.default_rng(seed).normal(0, 1_000, length)


def energy(samples: Samples) -> float:
    return float(samples @ samples)


def tone(hz: float, rate_hz: int, begin_s: float, samples: int) -> Samples:
    return np.cos(2 * np.pi * hz * (begin_s + np.arange(samples) / rate_hz))


@pytest.mark.parametrize("hz", [0, 200, 1_000])
def test_a_low_tone_is_the_same_tone_at_half_the_rate(hz: float) -> None:
    half = halved(tone(hz, 8_000, -HALVING_MARGIN / 8_000, 800 + 2 * HALVING_MARGIN))
    assert half == pytest.approx(tone(hz, 4_000, 0, 400), abs=0.02)


@pytest.mark.parametrize("hz", [2_300, 3_000, 4_000])
def test_a_tone_that_half_the_rate_cannot_hold_is_removed(hz: float) -> None:
    assert np.abs(halved(tone(hz, 8_000, 0, 800))).max() < 0.03


def test_what_is_not_known_at_the_full_rate_is_not_at_half_of_it() -> None:
    samples = np.ones(800)
    samples[400] = np.nan
    (unknown,) = np.nonzero(np.isnan(halved(samples)))
    assert unknown.tolist() == list(range((400 - 2 * HALVING_MARGIN) // 2, 201))


@pytest.mark.parametrize("gain", [0.5, -0.01])
@pytest.mark.parametrize("shift", [0, 1, 1_234, 2 * LEAD])
def test_a_shifted_sound_is_found_upright_or_inverted(shift: int, gain: float) -> None:
    reference = noise(1)
    ((found, likeness),) = find_shifts(gain * reference[shift : shift + LENGTH], reference, 1)
    assert found == shift
    assert likeness == pytest.approx(1, abs=1e-3)


def test_strangers_are_unlike_each_other_at_any_shift() -> None:
    assert max(likeness for _, likeness in find_shifts(noise(2, LENGTH), noise(3), 3)) < 0.1


@pytest.mark.parametrize(("heard", "played"), [(0, 1), (1, 0), (0, 0)])
def test_silence_is_like_nothing(heard: int, played: int) -> None:
    assert find_shifts(heard * noise(2, LENGTH), played * noise(3), 2) == []


def test_a_sound_is_not_found_where_the_reference_is_as_good_as_silent() -> None:
    reference = noise(1)
    reference[:LEAD] *= 1e-4
    ((_, likeness),) = find_shifts(reference[:LENGTH] * 1e4, reference, 1)
    assert likeness < 0.1


def test_of_a_sound_that_was_played_twice_both_shifts_are_found_best_first() -> None:
    reference = noise(1)
    heard = reference[1_000 : 1_000 + LENGTH] + 0.5 * reference[4_000 : 4_000 + LENGTH]
    assert [shift for shift, _ in find_shifts(heard, reference, 2)] == [1_000, 4_000]


def test_the_response_of_the_path_is_recovered() -> None:
    reference, response = noise(1), np.array([0.1, 0.4, -0.2, 0.05])
    played = np.convolve(reference, response)
    found = fit(played[LEAD : LEAD + LENGTH], reference, LEAD)
    expected = np.zeros(TAPS)
    expected[EARLY_TAPS : EARLY_TAPS + len(response)] = response
    assert found.taps == pytest.approx(expected, abs=1e-3)
    assert energy(found.residual) < 1e-4 * energy(played[LEAD : LEAD + LENGTH])


def test_a_response_that_fits_by_chance_explains_nothing() -> None:
    heard = noise(2, LENGTH)
    assert energy(fit(heard, noise(3), LEAD).residual) > energy(heard)


def test_a_known_response_explains_what_comes_later_too() -> None:
    reference, response = noise(1), np.array([0.4, -0.2])
    heard = np.convolve(reference, response)
    taps = fit(heard[LEAD : LEAD + LENGTH], reference, LEAD).taps
    later = heard[LEAD + 1_000 : LEAD + 1_000 + LENGTH]
    assert energy(unexplained(later, reference, LEAD + 1_000, taps)) < 1e-4 * energy(later)


def test_what_was_not_heard_neither_teaches_nor_remains() -> None:
    reference = noise(1)
    heard = 0.5 * reference[LEAD : LEAD + LENGTH]
    heard[700:1_300] = np.nan
    found = fit(heard, reference, LEAD)
    assert energy(found.residual) < 1e-4 * energy(np.nan_to_num(heard))
    assert not found.residual[700:1_300].any()
    assert not unexplained(heard, reference, LEAD, found.taps)[700:1_300].any()


def test_two_silences_have_a_response_of_nothing() -> None:
    found = fit(np.zeros(LENGTH), np.zeros(LENGTH + 2 * LEAD), LEAD)
    assert not found.taps.any()
    assert not found.residual.any()


@pytest.mark.parametrize("shift", [MARGIN, LENGTH])
def test_the_margin_is_enough_at_both_ends(shift: int) -> None:
    reference = noise(1, LENGTH + shift + MARGIN)
    found = fit(0.5 * reference[shift : shift + LENGTH], reference, shift)
    assert found.taps[EARLY_TAPS] == pytest.approx(0.5, abs=1e-2)
