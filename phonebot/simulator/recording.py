"""
Recordings of a leg: by the REST API, by the Record verb, or ordered when the call was created.

Twilio, "Recordings resource": in-progress, paused, stopped, completed, absent, and a callback when that changes.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Literal, TypeAlias

from phonebot.audio import g711, wav
from phonebot.simulator.caller import Said
from phonebot.simulator.carrier import BYTES_PER_MS
from phonebot.simulator.leg import Leg, new_sid
from phonebot.simulator.signing import Fields

Status: TypeAlias = Literal["in-progress", "paused", "stopped", "completed", "absent"]
EVENTS = frozenset({"in-progress", "completed", "absent"})
"""The statuses of which somebody may want to be told."""


@dataclass(frozen=True, slots=True)
class RecordingOrder:
    """
    How a recording is made, and who is told of it. `track` is inbound (what the person says), outbound or both.
    """

    source: str
    channels: Literal[1, 2] = 1
    track: str = "both"
    callback_url: str | None = None
    callback_method: str = "POST"
    callback_events: frozenset[str] = frozenset({"completed"})


class Recording:
    """
    One recording of a leg, which it begins at once. `url` is where its audio can be had, with .wav after it.

    `tell` is given each change that its callback is to be told: method, URL, fields.
    """

    def __init__(
        self, leg: Leg, order: RecordingOrder, base_url: str, tell: Callable[[str, str, Fields], None]
    ) -> None:
        self.sid = new_sid("RE")
        self.url = f"{base_url}/Recordings/{self.sid}"
        self.order = order
        self.leg = leg
        self.status: Status = "in-progress"
        self.started = datetime.now(UTC)
        self._tell = tell
        self._skips = False  # a pause leaves no silence
        self._said, self._heard = bytearray(), bytearray()
        leg.handset.taps.append(self._hear)
        leg.at_end.append(self.stop)
        self._notify()

    @property
    def is_running(self) -> bool:
        return self.status in ("in-progress", "paused")

    @property
    def duration_ms(self) -> int:
        return len(self._said) // BYTES_PER_MS

    def pause(self, *, skips: bool) -> None:
        """Record silence from now on, or with `skips` nothing."""
        self.status, self._skips = "paused", skips

    def resume(self) -> None:
        self.status = "in-progress"

    def stop(self) -> None:
        """The recording is over: what there is can be had."""
        if self.is_running:
            self.leg.handset.taps.remove(self._hear)
            self.status = "completed" if self._said else "absent"
            self._notify()

    def give_up(self) -> None:
        """The recording is over, and nothing of it is kept: there was nothing to hear."""
        self._said.clear()
        self._heard.clear()
        self.stop()

    def wav(self) -> bytes:
        """What was recorded: in two channels the person's voice comes first."""
        said, heard = bytes(self._said), bytes(self._heard)
        if self.order.channels == 2:
            return wav.encode(wav.Wav("pcmu", g711.SAMPLE_RATE_HZ, 2, wav.interleave(said, heard)))
        mixed = {"inbound": said, "outbound": heard}.get(self.order.track) or mix(said, heard)
        return wav.encode(wav.Wav("pcmu", g711.SAMPLE_RATE_HZ, 1, mixed))

    def fields(self) -> Fields:
        """What a request tells of it."""
        order = self.order
        return (
            ("RecordingSid", self.sid),
            ("RecordingUrl", self.url),
            ("RecordingStatus", self.status),
            ("RecordingDuration", str(round(self.duration_ms / 1000))),
            ("RecordingChannels", str(order.channels)),
            ("RecordingStartTime", format_datetime(self.started)),
            ("RecordingSource", order.source),
            ("RecordingTrack", order.track),
        )

    def _hear(self, heard: bytes, said: Said) -> None:
        if self.status == "paused":
            if self._skips:
                return
            heard, said = b"\xff" * len(heard), Said()
        self._heard += heard
        self._said += said.audio

    def _notify(self) -> None:
        order = self.order
        if order.callback_url is None or self.status not in order.callback_events:
            return
        names = tuple(field for field in self.leg.fields() if field[0] in ("AccountSid", "CallSid"))
        self._tell(order.callback_method, order.callback_url, (*names, *self.fields()))


def mix(*voices: bytes) -> bytes:
    """Mu-law voices of equal length, all at once."""
    samples = zip(*(array("h", g711.ulaw_to_pcm(voice)) for voice in voices), strict=True)
    mixed = array("h", (max(-32768, min(32767, sum(at_once))) for at_once in samples))
    return g711.pcm_to_ulaw(mixed.tobytes())
