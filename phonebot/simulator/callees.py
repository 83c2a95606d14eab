"""
Whom an outbound leg reaches, by number: people, answering machines, and all the ways of reaching nobody.

    switchboard.callees["+15550100009"] = Human((WaitForBot(), Press("1"), WaitForHangUp()), after_s=4)
    switchboard.callees["+15550100010"] = Machine(greeting_ms=3000)

Seconds and milliseconds are the carrier's: how long they really take is for `Clock.speed` to say, but on a media
stream they are real.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias

from phonebot.simulator.caller import Caller, Ear, Event, Pause, Said, Step, WaitForHangUp
from phonebot.simulator.carrier import BYTES_PER_MS, FRAME_BYTES, FRAME_MS

VOICE = b"\x90\x10" * (FRAME_BYTES // 2)  # a frame of somebody speaking
BEEP = b"\x98\x18" * (FRAME_BYTES // 2)
BEEP_MS = 400
LISTENS = (WaitForHangUp(within_ms=3_600_000),)


@dataclass(frozen=True, slots=True)
class Human:
    """
    Answers after `after_s` of ringing and then does what his steps say; without any he listens to the end.

    `answered_by` is what the detection of answering machines takes him for, `detected_after_ms` after he answered;
    None: what his voice suggests (`detection`).
    """

    steps: tuple[Step, ...] = LISTENS
    after_s: float = 2.0
    answered_by: str | None = None
    detected_after_ms: int = 0

    def party(self) -> Caller:
        return Caller(*self.steps)


@dataclass(frozen=True, slots=True)
class Machine:
    """
    Answers with a greeting, beeps unless `beeps` is false, and records what is said from then on.

    It hangs up after `silence_s` in which it heard nothing, and when the message is `takes_s` long. What was left
    is the leg's `CallRecord.message`. `greeting` is mu-law; None: `greeting_ms` of a voice.
    """

    after_s: float = 4.0
    greeting: bytes | None = None
    greeting_ms: int = 4000
    beeps: bool = True
    silence_s: float = 10.0
    takes_s: float = 120.0
    answered_by: str | None = None
    detected_after_ms: int = 0

    def party(self) -> "AnsweringMachine":
        frames = -(-self.greeting_ms // FRAME_MS)
        greeting = VOICE * frames if self.greeting is None else self.greeting
        return AnsweringMachine(greeting, self.beeps, int(self.silence_s * 1000), int(self.takes_s * 1000))


@dataclass(frozen=True, slots=True)
class Busy:
    """Speaks with somebody else."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Lets it ring."""


@dataclass(frozen=True, slots=True)
class Refuses:
    """Presses the red key after `after_s` of ringing, which the carrier tells as busy."""

    after_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Invalid:
    """A number that nobody has: the call fails."""


@dataclass(frozen=True, slots=True)
class Drops:
    """Answers after `after_s`, and the connection is lost `holds_s` later, whatever goes on."""

    after_s: float = 2.0
    holds_s: float = 1.0

    def party(self) -> Caller:
        return Caller(Pause(ms=int(self.holds_s * 1000)))


Answering: TypeAlias = Human | Machine | Drops
Callee: TypeAlias = Answering | Busy | NoAnswer | Refuses | Invalid


@dataclass(frozen=True, slots=True)
class Message:
    """What was left on an answering machine, from its beep on: the audio, and the words of each Say among it."""

    audio: bytes
    text: str


class AnsweringMachine(Caller):
    """The party of a `Machine`. Besides a caller's events it has "beep", which is when it begins to record."""

    def __init__(self, greeting: bytes, beeps: bool, silence_ms: int, takes_ms: int) -> None:
        super().__init__(*LISTENS)
        self._greeting, self._beeps = greeting, beeps
        self._silence_ms, self._takes_ms = silence_ms, takes_ms
        self._records = False
        self._audio = bytearray()
        self._words: list[str] = []

    @property
    def message(self) -> Message:
        """What it has recorded so far."""
        return Message(bytes(self._audio), " ".join(self._words))

    def catch(self, word: str) -> None:
        """A word of a Say has been spoken to the end."""
        if self._records:
            self._words.append(word)

    def _perform(self) -> Generator[Said, None, None]:
        yield from self._speak(self._greeting, "greeting")
        if self._beeps:
            for _ in range(0, BEEP_MS, FRAME_MS):
                yield Said(BEEP)
        self._note("beep" if self._beeps else "records")
        self._records = True
        yield Said()
        ear, since_ms = Ear(), self.now_ms
        while len(self._audio) < self._takes_ms * BYTES_PER_MS:
            self._audio += self._heard
            ear.hear(self._heard, self.now_ms)
            if self.now_ms - max(since_ms, ear.loud_ms) >= self._silence_ms:
                break
            yield Said()
        self._gone = True
        self._events.append(Event(self.now_ms, "caller hangs up"))
        yield Said(hangs_up=True)
