"""
How a call is answered: its plan, by its profile, and what is known of its caller, of the time, and of why we call.

    decided = await decisions.of(call_sid, arrival, equipment, provider)
    bridge = Bridge(Call(decided.plan), ...)

The caller waits meanwhile: all that is looked up is looked up side by side, and has limits of its own.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import replace

from phonebot.agents.agent import MAIN
from phonebot.agents.answering import Answered, answer, with_history
from phonebot.agents.history import PLACEHOLDER as HISTORY
from phonebot.agents.profile import Profile
from phonebot.agents.prompt import fill
from phonebot.audio.canned import Canned as CannedClips
from phonebot.audio.canned import Clips
from phonebot.call.plan import CallPlan, Canned, CarrierTraits, Clip, Recovery
from phonebot.call.planning import plan_for
from phonebot.outbound.briefing import briefed
from phonebot.realtime.prices import LISTED, PriceTable
from phonebot.store.outbound import OutboundCall
from phonebot.tools.workshop import Equipment
from phonebot.web.admission import Arrival
from phonebot.web.greetings import Greetings, Spoken
from phonebot.web.histories import Histories
from phonebot.web.lookups import Lookups
from phonebot.web.outgoing import Outgoing

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Decided:
    """
    How one call is answered. `order` is why we made it, `message` what an answering machine is told; "": nothing.
    `spoken`: what its greeting depends on, where the model speaks it and it is to be kept; None: it is not.
    """

    plan: CallPlan
    order: OutboundCall | None
    message: str
    spoken: Spoken | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """
    What they rest on in a process. `model` is that of profiles which name none, `prices` are those at which calls
    are reckoned. `outgoing` None: it makes no calls.
    """

    lookups: Lookups
    histories: Histories
    greetings: Greetings
    outgoing: Outgoing | None
    model: str
    traits: CarrierTraits
    recovery: Recovery
    hold_audio: str
    clips: Clips
    prices: PriceTable = LISTED

    async def of(self, call_sid: str, arrival: Arrival, equipment: Equipment, provider: str) -> Decided:
        """`provider` is whose model the call will have, as far as is known. What the plan lacks is logged."""
        profile, resumed = arrival.profile, arrival.resumed
        found, history = await asyncio.gather(
            self.lookups.found(call_sid, profile, arrival.caller, arrival.number),
            self.histories.of(profile, arrival.caller, arrival.number),
        )
        order = await self._order(call_sid, arrival)
        answered = _answered(with_history(profile, history), arrival, order)
        values = {**(found.values if found else {}), **answered.values, **({HISTORY: history} if history else {})}
        spoken = None if resumed else Spoken.of(answered.profile, provider, self.model)
        kept = self.greetings.of(spoken) if spoken else ""
        plan = plan_for(
            answered.profile.with_greeting_clip(kept) if kept else answered.profile,
            caller=arrival.caller,
            number=arrival.number,
            now=answered.now,
            carrier=self.traits,
            offers=equipment.offers,
            looked_up=values,
            earlier=resumed.earlier if resumed else (),
            hold_audio=self.hold_audio,
            model=self.model,
            agent=resumed.standing.agent if resumed else MAIN,
            language=resumed.standing.language if resumed else "",
            prices=self.prices,
        )
        plan = replace(plan, canned=self._canned(arrival, plan), recovery=self.recovery)
        for problem in plan.problems:
            log.error("call %.40r, profile %r: %s", call_sid, profile.name, problem)
        if found and found.problem:
            plan = replace(plan, problems=(*plan.problems, found.problem))
        # In the browser drafts are tried, most of which nobody saves.
        to_keep = None if kept or arrival.kind == "browser" else spoken
        return Decided(plan, order, _message(arrival, answered, values), to_keep)

    async def _order(self, call_sid: str, arrival: Arrival) -> OutboundCall | None:
        if arrival.kind != "outbound" or self.outgoing is None:
            return None
        return await self.outgoing.order(call_sid)

    def _canned(self, arrival: Arrival, plan: CallPlan) -> Canned:
        profile = arrival.profile
        goes_on = arrival.kind != "browser" and bool(profile.transfer_to) and profile.transfer.when_failed
        return _clips_of(self.clips.of(plan.language or profile.language), goes_on)


def _answered(known: Profile, arrival: Arrival, order: OutboundCall | None) -> Answered:
    """By what of the profile the call is answered at this time."""
    now = datetime.now().astimezone()
    if arrival.kind == "outbound":
        return briefed(known, now, order.reason if order else "")
    return answer(known, now)


def _clips_of(clips: CannedClips, goes_on: bool) -> Canned:
    """`goes_on`: a caller whose model has failed is put through, so that there is nothing to say goodbye for."""
    wait, goodbye = Clip(*clips.wait), Clip(*clips.goodbye)
    return Canned(wait, Clip(*clips.trouble), goodbye, failed=wait if goes_on else goodbye)


def _message(arrival: Arrival, answered: Answered, values: Mapping[str, str]) -> str:
    """What is left on an answering machine; "" where nothing is."""
    profile = arrival.profile
    return fill(
        profile.outbound.message or "",
        caller=arrival.caller,
        number=arrival.number,
        now=answered.now,
        language=profile.language,
        further=values,
    )
