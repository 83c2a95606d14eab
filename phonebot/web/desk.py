"""
Holds the calls whose streams were let in, each between its two sockets, and lets who has to know of it know.

    await desk.hold(socket, reader, start, admitted)        # a call from the carrier, until it has ended
    await desk.answer(socket, reader, start, arrival)       # one that came by any other way
"""

import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass

from phonebot.agents.profile import Profile
from phonebot.bridge import Bridge, ConnectModel, Journal
from phonebot.call.actions import Action, Ended, Outcome
from phonebot.call.call import Call
from phonebot.call.inputs import Input, ModelReady
from phonebot.caps.watch import DayCaps
from phonebot.carrier.messages import Start, StreamReader
from phonebot.discretion import Personal
from phonebot.errors import ModelRefused
from phonebot.guardrails.guardroom import Guardroom
from phonebot.hooks.hook import Hook, LiveCall
from phonebot.hooks.running import HookTasks
from phonebot.log_context import belongs_to_call, bound, within_call
from phonebot.realtime.connection import ModelConnection
from phonebot.realtime.events import Session
from phonebot.realtime.failover import Failover, Route
from phonebot.realtime.providers import Endpoint
from phonebot.realtime.text import TextSession
from phonebot.replay.log import About
from phonebot.replay.recorder import Recorder, Writer
from phonebot.tools.running import ToolContext
from phonebot.tools.typist import Typist
from phonebot.tools.workshop import NEEDS_GA, Equipment, Workshop
from phonebot.traces.setting_up import Spans, Traces
from phonebot.transfers.after import Resumed, Returned, Transfers
from phonebot.web.admission import Admitted, Arrival
from phonebot.web.answer_clock import AnswerClock
from phonebot.web.deciding import Decided, Decisions
from phonebot.web.feed import Feed
from phonebot.web.greeting_taking import GreetingTaker
from phonebot.web.greetings import Greetings
from phonebot.web.hangups import HangUps
from phonebot.web.held import HeldCall, HeldCalls
from phonebot.web.live import LiveCalls
from phonebot.web.media import MediaSocket
from phonebot.web.metrics import CallMetrics, Metrics
from phonebot.web.outgoing import Callee, Outgoing
from phonebot.web.profiles import Answering

log = logging.getLogger(__name__)

Watch = Callable[[Start], Journal]
"""Makes a journal for each call, beside the call log: the demo's terminal, tests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallDesk:
    """
    `decisions` say how calls are answered. `failover` finds a profile's model, whose name is `model` where it has
    none of its own; `writing` opens one that answers in writing. `remember` is given each profile that answers;
    None: nothing is done after calls. `traces` None: nobody traces calls.
    """

    numbers: Answering
    decisions: Decisions
    live: LiveCalls
    metrics: Metrics
    feed: Feed
    held: HeldCalls
    writer: Writer
    watch: tuple[Watch, ...]
    workshop: Workshop
    guardroom: Guardroom
    greetings: Greetings
    hooks: tuple[Hook, ...]
    hang_ups: HangUps
    transfers: Transfers
    caps: DayCaps
    outgoing: Outgoing | None
    failover: Failover
    model: str
    writing: Callable[[], TextSession]
    remember: Callable[[Profile], None] | None = None
    traces: Traces | None = None

    async def hold(self, socket: MediaSocket, reader: StreamReader, start: Start, admitted: Admitted) -> None:
        """A call from the carrier, until it has ended: its number's profile answers."""
        admission = admitted.admission
        belongs_to_call(start.call_sid)  # its task has nothing else to do
        if before := self.held.get(start.call_sid):
            log.warning("call %.40r comes again: the stream it had is taken for lost", start.call_sid)
            before.lose()
        profile = self.numbers.profile_for(admission.number, admission.caller)
        if profile.version != admission.profile_version:
            log.info(
                "call %.40r is answered by version %s of profile %r: its webhook chose version %.20s",
                start.call_sid,
                profile.version,
                profile.name,
                admission.profile_version,
            )
        resumed: Resumed | None = None
        if admission.returned:
            returned = Returned.of(admission.returned)
            if returned.is_new:
                await self.transfers.begun(start.call_sid)
            else:
                resumed = await self.transfers.resumed(start.call_sid, returned, profile)
        arrival = Arrival(admission.caller, admission.number, profile, admission.kind, admitted.stream, resumed)
        await self.answer(socket, reader, start, arrival)

    async def answer(self, socket: MediaSocket, reader: StreamReader, start: Start, arrival: Arrival) -> None:
        """One call, by whatever way it came, until it has ended."""
        with within_call(start.call_sid):
            await self._answer(socket, reader, start, arrival)

    async def _answer(self, socket: MediaSocket, reader: StreamReader, start: Start, arrival: Arrival) -> None:
        profile = arrival.profile
        route = self.failover.route(profile.model or self.model)
        endpoint = route.endpoint
        equipment = self.workshop.equip(profile, calls_servers=endpoint.dialect != "beta")
        async with AsyncExitStack() as stack:
            stack.push_async_callback(route.close)
            spans: Spans | None = None
            if self.traces:
                spans = self.traces.call(start.call_sid, arrival.kind, arrival.resumed is not None)
            if spans:
                stack.callback(spans.close)
            # The model's socket does not wait for what is looked up: only its session does.
            if profile.lookup or profile.history:
                route.open_early()
            decided = await self.decisions.of(start.call_sid, arrival, equipment, endpoint.name)
            connect_model = _connecting(start.call_sid, arrival, route, equipment)
            about = self._about(start, arrival, endpoint)
            if spans:
                spans.decided(endpoint.name, profile.model or self.model, profile.name)
            await self._hold(socket, reader, start, arrival, about, decided, equipment, connect_model, spans)

    def _about(self, start: Start, arrival: Arrival, endpoint: Endpoint) -> About:
        """What the call log says of a call at its head."""
        profile, is_ours = arrival.profile, arrival.kind == "outbound"
        return About(
            call_sid=start.call_sid,
            kind=arrival.kind,
            stream_sid=start.stream_sid,
            from_number=arrival.number if is_ours else arrival.caller,
            to_number=arrival.caller if is_ours else arrival.number,
            profile=profile.name,
            profile_version=profile.version,
            provider=endpoint.name,
            model=profile.model or self.model,
        )

    async def _hold(
        self,
        socket: MediaSocket,
        reader: StreamReader,
        start: Start,
        arrival: Arrival,
        about: About,
        decided: Decided,
        equipment: Equipment,
        connect_model: ConnectModel,
        spans: Spans | None,
    ) -> None:
        """One call between its sockets, with all who follow it."""
        profile, plan = arrival.profile, decided.plan
        outgoing = self.outgoing if arrival.kind == "outbound" else None
        if self.remember:
            self.remember(profile)
        recorder = self.writer.recorder(about, audio=profile.record, from_start=not plan.notice)
        recorder.plan(plan)
        journal = CallLog(recorder, bound(lambda outcome: self._ended(start.call_sid, arrival, outcome)))
        further = (spans,) if spans else ()
        figures = CallMetrics(self.metrics, plan, about.provider or "", profile.model or self.model, further)
        resumed = arrival.resumed.standing.resumed if arrival.resumed else 0
        told = self.feed.begin(about, plan, arrival.stream, audible=profile.record, resumed=resumed)
        typist = Typist(start.call_sid, lambda typed: bridge.type_in(typed))
        context = ToolContext(
            start.call_sid,
            arrival.caller,
            arrival.number,
            profile.name,
            typist=typist,
            play=lambda clip: bridge.play(clip),
            hidden_keys=lambda: bridge.hidden_keys,
        )
        toolbox, guard = equipment.toolbox(context), self.guardroom.guard(profile, context, self.writing)

        def call_for(hook: str) -> LiveCall:
            return LiveCall(context, hook, told.events, typist, bridge.hang_up)

        departure = Departure(
            bound(lambda outcome: self.transfers.ended(start.call_sid, arrival.stream, outcome, told.standing()))
        )
        callee = Callee(profile.outbound, decided.message, lambda found: bridge.is_answered_by(found))
        capped = self.caps.journal(
            arrival.number, profile, profile.model or self.model, plan.tariff, lambda reached: bridge.cap(reached)
        )
        clock = AnswerClock(lambda: bridge.read_s, lambda sent: bridge.note(sent))
        watching = (watch(start) for watch in self.watch)
        journals: tuple[Journal, ...] = (journal, figures, told, departure, capped, *watching, clock)
        if outgoing:  # before the one that tells how the call has ended, which needs what the callee had
            journals = (callee, *journals)
        bridge = Bridge(Call(plan), start, socket, reader, connect_model, journals, toolbox, guard)
        if spoken := decided.spoken:
            taker = GreetingTaker(
                plan,
                spoken.provider,
                lambda audio: self.greetings.keep(spoken, audio),
                lambda: bridge.detach(taker),
            )
            bridge.attach(taker)
        hooks = HookTasks(self.hooks, told.events, call_for, self.metrics)
        try:
            with (
                capped,
                self.held.holding(HeldCall(told, bridge, typist, profile.record)),
                outgoing.holding(start.call_sid, callee, decided.order) if outgoing else nullcontext(),
            ):
                await bridge.run()
        finally:
            typist.close()
            recorder.close(journal.outcome)
            figures.ended(journal.outcome)
            told.close(journal.outcome)
            if spans:
                spans.close(journal.outcome)
            await hooks.close()

    def _ended(self, call_sid: str, arrival: Arrival, outcome: Outcome) -> None:
        """A call has left its stream, or lost it."""
        if arrival.kind != "browser":
            self.hang_ups.ended(call_sid, outcome)
        if arrival.kind == "outbound" and self.outgoing:
            self.outgoing.ended(call_sid)


def _connecting(call_sid: str, arrival: Arrival, route: Route, equipment: Equipment) -> ConnectModel:
    """What opens the model's session of one call."""

    async def connect_model(session: Session) -> tuple[ModelConnection, ModelReady]:
        try:
            connection = await route.connect(session)
        except ModelRefused as error:
            log.warning(
                "call %.40r at %.40r gets no model: its session was refused, with %s, of %s: %.100s: %s",
                call_sid,
                arrival.number,
                f"the voice {session.voice!r:.100}" if session.voice else "the model's own voice",
                f"the profile {arrival.profile.name!r}" if arrival.profile.name else "a profile without a name",
                error.code or "without a code",
                Personal(error.problem),  # services quote what they refuse, and that may be what a caller said once
            )
            raise
        has_servers = any(offer.servers for offer in equipment.offers.values())
        if has_servers and connection.dialect == "beta":  # it was not known before
            log.error("call %.40r: its MCP servers are left out: %s", call_sid, NEEDS_GA)
        return connection, _ready(connection)

    return connect_model


def _ready(connection: ModelConnection) -> ModelReady:
    can = connection.endpoint.capabilities
    return ModelReady(
        connection.session,
        connection.input_format,
        connection.output_format,
        interrupts=can.interrupts,
        truncates=can.truncates,
        deletes=can.deletes,
        provider=connection.endpoint.name,
        expires_in_ms=_expires_in_ms(connection),
    )


def _expires_in_ms(connection: ModelConnection) -> int | None:
    """When the session ends, as it says itself, or else at its provider's limit; None: nothing says so."""
    at_s, limit_s = connection.session.expires_at_s, connection.endpoint.capabilities.session_limit_s
    left_s = at_s - int(time.time()) if isinstance(at_s, int) else limit_s
    return None if left_s is None else left_s * 1000


class Departure:
    """A bridge's journal, behind that which keeps the lines: tells `ended` how the call left its stream."""

    def __init__(self, ended: Callable[[Outcome], None]) -> None:
        self._ended = ended

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        if actions and isinstance(actions[-1], Ended):
            self._ended(actions[-1].outcome)


class CallLog:
    """A bridge's journal that writes the call log, and tells `ended` how the call ended."""

    def __init__(self, recorder: Recorder, ended: Callable[[Outcome], None]) -> None:
        self.outcome: Outcome = "stream_lost"  # until the call says otherwise: it was cut off
        self._recorder = recorder
        self._ended = ended

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        self._recorder.happened(now, received, actions)
        if actions and isinstance(actions[-1], Ended):
            self.outcome = actions[-1].outcome
            self._ended(self.outcome)

    def passed_on(self, now: int, received: Input, actions: list[Action]) -> None:
        self._recorder.happened(now, received, actions)
