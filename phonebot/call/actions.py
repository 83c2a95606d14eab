"""
What a call may ask for, and what it has to say.

The shell performs the first two groups in the order given. The last group is for people and for the log: nothing
has to be done about it.
"""

from typing import Literal, TypeAlias

from phonebot.agents.guardrails import On, Then
from phonebot.call.turns import Turn
from phonebot.realtime.events import AppendAudio, Command, Frozen, Session

Settled: TypeAlias = Literal["fence", "timeout", "turn_end", "at_once", "call_end"]
Outcome: TypeAlias = Literal[
    "caller_hung_up",
    "operator_hung_up",
    "bot_hung_up",
    "transferred",
    "no_input",
    "time_limit",
    "cost_limit",
    "service_stopped",
    "moved",
    "guardrail",
    "stream_lost",
    "model_failed",
    "carrier_faults",
]

Cap: TypeAlias = Literal["number_day", "day"]
"""What all calls of a number, or of the deployment, may cost on one day."""
Limit: TypeAlias = Literal["time", "cost", Cap]
"""What one call may last, in seconds, or cost, in US dollars; or a cap of a day."""

LineRole: TypeAlias = Literal["caller", "bot", "instruction"]

NoSpeech: TypeAlias = Literal["echo", "short", "empty", "backchannel"]
"""
Why what was taken for the caller's speech was none: it was the bot's own voice; there was less of it than the
profile wants; it had no words, or only such as do not interrupt.
"""

# ---------------------------------------------------------------------------------------- to the carrier


class PlayAudio(Frozen, frozen=True):
    """Send audio to the caller: base64 of raw mu-law at 8 kHz. `item_id`: whose it is; "": no item's."""

    payload: str
    item_id: str = ""


class SendMark(Frozen, frozen=True):
    """Ask to be told when all audio sent before was played or cleared."""

    name: str


class ClearPlayback(Frozen, frozen=True):
    """Throw away what was sent and not yet played."""


class CloseStream(Frozen, frozen=True):
    """Close the carrier's socket: the call goes on with the next TwiML."""

    code: int
    reason: Outcome


# ---------------------------------------------------------------------------------------- to the model


class OpenModel(Frozen, frozen=True):
    """Connect to the model and configure it so; answer with ModelReady or ModelLost."""

    session: Session


class Tell(Frozen, frozen=True):
    """Send a command to the model."""

    command: Command


class CloseModel(Frozen, frozen=True):
    """Close the model's connection; nothing more will be told."""


# ---------------------------------------------------------------------------------------- to tools


class RunTool(Frozen, frozen=True):
    """Run a function for the model, and answer with ToolResult. `arguments` is JSON text, as the model wrote it."""

    call_id: str
    name: str
    arguments: str


class StopTool(Frozen, frozen=True):
    """Nobody waits for this result any more."""

    call_id: str


# ---------------------------------------------------------------------------------------- to guardrails


class Check(Frozen, frozen=True):
    """
    Find out whether these guardrails are tripped, and answer with a Checked for each, once.

    What is looked at: `text`, what was said in the item so far, in whole words; or the `arguments`, JSON text, with
    which the model calls the function `tool`.
    """

    check_id: str
    guardrails: tuple[str, ...]
    item_id: str = ""
    text: str = ""
    tool: str = ""
    arguments: str = ""


# ---------------------------------------------------------------------------------------- to people and the log


class BargeIn(Frozen, frozen=True):
    """The caller spoke while the bot did: playback was cleared with about `unheard_ms` still unheard."""

    unheard_ms: int


class Held(Frozen, frozen=True):
    """
    The caller may be speaking: the bot was paused, with about `unheard_ms` still to be heard.

    Either a BargeIn follows, or a FalseAlarm: then it goes on from the byte at which it was cut.
    """

    unheard_ms: int


class FalseAlarm(Frozen, frozen=True):
    """What was taken for the caller's speech was none, and did not interrupt. `text`: a backchannel's words."""

    why: NoSpeech
    text: str = ""


class Cut(Frozen, frozen=True):
    """
    The caller stopped hearing an item: `heard_ms` of the `received_ms` that the model had sent.

    `settled` says what the position rests on: the fence's echo (exact to a frame); nothing was left to play
    ("at_once", exact); or a low estimate, because the echo did not come in time or the turn or call ended first.
    """

    item_id: str
    heard_ms: int
    received_ms: int
    settled: Settled


class GuardrailTripped(Frozen, frozen=True):
    """
    A guardrail has tripped, `on` what was said in the item or on the arguments of the function `tool`.

    `then` is what is done about it: where it came too late, that is less than the guardrail says. `why` is what the
    check told of it, "" for nothing. Playback was cleared with about `unheard_ms` still unheard; 0: there was none.
    """

    guardrail: str
    on: On
    then: Then
    why: str = ""
    item_id: str = ""
    tool: str = ""
    unheard_ms: int = 0


class Line(Frozen, frozen=True):
    """
    A line of the transcript is final: what was said, and heard.

    `cut` marks a bot's line that the caller interrupted: `text` then ends where he stopped hearing it. `typed_by`:
    nobody said it, but this person or program typed it, in the caller's place or as an instruction to the model.
    """

    role: LineRole
    item_id: str
    text: str
    cut: bool = False
    heard_ms: int = 0
    typed_by: str = ""


class ModelDropped(Frozen, frozen=True):
    """
    The model is gone in mid-call, and is asked for again; `problem` says why. `planned`: we have left it ourselves.

    Either a Recovered follows, or the call ends.
    """

    problem: str
    planned: bool = False


class Recovered(Frozen, frozen=True):
    """
    The model is there, after so long and so many attempts, and is told what was said.

    Of the caller's audio, which was kept meanwhile, the oldest frames were dropped if it was too much.
    """

    away_ms: int
    attempts: int
    dropped_frames: int = 0


class StartRecording(Frozen, frozen=True):
    """The caller has heard that he is recorded: from now on what is said may be kept, and listened to by others."""


class CallerSilent(Frozen, frozen=True):
    """Nobody has spoken for so long. The bot asks whether he is there, for the `times`-th time; 0: it leaves."""

    silent_ms: int
    times: int


class LimitNear(Frozen, frozen=True):
    """The call has used so much of a limit, and the model was told that it has to come to its end."""

    limit: Limit
    used: float
    most: float


class LimitReached(Frozen, frozen=True):
    """A limit is reached, and the call ends: with last words, as far as there is a model to say them."""

    limit: Limit
    used: float
    most: float


class KeysEntered(Frozen, frozen=True):
    """
    The caller has pressed these keys, and is understood to press no more. Hidden ones are a 0 each.

    `is_choice`: the profile's menu has them, and says what they mean.
    """

    keys: str
    is_choice: bool = False


class HandOff(Frozen, frozen=True):
    """Another agent has the call now. `note` is what the one before let it know, "" for nothing."""

    from_agent: str
    to_agent: str
    note: str = ""


class Floor(Frozen, frozen=True):
    """Who has the floor now."""

    turn: Turn


class Trouble(Frozen, frozen=True):
    """Something went wrong that did not end the call, in a sentence."""

    problem: str


class Ended(Frozen, frozen=True):
    """The call is over; nothing more comes of it."""

    outcome: Outcome


Action: TypeAlias = (
    PlayAudio
    | SendMark
    | ClearPlayback
    | CloseStream
    | OpenModel
    | Tell
    | CloseModel
    | RunTool
    | StopTool
    | Check
    | BargeIn
    | Held
    | FalseAlarm
    | Cut
    | GuardrailTripped
    | Line
    | ModelDropped
    | Recovered
    | StartRecording
    | CallerSilent
    | LimitNear
    | LimitReached
    | KeysEntered
    | HandOff
    | Floor
    | Trouble
    | Ended
)


def is_audio_for_model(actions: list[Action]) -> bool:
    """All that comes of something is that the model hears audio: so it is with most frames."""
    return len(actions) == 1 and type(only := actions[0]) is Tell and type(only.command) is AppendAudio
