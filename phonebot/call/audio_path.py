"""
The caller's audio on its way to the model, and the model's on its way back, as base64.

Where both sides speak mu-law the text passes through untouched. Where the model's session has another format it is
transcoded: the caller's leg as one stream, the model's item by item, so that no item sounds of the one before.
"""

from base64 import b64encode
from binascii import a2b_base64

from phonebot.audio.base64 import base64_length, base64_silence
from phonebot.audio.transcode import transcoder
from phonebot.realtime.events import BYTES_PER_MS, AudioFormat

MIN_GAP_MS = 40  # stamps of neighbouring frames are measured: they may lie a few ms off 20
MAX_GAP_MS = 2_000


class CallerLeg:
    """What the model is sent of the caller: without gaps, in the session's input format."""

    def __init__(self, model_format: AudioFormat = "pcmu") -> None:
        self._transcoder = transcoder("pcmu", model_format)
        # When the newest frame ended, on the stream's clock; None until there was one.
        self._end_ms: int | None = None

    @property
    def is_plain(self) -> bool:
        """Frames without a gap between them are passed on as they are."""
        return self._transcoder is None and self._end_ms is not None

    def feed(self, payload: str, timestamp_ms: int, most_gap_ms: int = MAX_GAP_MS) -> list[str]:
        """
        A frame stamped `timestamp_ms`: what to append for it, in order; perhaps nothing yet.

        A carrier may send nothing while the line is silent. The model counts only what it is sent, so a gap is
        filled with silence, `most_gap_ms` at most: without it a pause would end no turn.
        """
        frames = [payload]
        if self._end_ms is not None and timestamp_ms - self._end_ms >= MIN_GAP_MS and most_gap_ms:
            gap_ms = min(timestamp_ms - self._end_ms, most_gap_ms)
            frames.insert(0, base64_silence(gap_ms * BYTES_PER_MS["pcmu"]))
        self.passed(payload, timestamp_ms)
        return self._in_model_format(frames)

    def passed(self, payload: str, timestamp_ms: int) -> None:
        """The model was sent this frame, as it is."""
        self._end_ms = timestamp_ms + base64_length(payload) // BYTES_PER_MS["pcmu"]

    def finish(self, silence_ms: int = 0) -> list[str]:
        """
        The caller's turn is over: what to append for `silence_ms` that the carrier did not send, and the rest.

        What is fed next is the begin of another turn: whatever lies between the two is no gap to be filled.
        """
        self._end_ms = None
        silence_ms = min(silence_ms, MAX_GAP_MS)
        audio = self._in_model_format([base64_silence(silence_ms * BYTES_PER_MS["pcmu"])] if silence_ms else [])
        rest = self._transcoder.flush() if self._transcoder else b""
        return [*audio, encoded(rest)] if rest else audio

    def _in_model_format(self, frames: list[str]) -> list[str]:
        if self._transcoder is None:
            return frames
        transcoded = (self._transcoder.feed(a2b_base64(frame)) for frame in frames)
        return [encoded(audio) for audio in transcoded if audio]


class BotLeg:
    """What the carrier is sent of the model: as mu-law. Positions in it are positions in the item, in ms."""

    def __init__(self, model_format: AudioFormat = "pcmu") -> None:
        self._format = model_format
        self._item_id: str | None = None  # whose audio the transcoder holds
        self._transcoder = transcoder(model_format, "pcmu")
        self.bytes_per_ms = BYTES_PER_MS[model_format]

    def feed(self, item_id: str, payload: str) -> str:
        """More of an item; "" while the transcoder still waits for more of it."""
        if self._transcoder is None:
            return payload
        if item_id != self._item_id:
            self._item_id, self._transcoder = item_id, transcoder(self._format, "pcmu")
        assert self._transcoder is not None, "whether a format needs transcoding does not change"
        return encoded(self._transcoder.feed(a2b_base64(payload)))

    def finish(self, item_id: str) -> str:
        """The item is complete: the rest of its audio."""
        if self._transcoder is None or item_id != self._item_id:
            return ""
        self._item_id = None
        return encoded(self._transcoder.flush())


def encoded(audio: bytes) -> str:
    return b64encode(audio).decode("ascii")
