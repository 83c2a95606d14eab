"""
Answering machine detection by ear, with the thresholds of Twilio, "Answering Machine Detection".

A greeting shorter than the speech threshold and then silence is a human; one that is longer is a machine, whose
end is a beep or a silence. Nothing to hear is "unknown", and so is what is not decided in time.
"""

from dataclasses import dataclass
from typing import Literal

from phonebot.simulator.caller import Ear, Said
from phonebot.simulator.carrier import FRAME_MS


@dataclass(frozen=True, slots=True)
class DetectionOrder:
    """What a call was created with: `MachineDetection...` and `AsyncAmd...`, in ms."""

    mode: Literal["Enable", "DetectMessageEnd"]
    timeout_ms: int = 30_000
    speech_ms: int = 2400
    speech_end_ms: int = 1200
    silence_ms: int = 5000
    is_async: bool = False
    callback_url: str | None = None
    callback_method: str = "POST"


class Detector:
    """
    Fed with what a callee does in each frame from his answer on, says once who answered.

    `verdict` is what it is told to find, `after_ms`; None: it finds out for itself.
    """

    def __init__(self, order: DetectionOrder, verdict: str | None = None, after_ms: int = 0) -> None:
        self.elapsed_ms = 0
        self._order, self._verdict, self._after_ms = order, verdict, after_ms
        self._ear = Ear()
        self._speech_ms: int | None = None  # when the greeting began to be heard
        self._has_beeped = False

    def hear(self, said: Said) -> str | None:
        """Take one frame; return AnsweredBy once it is known."""
        self.elapsed_ms += FRAME_MS
        if self._verdict is not None:
            return self._verdict if self.elapsed_ms > self._after_ms else None
        self._has_beeped |= any(event.kind == "beep" for event in said.events)
        self._ear.hear(said.audio, self.elapsed_ms)
        if self.elapsed_ms >= self._order.timeout_ms:
            return "unknown"
        loud_ms = self._ear.loud_ms
        if not loud_ms:
            return "unknown" if self.elapsed_ms >= self._order.silence_ms else None
        if self._speech_ms is None:
            self._speech_ms = loud_ms - FRAME_MS
        quiet_ms = self.elapsed_ms - loud_ms
        if loud_ms - self._speech_ms >= self._order.speech_ms:
            return self._machine(quiet_ms)
        return "human" if quiet_ms >= self._order.speech_end_ms else None

    def _machine(self, quiet_ms: int) -> str | None:
        if self._order.mode == "Enable":
            return "machine_start"
        if self._has_beeped:
            return "machine_end_beep"
        return "machine_end_silence" if quiet_ms >= self._order.speech_end_ms else None
