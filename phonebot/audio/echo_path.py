"""
The echo path: the delay and the short filter that lead from what was played to what comes back.

On a telephone line what is played meets an imperfect hybrid, is weakened, filtered for some ms and sent back, up to
hundreds of ms later where networks lie between. So an echo is what was played, shifted and convolved with a short
response; mu-law in both directions adds noise some 35 dB below. `find_shifts` looks for the shift, `fit` for the
response. Both answer for any pair of sounds: whether that much likeness makes an echo is for others to judge.

The arithmetic is done at 4 kHz (`halved`): most of a voice lies below 1.6 kHz, a response takes half the taps and
an eighth of the time, and the low frequencies are the last that a drifting clock spoils.

Samples are float64 arrays of PCM16 values. A shift is in samples at 4 kHz: `heard[n]` faces `reference[n + shift]`.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.float64]

SAMPLES_PER_MS = 4
HALVING_MARGIN = 12  # samples at 8 kHz that must be there on either side of those to be halved

TAPS = 96  # 24 ms: what hybrids and filters disperse, and a small room that a telephone listens to
# Of these, the taps that see what is played later than the shift says: the strongest tap need not be the first.
EARLY_TAPS = 12
MARGIN = TAPS  # samples of reference that must be there on either side of what the sound faces

# The low-pass: -6 dB at 1.6 kHz, a windowed sinc.
_CUTOFF = 1_600 / 8_000
_OFFSETS = np.arange(-HALVING_MARGIN, HALVING_MARGIN + 1)
_LOW_PASS = 2 * _CUTOFF * np.sinc(2 * _CUTOFF * _OFFSETS) * np.hamming(len(_OFFSETS))
# Most of what is left lies below 500 Hz, where neighbouring shifts look alike.
_EMPHASIS = 0.9
# 30 dB below its loudest stretch the reference is taken for silence: there it would match anything.
_SILENCE = 1e-3
# What is so near a shift, 3 ms, belongs to it: the pitch period of a voice is longer.
_APART = 12
# Of the reference's power, added to it: a response to frequencies that were not played shall not be invented.
_RIDGE = 1e-3
# The response is learnt from every other run of so many samples, 10 ms, and tried on those between.
_RUN = 40


@dataclass(frozen=True, slots=True)
class Fit:
    """
    `taps` is the response that fits best, `residual` what stays unexplained of each sample heard.

    No sample was used to find the response that its own residual was made with. So a response that fits by chance
    explains nothing, however many taps it has.
    """

    taps: Samples
    residual: Samples


def halved(samples: Samples) -> Samples:
    """
    Samples at 8 kHz as samples at 4 kHz, the first at the place of the first.

    `HALVING_MARGIN` samples more are taken from either side. What is not known (nan) makes its neighbours unknown.
    """
    windows = np.lib.stride_tricks.sliding_window_view(samples, len(_LOW_PASS))
    half: Samples = windows[::2].dot(_LOW_PASS)
    return half


def find_shifts(heard: Samples, reference: Samples, count: int) -> list[tuple[int, float]]:
    """
    The shifts at which the reference is most like what was heard, and how like: 0 to 1. The best comes first.

    Likeness is the magnitude of the normalised cross-correlation, since an echo may be inverted. All shifts are
    tried at which the reference covers the sound, and those returned lie 3 ms apart: in a vowel, a shift wrong by a
    pitch period may look better than the right one. Empty when either is silent.
    """
    likeness = _likeness(_emphasised(heard), _emphasised(reference))
    shifts: list[tuple[int, float]] = []
    while len(shifts) < count and likeness.any():
        best = int(likeness.argmax())
        shifts.append((best, float(likeness[best])))
        likeness[max(best - _APART, 0) : best + _APART + 1] = 0
    return shifts


def _likeness(heard: Samples, reference: Samples) -> Samples:
    """For each shift, from 0 on."""
    size = 1 << (len(reference) - 1).bit_length()  # so long, what wraps around lies behind the shifts that are read
    spectrum = np.fft.rfft(reference, size) * np.fft.rfft(heard, size).conj()
    products = np.fft.irfft(spectrum, size)[: len(reference) - len(heard) + 1]
    sums = np.concatenate(([0.0], np.cumsum(reference * reference)))
    energies = sums[len(heard) :] - sums[: -len(heard)]
    loudest, energy = float(energies.max()), float(heard @ heard)
    if loudest < 1 or energy < 1:
        return np.zeros_like(products)
    likeness: Samples = np.abs(products) / np.sqrt(np.maximum(energies, loudest * _SILENCE) * energy)
    return likeness


def fit(heard: Samples, reference: Samples, shift: int) -> Fit:
    """
    The response that best turns the reference, so shifted, into what was heard.

    Samples not known (nan) are left out; their residual is 0. The reference must reach `MARGIN` further than the
    sound at both ends.
    """
    known = ~np.isnan(heard)
    sound = np.where(known, heard, 0.0)
    reach = _reach(reference, shift, len(heard))
    # For each sample heard a row of what each tap sees.
    rows = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(reach, TAPS)[:, ::-1])
    if not known.all():
        rows *= known[:, np.newaxis]
    in_even_run = np.arange(len(heard)) // _RUN % 2 == 0
    residual = np.empty_like(sound)
    power, product = np.zeros((TAPS, TAPS)), np.zeros(TAPS)
    for learnt, tried in ((in_even_run, ~in_even_run), (~in_even_run, in_even_run)):
        half = rows[learnt]
        half_power, half_product = half.T @ half, sound[learnt] @ half
        residual[tried] = sound[tried] - rows[tried] @ _solve(half_power, half_product)
        power += half_power
        product += half_product
    return Fit(_solve(power, product), residual)


def unexplained(heard: Samples, reference: Samples, shift: int, taps: Samples) -> Samples:
    """What a response found earlier leaves of each sample heard; 0 for those not known. Arguments as for `fit`."""
    return np.nan_to_num(heard - np.convolve(_reach(reference, shift, len(heard)), taps, "valid"))


def _reach(reference: Samples, shift: int, length: int) -> Samples:
    """All that the taps see while `length` samples are heard."""
    return reference[shift + EARLY_TAPS - TAPS + 1 : shift + EARLY_TAPS + length]


def _solve(power: Samples, product: Samples) -> Samples:
    ridge = _RIDGE * np.trace(power) / TAPS + 1.0  # the 1 is for silence, which has no power of its own
    taps: Samples = np.linalg.solve(power + ridge * np.eye(TAPS), product)
    return taps


def _emphasised(samples: Samples) -> Samples:
    return samples[1:] - _EMPHASIS * samples[:-1]
