"""Conversion between the audio formats of the carrier's side and the model's, as a stream."""

from collections.abc import Callable
from typing import Literal, TypeAlias

from phonebot.audio import g711
from phonebot.audio.resample import Resampler

Format: TypeAlias = Literal["pcmu", "pcma", "pcm24k"]
"""G.711 mu-law or A-law at 8 kHz (8 bytes a ms), or PCM16 little-endian mono at 24 kHz (48 bytes a ms)."""

_RATE_HZ: dict[Format, int] = {"pcmu": g711.SAMPLE_RATE_HZ, "pcma": g711.SAMPLE_RATE_HZ, "pcm24k": 24000}

_TO_PCM: dict[Format, Callable[[bytes], bytes]] = {
    "pcmu": g711.ulaw_to_pcm,
    "pcma": g711.alaw_to_pcm,
    "pcm24k": bytes,
}
_FROM_PCM: dict[Format, Callable[[bytes], bytes]] = {
    "pcmu": g711.pcm_to_ulaw,
    "pcma": g711.pcm_to_alaw,
    "pcm24k": bytes,
}
# Between the two laws no PCM is needed, nor a resampler.
_TABLE: dict[tuple[Format, Format], Callable[[bytes], bytes]] = {
    ("pcmu", "pcma"): g711.ulaw_to_alaw,
    ("pcma", "pcmu"): g711.alaw_to_ulaw,
}


class Transcoder:
    """
    Turns a stream of one format into another; the output is aligned with the input.

    Feed all of an item, then flush. Between the laws `feed` answers byte for byte; otherwise it holds 2.5 ms back,
    which the next feed or the flush gives. A flush leaves the transcoder as new: one serves item after item.

    `transcoder` makes one where it is needed. Raises ValueError for equal or unknown formats.
    """

    def __init__(self, source: Format, target: Format) -> None:
        for name in (source, target):
            if name not in _RATE_HZ:
                raise ValueError(f"no such audio format: {name!r}; there are {', '.join(_RATE_HZ)}")
        if source == target:
            raise ValueError(f"{source} to {target} needs no transcoder: pass the bytes through")
        table = _TABLE.get((source, target))
        self._decode = table or _TO_PCM[source]
        self._encode = bytes if table else _FROM_PCM[target]
        # None: both sides have the same rate.
        self._resampler = None if table else Resampler(_RATE_HZ[source], _RATE_HZ[target])

    def feed(self, audio: bytes) -> bytes:
        """Take a chunk of any size, even half a sample; return what is settled, possibly nothing."""
        decoded = self._decode(audio)
        return self._encode(self._resampler.feed(decoded) if self._resampler else decoded)

    def flush(self) -> bytes:
        """End the stream; return the rest of it. Half a sample left over is dropped."""
        return self._encode(self._resampler.flush()) if self._resampler else b""


def transcoder(source: Format, target: Format) -> Transcoder | None:
    """What turns `source` into `target`, or None: they are the same, pass the bytes through."""
    return None if source == target else Transcoder(source, target)
