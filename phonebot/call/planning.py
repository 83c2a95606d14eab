"""
Makes the plan of a call of the profile that answers it: its texts filled in, its keys as what the call goes by.

    plan = plan_for(profile, caller="+15550100001", number="+15550100002", now=now)
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from msgspec import UNSET, convert
from msgspec.structs import replace

from phonebot.agents.agent import MAIN, tool_name
from phonebot.agents.guardrails import Guardrail
from phonebot.agents.listening import LocalVad, NoVad
from phonebot.agents.profile import Profile
from phonebot.agents.prompt import fill
from phonebot.call.language import session_in
from phonebot.call.limits import Limits, NoInput
from phonebot.call.plan import (
    AgentPlan,
    CallPlan,
    CarrierTraits,
    Caution,
    Clip,
    EarlierLine,
    GuardrailRule,
    HandoffTool,
    Keypad,
    KeyTurns,
    LocalTurns,
    Offer,
    Turns,
)
from phonebot.call.wording import resembles
from phonebot.realtime.events import FunctionTool, Session, Transcription, TurnDetection
from phonebot.realtime.prices import LISTED, PriceTable, Tariff

MAIN_DESCRIPTION = "Hand the caller back to who answered the call, for whatever is not yours to do."
HANDOFF_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "note": {"type": "string", "description": "What the other one needs to know, in a sentence or two."}
    },
}

UNWATCHED = "{key} is not watched: no price of the model {model} is known"

GREETING_ID = "greeting"


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
        offer = offers.get(name) or Offer()
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
