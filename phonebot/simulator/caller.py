"""
The person on the phone: a script of steps, performed frame by frame against what he hears.

Without I/O or clock: each 20 ms frame heard is one step of his time, so a call in virtual time and one over a real
socket behave alike. A script is written in Python, or in TOML (scenario.py):

    caller = Caller(WaitForBot(), Interrupt(700, audio), WaitForQuiet(800), HangUp())
    said = caller.hear(frame)           # each 20 ms
"""

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from phonebot.simulator.carrier import FRAME_BYTES, FRAME_MS, KEYS, SILENCE

Ms: TypeAlias = Annotated[int, Meta(ge=0, le=3_600_000)]

UTTERANCE_GAP_MS = 500  # a longer silence ends an utterance of the bot; between its sentences there is less
KEY_SPACING_MS = 200  # how fast a person presses keys


class _Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do"):
    pass


class Say(_Step, frozen=True, tag="say"):
    """Speak, whoever else speaks. `audio` is mu-law; `name` stands in the events."""

    audio: bytes
    name: str = "something"


class WaitForBot(_Step, frozen=True, tag="wait_for_bot"):
    """Wait until the bot speaks; at once when it does already."""

    within_ms: Ms = 15_000


class Interrupt(_Step, frozen=True, tag="interrupt"):
    """
    Speak as soon as an utterance of the bot has been heard for `after_ms`, its short pauses included.

    With `or_quiet_ms` also when the bot was heard and then silent for so long, having said less than that.
    """

    after_ms: Ms
    audio: bytes
    name: str = "something"
    within_ms: Ms = 30_000
    or_quiet_ms: Ms | None = None


class WaitForQuiet(_Step, frozen=True, tag="wait_for_quiet"):
    """
    Wait for `ms` of silence after the bot was heard.

    "Heard" means since the caller last spoke or pressed a key. With `bot_first` false silence alone is enough,
    counted from then: also a bot that says nothing is quiet.
    """

    ms: Ms
    bot_first: bool = True
    within_ms: Ms = 60_000


class WaitForHangUp(_Step, frozen=True, tag="wait_for_hang_up"):
    """Wait until the other side ends the call."""

    within_ms: Ms = 30_000


class Pause(_Step, frozen=True, tag="pause"):
    """Say nothing for a while."""

    ms: Ms


class SayBack(_Step, frozen=True, tag="say_back"):
    """Be an echo on the line: say back what is heard, whole frames later, until the other side ends the call."""

    delay_ms: Ms = 0
    within_ms: Ms = 900_000


class Press(_Step, frozen=True, tag="press"):
    """Press keys, 200 ms apart."""

    keys: Annotated[str, Meta(pattern=f"^[{KEYS}]{{1,64}}$")]


class HangUp(_Step, frozen=True, tag="hang_up"):
    """End the call; a script ends so by itself."""


Step: TypeAlias = Say | WaitForBot | Interrupt | WaitForQuiet | WaitForHangUp | Pause | SayBack | Press | HangUp

# These are done when the other side hangs up; of the rest nothing must be left then.
_ENDED_BY_HANG_UP = (WaitForHangUp, WaitForQuiet, Pause, SayBack, HangUp)


def _magnitude(code: int) -> int:
    """The size of a mu-law sample in PCM16 (ITU-T G.711, Table 2), as a byte: in steps of 128."""
    exponent, mantissa = (~code >> 4) & 7, ~code & 15
    return ((((mantissa << 3) + 132) << exponent) - 132) >> 7


_MAGNITUDES = bytes(_magnitude(code) for code in range(256))
# The mean magnitude of a frame that counts as speech: 384 of 32767, -39 dB; line noise and hum stay below.
_LOUD_SUM = 384 // 128 * FRAME_BYTES


@dataclass(frozen=True, slots=True)
class Event:
    """
    Something worth telling: what happened, when, and to what.

    Of the caller's: "bot starts", "bot stops", "caller says" NAME, "caller stops" NAME, "key" KEY, "step failed"
    REASON, "caller hangs up". `at_ms` is exact to the frame: "bot stops" comes late but tells when it was.
    """

    at_ms: float
    kind: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """What the caller did in one frame: 160 bytes of mu-law, at most one key, and perhaps the end of the call."""

    audio: bytes = SILENCE
    key: str = ""
    hangs_up: bool = False
    events: tuple[Event, ...] = ()


_NOTHING = Said()


class Ear:
    """Tells from the frames that a caller hears when the bot speaks: by their loudness, nothing more."""

    def __init__(self) -> None:
        self.speaking = False  # an utterance is under way; its short pauses belong to it
        self.loud_ms = 0  # when the last loud frame ended, 0: never
        self._began_ms = 0  # when the utterance under way, or the last one, began

    def hear(self, frame: bytes, now_ms: int) -> Event | None:
        """Take the frame that ends now; return the start or the end of an utterance."""
        if frame is not SILENCE and sum(frame.translate(_MAGNITUDES)) >= _LOUD_SUM:
            self.loud_ms = now_ms
            if not self.speaking:
                self.speaking = True
                self._began_ms = now_ms - FRAME_MS
                return Event(self._began_ms, "bot starts")
        elif self.speaking and now_ms - self.loud_ms >= UTTERANCE_GAP_MS:
            self.speaking = False
            return Event(self.loud_ms, "bot stops")
        return None

    def heard_ms(self, now_ms: int) -> int:
        """How much of the utterance under way has been heard; 0 when the bot is silent at this moment."""
        return now_ms - self._began_ms if self.speaking and self.loud_ms == now_ms else 0


class Caller:
    """
    One person for one call: `hear()` each frame, and `call_ended()` if the other side ends the call.

    After a step that failed he hangs up. `failures` says which steps went wrong or were left undone, and why.
    """

    def __init__(self, *steps: Step) -> None:
        self.failures: list[str] = []
        self.now_ms = 0  # how long he has been on the line
        self._steps = steps
        self._step = 0  # the index of the step under way
        self._ear = Ear()
        self._heard = SILENCE  # the frame that has just been heard
        self._gone = False
        self._acted_ms = 0  # when he last spoke, or pressed a key; the call's start counts
        self._events: list[Event] = []  # those of the frame under way
        self._script = self._perform()

    @classmethod
    def from_audio(cls, mulaw: bytes, name: str = "recording", quiet_ms: int = 3000) -> "Caller":
        """Plays a recording from the start, listens until there was silence for `quiet_ms`, hangs up."""
        return cls(Say(mulaw, name), WaitForQuiet(quiet_ms, bot_first=False))

    def hear(self, frame: bytes) -> Said:
        """Take the 20 ms of mu-law that he hears; return what he does in the same 20 ms."""
        if self._gone:
            return _NOTHING
        self.now_ms += FRAME_MS
        self._heard = frame
        event = self._ear.hear(frame, self.now_ms)
        if event is not None:
            self._events.append(event)
        said = next(self._script)
        if not self._events:
            return said
        events, self._events = tuple(self._events), []
        return Said(said.audio, said.key, said.hangs_up, events)

    def call_ended(self) -> None:
        """
        The other side ended the call: what the script still had to do has failed.

        A pause, an echo and the waits for quiet and for the end are done by this, unless the bot was still to be
        heard.
        """
        if self._gone:
            return
        self._gone = True
        for number, step in enumerate(self._steps[self._step :], self._step + 1):
            bot_missing = isinstance(step, WaitForQuiet) and step.bot_first and not self._bot_was_heard()
            if bot_missing or not isinstance(step, _ENDED_BY_HANG_UP):
                self.failures.append(f"step {number} ({_kind(step)}): the call ended before it was done")

    # ------------------------------------------------------------------ the script

    def _perform(self) -> Generator[Said, None, None]:
        """Yields what he does, a frame at a time; between two of them one frame has been heard."""
        try:
            for index, step in enumerate(self._steps):
                self._step = index
                if isinstance(step, HangUp):
                    break
                yield from self._perform_step(step)
        except _StepFailed as failure:
            self.failures.append(f"step {self._step + 1} ({_kind(self._steps[self._step])}): {failure}")
            self._note("step failed", self.failures[-1])
        self._gone = True
        self._note("caller hangs up")
        yield Said(hangs_up=True)

    def _perform_step(self, step: Step) -> Generator[Said, None, None]:
        match step:
            case Say():
                yield from self._speak(step.audio, step.name)
            case Interrupt():
                yield from self._wait(step.within_ms, lambda: self._may_interrupt(step))
                yield from self._speak(step.audio, step.name)
            case WaitForBot():
                yield from self._wait(step.within_ms, lambda: self._ear.speaking)
            case WaitForQuiet():
                yield from self._wait(step.within_ms, lambda: self._is_quiet(step))
            case WaitForHangUp():
                yield from self._wait(step.within_ms, lambda: False)
            case Pause():
                yield from self._rest(step.ms)
            case SayBack():
                yield from self._say_back(step)
            case Press():
                for key in step.keys:
                    self._acted_ms = self.now_ms
                    self._note("key", key)
                    yield Said(key=key)
                    yield from self._rest(KEY_SPACING_MS - FRAME_MS)

    def _speak(self, audio: bytes, name: str) -> Generator[Said, None, None]:
        self._events.append(Event(self.now_ms - FRAME_MS, "caller says", name))
        for start in range(0, len(audio), FRAME_BYTES):
            self._acted_ms = self.now_ms
            if start + FRAME_BYTES >= len(audio):
                self._note("caller stops", name)
            yield Said(audio[start : start + FRAME_BYTES].ljust(FRAME_BYTES, b"\xff"))

    def _say_back(self, step: SayBack) -> Generator[Said, None, None]:
        line = deque([SILENCE] * (step.delay_ms // FRAME_MS))
        for _ in range(0, step.within_ms, FRAME_MS):
            line.append(self._heard)
            yield Said(line.popleft())
        raise _StepFailed(f"the call did not end within {step.within_ms} ms")

    def _rest(self, ms: int) -> Generator[Said, None, None]:
        for _ in range(0, ms, FRAME_MS):
            yield _NOTHING

    def _wait(self, within_ms: int, is_over: Callable[[], bool]) -> Generator[Said, None, None]:
        deadline_ms = self.now_ms + within_ms
        while not is_over():
            if self.now_ms >= deadline_ms:
                raise _StepFailed(f"it did not happen within {within_ms} ms")
            yield _NOTHING

    def _has_heard(self, ms: int) -> bool:
        heard_ms = self._ear.heard_ms(self.now_ms)
        return heard_ms > 0 and heard_ms >= ms

    def _may_interrupt(self, step: Interrupt) -> bool:
        if self._has_heard(step.after_ms):
            return True
        return step.or_quiet_ms is not None and self._is_quiet(WaitForQuiet(step.or_quiet_ms))

    def _bot_was_heard(self) -> bool:
        """The bot was heard since the caller last spoke, or pressed a key."""
        return self._ear.loud_ms > self._acted_ms

    def _is_quiet(self, step: WaitForQuiet) -> bool:
        if step.bot_first and not self._bot_was_heard():
            return False
        return self.now_ms - max(self._ear.loud_ms, self._acted_ms) >= step.ms

    def _note(self, kind: str, detail: str = "") -> None:
        self._events.append(Event(self.now_ms, kind, detail))


class PromptedCaller(Caller):
    """
    A caller who is told what to do while the call goes on; in between he listens.

        caller.do(Say(audio))
        caller.busy                         # until it is done
        caller.do(HangUp())

    A step that fails does not make him hang up: `failures` says that it did.
    """

    def __init__(self) -> None:
        super().__init__()
        self._done = 0  # how many steps are

    @property
    def busy(self) -> bool:
        """Whether he still does what he was told. One who is gone does nothing any more."""
        return self._done < len(self._steps) and not self._gone

    @property
    def gone(self) -> bool:
        """Whether the call is over for him."""
        return self._gone

    def do(self, step: Step) -> None:
        """Do this once everything before is done."""
        self._steps += (step,)

    def _perform(self) -> Generator[Said, None, None]:
        while True:
            if self._done == len(self._steps):
                yield _NOTHING
                continue
            self._step = self._done
            step = self._steps[self._step]
            if isinstance(step, HangUp):
                self._gone = True
                self._note("caller hangs up")
                yield Said(hangs_up=True)
            try:
                yield from self._perform_step(step)
            except _StepFailed as failure:
                self.failures.append(f"{_kind(step)}: {failure}")
            self._done += 1


class _StepFailed(Exception):
    """A wait was in vain; the reason is its text."""


def _kind(step: Step) -> str:
    """The step's name in a script."""
    return str(type(step).__struct_config__.tag)
