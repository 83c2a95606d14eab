"""What is decided about a call before it begins: the session to open, and the service's own rules for it."""

from datetime import datetime
from typing import Any, TypeAlias

from msgspec import UNSET, convert

from phonebot.agents.profile import LocalVad, NoVad, Profile
from phonebot.agents.prompt import fill
from phonebot.realtime.events import Frozen, Session, Transcription, TurnDetection


class LocalTurns(Frozen, frozen=True):
    """
    The caller's turns are found here, by our own detector, and the service finds none: see listening.py.

    `threshold`, from 0 to 1, is how far speech has to stand out from the line's noise: 3 dB to 15 dB. A turn begins
    with `min_speech_ms` of speech, and with the `prefix_padding_ms` of audio before it; it ends after
    `silence_duration_ms` without speech (100 at least: less cannot be committed).
    """

    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500
    min_speech_ms: int = 100
    create_response: bool = True


class KeyTurns(Frozen, frozen=True):
    """Nobody listens for the caller's turns: he ends them with a key."""


Turns: TypeAlias = LocalTurns | KeyTurns

GREETING_ID = "greeting"
MAX_CLIP_MS = 30_000  # what a call log can hold in a line, and no more than the lead that the carrier is given


class Clip(Frozen, frozen=True):
    """
    Audio of our own to be played to the caller: base64 of raw mu-law at 8 kHz, at most MAX_CLIP_MS of it.

    `text` is what it says, "" if that is not words. `clip_id` names it in the transcript and in the model's
    conversation: at most 32 characters, used once in a call; None: the call finds a name.
    """

    text: str
    audio: str
    clip_id: str | None = None


class CarrierTraits(Frozen, frozen=True):
    """
    How the carrier's playout departs from the plain one, as `phonebot calibrate` measured it. All in ms.

    Audio that meets an empty queue plays from the first frame `start_buffer_ms` after it arrived; audio behind
    other audio from when that ends. The echo of a mark behind audio is sent `mark_lag_ms` after that audio has
    played, and up to `mark_spread_ms` later still; that of a mark on an empty queue is not delayed. What delays
    every echo alike belongs to the round trip and is in none of them.
    """

    start_buffer_ms: int = 0
    mark_lag_ms: int = 0
    mark_spread_ms: int = 0


class CallPlan(Frozen, frozen=True):
    """
    `greeting` None: the bot waits for the caller to speak. `max_call_ms` counts from the stream's start. Not
    `interruptible`: what the caller says does not stop the bot, though the model hears it. `turns` None: the
    service finds the caller's turns, as `session` says; otherwise `session` switches that off. `opening` is played
    as soon as the stream runs, one clip after another, before the model is there: a notice, a recorded greeting.
    """

    session: Session
    greeting: str | None = None
    max_call_ms: int = 900_000
    interruptible: bool = True
    carrier: CarrierTraits = CarrierTraits()
    turns: Turns | None = None
    opening: tuple[Clip, ...] = ()


def plan_for(
    profile: Profile, *, caller: str, number: str, now: datetime, carrier: CarrierTraits | None = None
) -> CallPlan:
    """
    How `profile` answers `caller`'s call to `number`, begun at `now` (wall-clock time, for the prompt).

    `carrier` None: the plain one.
    """

    def filled(text: str) -> str:
        return fill(text, caller=caller, number=number, now=now, language=profile.language)

    def given(value: Any) -> Any:
        return UNSET if value is None else value

    turns = _turns(profile)
    session = Session(
        instructions=filled(profile.prompt),
        modality="audio",
        voice=given(profile.voice),
        input_format="pcmu",
        output_format="pcmu",
        turn_detection=None if turns else _wire(profile.turn_detection, TurnDetection),
        transcription=_wire(profile.transcription, Transcription) if profile.transcription else None,
        noise_reduction=given(profile.noise_reduction),
        max_output_tokens=given(profile.max_output_tokens),
        temperature=given(profile.temperature),
    )
    greeting = filled(profile.greeting) if profile.greeting else None
    opening: tuple[Clip, ...] = ()
    if greeting and profile.greeting_clip:  # it greets, so the model need not
        opening, greeting = (Clip(greeting, profile.greeting_clip, GREETING_ID),), None
    return CallPlan(
        session,
        greeting,
        profile.max_call_s * 1000,
        interruptible=not isinstance(profile.turn_detection, LocalVad) or profile.turn_detection.interrupt_response,
        carrier=carrier or CarrierTraits(),
        turns=turns,
        opening=opening,
    )


def _turns(profile: Profile) -> Turns | None:
    match profile.turn_detection:
        case LocalVad() as table:
            turns: LocalTurns = _wire(table, LocalTurns)
            return turns
        case NoVad():
            return KeyTurns()
    return None


def _wire(table: Any, kind: type[Any]) -> Any:
    """A profile's table as a value of ours: it has the same keys, and what is None is not sent."""
    return convert(table.model_dump(exclude_none=True) | {"is": kind.__name__}, kind)
