"""
The echo guard: is what comes in the caller, or the bot's own voice coming back?

What the carrier plays is known, so its echo need not be guessed. Asked, the guard takes the last 400 ms of what
came in, finds the delay at which they are like what was played, fits the short filter of a line's echo path
(audio/echo_path.py) and looks at what that leaves:

    QUIET   nothing stood out from the line's noise
    ECHO    something did, what was played explains it, and nothing stands out from the rest
    OTHER   anything else: the caller, alone or over the echo, or a sound of which nothing can be said

In doubt it is OTHER: an echo taken for the caller costs a pause, a caller taken for an echo is not let in.

    guard = EchoGuard()                     # only for a call that wants it: another pays nothing
    guard.play(begin_ms, audio)             # all that is sent to the carrier, when it is sent
    guard.clear(at_ms)                      # playback was cleared
    guard.hear(timestamp_ms, audio)         # each frame that comes in
    guard.judge(now)                        # speech was detected: nothing but echo?

A detector that has announced speech is silent until that speech ends. So when the answer was ECHO, ask again while
it lasts, every 100 ms: the first OTHER is the caller, who has begun to speak into the echo.

`play`, `clear` and `hear` only store; `judge` does the arithmetic. Times are ms on the carrier's clock (clock.py),
audio is mu-law at 8 kHz. What is played may be dated wrongly by 200 ms, as it is before the round trip is measured:
that only looks like another delay.
"""

from collections import deque
from enum import StrEnum

import numpy as np

from phonebot.audio import echo_path, g711
from phonebot.audio.echo_path import HALVING_MARGIN, MARGIN, SAMPLES_PER_MS, Samples
from phonebot.audio.g711 import BYTES_PER_MS, FRAME_MS

WINDOW_MS = 400  # what is judged: a short word, and the time in which a detector notices it and says so
HISTORY_MS = 2_000  # what is kept of what came in: it has a pause, which shows the line's noise
# The delays looked at. Below 0: dated too late. The longest: 400 ms of echo, by a carrier that begins to play late.
EARLIEST_MS, LATEST_MS = -250, 650
NEEDED_MS = WINDOW_MS + LATEST_MS + 50  # of what was played, to judge a window: with the margins of the arithmetic
PLAYED_LIMIT_MS = 64_000  # what is kept of what is played, at most; audio is sent up to 30 s ahead
STAMP_TOLERANCE_MS = 15  # stamps lie a few ms off; a lost frame leaves a gap of 20
STALE_MS = 500  # when nothing came in for so long, nothing can be said of now

BLOCK_MS = 20
PROMINENCE = 6.0  # 8 dB: what stands out from the noise; blocks of pink noise reach 7 dB above their softest tenth
# Mean squares that are noise: from mu-law's own, to -50 dBFS; what is louder may be a voice without a pause.
LEAST_NOISE, MOST_NOISE = 4.0**2, 100.0**2
NO_DELAY = LATEST_MS * SAMPLES_PER_MS + MARGIN  # the shift of a sound that comes back at once
MAX_MISSING = 0.5  # of the window: gaps in what came in
# Two voices are like each other by chance: 0.29 in 1 of 20 windows, 0.36 in 1 of 100. An echo 8 dB above the noise
# exceeds 0.49 in 199 of 200. (Measured, as the three below were chosen, on the fixtures and espeak-ng's voices.)
MIN_LIKENESS = 0.3
# Delays tried. With one, 1 echo in 50 was not known when it had lasted 200 ms; with two, as with three, 1 in 200.
TRIES = 2
MAX_UNEXPLAINED = 0.6  # of the energy of the blocks that stand out: an echo may be hardly louder than the noise
# A block's residual stands out above both of these. A voice 6 dB below the echo does so within 200 ms.
MAX_OF_WINDOW = 0.05  # -13 dB of the mean energy heard
MAX_OF_BLOCK = 0.1  # -10 dB of what was heard in the same block

_PCM = np.frombuffer(g711.ulaw_to_pcm(bytes(range(256))), "<i2").astype(np.float64)


class Sound(StrEnum):
    """What came in lately."""

    QUIET = "quiet"
    ECHO = "echo"
    OTHER = "other"


class Tape:
    """Pieces of mu-law, each at its place, in order and without overlap. Positions are samples at 8 kHz."""

    def __init__(self) -> None:
        self._pieces: deque[tuple[int, bytes]] = deque()
        self.length = 0  # bytes kept
        self.end = 0  # where the newest piece ends; it stays when all are forgotten

    def append(self, begin: int, audio: bytes) -> None:
        """Add audio that begins at `begin`, which is not before `end`."""
        if audio:
            self._pieces.append((begin, audio))
            self.length += len(audio)
            self.end = begin + len(audio)

    def forget_before(self, position: int) -> None:
        """Drop the pieces that end at `position` or earlier."""
        while self._pieces and self._pieces[0][0] + len(self._pieces[0][1]) <= position:
            self.length -= len(self._pieces.popleft()[1])

    def forget_beyond(self, length: int) -> None:
        """Drop the oldest pieces until at most `length` bytes are kept."""
        while self.length > length:
            self.length -= len(self._pieces.popleft()[1])

    def cut(self, position: int) -> None:
        """Take away what lies at `position` or later."""
        while self._pieces and self._pieces[-1][0] + len(self._pieces[-1][1]) > position:
            begin, audio = self._pieces.pop()
            self.length -= len(audio)
            self.append(begin, audio[: max(position - begin, 0)])
        self.end = min(self.end, position)

    def read(self, begin: int, end: int) -> Samples:
        """The samples from `begin` to before `end`, as PCM16 values; nan where there are none."""
        audio, gaps, done = bytearray(end - begin), [], begin
        for at, piece in self._pieces:
            if at >= end:
                break
            first, last = max(at, begin), min(at + len(piece), end)
            if first < last:
                audio[first - begin : last - begin] = piece[first - at : last - at]
                gaps.append((done, first))
                done = last
        gaps.append((done, end))
        samples: Samples = _PCM[np.frombuffer(audio, np.uint8)]
        for first, last in gaps:
            samples[first - begin : last - begin] = np.nan
        return samples


class EchoGuard:
    """
    The echo guard of one call; see above.

    It keeps 2 s of what is heard, and of what is played that which may still come back, at most 64 s: 528 kB.
    """

    def __init__(self) -> None:
        self._played, self._heard = Tape(), Tape()
        # How the newest echo came: its delay in samples at 4 kHz, and its response. None: there was no echo yet.
        self._path: tuple[int, Samples] | None = None

    @property
    def delay_ms(self) -> float | None:
        """By how much the newest echo followed the times given to `play`; None when there was no echo yet."""
        return self._path[0] / SAMPLES_PER_MS if self._path else None

    @property
    def kept_bytes(self) -> int:
        """How much audio is kept."""
        return self._played.length + self._heard.length

    def play(self, begin_ms: float, audio: bytes) -> None:
        """Audio was sent: it begins to play at `begin_ms`, or, if later, when all sent before has played."""
        self._played.append(max(round(begin_ms * BYTES_PER_MS), self._played.end), audio)
        self._played.forget_beyond(PLAYED_LIMIT_MS * BYTES_PER_MS)

    def clear(self, at_ms: float) -> None:
        """
        Playback is cleared at `at_ms`: of all sent until now, nothing plays from then on.

        Call it before the next `play`. What played until then may still come back.
        """
        self._played.cut(round(at_ms * BYTES_PER_MS))

    def hear(self, timestamp_ms: int, audio: bytes) -> None:
        """
        A frame came in, of any length.

        Stamps are measured and audio is counted, so a frame joins the one before it unless its stamp says that
        frames are missing between them. A stamp that goes back starts afresh; what was played, and forgotten for
        the stamp before it, stays so.
        """
        begin = timestamp_ms * BYTES_PER_MS
        off_ms = (begin - self._heard.end) / BYTES_PER_MS
        if off_ms <= -STAMP_TOLERANCE_MS:
            self._heard = Tape()
        elif self._heard.length:
            lost = 0 if off_ms < STAMP_TOLERANCE_MS else round(off_ms / FRAME_MS)
            begin = self._heard.end + lost * FRAME_MS * BYTES_PER_MS
        self._heard.append(begin, audio)
        self._heard.forget_before(self._heard.end - HISTORY_MS * BYTES_PER_MS)
        self._played.forget_before(self._heard.end - NEEDED_MS * BYTES_PER_MS)

    def judge(self, now: int) -> Sound:
        """What came in during the 400 ms up to the newest frame; OTHER when that is old, or there was none."""
        end = self._heard.end
        if not self._heard.length or now * BYTES_PER_MS > end + STALE_MS * BYTES_PER_MS:
            return Sound.OTHER
        begin = end - HISTORY_MS * BYTES_PER_MS
        history = echo_path.halved(self._heard.read(begin - HALVING_MARGIN, end + HALVING_MARGIN))
        noise = _noise(history)
        heard = history[-WINDOW_MS * SAMPLES_PER_MS :]
        if not _stands_out(_energies(heard), noise * PROMINENCE):
            return Sound.QUIET
        return Sound.ECHO if self._explains(heard, end, noise) else Sound.OTHER

    def _explains(self, heard: Samples, end: int, noise: float) -> bool:
        """Whether what was played explains what was heard until `end`; if so the path is remembered."""
        reference = self._reference(end)
        if not reference.any() or np.isnan(heard).mean() > MAX_MISSING:
            return False
        if self._path:
            delay, taps = self._path
            rest = echo_path.unexplained(heard, reference, NO_DELAY - delay, taps)
            if _is_clean(heard, rest, noise):
                return True
        for found, likeness in echo_path.find_shifts(np.nan_to_num(heard), reference[MARGIN:-MARGIN], TRIES):
            if likeness < MIN_LIKENESS:
                break
            shift = found + MARGIN
            fit = echo_path.fit(heard, reference, shift)
            if _is_clean(heard, fit.residual, noise):
                self._path = NO_DELAY - shift, fit.taps
                return True
        return False

    def _reference(self, end: int) -> Samples:
        """What was played that may be heard in the window until `end`: from `NO_DELAY` before it, with margins."""
        first = end - (WINDOW_MS + LATEST_MS) * BYTES_PER_MS - 2 * MARGIN - HALVING_MARGIN
        last = end - EARLIEST_MS * BYTES_PER_MS + 2 * MARGIN + HALVING_MARGIN
        return echo_path.halved(np.nan_to_num(self._played.read(first, last)))


def _is_clean(heard: Samples, residual: Samples, noise: float) -> bool:
    """Whether so little is left of what was heard that nobody else can have spoken."""
    before, after = _energies(heard), _energies(residual)
    loud = before > noise * PROMINENCE
    if after[loud].sum() > before[loud].sum() * MAX_UNEXPLAINED:
        return False
    least = max(noise * PROMINENCE, float(before.mean()) * MAX_OF_WINDOW)
    return not _stands_out(after, np.maximum(before * MAX_OF_BLOCK, least))


def _stands_out(energies: Samples, level: Samples | float) -> bool:
    """Whether more than one block is above the level: one alone may be a click."""
    return int((energies > level).sum()) > 1


def _energies(samples: Samples) -> Samples:
    """The mean square of each block; what is missing counts as silence."""
    blocks = np.nan_to_num(samples).reshape(-1, BLOCK_MS * SAMPLES_PER_MS)
    energies: Samples = (blocks * blocks).mean(axis=1)
    return energies


def _noise(history: Samples) -> float:
    """The mean square of the line's noise: that of the softest tenth of the blocks, within reason."""
    blocks = history.reshape(-1, BLOCK_MS * SAMPLES_PER_MS)
    whole = blocks[~np.isnan(blocks).any(axis=1)]
    if not len(whole):
        return LEAST_NOISE
    return float(np.clip(np.percentile((whole * whole).mean(axis=1), 10), LEAST_NOISE, MOST_NOISE))
