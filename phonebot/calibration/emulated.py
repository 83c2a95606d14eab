"""The emulated carrier that is measured when there is no other, as odd as the command line wants it."""

from collections.abc import Sequence
from dataclasses import dataclass

from phonebot.errors import SettingsError
from phonebot.simulator.caller import Caller, SayBack, WaitForHangUp
from phonebot.simulator.carrier import Oddities
from phonebot.simulator.network import Network

LOOP_MS = 60
MAX_MS = 2_000
LONGEST_CALL_MS = 900_000

# Each oddity that takes a number, and the range of it: ms, but ppm of the drift.
NUMBERS = {
    "start-buffer": (0, MAX_MS),
    "mark-lag": (0, MAX_MS),
    "mark-delay": (0, MAX_MS),
    "mark-burst": (0, MAX_MS),
    "drift": (-1_000, 1_000),
    "delay": (0, MAX_MS),
    "jitter": (0, MAX_MS),
    "loop": (0, MAX_MS),
}
FLAGS = ("hold", "no-loop")
ALLOWED = ", ".join([f"{name}=N" for name in NUMBERS] + list(FLAGS))


@dataclass(frozen=True, slots=True)
class Emulated:
    """A carrier, the way to it, and how late the far end returns what it hears; `loop_ms` None: it does not."""

    oddities: Oddities
    network: Network
    loop_ms: int | None

    def caller(self) -> Caller:
        if self.loop_ms is None:
            return Caller(WaitForHangUp(within_ms=LONGEST_CALL_MS))
        return Caller(SayBack(self.loop_ms, within_ms=LONGEST_CALL_MS))


def emulated(oddities: Sequence[str]) -> Emulated:
    """The carrier that these words describe, such as `start-buffer=120` or `hold`. Raises SettingsError."""
    given: dict[str, int] = {}
    for oddity in oddities:
        name, separator, number = oddity.partition("=")
        if name in FLAGS and not separator:
            given[name] = 1
        elif name in NUMBERS:
            given[name] = _number(oddity, number, *NUMBERS[name])
        else:
            raise SettingsError(f"{oddity!r} is no oddity; it must be one of {ALLOWED}")
    delay_ms, jitter_ms = given.get("delay", 0), given.get("jitter", 0)
    return Emulated(
        Oddities(
            start_buffer_ms=given.get("start-buffer", 0),
            marks_lag_ms=given.get("mark-lag", 0),
            marks_delay_ms=given.get("mark-delay", 0),
            marks_burst_ms=given.get("mark-burst", 0),
            drift_ppm=given.get("drift", 0),
            short_frame="hold" if "hold" in given else "pad",
        ),
        Network(delay_ms, jitter_ms, delay_ms, jitter_ms),
        None if "no-loop" in given else given.get("loop", LOOP_MS),
    )


def _number(oddity: str, number: str, least: int, most: int) -> int:
    try:
        value = int(number)
    except ValueError:
        value = most + 1
    if not least <= value <= most:
        raise SettingsError(f"{oddity!r} is not allowed; the number must be a whole one from {least} to {most}")
    return value
