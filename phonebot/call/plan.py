"""
What is decided about a call before it begins: the session to open, and the service's own rules for it.

planning.py makes a plan of a profile. A plan is in the call's log: a call replays by it, whatever has become of the
profile since.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import field

from phonebot.agents.agent import MAIN
from phonebot.agents.guardrails import Guardrail, On, Then
from phonebot.call.limits import Limits, NoInput
from phonebot.realtime.events import Frozen, FunctionTool, McpTool, Session, Tool
from phonebot.realtime.prices import Tariff


class LocalTurns(Frozen, frozen=True):
    """
    The caller's turns are found here, by our own detector, and the service finds none: see listening.py.

    `threshold`, from 0 to 1, is how far speech has to stand out from the line's noise: 3 dB to 15 dB. A turn begins
    with `min_speech_ms` of speech, and with the `prefix_padding_ms` of audio before it; it ends after
    `silence_duration_ms` without speech (100 at least: less cannot be committed). `withhold_silence`: within it the
    model is sent speech, and a little before and behind it: see withholding.py.
    """

    threshold: float = 0.5
    prefix_padding_ms: int = 300
    silence_duration_ms: int = 500
    min_speech_ms: int = 100
    create_response: bool = True
    withhold_silence: bool = False

    @property
    def above_noise_db(self) -> float:
        return 3 + 12 * self.threshold


class KeyTurns(Frozen, frozen=True):
    """
    Nobody listens for the caller's turns: he ends them with a key. `withhold_silence`: the model is sent speech,
    and a little before and behind it, instead of all that was to be heard.
    """

    withhold_silence: bool = False


Turns: TypeAlias = LocalTurns | KeyTurns

MAX_CLIP_MS = 30_000  # what a call log can hold in a line, and no more than the lead that the carrier is given


class Clip(Frozen, frozen=True):
    """
    Audio of our own to be played to the caller: base64 of raw mu-law at 8 kHz, at most MAX_CLIP_MS of it.

    `text` is what it says, "" if that is not words. `clip_id` names it in the transcript and in the model's
    conversation: at most 32 characters, used once in a call; None: the call finds a name.
    `over_speech`: it is played while the caller speaks, too.
    """

    text: str
    audio: str
    clip_id: str | None = None
    over_speech: bool = False


NO_CLIP = Clip("", "")
"""Nothing is played."""


class Canned(Frozen, frozen=True):
    """
    What is played when no model can say it, in the language of the call; NO_CLIP: nothing is.

    `wait`: it takes a moment. `trouble`: something went wrong, and he may say it again. `goodbye`: the call has to
    end. `failed` is what he hears at last where no model comes back.
    """

    wait: Clip = NO_CLIP
    trouble: Clip = NO_CLIP
    goodbye: Clip = NO_CLIP
    failed: Clip = NO_CLIP


class Recovery(Frozen, frozen=True):
    """
    How a call goes on when its model is lost, or does not come: see recovery.py. All in ms.

    It is asked for again after each of `backoff_ms`, the last of them over and over, until it was away for
    `budget_ms`. Meanwhile the caller hears `Canned.wait` once he has heard nothing for `filler_ms`.
    """

    budget_ms: int = 8_000
    backoff_ms: tuple[int, ...] = (0, 500, 1_000, 2_000)
    filler_ms: int = 1_500


class CarrierTraits(Frozen, frozen=True):
    """
    How the carrier's playout departs from the plain one, as `phonebot calibrate` measured it. All in ms.

    Audio that meets an empty queue plays from the first frame `start_buffer_ms` after it arrived (None: nobody has
    measured it); audio behind other audio from when that ends. The echo of a mark behind audio is sent
    `mark_lag_ms` after that audio has played, and up to `mark_spread_ms` later still; that of a mark on an empty
    queue is not delayed. What delays every echo alike belongs to the round trip and is in none of them.
    """

    start_buffer_ms: int | None = None
    mark_lag_ms: int = 0
    mark_spread_ms: int = 0


class Caution(Frozen, frozen=True):
    """
    What it takes for a sound of the caller to interrupt the bot: see interruptions.py. By default: nothing.

    `min_speech_ms` of speech, before playback is cleared. When it is, the bot is paused for at most `hold_ms` until
    it shows whether anything was said; `backchannels` are words that are nothing. `echo_guard`: the bot's own voice
    coming back is no speech.
    """

    min_speech_ms: int = 0
    hold_ms: int = 0
    backchannels: tuple[str, ...] = ()
    echo_guard: bool = False


HIDDEN_KEYS = "{keys}"
"""What the model writes in the arguments of a function, for keys that it is not told."""


class Keypad(Frozen, frozen=True):
    """
    What the caller keys in is an answer of his: see keypad.py.

    It is complete with the key `terminator` ("": with none), after `timeout_ms` without a key, or with `max_keys`
    of them; the keys in `menu` mean what stands there. `hidden`: nobody is told which they were.
    """

    terminator: str = "#"
    timeout_ms: int = 3_000
    max_keys: int = 20
    menu: Mapping[str, str] = field(default_factory=dict)
    hidden: bool = False


class Consent(Frozen, frozen=True):
    """
    The caller must have agreed before a function runs: by this `key`, or by one of these `words`.

    The model is told to ask him, and to call the function again once he has. `within_ms` of its asking he may.
    """

    key: str = ""
    words: tuple[str, ...] = ()
    within_ms: int = 60_000


class ToolRule(Frozen, frozen=True):
    """
    How the call runs a function that the model's session has under this name.

    It is given up after `timeout_ms`. While it runs and nobody speaks, the bot says each of `fillers` in turn, the
    first after `filler_ms`; None: in words of its own that it takes a moment; (): nothing. `answers`: its result is
    to be answered; False: the model is told it and nothing more. `again_ms`: after how long the next one is said;
    None: as long. `music`: once each filler was said, the caller hears music.
    """

    name: str
    timeout_ms: int = 20_000
    fillers: tuple[str, ...] | None = None
    filler_ms: int = 3_000
    consent: Consent | None = None
    answers: bool = True
    again_ms: int | None = None
    music: bool = False


class GuardrailRule(Frozen, frozen=True):
    """
    When the call has a guardrail looked at, and what it does once that trips: see guardrails.py. The shell, which
    looks, knows it by its name.

    `tools` are the functions whose arguments are looked at, none: all. `say` may be "" where `then` is "interrupt"
    or "end"; `to` is the agent of "hand_over". A text that grows is looked at after each `debounce_characters`.
    What is not known after `timeout_ms`, or could not be found out, counts as allowed if `passes_unknown`.
    """

    name: str
    on: On = "bot"
    then: Then = "interrupt"
    say: str = ""
    to: str = ""
    tools: tuple[str, ...] = ()
    debounce_characters: int = 100
    timeout_ms: int = 3_000
    passes_unknown: bool = True

    @classmethod
    def of(cls, entry: Guardrail) -> "GuardrailRule":
        """That of a profile's guardrail."""
        return cls(
            entry.name,
            entry.on,
            entry.then,
            entry.say or "",
            entry.to or "",
            tuple(entry.tools or ()),
            entry.debounce_characters,
            int(entry.timeout_s * 1000),
            entry.passes_unknown,
        )


class Offer(Frozen, frozen=True):
    """
    The functions of a profile, as a deployment has them, each with its rule; and servers whose functions the
    model's service calls itself. `problems`: a sentence for each that the profile names and the call goes without.
    """

    functions: tuple[FunctionTool, ...] = ()
    rules: tuple[ToolRule, ...] = ()
    servers: tuple[McpTool, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def tools(self) -> tuple[Tool, ...]:
        """As the session has them."""
        return (*self.functions, *self.servers)


class HandoffTool(Frozen, frozen=True):
    """The function `name` hands over to an agent."""

    name: str
    to_agent: str


class AgentPlan(Frozen, frozen=True):
    """
    What the model is while one agent has the call: what it is told, what it may call, to whom it may hand over.

    `tools` are those that the session has, hand-offs included, `rules` those of the functions among them.
    `keep_turns`: when it takes over, all but the caller's last so many turns, and what came after, is forgotten.
    `guardrails` are its own, beside those of the call.
    """

    name: str = MAIN
    instructions: str = ""
    tools: tuple[Tool, ...] = ()
    rules: tuple[ToolRule, ...] = ()
    handoffs: tuple[HandoffTool, ...] = ()
    keep_turns: int | None = None
    guardrails: tuple[GuardrailRule, ...] = ()


class EarlierLine(Frozen, frozen=True):
    """What was said before the call came to this model; "instruction": what the model has to know of it."""

    role: Literal["caller", "bot", "instruction"]
    text: str


class CallPlan(Frozen, frozen=True):
    """All that a call goes by."""

    session: Session
    # What the bot says first; None: it waits for the caller to speak.
    greeting: str | None = None
    max_call_ms: int = 900_000  # from the stream's start on; `limits` say how the call ends then
    # False: what the caller says while the bot speaks does not stop it, but reaches the model and is answered
    # afterwards, or is silence to it (`withholds`).
    interruptible: bool = True
    carrier: CarrierTraits = CarrierTraits()
    # None: the service finds the caller's turns, as `session` says. Otherwise `session` switches that off.
    turns: Turns | None = None
    greeting_interruptible: bool = True  # as `interruptible`, of the greeting
    withholds: bool = False
    keys_interrupt: bool = False  # any key stops the bot where speech might
    caution: Caution = Caution()
    # The service finds turns and was told not to answer them, since the call decides which are some: it asks for
    # the answers.
    answers: bool = False
    # Played as soon as the stream runs, one after another, before the model is there: such as a recorded greeting.
    opening: tuple[Clip, ...] = ()
    tools: tuple[ToolRule, ...] = ()  # the functions that the session has
    agents: tuple[AgentPlan, ...] = ()  # where there are several: all of them, the first one as the session begins
    # A sentence for each thing that the profile asks for and the call has to do without.
    problems: tuple[str, ...] = ()
    guardrails: tuple[GuardrailRule, ...] = ()  # whoever has the call
    # The call comes back, and this was said before; the bot speaks first, without greeting.
    earlier: tuple[EarlierLine, ...] = ()
    # Heard over and over where the caller waits, for a function that has music or for a model; base64 of raw mu-law
    # at 8 kHz. "": nothing.
    hold_audio: str = ""
    no_input: NoInput | None = None  # None: the caller may be silent
    limits: Limits = Limits()
    keypad: Keypad | None = None  # None: what the caller keys in is no answer
    # Said before all else, even `opening`: the caller is heard, and recorded, once he has heard it (notice.py). "":
    # there is none.
    notice: str = ""
    recovery: Recovery = Recovery()
    canned: Canned = Canned()
    language: str = ""  # a tag: what the bot speaks from the begin; "": what its instructions say
    tariff: Tariff = Tariff()  # what its models cost

    @property
    def decides(self) -> bool:
        """It is decided here what interrupts the bot. Otherwise any speech does."""
        return not (self.interruptible and self.greeting_interruptible) or self.caution != Caution()
