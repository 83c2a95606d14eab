"""
Resampling of PCM16 mono between telephone, wideband and model rates.

A polyphase windowed-sinc filter. To go from `from_hz` to `to_hz` the rates are divided by their common divisor,
giving `up` output samples for every `down` input samples (8 to 24 kHz: 3 for 1; 22.05 to 8 kHz: 160 for 441). One
such block of `up` outputs sees a window of the input, and each output weighs that window with the sinc shifted to
its own instant; so a block is one vector times one matrix, and many blocks are one matrix product.

Two properties are by construction, not by tuning:

- *No delay.* Output j stands for the instant j / to_hz, and the filter is centred there. It needs input from a
  little after that instant, which is why `feed` holds audio back and `flush` hands out the rest.
- *The cut does not matter.* The weights are multiples of 2**-20 and at most 1, the samples are 16 bits wide; so
  every product and every sum is a number that float64 holds exactly, in whatever order the terms are added. The
  result is the same to the bit however the input is cut into chunks.
"""

from __future__ import annotations

from functools import cache
from math import gcd
from typing import TYPE_CHECKING

from phonebot.errors import AudioError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RATES_HZ = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000)
"""The rates that occur. A filter between two of these takes at most 5 MB, between others it may take gigabytes."""

# How far the sinc reaches on either side, in samples of the lower rate: 2.5 ms at 8 kHz.
_REACH = 20
# Where the filter is down by 6 dB, as a share of the lower rate: 3.8 kHz at 8 kHz. With the reach above it is flat
# to 3.35 kHz (the telephone band ends at 3.4) and stops from 4.25 kHz.
_CUTOFF = 0.475
# Kaiser's window: 70 dB of rejection.
_KAISER_BETA = 6.8
# The weights are rounded to this part of 1.
_PRECISION = 1 / (1 << 20)
# Blocks filtered at a time: bounds the memory for an input of any length.
_BLOCKS_AT_ONCE = 512

_PCM16_WIDTH = 2
_PCM16_MIN, _PCM16_MAX = -(1 << 15), (1 << 15) - 1


class Resampler:
    """
    Changes the rate of a stream of PCM16 little-endian mono that arrives in chunks of any size.

    Feed all chunks and flush once: the outputs joined are the resampled stream. It is aligned with the input (what
    sounds at t ms comes out at t ms) and has `ceil(samples * to_hz / from_hz)` samples, one for each output instant
    before the input's end. After a flush the resampler is as new, ready for the next stream.

    Raises AudioError for rates that are equal or not in RATES_HZ.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        _check_rates(from_hz, to_hz)
        divisor = gcd(from_hz, to_hz)
        self._up, self._down = to_hz // divisor, from_hz // divisor
        self._reach = _reach(self._up, self._down)
        self._weights = _weights(self._up, self._down)
        self._start()

    def _start(self) -> None:
        import numpy as np

        # Input that later outputs still look at. The stream is preceded by silence.
        self._pending: NDArray[np.float64] = np.zeros(self._reach)
        self._half_sample = b""
        self._samples_in = 0
        self._samples_out = 0

    def feed(self, pcm: bytes) -> bytes:
        """Take more of the stream; return what is settled, possibly nothing. Half a sample waits for its rest."""
        import numpy as np

        pcm = self._half_sample + pcm
        whole = len(pcm) - len(pcm) % _PCM16_WIDTH
        self._half_sample = pcm[whole:]
        samples = np.frombuffer(pcm, "<i2", whole // _PCM16_WIDTH)
        self._samples_in += len(samples)
        return self._advance(samples.astype(np.float64))

    def flush(self) -> bytes:
        """End the stream; return the rest of it. Half a sample left over is dropped."""
        import numpy as np

        due = -(-self._samples_in * self._up // self._down) - self._samples_out
        # Silence that pushes the last input through the filter, up to the end of its block.
        rest = self._advance(np.zeros(len(self._weights) + self._down))
        self._start()
        return rest[: due * _PCM16_WIDTH]

    def _advance(self, samples: NDArray[np.float64]) -> bytes:
        """Append input and filter all blocks whose window is complete."""
        import numpy as np

        pending = np.concatenate((self._pending, samples))
        blocks = max(0, (len(pending) - len(self._weights)) // self._down + 1)
        done = [
            self._filter(pending[first * self._down :], min(_BLOCKS_AT_ONCE, blocks - first))
            for first in range(0, blocks, _BLOCKS_AT_ONCE)
        ]
        self._pending = pending[blocks * self._down :].copy()  # a view would keep all of a long input alive
        self._samples_out += blocks * self._up
        return b"".join(done)

    def _filter(self, samples: NDArray[np.float64], blocks: int) -> bytes:
        """The first `blocks` blocks of output."""
        import numpy as np

        step = samples.itemsize
        # Row b is the window of block b: a view, overlapping its neighbours.
        shape, strides = (blocks, len(self._weights)), (self._down * step, step)
        windows: NDArray[np.float64] = np.ndarray(shape, np.float64, samples, strides=strides)
        levels = np.rint(windows.dot(self._weights))
        pcm: bytes = levels.clip(_PCM16_MIN, _PCM16_MAX).astype("<i2").tobytes()
        return pcm


def resample(pcm: bytes, from_hz: int, to_hz: int) -> bytes:
    """
    A whole utterance of PCM16 little-endian mono at another rate; equal rates return it unchanged.

    The result is aligned with the input and `ceil(samples * to_hz / from_hz)` samples long. Raises AudioError for
    half a sample and for rates not in RATES_HZ.
    """
    if len(pcm) % _PCM16_WIDTH:
        raise AudioError(f"{len(pcm)} bytes are not whole PCM16 samples")
    if from_hz == to_hz:
        return pcm
    resampler = Resampler(from_hz, to_hz)
    return resampler.feed(pcm) + resampler.flush()


def _check_rates(from_hz: int, to_hz: int) -> None:
    for rate_hz in (from_hz, to_hz):
        if rate_hz not in RATES_HZ:
            allowed = ", ".join(map(str, RATES_HZ))
            raise AudioError(f"cannot resample from {from_hz} Hz to {to_hz} Hz: {rate_hz} is none of {allowed}")
    if from_hz == to_hz:
        raise AudioError(f"nothing to resample: both rates are {from_hz} Hz")


def _reach(up: int, down: int) -> int:
    """How many input samples on either side of its instant an output looks at."""
    return _REACH * max(up, down) // up


@cache
def _weights(up: int, down: int) -> NDArray[np.float64]:
    """
    The matrix that turns the window of a block into its outputs: a row for each input, a column for each output.

    The window begins `_reach` samples before the block's first input. All entries are multiples of `_PRECISION`. A
    column sums to 1 but for their rounding, so closely that a constant keeps its level.
    """
    import numpy as np

    reach = _reach(up, down)
    instants = np.arange(up) * down / up
    window = np.arange(-reach, int(instants[-1]) + reach + 1)
    # Distance in samples of the lower rate, of which the output sees `_REACH` on either side.
    distance = (window[:, np.newaxis] - instants) * min(1.0, up / down)
    inside = np.abs(distance) < _REACH
    kaiser = np.i0(_KAISER_BETA * np.sqrt(np.where(inside, 1 - (distance / _REACH) ** 2, 0)))
    sinc = np.where(inside, np.sinc(2 * _CUTOFF * distance) * kaiser, 0)
    weights: NDArray[np.float64] = np.rint(sinc / sinc.sum(axis=0) / _PRECISION) * _PRECISION
    weights.flags.writeable = False
    return weights
