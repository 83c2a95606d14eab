"""
What may happen to a call.

The carrier's messages and the model's events come in as they are (carrier/messages.py, realtime/events.py); here
is the rest: what the shell has to say of the two connections and of time.
"""

from typing import Literal, TypeAlias

from phonebot.call.actions import Cap, Outcome
from phonebot.call.plan import Clip
from phonebot.carrier.messages import Connected, Dtmf, Mark, Media, Start, Stop
from phonebot.realtime.events import AudioFormat, Event, Frozen, Session

MAX_TYPED_CHARACTERS = 2_000
MAX_OUTPUT_CHARACTERS = 20_000  # more than a model can make use of while a caller waits


class CarrierFault(Frozen, frozen=True):
    """The carrier sent a message that was refused. `counts` is False for an event that is merely unknown to us."""

    problem: str
    counts: bool = True


class CarrierClosed(Frozen, frozen=True):
    """The carrier's socket ended, whoever closed it. `code` is the WebSocket close code as seen."""

    code: int


class ModelReady(Frozen, frozen=True):
    """
    The model's session is configured; audio may flow.

    The formats are those the service echoed: audio is transcoded when they are not "pcmu". What the model can do
    comes from its provider's entry: `interrupts` (it stops by itself when the caller speaks), `truncates`,
    `deletes`. `provider` is its name, "" if nobody says. `expires_in_ms`: the session ends then; None: not known.
    """

    session: Session
    input_format: AudioFormat = "pcmu"
    output_format: AudioFormat = "pcmu"
    interrupts: bool = True
    truncates: bool = True
    deletes: bool = True
    provider: str = ""
    expires_in_ms: int | None = None


class ModelLost(Frozen, frozen=True):
    """
    The model could not be reached, refused us, or its connection ended. `problem` is a sentence.

    `fatal`: asking again is of no use, since the key, the quota or the configuration is at fault. `unheard_ms`: for
    so long before it has perhaps not heard the caller, since its connection led nowhere.
    """

    problem: str
    fatal: bool = False
    unheard_ms: int = 0


class ModelFault(Frozen, frozen=True):
    """The model sent an event that breaks the protocol; the connection goes on."""

    problem: str


class CallerAudioDropped(Frozen, frozen=True):
    """The shell could not send caller audio in time and dropped the oldest: `frames` of it."""

    frames: int


class PlayClip(Clip, frozen=True):
    """
    Play this to the caller, behind all that he is to hear already; an answer that is being made is not split.

    While he speaks, on a call he may interrupt, it is not played unless it is meant to be.
    """


class OperatorHangUp(Frozen, frozen=True):
    """Whoever watches the call ends it, now. `by` is his name."""

    by: str


class TypedText(Frozen, frozen=True):
    """
    Somebody types into the call: at most MAX_TYPED_CHARACTERS, by the person or program of this name.

    Role "user": as if the caller had said it; "system": an instruction to the model. It is answered once nobody
    speaks; `interrupt`: at once, whatever the bot is saying.
    """

    text: str
    by: str
    role: Literal["user", "system"] = "user"
    interrupt: bool = False


class Leave(Frozen, frozen=True):
    """
    The bot is to leave the call: once these words were heard, or, with "", what it is still saying.

    `outcome` says how the call ends for the bot; what the carrier does with the caller then is not decided here.
    While it `listens`, a caller who speaks keeps it; otherwise nobody listens to him any more. `language`: the
    words are said in this one, whatever they are written in; "": as they are.
    """

    words: str = ""
    outcome: Outcome = "bot_hung_up"
    listens: bool = False
    language: str = ""


class ToolResult(Frozen, frozen=True):
    """
    A function has run, or failed: `output` is what the model is told, at most MAX_OUTPUT_CHARACTERS of it.

    `problem` is a sentence for the log, where it failed; None: it did not. With `leave` the model does not answer.
    `language`, a BCP 47 tag, is what the bot speaks from now on; None: what it did.
    """

    call_id: str
    output: str
    problem: str | None = None
    leave: Leave | None = None
    language: str | None = None


class AnsweredBy(Frozen, frozen=True):
    """
    The carrier has heard who answered a call of ours. `leave`: what is to be done about it, at once; None: go on.
    """

    by: Literal["human", "machine", "fax", "unknown"]
    leave: Leave | None = None


class CapReached(Frozen, frozen=True):
    """What the calls of a number, or all of the deployment, may cost on one day is spent: the call has to end."""

    cap: Cap
    spent_usd: float
    most_usd: float


class ServiceStops(Frozen, frozen=True):
    """
    The process is told to end, and this call has to leave it. `goes_on`: in another process, where the carrier
    brings it as soon as its stream is closed; otherwise the bot says that it has to end the call.
    """

    goes_on: bool


class Checked(Frozen, frozen=True):
    """
    What came of a Check, of one of its guardrails. `why` says in some words what has tripped it, "" for nothing.

    `problem` is a sentence, where that could not be found out; None: it could.
    """

    check_id: str
    guardrail: str
    tripped: bool
    why: str = ""
    problem: str | None = None


class AnswerSent(Frozen, frozen=True):
    """
    The carrier's socket was given the first audio of a response `took_us` microseconds after it was read.

    The call makes nothing of it: it is for those who read its log.
    """

    response_id: str
    took_us: int


class Tick(Frozen, frozen=True):
    """Call time reached `Call.wakeup_ms`."""


Input: TypeAlias = (
    Connected
    | Start
    | Media
    | Dtmf
    | Mark
    | Stop
    | CarrierFault
    | CarrierClosed
    | ModelReady
    | ModelLost
    | ModelFault
    | CallerAudioDropped
    | PlayClip
    | OperatorHangUp
    | TypedText
    | ToolResult
    | Checked
    | AnsweredBy
    | CapReached
    | ServiceStops
    | AnswerSent
    | Tick
    | Event
)
