"""What is decided about a call before it begins: the session to open, and the service's own rules for it."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

from msgspec import UNSET, convert, field
from msgspec.structs import replace

from phonebot.agents.agent import MAIN, tool_name
from phonebot.agents.guardrails import Guardrail, On, Then
from phonebot.agents.profile import LocalVad, NoVad, Profile
from phonebot.agents.prompt import fill
from phonebot.call.language import session_in
from phonebot.call.limits import Limits, NoInput
from phonebot.call.wording import resembles
from phonebot.realtime.events import (
    Frozen,
    FunctionTool,
    McpTool,
    Session,
    Tool,
    Transcription,
    TurnDetection,
)
from phonebot.realtime.prices import LISTED, PriceTable, Tariff


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

MAIN_DESCRIPTION = "Hand the caller back to who answered the call, for whatever is not yours to do."
HANDOFF_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "note": {"type": "string", "description": "What the other one needs to know, in a sentence or two."}
    },
}

UNWATCHED = "{key} is not watched: no price of the model {model} is known"

GREETING_ID = "greeting"
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


NOTHING = Offer()


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
    """
    `greeting` None: the bot waits for the caller to speak. `max_call_ms` counts from the stream's start. Not
    `interruptible`: the caller does not stop the bot; not `greeting_interruptible`: nor the greeting. What he says
    meanwhile reaches the model and is answered afterwards, or is silence to it (`withholds`). `keys_interrupt`: any
    key stops the bot where speech might. `turns` None: the service finds the caller's turns, as `session` says;
    otherwise `session` switches that off. `answers`: the service finds turns and was told not to answer them, since
    the call decides which are turns: it asks for the answers. `opening` is played as soon as the stream runs, one
    clip after another, before the model is there: a notice, a recorded greeting. `tools` are the functions that the
    session has. `agents`, where there are several: all of them, the first one as the session begins. `problems`: a
    sentence for each thing that the profile asks for and the call has to do without. `guardrails` hold for whoever
    has the call. `earlier`: the call comes back, and this was said before; the bot speaks first, without greeting.
    `language`, a tag, is what it speaks from the begin; "": what its instructions say.
    `hold_audio` is the music of functions that have some, base64 of raw mu-law at 8 kHz, over and over.
    `no_input` None: the caller may be silent. `limits` say how it ends at `max_call_ms`, and what it may cost.
    `keypad` None: what the caller keys in is no answer. `notice` is said before all else, even `opening`, and the
    caller is heard, and recorded, once he has heard it: see notice.py. "": there is none. `tariff`: what its models
    cost.
    """

    session: Session
    greeting: str | None = None
    max_call_ms: int = 900_000
    interruptible: bool = True
    carrier: CarrierTraits = CarrierTraits()
    turns: Turns | None = None
    greeting_interruptible: bool = True
    withholds: bool = False
    keys_interrupt: bool = False
    caution: Caution = Caution()
    answers: bool = False
    opening: tuple[Clip, ...] = ()
    tools: tuple[ToolRule, ...] = ()
    agents: tuple[AgentPlan, ...] = ()
    problems: tuple[str, ...] = ()
    guardrails: tuple[GuardrailRule, ...] = ()
    earlier: tuple[EarlierLine, ...] = ()
    hold_audio: str = ""
    no_input: NoInput | None = None
    limits: Limits = Limits()
    keypad: Keypad | None = None
    notice: str = ""
    recovery: Recovery = Recovery()
    canned: Canned = Canned()
    language: str = ""
    tariff: Tariff = Tariff()

    @property
    def decides(self) -> bool:
        """It is decided here what interrupts the bot. Otherwise any speech does."""
        return not (self.interruptible and self.greeting_interruptible) or self.caution != Caution()


def plan_for(
    profile: Profile,
    *,
    caller: str,
    number: str,
    now: datetime,
    carrier: CarrierTraits | None = None,
    offers: Mapping[str, Offer] | None = None,
    looked_up: Mapping[str, str] | None = None,
    earlier: tuple[EarlierLine, ...] = (),
    hold_audio: str = "",
    model: str | None = None,
    agent: str = MAIN,
    language: str = "",
    prices: PriceTable = LISTED,
) -> CallPlan:
    """
    How `profile` answers `caller`'s call to `number`, begun at `now` (wall-clock time, for the prompt).

    `carrier` None: the plain one. `offers`: the functions that the model may call, by agent; None: it has none.
    `looked_up`: what is known of the caller; None: the defaults of the profile's lookup. `earlier`: the call comes
    back, and goes on with what was said before. `hold_audio`: what is played where a function has music.
    `model` is the deployment's, for a profile that names none. `agent` has the call first, if the profile has one
    of that name; `language` is what the bot speaks, "": what its instructions say. `prices` are those at which it
    is reckoned.
    """
    offers = offers or {}
    if looked_up is None and profile.lookup:
        looked_up = profile.lookup.defaults

    def filled(text: str) -> str:
        return fill(text, caller=caller, number=number, now=now, language=profile.language, further=looked_up)

    turns, barge_in = _turns(profile), profile.barge_in
    greeting = filled(profile.greeting) if profile.greeting and not earlier else None
    opening: tuple[Clip, ...] = ()
    if greeting and profile.greeting_clip:  # it greets, so the model need not
        opening, greeting = (Clip(greeting, profile.greeting_clip, GREETING_ID),), None
    agents = _first(agent, _agents(profile, offers, filled))
    tariff = prices.tariff(profile.model or model, profile.transcription.model if profile.transcription else None)
    unwatched = _unwatched(profile, profile.model or model, tariff)
    missing = (problem for offer in offers.values() for problem in offer.problems)
    plan = CallPlan(
        session_in(_session(profile, agents[0], turns), language),
        greeting,
        profile.max_call_s * 1000,
        interruptible=profile.interruptible
        and (not isinstance(profile.turn_detection, LocalVad) or profile.turn_detection.interrupt_response),
        carrier=carrier or CarrierTraits(),
        turns=turns,
        greeting_interruptible=profile.greeting_interruptible or not (greeting or opening),
        withholds=barge_in.when_not_interruptible == "withheld",
        keys_interrupt=barge_in.keys,
        caution=Caution(
            barge_in.min_speech_ms, barge_in.hold_ms, tuple(barge_in.backchannels), barge_in.echo_guard
        ),
        opening=opening,
        tools=agents[0].rules,
        agents=agents if len(agents) > 1 else (),
        problems=tuple(dict.fromkeys((*unwatched, *missing))),
        guardrails=tuple(map(GuardrailRule.of, profile.guardrails)),
        earlier=earlier,
        hold_audio=hold_audio if any(rule.music for agent in agents for rule in agent.rules) else "",
        no_input=NoInput.of(profile.no_input, profile.language, filled) if profile.no_input else None,
        limits=Limits.of(profile.limits, None if unwatched else profile.max_cost_usd, profile.language, filled),
        keypad=_keypad(profile),
        notice=_notice(filled(profile.consent or ""), earlier) if profile.record else "",
        language=language,
        tariff=tariff,
    )
    return _deciding(plan) if plan.decides else plan


def _unwatched(profile: Profile, model: str | None, tariff: Tariff) -> tuple[str, ...]:
    """A sentence for each limit of what calls may cost that cannot be watched."""
    keys = [key for key in ("max_cost_usd", "max_cost_per_day_usd") if getattr(profile, key) is not None]
    if tariff.model is not None:
        return ()
    return tuple(UNWATCHED.format(key=key, model=model or "the service's own") for key in keys)


def _deciding(plan: CallPlan) -> CallPlan:
    """The plan, where the session finds turns but neither interrupts the model nor answers by itself."""
    detection = plan.session.turn_detection
    if not isinstance(detection, TurnDetection):
        return plan
    quiet = replace(detection, interrupt_response=False, create_response=False)
    return replace(
        plan,
        session=replace(plan.session, turn_detection=quiet),
        answers=detection.create_response is not False,
    )


def _agents(profile: Profile, offers: Mapping[str, Offer], filled: Callable[[str], str]) -> tuple[AgentPlan, ...]:
    """The agents of a profile, the one that answers first."""
    called = {name: agent.description for name, agent in profile.agents.items()} | {MAIN: MAIN_DESCRIPTION}

    def agent(
        name: str, prompt: str, handoffs: list[str], keep_turns: int | None, guardrails: Iterable[Guardrail] = ()
    ) -> AgentPlan:
        offer = offers.get(name, NOTHING)
        to = tuple(HandoffTool(tool_name(other), other) for other in handoffs)
        hands_over = (FunctionTool(each.name, called[each.to_agent], HANDOFF_PARAMETERS) for each in to)
        tools, own = (*offer.tools, *hands_over), tuple(map(GuardrailRule.of, guardrails))
        return AgentPlan(name, filled(prompt), tools, offer.rules, to, keep_turns, own)

    others = (
        agent(name, each.prompt, each.handoffs, each.keep_turns, each.guardrails)
        for name, each in profile.agents.items()
    )
    return (agent(MAIN, profile.prompt, profile.handoffs, None), *others)


def _first(name: str, agents: tuple[AgentPlan, ...]) -> tuple[AgentPlan, ...]:
    """The agents, this one before the others if it is among them."""
    return tuple(sorted(agents, key=lambda agent: agent.name != name))


def _session(profile: Profile, agent: AgentPlan, turns: Turns | None) -> Session:
    def given(value: Any) -> Any:
        return UNSET if value is None else value

    return Session(
        instructions=agent.instructions,
        modality="audio",
        voice=given(profile.voice),
        input_format="pcmu",
        output_format="pcmu",
        turn_detection=None if turns else _wire(profile.turn_detection, TurnDetection),
        transcription=_wire(profile.transcription, Transcription) if profile.transcription else None,
        noise_reduction=given(profile.noise_reduction),
        max_output_tokens=given(profile.max_output_tokens),
        temperature=given(profile.temperature),
        truncation=profile.truncation.as_sent() if profile.truncation else UNSET,
        tools=agent.tools or UNSET,
    )


def _notice(words: str, earlier: Iterable[EarlierLine]) -> str:
    """What is still to be said: "" for what the caller has heard before the call came back."""
    return "" if any(line.role == "bot" and resembles(line.text, words) for line in earlier) else words


def _keypad(profile: Profile) -> Keypad | None:
    keys = profile.keys
    if keys is None:
        return None
    terminator = "" if keys.terminator == "none" else keys.terminator
    return Keypad(terminator, int(keys.timeout_s * 1000), keys.max, keys.menu, keys.hidden)


def _turns(profile: Profile) -> Turns | None:
    match profile.turn_detection:
        case LocalVad() as table:
            turns: LocalTurns = _wire(table, LocalTurns)
            return turns
        case NoVad(withhold_silence=withholds):
            return KeyTurns(withholds)
    return None


def _wire(table: Any, kind: type[Any]) -> Any:
    """A profile's table as a value of ours: it has the same keys, and what is None is not sent."""
    return convert(table.model_dump(exclude_none=True) | {"is": kind.__name__}, kind)
